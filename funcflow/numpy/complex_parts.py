"""Elementwise functions of complex numbers."""

import math
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.eager import fast_unary
from funcflow.numpy.arithmetic import multiply
from funcflow.numpy.floating import signbit
from funcflow.numpy.promotion import as_array, inexact, is_complex


@fast_unary(np.conjugate, "c")
def conjugate(x: Any, /) -> Array:
    """The complex conjugate, elementwise; real numbers are returned as they are."""
    x = as_array("conjugate", x)
    return lax.conj(x) if is_complex(x) else x


conj = conjugate


def real(val: Any, /) -> Array:
    """The real part, elementwise; real numbers are returned as they are."""
    val = as_array("real", val)
    return lax.real(val) if is_complex(val) else val


def imag(val: Any, /) -> Array:
    """The imaginary part, elementwise; 0 for real numbers, in their dtype."""
    val = as_array("imag", val)
    return lax.imag(val) if is_complex(val) else lax.full_like(val, 0)


def angle(z: Any, deg: bool = False) -> Array:
    """The angle of complex numbers in the plane, in (-pi, pi], elementwise.

    Args:
        z: numbers; for real ones it is 0, or pi if they are negative, and NaN for NaN.
        deg: whether the result is in degrees.
    """
    z = inexact("angle", z)
    if is_complex(z):
        out = lax.atan2(lax.imag(z), lax.real(z))
    else:
        is_nan = lax.ne(z, z)
        negative = lax.bitwise_and(signbit(z), lax.bitwise_not(is_nan))
        out = lax.select(negative, math.pi, lax.select(is_nan, z, 0))
    return multiply(out, 180 / math.pi) if deg else out


def iscomplex(x: Any) -> Array:
    """Whether the imaginary part is not 0, elementwise."""
    part = imag(x)
    return lax.ne(part, 0)


def isreal(x: Any) -> Array:
    """Whether the imaginary part is 0, elementwise."""
    part = imag(x)
    return lax.eq(part, 0)


def iscomplexobj(x: Any) -> bool:
    """Whether `x` is of a complex dtype."""
    return x is not None and is_complex(as_array("iscomplexobj", x))


def isrealobj(x: Any) -> bool:
    """Whether `x` is of a real dtype."""
    return not iscomplexobj(x)
