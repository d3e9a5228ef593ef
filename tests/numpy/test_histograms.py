"""Counting, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ConcretizationTypeError, ShapeError

X = np.array([0.0, 0.4, 1.0, 1.0, 2.5, 3.0, -1.0, np.pi], "f4")
W = np.arange(8, dtype="f4")


def test_bincount(agrees):
    x = np.array([1, 3, 1, 0])
    agrees(lambda xp, x: xp.bincount(x), x, jit=False)
    agrees(lambda xp, x, w: xp.bincount(x, w), x, W[:4], jit=False)
    agrees(lambda xp, x: xp.bincount(x, minlength=6), x, jit=False)
    assert fnp.bincount(x).dtype == np.int32
    assert fnp.bincount(fnp.zeros(0, int)).shape == (0,)
    got = ff.jit(lambda x: fnp.bincount(x, length=3))(np.array([1, 1, -2, 7]))
    np.testing.assert_array_equal(got, [1, 2, 0])
    gradient = ff.grad(lambda w: fnp.bincount(x, w, length=4)[1])(fnp.ones(4))
    np.testing.assert_array_equal(gradient, [1, 0, 1, 0])


def test_histogram(agrees):
    agrees(lambda xp, x: [y * 1.0 for y in xp.histogram(x)], X)
    agrees(lambda xp, x: [y * 1.0 for y in xp.histogram(x, 4, range=(0, 3))], X)
    edges = np.array([0.0, 0.5, 1.0, 3.0])
    agrees(lambda xp, x, e: [y * 1.0 for y in xp.histogram(x, e)], X, edges)
    agrees(lambda xp, x, w: list(xp.histogram(x, 3, weights=w)), X, W)
    agrees(lambda xp, x: list(xp.histogram(x, 3, density=True)), X)
    agrees(lambda xp, x: xp.histogram_bin_edges(x, 5), X)
    agrees(lambda xp, x: xp.histogram_bin_edges(x, "auto"), X, jit=False)
    agrees(lambda xp, x: xp.histogram_bin_edges(x[:0], 2), X)
    agrees(lambda xp, x: xp.histogram_bin_edges(x[2:4], 2), X)
    assert fnp.histogram(fnp.arange(3))[0].dtype == np.float32
    assert fnp.histogram(fnp.array([fnp.nan, 0.5]), 2, range=(0, 1))[0].sum() == 1


def test_histograms_of_points(agrees):
    agrees(lambda xp, x, w: [y * 1.0 for y in xp.histogram2d(x, w, 3)], X, W)
    agrees(lambda xp, x, w: list(xp.histogram2d(x, w, [2, 3], density=True)), X, W)
    agrees(lambda xp, x, w: [y * 1.0 for y in xp.histogram2d(x, w, range=[[0, 1], [0, 3]])], X, W)

    def points(xp, x, w):
        counts, edges = xp.histogramdd(xp.stack([x, w, x * w], 1), (2, 2, 3), weights=w)
        return [counts, *edges]

    agrees(points, X, W)


def test_errors():
    with pytest.raises(ConcretizationTypeError, match="length"):
        ff.jit(fnp.bincount)(np.array([1, 2]))
    with pytest.raises(ArgumentError, match="negative"):
        fnp.bincount(np.array([-1]))
    with pytest.raises(ShapeError, match="bincount"):
        fnp.bincount(X)
    with pytest.raises(ShapeError, match="weights"):
        fnp.bincount(np.array([1]), W)
    with pytest.raises(ShapeError, match="weights"):
        fnp.histogram(X, weights=W[1:])
    with pytest.raises(ArgumentError, match="0 bins"):
        fnp.histogram(X, 0)
    with pytest.raises(ShapeError, match="rows"):
        fnp.histogramdd(X)
    with pytest.raises(ConcretizationTypeError):
        ff.jit(lambda x: fnp.histogram_bin_edges(x, "auto"))(X)
