"""Elementwise trigonometric and hyperbolic functions, their inverses, and angles."""

import math
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.eager import fast_binary, fast_unary
from funcflow.numpy.arithmetic import multiply
from funcflow.numpy.promotion import inexact, promote_inexact


@fast_unary(np.sin, "fc")
def sin(x: Any, /) -> Array:
    """The sine of `x` radians, elementwise.

    Example:
        >>> fnp.sin(fnp.array([0.0, fnp.pi / 2]))
        Array([0., 1.], dtype=float32)
    """
    return lax.sin(inexact("sin", x))


@fast_unary(np.cos, "fc")
def cos(x: Any, /) -> Array:
    """The cosine of `x` radians, elementwise."""
    return lax.cos(inexact("cos", x))


@fast_unary(np.tan, "fc")
def tan(x: Any, /) -> Array:
    """The tangent of `x` radians, elementwise."""
    return lax.tan(inexact("tan", x))


@fast_unary(np.arcsin, "fc")
def arcsin(x: Any, /) -> Array:
    """The angle in `[-pi/2, pi/2]` whose sine is `x`, elementwise."""
    return lax.asin(inexact("arcsin", x))


@fast_unary(np.arccos, "fc")
def arccos(x: Any, /) -> Array:
    """The angle in `[0, pi]` whose cosine is `x`, elementwise."""
    return lax.acos(inexact("arccos", x))


@fast_unary(np.arctan, "fc")
def arctan(x: Any, /) -> Array:
    """The angle in `[-pi/2, pi/2]` whose tangent is `x`, elementwise."""
    return lax.atan(inexact("arctan", x))


@fast_binary(np.arctan2, "f")
def arctan2(x1: Any, x2: Any, /) -> Array:
    """The angle of the point with ordinate `x1` and abscissa `x2`, in `[-pi, pi]`."""
    return lax.atan2(*promote_inexact("arctan2", x1, x2))


@fast_unary(np.sinh, "fc")
def sinh(x: Any, /) -> Array:
    """The hyperbolic sine, elementwise."""
    return lax.sinh(inexact("sinh", x))


@fast_unary(np.cosh, "fc")
def cosh(x: Any, /) -> Array:
    """The hyperbolic cosine, elementwise."""
    return lax.cosh(inexact("cosh", x))


@fast_unary(np.tanh, "fc")
def tanh(x: Any, /) -> Array:
    """The hyperbolic tangent, elementwise."""
    return lax.tanh(inexact("tanh", x))


@fast_unary(np.arcsinh, "fc")
def arcsinh(x: Any, /) -> Array:
    """The inverse of `sinh`, elementwise."""
    return lax.asinh(inexact("arcsinh", x))


@fast_unary(np.arccosh, "fc")
def arccosh(x: Any, /) -> Array:
    """The inverse of `cosh`, at least 0, elementwise."""
    return lax.acosh(inexact("arccosh", x))


@fast_unary(np.arctanh, "fc")
def arctanh(x: Any, /) -> Array:
    """The inverse of `tanh`, elementwise."""
    return lax.atanh(inexact("arctanh", x))


asin, acos, atan, atan2 = arcsin, arccos, arctan, arctan2
asinh, acosh, atanh = arcsinh, arccosh, arctanh


@fast_unary(np.deg2rad, "f")
def deg2rad(x: Any, /) -> Array:
    """Degrees as radians, elementwise."""
    return multiply(inexact("deg2rad", x), math.pi / 180)


@fast_unary(np.rad2deg, "f")
def rad2deg(x: Any, /) -> Array:
    """Radians as degrees, elementwise."""
    return multiply(inexact("rad2deg", x), 180 / math.pi)


radians, degrees = deg2rad, rad2deg


def sinc(x: Any, /) -> Array:
    """`sin(pi x) / (pi x)`, and 1 at 0, elementwise.

    Near 0 it is computed by its power series, so that derivatives are exact there, too.
    """
    angle = multiply(inexact("sinc", x), math.pi)
    near_zero = lax.lt(lax.abs(angle), 0.5)
    safe = lax.select(near_zero, 1, angle)
    return lax.select(near_zero, _sinc_series(angle), lax.div(lax.sin(safe), safe))


def _sinc_series(angle: Any) -> Array:
    """`1 - t^2 / 3! + t^4 / 5! - ...`, up to `t^14`; for `|t| < 0.5` it is exact to 64 bits."""
    square = lax.square(angle)
    total: Any = -1 / math.factorial(15)
    for odd in range(13, 0, -2):
        coefficient = (-1) ** (odd // 2) / math.factorial(odd)
        total = lax.add(lax.mul(total, square), coefficient)
    return total
