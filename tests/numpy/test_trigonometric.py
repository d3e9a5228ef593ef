"""Trigonometric and hyperbolic functions."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.testing import check_laws

FUNCTIONS = [
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "arcsinh",
    "arccosh",
    "arctanh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
]
ANGLES = ["deg2rad", "rad2deg", "radians", "degrees"]


def points(name, dtype):
    x = np.array([0.25, 0.5, 0.75]).astype(dtype)
    if dtype.startswith("complex"):
        return x + np.array(0.5j, dtype)
    return x + np.asarray(1, dtype) if name.endswith("cosh") else x


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_values(agrees, name, dtype):
    agrees(lambda xp, x: getattr(xp, name)(x), points(name, dtype))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(agrees, name):
    x = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, -2], "float32")
    agrees(lambda xp, x: getattr(xp, name)(x), x)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_laws(name, dtype):
    check_laws(getattr(fnp, name), (fnp.asarray(points(name, dtype)),))


@pytest.mark.parametrize("name", ANGLES)
def test_angles(agrees, name):
    agrees(lambda xp, x: getattr(xp, name)(x), np.array([0, 30, -270], "float32"))
    assert getattr(fnp, name)(90).weak_type
    check_laws(getattr(fnp, name), (fnp.array([0.5, 100.0]),))


def test_arctan2(agrees):
    y, x = np.meshgrid(np.float32([-1, -0.0, 0, 2, np.inf]), np.float32([-3, -0.0, 0, 1, -np.inf]))
    agrees(lambda xp, y, x: xp.arctan2(y, x), y, x)
    check_laws(fnp.arctan2, (fnp.array([1.0, -2.0]), fnp.array([[-0.5], [3.0]])))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sinc(dtype):
    # both sides of where the series ends, at |pi x| = 1/2
    x = np.array([0, 1e-6, 0.1, 0.159, 0.16, 0.5, -2.5], dtype)
    expected = np.sinc(x.astype("f8"))
    np.testing.assert_allclose(fnp.sinc(x), expected, rtol=1e-6 if dtype == "float32" else 1e-14)
    check_laws(fnp.sinc, (fnp.array([0.1, 0.7, -2.2], dtype),))


def test_derivatives_of_sinc_at_zero():
    derivatives = [fnp.sinc]
    for _ in range(4):
        derivatives.append(ff.grad(derivatives[-1]))
    # sinc(x) = 1 - (pi x)^2 / 3! + (pi x)^4 / 5! - ...
    expected = [1, 0, -(np.pi**2) / 3, 0, np.pi**4 / 5]
    np.testing.assert_allclose([d(0.0) for d in derivatives], expected, rtol=1e-6)


def test_infinite_arguments_of_sinc():
    assert np.isnan(fnp.sinc(np.inf))
