"""Elementwise rounding."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import fast_unary
from funcflow.core.errors import ArgumentError, DtypeError
from funcflow.numpy.promotion import as_array, inexact, is_complex, refuse_out

_TO_EVEN = lax.RoundingMethod.TO_NEAREST_EVEN


@fast_unary(np.floor, "f")
def floor(x: Any, /) -> Array:
    """The greatest integer not above `x`, elementwise; the derivative is 0."""
    x = _real("floor", x)
    return lax.floor(x) if dtypes.is_float(x.dtype) else x


@fast_unary(np.ceil, "f")
def ceil(x: Any, /) -> Array:
    """The least integer not below `x`, elementwise; the derivative is 0."""
    x = _real("ceil", x)
    return lax.ceil(x) if dtypes.is_float(x.dtype) else x


@fast_unary(np.trunc, "f")
def trunc(x: Any, /) -> Array:
    """`x` without its fraction, elementwise; the derivative is 0."""
    x = _real("trunc", x)
    if not dtypes.is_float(x.dtype):
        return x
    negative = lax.lt(x, 0)
    return lax.select(negative, lax.ceil(x), lax.floor(x))


fix = trunc


def _real(name: str, x: Any) -> Array:
    x = as_array(name, x)
    if is_complex(x):
        raise DtypeError(f"{name}: takes real numbers, got {x.aval}", mend="use fnp.round")
    return x


@fast_unary(np.rint, "fc")
def rint(x: Any, /) -> Array:
    """The nearest integer, as a float, elementwise; halves go to the even one."""
    x = inexact("rint", x)
    if is_complex(x):
        return lax.complex(rint(lax.real(x)), rint(lax.imag(x)))
    return lax.round(x, _TO_EVEN)


def round(a: Any, decimals: int = 0, out: None = None) -> Array:
    """`a` rounded to a number of decimals, elementwise; halves go to the even digit.

    Args:
        a: an array; integers are returned as they are.
        decimals: the number of decimals; negative ones round to tens, hundreds, ...
        out: not supported.

    Raises:
        ArgumentError: `decimals` is negative and `a` is of an integer dtype.

    Example:
        >>> fnp.round(fnp.array([1.26, 2.5]), 1)
        Array([1.3, 2.5], dtype=float32)
    """
    refuse_out("round", out)
    a = as_array("round", a)
    if not dtypes.is_inexact(a.dtype):
        if decimals < 0:
            raise ArgumentError(
                f"round: integers cannot be rounded to {decimals} decimals",
                mend="convert them with .astype(float)",
            )
        return a
    return rint(a) if decimals == 0 else _rounded_to(a, decimals)


around = round


def _rounded_to(x: Any, decimals: int) -> Array:
    # scaled in at least 32 bits: 10**decimals overflows float16 soon
    wide = lax.convert_element_type(x, dtypes.accumulator(x.dtype))
    scale = np.asarray(10.0 ** abs(decimals), wide.dtype)
    if decimals > 0:
        rounded = lax.div(rint(lax.mul(wide, scale)), scale)
    else:
        rounded = lax.mul(rint(lax.div(wide, scale)), scale)
    return lax.convert_element_type(rounded, x.dtype, x.weak_type)
