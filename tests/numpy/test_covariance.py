"""Covariance and correlation, against NumPy."""

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

X = np.array([[1.0, 4.0, 9.0, 2.0], [0.5, -1.0, 3.0, 3.5], [2.0, 2.5, 0.0, 1.0]], "f4")
F, A = np.array([1, 2, 0, 3]), np.array([0.5, 1.0, 2.0, 0.25], "f4")


def test_cov(agrees):
    agrees(lambda xp, x: [xp.cov(x), xp.cov(x, rowvar=False), xp.cov(x, bias=True)], X)
    agrees(lambda xp, x: [xp.cov(x[0]), xp.cov(x[0], x[1]), xp.cov(x, ddof=2)], X)
    agrees(lambda xp, x: xp.cov(x + 1j * x[::-1]), X)
    agrees(lambda xp, x, f, a: [xp.cov(x, fweights=f), xp.cov(x, aweights=a)], X, F, A)
    agrees(lambda xp, x, f, a: xp.cov(x, fweights=f, aweights=a), X, F, A)
    agrees(lambda xp, x: xp.cov((10 * x).astype(int)), X)
    assert fnp.cov(X, dtype="float64").dtype == np.float64
    check_laws(fnp.cov, (X,), order=2)
    with pytest.raises(ShapeError, match="aweights"):
        fnp.cov(X, aweights=A[1:])
    with pytest.raises(ArgumentError, match="integers"):
        fnp.cov(X, fweights=A)
    with pytest.raises(ShapeError, match="matrices"):
        fnp.cov(X[None])


def test_corrcoef(agrees):
    agrees(lambda xp, x: [xp.corrcoef(x), xp.corrcoef(x, rowvar=False)], X)
    agrees(lambda xp, x: [xp.corrcoef(x[0], x[1]), xp.corrcoef(x[0])], X)
    agrees(lambda xp, x: xp.corrcoef(x + 1j * x[::-1]), X)
