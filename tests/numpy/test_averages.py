"""Means, variances, averages: what they have not in common with other reductions."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError, ShapeError
from funcflow.testing import check_laws

X = np.float32([[1.5, -2, 3, 0.5], [4, 0.25, -1, 2], [-3, 1, 2.5, 0.75]])


def test_complex_variance(agrees):
    z = X[0] + 1j * X[1]
    agrees(lambda xp, z: xp.var(z), z)
    agrees(lambda xp, z: xp.std(z, axis=0), z)
    check_laws(fnp.var, (fnp.asarray(z),))
    with pytest.raises(DtypeError, match="var: a real dtype for the complex array"):
        fnp.var(z, dtype="float32")


def test_degrees_of_freedom(agrees):
    agrees(lambda xp, x: xp.var(x, axis=1, ddof=1), X)
    agrees(lambda xp, x: xp.std(x, ddof=1.5), X)
    agrees(lambda xp, x: xp.var(x, correction=1), X)
    assert np.isnan(fnp.var(fnp.ones(1), ddof=1))
    assert np.isnan(fnp.var(fnp.ones(1), ddof=2))
    with pytest.raises(ArgumentError, match="ddof and correction"):
        fnp.var(X, ddof=1, correction=1)


def test_known_mean(agrees):
    agrees(lambda xp, x, m: xp.var(x, axis=0, mean=m), X, X.mean(0, keepdims=True))


def test_derivative_of_the_standard_deviation_of_equal_numbers():
    for transform in (ff.grad, lambda f: ff.jit(ff.grad(f)), ff.jacfwd):
        assert transform(fnp.std)(fnp.array([2.0, 2, 2])).tolist() == [0, 0, 0]


def test_average(agrees):
    weights = np.float32([1, 2, 3, 4])
    agrees(lambda xp, x, w: xp.average(x, axis=1, weights=w), X, weights)
    agrees(lambda xp, x, w: xp.average(x, weights=w, returned=True), X, np.abs(X))
    agrees(lambda xp, x: xp.average(x, returned=True), X)
    agrees(lambda xp, x, w: xp.average(x, axis=-1, weights=w, keepdims=True), X, weights)
    agrees(lambda xp, x, w: xp.average(x, axis=(1, 0), weights=w), X, np.abs(X.T))
    check_laws(lambda x, w: fnp.average(x, 1, w), (fnp.asarray(X), fnp.asarray(weights)))
    with pytest.raises(ShapeError, match=r"average: weights of shape \(4,\)"):
        fnp.average(X, axis=0, weights=weights)
