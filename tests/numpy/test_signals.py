"""Interpolation, convolution and correlation, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

XP = np.array([0.0, 1.0, 2.5, 4.0], "f4")
FP = np.array([1.0, -1.0, 3.0, 2.0], "f4")
X = np.array([[-1.0, 0.0, 0.3], [1.0, 3.9, 9.0]], "f4")


def test_interp(agrees):
    agrees(lambda xp, x, a, b: xp.interp(x, a, b), X, XP, FP)
    agrees(lambda xp, x, a, b: xp.interp(x, a, b, left=7, right=8), X, XP, FP)
    agrees(lambda xp, x, a, b: xp.interp(x, a[::-1], b, period=3.7), X, XP, FP)
    agrees(lambda xp, x, a, b: xp.interp(x, a, b + 1j * a), X, XP, FP)
    agrees(lambda xp, x, a, b: xp.interp(x, a[:1], b[:1]), X, XP, FP)
    got = fnp.interp(X, XP, FP, left="extrapolate", right="extrapolate")
    np.testing.assert_allclose(got[0, 0], 3)
    np.testing.assert_allclose(got[1, 2], 2 - 5 / 1.5, rtol=1e-6)
    assert fnp.interp(1, np.array([0, 2]), np.array([0, 4])).dtype == np.float64
    twice = fnp.array([0.0, 1.0, 1.0, 2.0])
    np.testing.assert_allclose(fnp.interp(fnp.array([1.0, 1.5]), twice, twice * 2), [2, 3])


def test_interp_is_differentiable():
    check_laws(fnp.interp, (X + 0.01, XP, FP), order=1)
    with pytest.raises(ShapeError, match="interp"):
        fnp.interp(X, XP, FP[1:])
    with pytest.raises(ArgumentError, match="period"):
        fnp.interp(X, XP, FP, period=0)
    with pytest.raises(ArgumentError, match="left"):
        fnp.interp(X, XP, FP, left="nearest")


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("n", [1, 2, 5, 6])
@pytest.mark.parametrize("m", [1, 2, 3, 6])
def test_convolve_and_correlate(n, m, mode, agrees):
    rng = np.random.default_rng(n + 10 * m)
    a, v = rng.normal(size=n).astype("f4"), rng.normal(size=m).astype("f4")
    agrees(lambda xp, a, v: xp.convolve(a, v, mode), a, v)
    agrees(lambda xp, a, v: xp.correlate(a, v, mode), a, v)
    agrees(lambda xp, a, v: xp.correlate(a * 1j, v + 1j * v, mode), a, v)


def test_convolve_details():
    assert fnp.convolve(fnp.arange(3), fnp.arange(2)).dtype == np.float32
    check_laws(lambda a, v: fnp.convolve(a, v, "same"), (XP, FP[:3]), order=2)
    with pytest.raises(ShapeError, match="convolve: takes vectors"):
        fnp.convolve(X, XP)
    with pytest.raises(ArgumentError, match="mode"):
        fnp.correlate(XP, FP, "half")
    with pytest.raises(ShapeError):
        ff.numpy.convolve(XP[:0], FP)
