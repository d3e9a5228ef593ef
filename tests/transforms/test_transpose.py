"""Transposition of linear functions."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax

MATRIX = np.arange(6.0).reshape(2, 3)


def test_a_matrix_becomes_its_transpose():
    (ct,) = ff.linear_transpose(lambda x: MATRIX @ x, np.ones(3))(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(ct, MATRIX.T @ [1, 2])


def test_several_arguments_and_results():
    struct = ff.ShapeDtypeStruct((2,), "float64")
    transposed = ff.linear_transpose(lambda x, y: {"s": x + y, "d": 2 * x}, struct, struct)
    cts = transposed({"s": np.array([1.0, 2.0]), "d": np.array([10.0, 20.0])})
    np.testing.assert_array_equal(cts, [[21, 42], [1, 2]])


def test_unused_arguments_and_results():
    cts = ff.linear_transpose(lambda x, y: (x, fnp.zeros(2)), 1.0, 1.0)((3.0, np.ones(2, "f4")))
    assert [float(ct) for ct in cts] == [3, 0]


def test_the_transpose_of_the_transpose():
    def f(x):
        return fnp.cumsum(x)[1:] * 3

    g = lambda ct: ff.linear_transpose(f, np.ones(4))(ct)[0]  # noqa: E731
    h = lambda x: ff.linear_transpose(g, np.ones(3))(x)[0]  # noqa: E731
    np.testing.assert_allclose(h(np.arange(4.0)), f(np.arange(4.0)))


def test_linear_loops_and_branches():
    def f(x):
        x = lax.scan(lambda c, w: (c * w, None), x, np.array([2.0, 3.0]))[0]
        return lax.cond(True, lambda x: 5 * x, lambda x: x, x)

    (ct,) = ff.linear_transpose(f, np.ones(2))(np.ones(2))
    np.testing.assert_array_equal(ct, [30, 30])


def test_under_jit_and_vmap():
    f = lambda ct: ff.linear_transpose(lambda x: MATRIX @ x, np.ones(3))(ct)[0]  # noqa: E731
    np.testing.assert_array_equal(ff.jit(ff.vmap(f))(np.eye(2)), MATRIX)


@pytest.mark.parametrize("f", [fnp.sin, lambda x: x * x, lambda x: x @ x, lambda x: 1 / x])
def test_other_functions_are_refused(f):
    with pytest.raises(errors.NotDifferentiableError, match="linear"):
        ff.linear_transpose(f, np.ones(2))(f(np.ones(2)))


def test_the_cotangent_must_match():
    transposed = ff.linear_transpose(lambda x: 2 * x, np.ones(2))
    with pytest.raises(errors.ShapeError, match="linear_transpose"):
        transposed(np.ones(3))
    with pytest.raises(errors.TreeStructureError, match="linear_transpose"):
        transposed((np.ones(2),))


def test_golden_text(golden):
    f = lambda ct: ff.linear_transpose(lambda x: fnp.cumsum(x)[::2], fnp.ones(4))(ct)  # noqa: E731
    golden("transform_transpose.txt", f"{ff.make_jaxpr(f)(fnp.ones(2))}\n")
