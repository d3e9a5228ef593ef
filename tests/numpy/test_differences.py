"""Differences of neighbours, against NumPy."""

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

X = np.array([[1.0, 4.0, 9.0, 2.0], [0.5, -1.0, 3.0, 3.5], [2.0, 2.5, 0.0, 1.0]], "f4")
T = np.array([0.0, 1.0, 1.5, 4.0], "f4")


def test_diff(agrees):
    agrees(
        lambda xp, x: [xp.diff(x), xp.diff(x, 2), xp.diff(x, 0), xp.diff(x, 7), xp.diff(x, axis=0)],
        X,
    )
    agrees(lambda xp, x: xp.diff(x, prepend=0, append=x[:, :2]), X)
    agrees(lambda xp, x: xp.diff(x > 1), X)
    agrees(lambda xp, x: [xp.ediff1d(x), xp.ediff1d(x, np.array([7.0, 8.0]), 9.0)], X)
    with pytest.raises(ShapeError):
        fnp.diff(1.0)
    with pytest.raises(ArgumentError):
        fnp.diff(X, -1)


@pytest.mark.parametrize("order", [1, 2])
def test_gradient(order, agrees):
    agrees(lambda xp, x: list(xp.gradient(x, edge_order=order)), X)
    agrees(lambda xp, x: xp.gradient(x, 0.5, axis=1, edge_order=order), X)
    agrees(lambda xp, x, t: list(xp.gradient(x, 2.0, t, edge_order=order)), X, T)
    agrees(lambda xp, x, t: xp.gradient(x, t, axis=-1, edge_order=order), X, T)
    agrees(lambda xp, x: xp.gradient(x[0], edge_order=order), X)


def test_gradient_errors():
    with pytest.raises(ArgumentError, match="edge_order"):
        fnp.gradient(X, edge_order=3)
    with pytest.raises(ArgumentError, match="spacings"):
        fnp.gradient(X, 1.0, 2.0, 3.0)
    with pytest.raises(ShapeError, match="samples"):
        fnp.gradient(X[:1])
    with pytest.raises(ShapeError, match="coordinates"):
        fnp.gradient(X, T[:2], axis=1)


def test_trapezoid(agrees):
    agrees(
        lambda xp, x, t: [xp.trapezoid(x), xp.trapezoid(x, dx=0.5, axis=0), xp.trapezoid(x, t)],
        X,
        T,
    )
    agrees(lambda xp, x: xp.trapezoid(x, x * 2, axis=0), X)
    agrees(lambda xp, t: xp.trapezoid(t.astype(int)), T)


def test_laws():
    check_laws(lambda x: fnp.diff(x, 2), (X,), order=1)
    check_laws(lambda x, t: fnp.gradient(x, t, axis=1, edge_order=2), (X, T), order=1)
    check_laws(fnp.trapezoid, (X, T), order=2)


def test_unwrap(agrees):
    angles = np.array([[0.0, 3.0, -3.0, -1.0, 6.5], [0.0, 1.0, 5.0, -2.0, 9.0]], "f4")
    agrees(lambda xp, x: [xp.unwrap(x), xp.unwrap(x, axis=0), xp.unwrap(x, discont=4.0)], angles)
    agrees(lambda xp, x: xp.unwrap(x, period=4), np.array([0, 1, 2, -1, 0, 3, 5, 1]))
    agrees(lambda xp, x: xp.unwrap(x, period=5), np.array([0, 1, 2, -1, 0, 3, 5, 1]))
    check_laws(fnp.unwrap, (angles[0],), order=1)
