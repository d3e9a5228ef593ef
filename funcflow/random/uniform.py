"""The samples that all others are made of: bits, floats in an interval, integers in a range."""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, aval_of, wrap
from funcflow.core.aval import Shape
from funcflow.core.errors import DtypeError
from funcflow.lax.creation import canonical_shape
from funcflow.lax.fused import fma
from funcflow.lax.prng import significand_bits, unit_floats
from funcflow.random.arguments import float_dtype, integer_dtype, parameter, sample_shape
from funcflow.random.keys import Words, is_eager, key_words, random_words, split_words


def bits(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Uniformly distributed bits, as unsigned integers.

    Args:
        key: a key.
        shape: the result's shape.
        dtype: an unsigned dtype; by default the one as wide as the default integers.

    Raises:
        DtypeError: the dtype is not unsigned.
        ShapeError: the shape is none, or `key` is not a single key.

    Example:
        >>> ff.random.bits(ff.random.key(0), (2,), "uint8")
        Array([167, 146], dtype=uint8)
    """
    words = key_words("bits", key)
    width = dtypes.default_int().itemsize
    found = np.dtype(f"uint{8 * width}") if dtype is None else dtypes.as_dtype(dtype)
    if found.kind != "u":
        raise DtypeError(
            f"bits: dtype must be unsigned, got {found.name}", mend="pass e.g. dtype='uint32'"
        )
    return random_bits(words, canonical_shape(shape, "bits"), found)


def random_bits(words: Words, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """`bits`, for the use of samplers."""
    high, low = random_words(words, shape)
    if dtype.itemsize == 8:
        high, low = (lax.convert_element_type(word, dtype) for word in (high, low))
        return lax.bitwise_or(lax.shift_left(high, 32), low)
    word = lax.bitwise_xor(high, low)
    return word if dtype.itemsize == 4 else lax.convert_element_type(word, dtype)


# --- uniform --------------------------------------------------------------------------------


def uniform(
    key: Any,
    shape: int | Sequence[int] = (),
    dtype: Any = None,
    minval: Any = 0.0,
    maxval: Any = 1.0,
) -> Array:
    """Floats distributed uniformly in `[minval, maxval)`.

    Args:
        key: a key.
        shape: the result's shape.
        dtype: a floating dtype; the default one if None.
        minval: the lower bound, a number or an array that broadcasts to `shape`.
        maxval: the upper bound.

    Returns:
        An array of the given shape and dtype, differentiable with respect to the bounds. Values
        are multiples of `2**-nmant` times the interval's length (`nmant`: the bits of the dtype's
        significand), rounded; with bounds of one's own rounding may reach `maxval`.

    Raises:
        DtypeError: the dtype is not floating.
        ShapeError: the bounds do not broadcast to `shape`, or `key` is not a single key.

    Example:
        >>> ff.random.uniform(ff.random.key(0), (3,))
        Array([0.947667  , 0.9785799 , 0.33229148], dtype=float32)
    """
    words = key_words("uniform", key)
    dtype = float_dtype("uniform", dtype)
    shape = sample_shape("uniform", shape, np.shape(minval), np.shape(maxval))
    return uniform_in(words, shape, dtype, minval, maxval)


def uniform_in(words: Words, shape: Shape, dtype: np.dtype[Any], minval: Any, maxval: Any) -> Any:
    """`uniform`, for the use of samplers."""
    floats = unit_uniform(words, shape, dtype)
    if _is_number(minval, 0) and _is_number(maxval, 1):
        return floats
    low, high = parameter(minval, dtype), parameter(maxval, dtype)
    if isinstance(low, np.ndarray) and isinstance(high, np.ndarray):
        span = np.asarray(high - low)
    else:
        span = lax.sub(high, low)
    # rounding may reach down to below minval
    return lax.max(low, fma(floats, span, low))


def unit_uniform(words: Words, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """Floats in [0, 1): random bits of the significand under the exponent of 1, minus 1."""
    if is_eager(*words):
        high, low = random_words(words, shape)
        return wrap(unit_floats(np, high._value, low._value, dtype))
    unsigned, drawn = _unsigned(dtype), significand_bits(dtype)
    raw = lax.convert_element_type(random_bits(words, shape, drawn), unsigned)
    unused = 8 * drawn.itemsize - ml_dtypes.finfo(dtype).nmant
    one = np.ones((), dtype)
    bits = lax.bitwise_or(lax.shift_right_logical(raw, unused), one.view(unsigned))
    return lax.sub(lax.bitcast_convert_type(bits, dtype), one)


def _is_number(x: Any, value: int) -> bool:
    return type(x) in SCALARS and x == value


# --- randint --------------------------------------------------------------------------------


def randint(
    key: Any, shape: int | Sequence[int], minval: Any, maxval: Any, dtype: Any = None
) -> Array:
    """Integers distributed uniformly in `[minval, maxval)`.

    Args:
        key: a key.
        shape: the result's shape.
        minval: the first integer, a number or an array that broadcasts to `shape`.
        maxval: one more than the last. Bounds outside of the dtype's range are clipped to it
            (`maxval` to one beyond).
        dtype: an integer dtype; the default one if None.

    Returns:
        An array of the given shape and dtype; `minval` where `maxval <= minval`. Twice as many
        bits as the dtype has are reduced modulo `maxval - minval`, so that some values are more
        frequent than others by at most a factor of about `1 + 2**-32`.

    Raises:
        DtypeError: the dtype is not an integer dtype.
        ShapeError: the bounds do not broadcast to `shape`, or `key` is not a single key.

    Example:
        >>> ff.random.randint(ff.random.key(0), (5,), 0, 10)
        Array([9, 0, 2, 3, 1], dtype=int32)
    """
    words = key_words("randint", key)
    dtype = integer_dtype("randint", dtype)
    shape = sample_shape("randint", shape, np.shape(minval), np.shape(maxval))
    # narrow integers are drawn as int32, which reduces the bias
    wide = dtype if dtype.itemsize >= 4 else np.dtype(np.int32)
    static = all(isinstance(bound, int | np.integer) for bound in (minval, maxval))
    find_range = _static_range if static else _traced_range
    low, span, multiplier = find_range(minval, maxval, dtype, wide)
    high_key, low_key = split_words(words)
    high_bits, low_bits = (random_bits(k, shape, span.dtype) for k in (high_key, low_key))
    if static and is_eager(high_bits, low_bits) and span:
        high_half, low_half = high_bits._value % span, low_bits._value % span
        offset = (high_half * multiplier + low_half) % span
        with np.errstate(over="ignore"):  # the sum wraps around where the range exceeds a half
            return wrap((low + offset.astype(wide)).astype(dtype))
    offset = lax.add(lax.mul(lax.rem(high_bits, span), multiplier), lax.rem(low_bits, span))
    offset = lax.convert_element_type(lax.rem(offset, span), wide)
    return lax.convert_element_type(lax.add(low, offset), dtype)


# A range is the first integer, how many there are, and a multiplier for the upper half of the
# bits: 2**bits modulo the number of integers (0 where that exceeds 2**(bits / 2), as the square
# that it is computed with wraps around). That number may be 2**bits, which wraps to 0; the
# remainder of a division by 0 is the dividend, as it should be then.


def _static_range(minval: int, maxval: int, dtype: Any, wide: Any) -> tuple[Any, Any, Any]:
    info, unsigned = np.iinfo(dtype), _unsigned(wide)
    low = min(max(int(minval), info.min), info.max)
    high = min(max(int(maxval), info.min), info.max + 1)
    span, modulus = max(high - low, 1), 2 ** (8 * wide.itemsize)
    root = 2 ** (4 * wide.itemsize) % span
    multiplier = root * root % modulus % span
    return (
        np.asarray(low, wide),
        np.asarray(span % modulus, unsigned),
        np.asarray(multiplier, unsigned),
    )


def _traced_range(minval: Any, maxval: Any, dtype: Any, wide: Any) -> tuple[Any, Any, Any]:
    info, unsigned = np.iinfo(dtype), _unsigned(wide)
    # one beyond the last value fits only into a wider dtype; else it is counted separately
    last = info.max if dtype == wide else info.max + 1
    low = lax.convert_element_type(_clipped("minval", minval, info.min, info.max), wide)
    clipped = _clipped("maxval", maxval, info.min, last)
    high = lax.convert_element_type(clipped, wide)
    some = lax.gt(high, low)
    span = lax.convert_element_type(lax.sub(high, low), unsigned)
    if dtype == wide:
        beyond = lax.bitwise_and(lax.gt(maxval, clipped), some)
        span = lax.add(span, lax.convert_element_type(beyond, unsigned))
    span = lax.select(some, span, lax.full_like(span, 1))
    root = lax.rem(lax.full_like(span, 2 ** (4 * wide.itemsize)), span)
    return low, span, lax.rem(lax.mul(root, root), span)


def _clipped(name: str, bound: Any, first: int, last: int) -> Any:
    """Integers, clipped to a range as far as their dtype exceeds it."""
    aval = aval_of(bound)
    if not dtypes.is_integer(aval.dtype):
        raise DtypeError(
            f"randint: {name} must be an integer, got {aval}", mend="convert it with .astype(int)"
        )
    own = np.iinfo(aval.dtype)
    return lax.clamp(max(first, own.min), bound, min(last, own.max))


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"uint{8 * dtype.itemsize}")
