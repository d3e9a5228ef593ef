"""Arrays as sets, against NumPy."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from hypothesis.extra import numpy as hnp

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ConcretizationTypeError

FEW = hst.sampled_from([-2, 0, 1, 2, 7])
FEW_OR_NAN = hst.sampled_from([-2.0, 0.0, 1.0, np.nan])


@settings(max_examples=60, deadline=None)
@given(data=hst.data())
def test_unique(data):
    shape = data.draw(hst.sampled_from([(0,), (1,), (6,), (2, 3)]))
    x = data.draw(hnp.arrays("f4", shape, elements=FEW_OR_NAN))
    for equal_nan in (True, False):
        expected = np.unique(x, True, True, True, equal_nan=equal_nan)
        got = fnp.unique(x, True, True, True, equal_nan=equal_nan)
        for g, e in zip(got, expected, strict=True):
            np.testing.assert_array_equal(g, e)
    size = data.draw(hst.integers(1, 5))
    if x.size:
        values, index, inverse, counts = np.unique(x, True, True, True)
        missing = max(size - len(values), 0)
        got = ff.jit(lambda x: fnp.unique(x, True, True, True, size=size))(x)
        fill = lambda a, v: np.append(a, [v] * missing)[:size]  # noqa: E731
        np.testing.assert_array_equal(got[0], fill(values, values[0]))
        np.testing.assert_array_equal(got[1], fill(index, index[0]))
        np.testing.assert_array_equal(got[2], inverse)
        np.testing.assert_array_equal(got[3], fill(counts, 0))


def test_unique_slices(agrees):
    x = np.array([[1, 2, 1], [0, 2, 0], [1, 2, 1]])
    for axis in (0, 1, -1):
        agrees(lambda xp, x, a=axis: list(xp.unique(x, True, True, True, a)), x, jit=False)
    got = ff.jit(lambda x: fnp.unique(x, axis=0, size=3, fill_value=-1))(x)
    np.testing.assert_array_equal(got, [[0, 2, 0], [1, 2, 1], [-1, -1, -1]])


def test_unique_by_name():
    x = fnp.array([3, 1, 3])
    assert fnp.unique_all(x)._fields == ("values", "indices", "inverse_indices", "counts")
    np.testing.assert_array_equal(fnp.unique_all(x).indices, [1, 0])
    np.testing.assert_array_equal(fnp.unique_counts(x).counts, [1, 2])
    np.testing.assert_array_equal(fnp.unique_inverse(x).inverse_indices, [1, 0, 1])
    np.testing.assert_array_equal(fnp.unique_values(x), [1, 3])


def test_unique_is_differentiable():
    x = fnp.array([2.0, 1.0, 2.0])
    gradient = ff.grad(lambda x: (fnp.unique(x) * fnp.array([1.0, 10.0])).sum())(x)
    np.testing.assert_array_equal(gradient, [10, 1, 0])


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays("i4", hst.integers(0, 6), elements=FEW),
    hnp.arrays("i4", hst.integers(0, 6), elements=FEW),
)
def test_two_sets(a, b):
    for name in ("union1d", "intersect1d", "setdiff1d", "setxor1d"):
        ours, expected = getattr(fnp, name), getattr(np, name)(a, b)
        np.testing.assert_array_equal(ours(a, b), expected, strict=True)
        traced = ff.jit(partial(ours, size=4, fill_value=-9))(a, b)
        np.testing.assert_array_equal(traced, np.append(expected, [-9] * 4)[:4])
    np.testing.assert_array_equal(fnp.isin(a, b), np.isin(a, b))
    np.testing.assert_array_equal(fnp.isin(a, b, invert=True), np.isin(a, b, invert=True))
    for g, e in zip(
        fnp.intersect1d(a, b, return_indices=True),
        np.intersect1d(a, b, return_indices=True),
        strict=True,
    ):
        np.testing.assert_array_equal(g, e)


def test_defaults_of_missing_elements():
    a, b = fnp.array([3, 1, 2, 4]), fnp.array([1, 4])
    np.testing.assert_array_equal(fnp.setdiff1d(a, b, size=4), [2, 3, 0, 0])
    np.testing.assert_array_equal(fnp.union1d(a, b, size=5), [1, 2, 3, 4, 1])
    got = fnp.intersect1d(a, b, size=3, return_indices=True)
    np.testing.assert_array_equal(got, [[1, 4, 1], [1, 3, 4], [0, 1, 2]])


def test_nan_is_in_no_set():
    a, b = fnp.array([1.0, fnp.nan]), fnp.array([fnp.nan, 2.0])
    np.testing.assert_array_equal(fnp.isin(a, b), [False, False])
    np.testing.assert_array_equal(fnp.union1d(a, b), np.union1d(a, b))
    np.testing.assert_array_equal(fnp.setdiff1d(a, b), np.setdiff1d(a, b))


def test_errors():
    with pytest.raises(ConcretizationTypeError, match="unique: the array"):
        ff.jit(fnp.unique)(fnp.arange(3))
    with pytest.raises(ConcretizationTypeError, match="union1d"):
        ff.jit(fnp.union1d)(fnp.arange(3), fnp.arange(2))
    with pytest.raises(ArgumentError, match="empty"):
        fnp.unique(fnp.zeros(0), size=2)
