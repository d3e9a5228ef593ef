"""Conversions between dtypes, and the operations that leave the number as it is.

The machine's `convert` is asked only for what every processor does in vectors, or needs no call of
a library for: float16 and bfloat16 are converted from and to float32 only.
"""

from typing import Any

import ml_dtypes
import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.registry import NARROW_FLOATS, expansion
from funcflow.core import dtypes

Dtype = np.dtype[Any]
F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)


# --- convert_element_type ---------------------------------------------------------------------


@expansion("convert_element_type")
def convert_element_type(build: Builder, x: Value, *, new_dtype: Any, weak_type: bool) -> Value:
    """The number in another dtype, as `converted` says."""
    return converted(build, x, np.dtype(new_dtype))


def converted(build: Builder, x: Value, dtype: Dtype) -> Value:
    """The number in another dtype.

    Integers wrap. Floats lose their fraction on the way to integers; those out of range become the
    nearest integer in range, and NaN becomes 0. Whatever is not 0 becomes True.
    """
    if x.dtype == dtype:
        return x
    if dtype == np.bool_:
        return build.let("ne", x, build.const(0, x.dtype))
    if x.dtype in NARROW_FLOATS:
        x = build.let("convert", x, dtype=F32)
    if dtypes.is_float(x.dtype) and dtypes.is_integer(dtype):
        return _float_to_integer(build, x, dtype)
    if dtype in NARROW_FLOATS:
        x = _as_float32(build, x, dtype)
    return x if x.dtype == dtype else build.let("convert", x, dtype=dtype)


def _as_float32(build: Builder, x: Value, goal: Dtype) -> Value:
    """The float32 that is then rounded to a narrower float.

    Two roundings differ from one where the first yields a tie of the second. NumPy's float16 is
    rounded once, so doubles are first rounded to odd; bfloat16 is rounded twice.
    """
    if x.dtype == F64 and goal == np.float16:
        return _rounded_to_odd(build, x)
    return x if x.dtype == F32 else build.let("convert", x, dtype=F32)


def _rounded_to_odd(build: Builder, x: Value) -> Value:
    """A double cut off to float32, its last bit set if anything is lost.

    See S. Boldo and G. Melquiond, "When double rounding is odd" (2005): rounding the result to
    at least two bits fewer is the rounding of `x`.
    """
    nearest = build.let("convert", x, dtype=F32)
    bits = build.let("bitcast", nearest, dtype=np.uint32)
    back = build.let("convert", nearest, dtype=F64)
    one, zero = build.const(1, np.uint32), build.const(0, np.uint32)
    too_large = build.let("gt", build.let("abs", back), build.let("abs", x))
    cut = build.let("sub", bits, build.let("select", too_large, one, zero))
    sticky = build.let("select", build.let("ne", back, x), one, zero)
    return build.let("bitcast", build.let("or", cut, sticky), dtype=F32)


def _float_to_integer(build: Builder, x: Value, dtype: Dtype) -> Value:
    limits = np.iinfo(dtype)
    # the largest integer may round up to the first number that is out of range, hence "ge"
    low, high = build.const(limits.min, x.dtype), build.const(limits.max, x.dtype)
    too_low, too_high = build.let("lt", x, low), build.let("ge", x, high)
    inside = build.let("and", build.let("ge", x, low), build.let("lt", x, high))
    safe = build.let("select", inside, x, build.const(0, x.dtype))
    whole = build.let("convert", safe, dtype=dtype)
    whole = build.let("select", too_high, build.const(limits.max, dtype), whole)
    return build.let("select", too_low, build.const(limits.min, dtype), whole)


# --- bitcast_convert_type ---------------------------------------------------------------------


@expansion("bitcast_convert_type")
def bitcast_convert_type(build: Builder, x: Value, *, new_dtype: Any) -> Value:
    """The bits as a number of another dtype of the same width."""
    dtype = np.dtype(new_dtype)
    if dtype.itemsize != x.dtype.itemsize:
        raise NotImplementedError(
            f"bitcast_convert_type from {x.dtype} to {dtype} does not keep elements apart"
        )
    return x if x.dtype == dtype else build.let("bitcast", x, dtype=dtype)


# --- reduce_precision -------------------------------------------------------------------------


@expansion("reduce_precision")
def reduce_precision(build: Builder, x: Value, *, exponent_bits: int, mantissa_bits: int) -> Value:
    """`x` rounded to what a narrower format holds.

    Above the format's largest number it is infinite, below the smallest normal one 0.
    """
    magnitude = _magnitude(build, x)
    significand = ml_dtypes.finfo(x.dtype).nmant
    if mantissa_bits < significand:
        magnitude = _rounded_bits(build, magnitude, significand - mantissa_bits)
    if exponent_bits < 8 * x.dtype.itemsize - 1 - significand:
        magnitude = _limited(build, magnitude, x.dtype, exponent_bits)
    number = build.let("copysign", build.let("bitcast", magnitude, dtype=x.dtype), x)
    return build.let("select", build.let("ne", x, x), x, number)


def _magnitude(build: Builder, x: Value) -> Value:
    """The bits of |x|."""
    unsigned = np.dtype(f"u{x.dtype.itemsize}")
    return build.let("bitcast", build.let("abs", x), dtype=unsigned)


def _rounded_bits(build: Builder, bits: Value, drop: int) -> Value:
    """The lowest `drop` bits rounded off, ties to even.

    Half of the last kept place is added, less one if that place is even.
    """
    dtype = bits.dtype
    last = build.let("shift_right_logical", bits, build.const(drop, dtype))
    odd = build.let("and", last, build.const(1, dtype))
    half = build.let("add", odd, build.const((1 << (drop - 1)) - 1, dtype))
    kept = ~((1 << drop) - 1) % (1 << 8 * dtype.itemsize)
    return build.let("and", build.let("add", bits, half), build.const(kept, dtype))


def _limited(build: Builder, magnitude: Value, dtype: Dtype, exponent_bits: int) -> Value:
    """Infinity beyond the largest exponent, zero below the smallest."""
    significand = ml_dtypes.finfo(dtype).nmant
    exponent = 8 * dtype.itemsize - 1 - significand
    bias, new_bias = (1 << (exponent - 1)) - 1, (1 << (exponent_bits - 1)) - 1

    def pattern(biased: int) -> Value:
        return build.const(biased << significand, magnitude.dtype)

    too_large = build.let("ge", magnitude, pattern(bias + new_bias + 1))
    magnitude = build.let("select", too_large, pattern((1 << exponent) - 1), magnitude)
    too_small = build.let("lt", magnitude, pattern(bias - new_bias + 1))
    return build.let("select", too_small, pattern(0), magnitude)


# --- stop_gradient, copy ----------------------------------------------------------------------


@expansion("stop_gradient")
@expansion("copy")
def identity(build: Builder, x: Value) -> Value:
    """The number itself."""
    return x
