"""`concatenate`, `split`, `stack`, `unstack` and `tile`."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

X = np.arange(6, dtype="f4").reshape(2, 3) / 4 + 0.5


@hst.composite
def operands(draw, dtype=None):
    """Arrays that can be joined, and the dimension to join along."""
    shape = draw(st.shapes(min_dims=1))
    dimension = draw(st.axis(len(shape)))
    dtype = draw(st.dtypes()) if dtype is None else dtype
    extents = draw(hst.lists(hst.integers(0, 3), min_size=1, max_size=4))
    shapes = [
        tuple(n if i == dimension % len(shape) else e for i, e in enumerate(shape)) for n in extents
    ]
    return [draw(st.arrays(dtype, s, smooth=True)) for s in shapes], dimension


@settings(max_examples=60, deadline=None)
@given(problem=operands())
def test_concatenate_joins_as_numpy_does(problem):
    arrays, dimension = problem
    got = lax.concatenate(arrays, dimension)
    assert got.dtype == arrays[0].dtype
    np.testing.assert_array_equal(got, np.concatenate([np.asarray(x) for x in arrays], dimension))


@settings(max_examples=15, deadline=None)
@given(problem=operands("float32"))
def test_concatenate_laws(problem):
    arrays, dimension = problem
    check_laws(lambda *arrays: lax.concatenate(arrays, dimension), arrays, order=1)


def test_concatenate_with_constants():
    check_laws(lambda x: lax.concatenate([x, np.ones((1, 3), "f4"), x], 0), (X,))
    check_laws(
        lambda x, n: lax.mul(lax.concatenate([n, n], 0), x), (np.float32(2), np.float32([3]))
    )


def test_wrong_operands_are_refused():
    def refused(error, match, arrays, dimension=0):
        for f in (lambda *xs: lax.concatenate(xs, dimension),):
            for g in (f, ff.jit(f)):
                with pytest.raises(error, match=match):
                    g(*arrays)

    refused(ff.errors.ArgumentError, "concatenate: no operands", [])
    refused(ff.errors.ShapeError, r"shapes \(2, 3\), \(2, 2\) differ", [X, X[:, :2]])
    refused(ff.errors.ShapeError, r"shapes \(2, 3\), \(3,\) differ", [X, X[0]])
    refused(ff.errors.DtypeError, "takes arguments of one dtype", [X, X.astype("f8")])
    refused(ff.errors.AxisError, "concatenate: axis 2", [X, X], 2)


@settings(max_examples=40, deadline=None)
@given(problem=operands())
def test_split_undoes_concatenate(problem):
    arrays, dimension = problem
    parts = lax.split(
        lax.concatenate(arrays, dimension), [x.shape[dimension] for x in arrays], dimension
    )
    for part, x in zip(parts, arrays, strict=True):
        assert part.dtype == x.dtype
        np.testing.assert_array_equal(part, x)


def test_split_laws():
    check_laws(lambda x: lax.split(x, (1, 0, 2), 1), (X,))
    check_laws(lambda x: lax.split(x, (1, 2), -1)[1], (X,))  # a part that is not used


def test_split_of_sizes_that_do_not_add_up():
    for sizes in [(1, 1), (4, -1), ()]:
        with pytest.raises(ff.errors.ShapeError, match="split: sizes"):
            lax.split(X, sizes, 1)
        with pytest.raises(ff.errors.ShapeError, match="split: sizes"):
            ff.jit(lambda x, sizes=sizes: lax.split(x, sizes, 1))(X)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_stack(axis):
    arrays = [X, X + 1, X * 2]
    np.testing.assert_array_equal(lax.stack(arrays, axis), np.stack(arrays, axis))
    check_laws(lambda *arrays: lax.stack(arrays, axis), arrays, order=1)


def test_stack_of_what_does_not_stack():
    with pytest.raises(ff.errors.ArgumentError, match="stack: no operands"):
        lax.stack([])
    with pytest.raises(ff.errors.ShapeError, match=r"stack: the shapes \(2, 3\), \(3,\) differ"):
        lax.stack([X, X[0]])
    with pytest.raises(ff.errors.AxisError, match="stack: axis 3"):
        lax.stack([X], 3)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_unstack(axis):
    got = lax.unstack(X, axis)
    assert isinstance(got, tuple)
    np.testing.assert_array_equal(np.stack([np.asarray(x) for x in got], axis), X)
    check_laws(lambda x: lax.unstack(x, axis), (X,), order=1)


@pytest.mark.parametrize("reps", [(1, 1), (2, 1), (2, 3), (0, 2)])
def test_tile(reps):
    np.testing.assert_array_equal(lax.tile(X, reps), np.tile(X, reps))
    check_laws(lambda x: lax.tile(x, reps), (X,), order=1)


def test_tile_needs_one_number_per_axis():
    with pytest.raises(ff.errors.ShapeError, match="tile: reps"):
        lax.tile(X, (2,))
    with pytest.raises(ff.errors.ShapeError, match="tile: reps"):
        lax.tile(X, (2, -1))
