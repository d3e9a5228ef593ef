"""Elementwise functions of the representation of numbers: NaN, infinity, sign, exponent."""

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import fast_binary, fast_unary
from funcflow.core.errors import DtypeError
from funcflow.numpy.promotion import (
    DType,
    as_array,
    convert,
    is_complex,
    lattice_type,
    numeric,
    promote_inexact,
    refuse_out,
)
from funcflow.numpy.rounding import trunc

# --- what a number is -------------------------------------------------------------------------


@fast_unary(np.isnan, "fciub")
def isnan(x: Any, /) -> Array:
    """Whether `x` is NaN, elementwise; of complex numbers, whether a part is."""
    x = as_array("isnan", x)
    return lax.ne(x, x) if dtypes.is_inexact(x.dtype) else _nowhere(x)


@fast_unary(np.isfinite, "fciub")
def isfinite(x: Any, /) -> Array:
    """Whether `x` is neither NaN nor infinite, elementwise."""
    x = as_array("isfinite", x)
    if dtypes.is_float(x.dtype):
        return lax.is_finite(x)
    if is_complex(x):
        return lax.bitwise_and(lax.is_finite(lax.real(x)), lax.is_finite(lax.imag(x)))
    return lax.full_like(x, True, dtype=bool)


@fast_unary(np.isinf, "fciub")
def isinf(x: Any, /) -> Array:
    """Whether `x` is infinite, elementwise; of complex numbers, whether a part is."""
    x = as_array("isinf", x)
    if dtypes.is_float(x.dtype):
        return lax.eq(lax.abs(x), math.inf)
    if is_complex(x):
        return lax.bitwise_or(isinf(lax.real(x)), isinf(lax.imag(x)))
    return _nowhere(x)


def isposinf(x: Any, /, out: None = None) -> Array:
    """Whether `x` is infinity, elementwise."""
    refuse_out("isposinf", out)
    return _is_infinity("isposinf", x, 1)


def isneginf(x: Any, /, out: None = None) -> Array:
    """Whether `x` is minus infinity, elementwise."""
    refuse_out("isneginf", out)
    return _is_infinity("isneginf", x, -1)


def _is_infinity(name: str, x: Any, sign: int) -> Array:
    x = as_array(name, x)
    if is_complex(x):
        raise DtypeError(f"{name}: takes real numbers, got {x.aval}", mend="use fnp.isinf")
    return lax.eq(x, sign * math.inf) if dtypes.is_float(x.dtype) else _nowhere(x)


def _nowhere(x: Array) -> Array:
    return lax.full_like(x, False, dtype=bool)


def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Array:
    """`x` with NaN and infinities replaced, elementwise.

    Args:
        x: an array; integers are returned as they are, complex parts are treated separately.
        copy: accepted for NumPy's sake.
        nan: what takes the place of NaN.
        posinf: what takes the place of infinity; by default the greatest finite number.
        neginf: what takes the place of minus infinity; by default the least finite number.

    Returns:
        An array of the dtype of `x`. Replaced elements have derivative 0.
    """
    del copy
    x = as_array("nan_to_num", x)
    if not dtypes.is_inexact(x.dtype):
        return x
    if is_complex(x):
        parts = [
            nan_to_num(part, nan=nan, posinf=posinf, neginf=neginf)
            for part in (lax.real(x), lax.imag(x))
        ]
        return lax.complex(*parts)
    greatest = ml_dtypes.finfo(x.dtype).max
    replacements = [
        (isnan(x), nan),
        (isposinf(x), greatest if posinf is None else posinf),
        (isneginf(x), -greatest if neginf is None else neginf),
    ]
    for where, value in replacements:
        x = lax.select(where, convert(value, x.dtype), x)
    return x


# --- signs ------------------------------------------------------------------------------------


@fast_unary(np.signbit, "fiub")
def signbit(x: Any, /) -> Array:
    """Whether the sign bit is set, elementwise: for negative numbers, -0.0 and some NaNs."""
    x = as_array("signbit", x)
    if is_complex(x):
        raise DtypeError(f"signbit: takes real numbers, got {x.aval}", mend="use fnp.real(x)")
    if not dtypes.is_float(x.dtype):
        return lax.lt(x, 0)
    signed = np.dtype(f"int{8 * x.dtype.itemsize}")
    return lax.lt(lax.bitcast_convert_type(x, signed), 0)


@fast_binary(np.copysign, "f")
def copysign(x1: Any, x2: Any, /) -> Array:
    """The magnitude of `x1` with the sign of `x2`, elementwise, of real numbers."""
    x1, x2 = _real("copysign", x1, x2)
    return lax.select(signbit(x2), lax.neg(lax.abs(x1)), lax.abs(x1))


def _real(name: str, *args: Any) -> Sequence[Any]:
    args = tuple(promote_inexact(name, *args))
    if is_complex(args[0]):
        raise DtypeError(
            f"{name}: takes real numbers, got complex ones",
            mend="apply it to the real and imaginary parts",
        )
    return args


