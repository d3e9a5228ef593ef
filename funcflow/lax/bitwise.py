"""Operations on the bits of integers, which for booleans are the logical ones."""

from typing import Any

import numpy as np

from funcflow.core.array import Array
from funcflow.lax.forms import BITS, INTEGERS, elementwise, same_dtype, unary

# --- and, or, xor, not ----------------------------------------------------------------------

and_p = elementwise("and", lambda xp, x, y: xp.bitwise_and(x, y), takes=BITS)
or_p = elementwise("or", lambda xp, x, y: xp.bitwise_or(x, y), takes=BITS)
xor_p = elementwise("xor", lambda xp, x, y: xp.bitwise_xor(x, y), takes=BITS)
not_p = unary("not", lambda xp, x: xp.invert(x), takes=BITS)


def bitwise_and(x: Any, y: Any) -> Array:
    """`x & y`, elementwise, of integers or booleans of one dtype."""
    return and_p.bind(*same_dtype(x, y))


def bitwise_or(x: Any, y: Any) -> Array:
    """`x | y`, elementwise, of integers or booleans of one dtype."""
    return or_p.bind(*same_dtype(x, y))


def bitwise_xor(x: Any, y: Any) -> Array:
    """`x ^ y`, elementwise, of integers or booleans of one dtype."""
    return xor_p.bind(*same_dtype(x, y))


def bitwise_not(x: Any) -> Array:
    """`~x`, elementwise; for booleans the negation."""
    return not_p.bind(x)


# --- shifts ---------------------------------------------------------------------------------

# Shifts by the width of the dtype or more, and by negative counts (whose unsigned value is as
# large), push all bits out. NumPy's shifts do so by themselves; C and CuPy leave them undefined.


def _overlong(xp: Any, x: Any, y: Any) -> Any:
    return (y < 0) | (y >= 8 * x.dtype.itemsize)


def _shift_left(xp: Any, x: Any, y: Any) -> Any:
    out = xp.left_shift(x, y)
    return out if xp is np else xp.where(_overlong(xp, x, y), x.dtype.type(0), out)


def _shift_right(xp: Any, x: Any, y: Any) -> Any:
    signed, y = _as_signed(x), _as_signed(y)
    if xp is not np:
        y = xp.where(_overlong(xp, x, y), y.dtype.type(8 * x.dtype.itemsize - 1), y)
    return xp.right_shift(signed, y).view(x.dtype)


def _as_signed(x: Any) -> Any:
    return x.view(f"int{8 * x.dtype.itemsize}")


def _as_unsigned(x: Any) -> Any:
    return x.view(f"uint{8 * x.dtype.itemsize}")


def _shift_right_logical(xp: Any, x: Any, y: Any) -> Any:
    out = xp.right_shift(_as_unsigned(x), _as_unsigned(y))
    if xp is not np:
        out = xp.where(_overlong(xp, x, y), out.dtype.type(0), out)
    return out.view(x.dtype)


shift_left_p = elementwise("shift_left", _shift_left, takes=INTEGERS)
shift_right_arithmetic_p = elementwise("shift_right_arithmetic", _shift_right, takes=INTEGERS)
shift_right_logical_p = elementwise("shift_right_logical", _shift_right_logical, takes=INTEGERS)


def shift_left(x: Any, y: Any) -> Array:
    """`x << y`, elementwise: zeros move in. `y` outside `[0, bits)` gives 0."""
    return shift_left_p.bind(*same_dtype(x, y))


def shift_right_arithmetic(x: Any, y: Any) -> Array:
    """`x >> y`, elementwise: copies of the highest bit move in, also for unsigned integers.

    Where `y` lies outside `[0, bits)`, all bits of the result are that bit.
    """
    return shift_right_arithmetic_p.bind(*same_dtype(x, y))


def shift_right_logical(x: Any, y: Any) -> Array:
    """`x >> y` on the bit pattern, elementwise: zeros move in, also for signed integers.

    `y` outside `[0, bits)` gives 0.

    Example:
        >>> ff.lax.shift_right_logical(fnp.array([-1], fnp.int8), 4)
        Array([15], dtype=int8)
    """
    return shift_right_logical_p.bind(*same_dtype(x, y))


# --- counting bits --------------------------------------------------------------------------


def _pattern(byte: int, dtype: np.dtype[Any]) -> Any:
    """The number all of whose bytes are `byte`."""
    return dtype.type(int.from_bytes(bytes([byte]) * dtype.itemsize, "little"))


def _count_ones(x: Any) -> Any:
    """The number of one bits, by sums of neighbouring bits, pairs and nibbles.

    See "Hacker's Delight", section 5-1. `x` is unsigned.
    """
    dtype = x.dtype
    x = x - ((x >> 1) & _pattern(0x55, dtype))
    x = (x & _pattern(0x33, dtype)) + ((x >> 2) & _pattern(0x33, dtype))
    x = (x + (x >> 4)) & _pattern(0x0F, dtype)
    shift = 8
    while shift < 8 * dtype.itemsize:
        x = x + (x >> shift)
        shift *= 2
    return x & dtype.type(0x7F)


def _population_count(xp: Any, x: Any) -> Any:
    return _count_ones(_as_unsigned(x)).astype(x.dtype)


def _clz(xp: Any, x: Any) -> Any:
    # copy the highest one bit into all lower places; the places left over are the leading zeros
    smeared = _as_unsigned(x)
    shift = 1
    while shift < 8 * x.dtype.itemsize:
        smeared = smeared | (smeared >> shift)
        shift *= 2
    return _count_ones(~smeared).astype(x.dtype)


population_count_p = unary("population_count", _population_count, takes=INTEGERS)
clz_p = unary("clz", _clz, takes=INTEGERS)


def population_count(x: Any) -> Array:
    """The number of one bits of each integer, in the integer's dtype.

    Example:
        >>> ff.lax.population_count(fnp.array([0, 7, -1]))
        Array([ 0,  3, 32], dtype=int32)
    """
    return population_count_p.bind(x)


def clz(x: Any) -> Array:
    """The number of leading zero bits of each integer, in the integer's dtype.

    Example:
        >>> ff.lax.clz(fnp.array([0, 1, -1]))
        Array([32, 31,  0], dtype=int32)
    """
    return clz_p.bind(x)
