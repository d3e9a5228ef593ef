"""Polynomials, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

P = np.array([1.0, -2.0, 0.5, 3.0], "f4")
Q = np.array([2.0, 1.0], "f4")
X = np.array([[0.0, 1.0], [-1.5, 2.0]], "f4")


def test_as_numpy(agrees):
    agrees(lambda xp, p, x: xp.polyval(p, x), P, X)
    agrees(lambda xp, p, x: xp.polyval(p[:0], x), P, X)
    agrees(lambda xp, p, q: [xp.polyadd(p, q), xp.polysub(q, p), xp.polymul(p, q)], P, Q)
    agrees(lambda xp, p: [xp.polyder(p), xp.polyder(p, 2), xp.polyder(p, 0)], P)
    agrees(lambda xp, p: [xp.polyint(p), xp.polyint(p, 2), xp.polyint(p, 2, 7.0)], P)
    agrees(lambda xp, p: xp.polyint(p, 2, np.array([7.0, 8.0])), P)
    agrees(lambda xp, p: xp.poly(p), P)
    for a, b in ((P, Q), (Q, P), (P, P)):
        quotient, remainder = np.polydiv(a, b)
        got, rest = fnp.polydiv(a, b, trim_leading_zeros=True)
        np.testing.assert_allclose(got, quotient, rtol=1e-5)
        np.testing.assert_allclose(rest, remainder, rtol=1e-5)


def test_details():
    long = np.linspace(-1, 1, 40).astype("f4")
    np.testing.assert_allclose(fnp.polyval(long, X / 2), np.polyval(long, X / 2), rtol=1e-5)
    np.testing.assert_allclose(ff.jit(fnp.polyval)(long, X / 2), np.polyval(long, X / 2), rtol=1e-5)
    assert fnp.polyval(fnp.array([1, 2]), 3) == 5
    assert fnp.polyadd(fnp.array([1, 2]), 3).dtype == np.int32
    trimmed = fnp.polymul(fnp.array([0, 1, 2]), fnp.array([1, 2]), trim_leading_zeros=True)
    np.testing.assert_array_equal(trimmed, [1, 4, 4])
    check_laws(fnp.polyval, (P, X), order=2)
    check_laws(lambda p, q: fnp.polydiv(p, q)[1], (P, Q), order=1)
    with pytest.raises(ShapeError):
        fnp.polyval(X, 1.0)
    with pytest.raises(ArgumentError):
        fnp.polyder(P, -1)
    with pytest.raises(ArgumentError):
        fnp.polyint(P, 2, np.ones(3))