@fast_binary(np.heaviside, "f")
def heaviside(x1: Any, x2: Any, /) -> Array:
    """The unit step, elementwise: 0 where `x1 < 0`, `x2` where `x1 == 0`, 1 where `x1 > 0`."""
    x1, x2 = _real("heaviside", x1, x2)
    step = lax.select(lax.lt(x1, 0), 0, lax.select(lax.gt(x1, 0), 1, x2))
    return lax.select(lax.ne(x1, x1), x1, step)


# --- the floating-point format ----------------------------------------------------------------


@fast_binary(np.nextafter, "f")
def nextafter(x: Any, y: Any, /) -> Array:
    """The floating-point number next to `x` in the direction of `y`, elementwise."""
    return lax.nextafter(*_real("nextafter", x, y))


@fast_unary(np.spacing, "f")
def spacing(x: Any, /) -> Array:
    """The distance from `x` to the next number away from 0, with the sign of `x`, elementwise."""
    x = _real("spacing", x)[0]
    return lax.sub(lax.nextafter(x, copysign(convert(math.inf, lattice_type(x)[0]), x)), x)


def frexp(x: Any, /) -> tuple[Array, Array]:
    """Mantissa and exponent, elementwise: `x == mantissa * 2**exponent`.

    The mantissa has a magnitude in [0.5, 1), or is 0, infinite or NaN with exponent 0. It is
    differentiable; the exponent is an int32 array.
    """
    (x,) = _real("frexp", x)
    dtype = lattice_type(x)[0]
    info = ml_dtypes.finfo(dtype)
    # subnormal numbers are scaled up, so that their exponent field is not 0
    lift = info.nmant + 1
    subnormal = lax.lt(lax.abs(x), float(info.tiny))
    lifted = lax.select(subnormal, lax.mul(x, 2.0**lift), x)
    bias = info.maxexp - 2  # of a mantissa in [0.5, 1)
    exponent = lax.sub(_exponent_field(lifted, info.nmant), bias)
    exponent = lax.select(subnormal, lax.sub(exponent, lift), exponent)
    regular = lax.bitwise_and(lax.is_finite(x), lax.ne(x, 0))
    exponent = lax.select(regular, exponent, 0)
    return ldexp(x, lax.neg(exponent)), exponent


def _exponent_field(x: Any, mantissa_bits: int) -> Array:
    bits = lax.bitcast_convert_type(x, _unsigned(lattice_type(x)[0]))
    field = lax.shift_right_logical(lax.shift_left(bits, 1), mantissa_bits + 1)
    return lax.convert_element_type(field, np.int32)


def _unsigned(dtype: DType) -> DType:
    return np.dtype(f"uint{8 * dtype.itemsize}")


def ldexp(x1: Any, x2: Any, /) -> Array:
    """`x1 * 2**x2`, elementwise.

    Args:
        x1: real numbers.
        x2: integers.

    Raises:
        DtypeError: `x1` is complex or `x2` is not of an integer dtype.
    """
    (x1,) = _real("ldexp", x1)
    exponent = as_array("ldexp", numeric("ldexp", x2))
    if not dtypes.is_integer(exponent.dtype):
        raise DtypeError(
            f"ldexp: the exponent must be an integer, got {exponent.aval}",
            mend="use x1 * fnp.exp2(x2)",
        )
    dtype = lattice_type(x1)[0]
    # in three steps, since 2**x2 may overflow or vanish where the product does not
    greatest = ml_dtypes.finfo(dtype).maxexp - 2
    limit = 3 * greatest
    if exponent.dtype.itemsize < 4:
        exponent = lax.convert_element_type(exponent, np.int32)
    low = 0 if exponent.dtype.kind == "u" else -limit
    exponent = lax.convert_element_type(lax.clamp(low, exponent, limit), np.int32)
    third = lax.div(exponent, 3)
    for step in (third, third, lax.sub(exponent, lax.mul(third, 2))):
        x1 = lax.mul(x1, _power_of_two(step, dtype))
    return x1


def _power_of_two(exponent: Any, dtype: DType) -> Array:
    """`2**exponent` for exponents of normal numbers: the exponent field alone makes it."""
    info = ml_dtypes.finfo(dtype)
    field = lax.convert_element_type(lax.add(exponent, info.maxexp - 1), _unsigned(dtype))
    return lax.bitcast_convert_type(lax.shift_left(field, info.nmant), dtype)


def modf(x: Any, /, out: None = None) -> tuple[Array, Array]:
    """The fraction and the whole part, elementwise, both with the sign of `x`.

    The fraction has derivative 1, the whole part 0.
    """
    refuse_out("modf", out)
    (x,) = _real("modf", x)
    whole = trunc(x)
    return lax.select(isinf(x), 0, lax.sub(x, whole)), whole
