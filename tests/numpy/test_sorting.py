"""Sorting and searching, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hst
from hypothesis.extra import numpy as hnp

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError, ShapeError
from funcflow.testing import check_laws

X = np.array([[3, 1, 2, 1], [0, -1, 5, 0], [2, 2, 2, 1]], "f4")


def test_sort(agrees):
    agrees(lambda xp, x: [xp.sort(x), xp.sort(x, 0), xp.sort(x, None)], X)
    agrees(lambda xp, x: xp.argsort(x, stable=True), X)
    agrees(lambda xp, x: xp.argsort(x, 0, stable=True), X)
    agrees(lambda xp, x: xp.argsort(x, None, stable=True), X)
    agrees(lambda xp, x: xp.lexsort((x[0], x[1], x[2])), X)
    agrees(lambda xp, x: [xp.lexsort(x), xp.lexsort(x, 0)], X)
    agrees(lambda xp, x: xp.sort_complex(x + 1j * x[:, ::-1]), X)
    agrees(lambda xp, x: xp.sort(xp.where(x > 2, np.nan, x)), X)


def test_descending():
    np.testing.assert_array_equal(fnp.sort(X, descending=True), np.sort(X)[:, ::-1])
    order = fnp.argsort(X, descending=True)
    np.testing.assert_array_equal(order, [[0, 2, 1, 3], [2, 0, 3, 1], [0, 1, 2, 3]])
    assert order.dtype == np.int32
    assert fnp.argsort(X, dtype="int64").dtype == np.int64
    assert fnp.sort_complex(fnp.ones(2)).dtype == np.complex64


def test_partition():
    for kth in (0, 2, -1):
        np.testing.assert_array_equal(fnp.partition(X, kth)[:, kth], np.partition(X, kth)[:, kth])
        order = np.asarray(fnp.argpartition(X, kth))
        values = np.take_along_axis(X, order, 1)
        np.testing.assert_array_equal(values[:, kth], np.partition(X, kth)[:, kth])
    with pytest.raises(ArgumentError, match="kth=4"):
        fnp.partition(X, 4)


@settings(max_examples=100, deadline=None)
@given(data=hst.data(), dtype=hst.sampled_from(["f4", "i4", "f8", "c8"]))
def test_searchsorted(data, dtype):
    few = hst.sampled_from([-2, 0, 1, 2, 7] + ([np.nan, np.inf] if dtype[0] in "fc" else []))
    a = np.sort(data.draw(hnp.arrays(dtype, data.draw(hst.integers(0, 9)), elements=few)))
    v = data.draw(hnp.arrays(dtype, (2, 3), elements=few))
    for side in ("left", "right"):
        expected = np.searchsorted(a, v, side)
        np.testing.assert_array_equal(fnp.searchsorted(a, v, side), expected)
        traced = ff.jit(lambda a, v, side=side: fnp.searchsorted(a, v, side))(a, v)
        np.testing.assert_array_equal(traced, expected)
        assert traced.dtype == np.int32


def test_searchsorted_details():
    a = fnp.array([3.0, 1.0, 2.0])
    assert fnp.searchsorted(a, 1.5, sorter=fnp.argsort(a)) == 1
    assert fnp.searchsorted(fnp.sort(a).astype(fnp.bfloat16), 2) == 1
    got = ff.vmap(fnp.searchsorted)(fnp.sort(X), fnp.array([1.5, 0.0, 2.0]))
    np.testing.assert_array_equal(got, [2, 1, 1])
    with pytest.raises(ShapeError, match="vector"):
        fnp.searchsorted(X, 1)
    with pytest.raises(ArgumentError, match="side"):
        fnp.searchsorted(a, 1, "middle")
    with pytest.raises(AxisError):
        fnp.sort(1.0)
    with pytest.raises(ArgumentError, match="structured"):
        fnp.sort(a, order="name")


def test_digitize(agrees):
    x = np.array([[-1.0, 0.0, 0.5], [1.0, 2.0, 9.0]], "f4")
    for bins in ([0.0, 1.0, 2.0], [2.0, 1.0, 0.0], [1.0]):
        for right in (False, True):
            bins_ = np.array(bins, "f4")
            agrees(lambda xp, x, b, r=right: xp.digitize(x, b, r), x, bins_)
    np.testing.assert_array_equal(fnp.digitize(x, fnp.zeros(0)), np.zeros((2, 3)))


def test_laws():
    x = np.array([[3.0, 1.0, 2.0], [0.5, -1.0, 4.0]], "f4")
    check_laws(fnp.sort, (x,), order=2)
    check_laws(lambda x: fnp.sort(x, 0, descending=True), (x,), order=1)
    check_laws(fnp.argsort, (x,), modes=("jit", "vmap"))
