"""Slices that start at computed places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

X = np.arange(12, dtype="f4").reshape(3, 4) / 4 + 0.5
INDEX_DTYPES = ["int8", "int32", "int64", "uint8", "uint32", "uint64"]


@hst.composite
def places(draw, shape):
    """Sizes of a slice, start indices of one dtype, and the slices that they mean."""
    dtype = np.dtype(draw(hst.sampled_from(INDEX_DTYPES)))
    low = 0 if dtype.kind == "u" else -6
    sizes = tuple(draw(hst.integers(0, n)) for n in shape)
    starts = tuple(np.array(draw(hst.integers(low, 6)), dtype) for _ in shape)
    first = [int(s) + n if s < 0 else int(s) for s, n in zip(starts, shape, strict=True)]
    first = [min(max(s, 0), n - k) for s, n, k in zip(first, shape, sizes, strict=True)]
    meant = tuple(slice(s, s + k) for s, k in zip(first, sizes, strict=True))
    return sizes, starts, meant


@settings(max_examples=100, deadline=None)
@given(data=hst.data())
def test_starts_are_moved_inside(data):
    x = data.draw(st.arrays())
    sizes, starts, meant = data.draw(places(x.shape))
    update = data.draw(st.arrays(x.dtype, sizes))
    expected = np.asarray(x).copy()
    expected[meant] = np.asarray(update)

    got = lax.dynamic_slice(x, starts, sizes)
    updated = lax.dynamic_update_slice(x, update, starts)

    assert got.dtype == updated.dtype == x.dtype
    np.testing.assert_array_equal(got, np.asarray(x)[meant])
    np.testing.assert_array_equal(updated, expected)
    python_ints = [int(s) for s in starts]
    np.testing.assert_array_equal(lax.dynamic_slice(x, python_ints, sizes), got)


@settings(max_examples=15, deadline=None)
@given(data=hst.data())
def test_laws(data):
    x = data.draw(st.arrays("float32", st.shapes(max_dims=2), smooth=True))
    sizes, starts, _ = data.draw(places(x.shape))
    update = data.draw(st.arrays("float32", sizes, smooth=True))
    check_laws(lambda x, *starts: lax.dynamic_slice(x, starts, sizes), (x, *starts), order=1)
    check_laws(
        lambda x, update, *starts: lax.dynamic_update_slice(x, update, starts),
        (x, update, *starts),
        order=1,
    )


def test_second_derivatives():
    check_laws(lambda x, i: lax.square(lax.dynamic_slice(x, (i, 1), (2, 2))), (X, np.int32(1)))
    check_laws(
        lambda x, u, i: lax.dynamic_update_slice(lax.square(x), lax.square(u), (i, i)),
        (X, X[:2, :1], np.int32(2)),
    )


def test_mapped_starts_make_one_gather_or_scatter():
    starts = np.array([0, 1, 5], "int32")
    f = ff.vmap(lambda x, i: lax.dynamic_slice(x, (i,), (2,)))
    g = ff.vmap(lambda x, i: lax.dynamic_update_slice(x, X[0, :2], (i,)))
    for mapped, name in ((f, "gather"), (g, "scatter")):
        names = [eqn.primitive.name for eqn in ff.make_jaxpr(mapped)(X, starts).eqns]
        assert names.count(name) == 1
        assert not any(name.startswith("dynamic") for name in names)


def test_starts_as_a_vector_and_with_a_dtype_smaller_than_the_extent():
    np.testing.assert_array_equal(lax.dynamic_slice(X, np.array([1, 2]), (1, 2)), X[1:2, 2:4])
    f = ff.jit(lambda starts: lax.dynamic_slice(X, starts, (1, 2)))
    np.testing.assert_array_equal(f(np.array([1, -2])), X[1:2, 2:4])
    long = lax.iota("int32", 1000)
    assert lax.dynamic_slice(long, [np.int8(-1)], (1,)).tolist() == [999]


def test_negative_starts_may_be_forbidden():
    start = np.array(-1, "int32")
    options = {"allow_negative_indices": False}
    assert lax.dynamic_slice(np.arange(4), (start,), (2,), **options).tolist() == [0, 1]
    got = lax.dynamic_slice(X, (start, start), (1, 1), allow_negative_indices=(False, True))
    assert got.tolist() == [[X[0, 3]]]


def test_along_one_dimension():
    i = np.array(1, "int32")
    np.testing.assert_array_equal(lax.dynamic_slice_in_dim(X, i, 2, axis=1), X[:, 1:3])
    np.testing.assert_array_equal(lax.dynamic_index_in_dim(X, i, axis=-1), X[:, 1:2])
    np.testing.assert_array_equal(lax.dynamic_index_in_dim(X, i, keepdims=False), X[1])
    np.testing.assert_array_equal(lax.dynamic_index_in_dim(X, 9, keepdims=False), X[2])

    expected = X.copy()
    expected[:, 1] = 7
    for update in (np.full((3, 1), 7, "f4"), np.full(3, 7, "f4")):
        np.testing.assert_array_equal(lax.dynamic_update_index_in_dim(X, update, i, 1), expected)
    update = np.full((3, 1), 7, "f4")
    np.testing.assert_array_equal(lax.dynamic_update_slice_in_dim(X, update, i, 1), expected)
    assert lax.dynamic_update_index_in_dim(np.arange(3), 7, 1, 0).tolist() == [0, 7, 2]


def test_the_operand_is_not_changed():
    x = np.zeros(3)
    lax.dynamic_update_slice(x, np.ones(1), (1,))
    assert not x.any()


def test_wrong_slices_are_refused():
    def refused(error, match, f, *args):
        for g in (f, ff.jit(f)):
            with pytest.raises(error, match=match):
                g(*args)

    def sliced(sizes):
        return lambda x, *starts: lax.dynamic_slice(x, starts, sizes)

    refused(ff.errors.ShapeError, "dynamic_slice: 1 start indices for", sliced((1, 1)), X, 0)
    refused(ff.errors.ShapeError, r"slice of shape \(4, 1\)", sliced((4, 1)), X, 0, 0)
    refused(ff.errors.ShapeError, r"slice of shape \(1,\)", sliced((1,)), X, 0, 0)
    refused(ff.errors.DtypeError, "integer scalars, got f32", sliced((1, 1)), X, 0, np.float32(1))
    refused(ff.errors.DtypeError, "integer scalars, got bool", sliced((1, 1)), X, 0, True)
    refused(ff.errors.DtypeError, r"got i64\[2\]", sliced((1, 1)), X, 0, np.arange(2))

    def update(x, u):
        return lax.dynamic_update_slice(x, u, (0, 0))

    refused(ff.errors.ShapeError, "dynamic_update_slice: a slice of shape", update, X, X[0])
    refused(ff.errors.DtypeError, "one dtype", update, X, X.astype("f8"))
