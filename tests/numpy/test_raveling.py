"""ravel_pytree: pytrees to vectors and back, under every transform."""

import numpy as np
import pytest
from hypothesis import given

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors
from funcflow.flatten_util import ravel_pytree
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

F = np.float32
TREE = {"b": np.arange(6, dtype=F).reshape(2, 3), "a": [np.full((), 7, F), None, np.zeros(0, F)]}


def assert_same(a, b):
    assert ff.tree.structure(a) == ff.tree.structure(b)
    for x, y in zip(ff.tree.leaves(a), ff.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y, strict=True)


def test_the_leaves_follow_each_other():
    flat, unravel = ravel_pytree(TREE)
    np.testing.assert_array_equal(flat, [7, 0, 1, 2, 3, 4, 5])
    assert_same(unravel(flat), ff.tree.map(fnp.asarray, TREE))


@given(st.pytrees(st.arrays(dtype=F)))
def test_unravel_inverts_ravel(tree):
    flat, unravel = ravel_pytree(tree)
    assert_same(unravel(flat), ff.tree.map(fnp.asarray, tree))


@pytest.mark.parametrize(
    ("leaves", "dtype"),
    [
        (("float32", "int32"), "float32"),
        (("int32", "int16"), "int32"),
        (("int32", "bool"), "int32"),
        (("bfloat16", "float16"), "float32"),
        (("float32", "complex64"), "complex64"),
        (("float32", "float64"), "float64"),
        (("int64", "float32"), "float32"),
    ],
)
def test_dtypes(leaves, dtype):
    tree = [np.ones(2, leaf) for leaf in leaves]
    flat, unravel = ravel_pytree(tree)
    assert flat.dtype == dtype
    assert_same(unravel(flat), ff.tree.map(fnp.asarray, tree))


def test_python_numbers_are_weak():
    flat, unravel = ravel_pytree([1.0, np.ones(2, "bfloat16"), 2])
    assert flat.dtype == "bfloat16" and not flat.weak_type
    assert [x.dtype for x in unravel(flat)] == ["float32", "bfloat16", "int32"]
    assert not ravel_pytree([1.0, 2])[0].weak_type


def test_leaves_of_one_dtype_follow_the_vector():
    flat, unravel = ravel_pytree(TREE)
    assert unravel(flat.astype("float64"))["b"].dtype == np.float64


@pytest.mark.parametrize("tree", [{}, None, [(), {}]])
def test_no_leaves(tree):
    flat, unravel = ravel_pytree(tree)
    assert flat.shape == (0,) and flat.dtype == F
    assert unravel(flat) == tree


def norm(tree):
    flat, unravel = ravel_pytree(tree)
    return unravel(flat * fnp.sum(flat**2))


def test_laws():
    check_laws(
        lambda x, y: ff.tree.leaves(norm({"x": x, "y": (y,)})),
        (np.linspace(0.1, 1, 6, dtype=F).reshape(2, 3), np.ones(2, F)),
    )


def test_unravel_as_a_static_argument():
    traced = []

    def f(flat, unravel):
        traced.append(unravel)
        return unravel(flat)["b"]

    compiled = ff.jit(f, static_argnums=1)
    for _ in range(2):
        flat, unravel = ravel_pytree(TREE)
        np.testing.assert_array_equal(compiled(flat, unravel), TREE["b"])
    assert len(traced) == 1


def test_errors():
    flat, unravel = ravel_pytree([np.ones(2, F), np.ones(1, "int32")])
    with pytest.raises(errors.ShapeError, match=r"unravel: expected a vector of 3 .*\(2,\)"):
        unravel(flat[:-1])
    with pytest.raises(errors.ShapeError, match=r"unravel: .*\(3, 1\)"):
        unravel(flat[:, None])
    with pytest.raises(errors.DtypeError, match=r"unravel: expected the dtype float32, got int32"):
        unravel(flat.astype("int32"))
    with pytest.raises(errors.LeafTypeError, match=r"ravel_pytree: the argument pytree\['a'\]"):
        ravel_pytree({"a": "text"})
