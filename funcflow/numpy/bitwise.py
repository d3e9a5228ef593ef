"""Elementwise operations on bits."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import fast_binary, fast_unary
from funcflow.core.errors import DtypeError
from funcflow.numpy.promotion import lattice_type, promote, promote_numeric


@fast_binary(np.bitwise_and, "iub")
def bitwise_and(x: Any, y: Any, /) -> Array:
    """`x & y`, elementwise, of integers or booleans."""
    return lax.bitwise_and(*promote("bitwise_and", x, y))


@fast_binary(np.bitwise_or, "iub")
def bitwise_or(x: Any, y: Any, /) -> Array:
    """`x | y`, elementwise, of integers or booleans."""
    return lax.bitwise_or(*promote("bitwise_or", x, y))


@fast_binary(np.bitwise_xor, "iub")
def bitwise_xor(x: Any, y: Any, /) -> Array:
    """`x ^ y`, elementwise, of integers or booleans."""
    return lax.bitwise_xor(*promote("bitwise_xor", x, y))


@fast_unary(np.invert, "iub")
def invert(x: Any, /) -> Array:
    """`~x`, elementwise, of integers or booleans: all bits flipped."""
    return lax.bitwise_not(*promote("invert", x))


bitwise_not = bitwise_invert = invert


@fast_binary(np.left_shift, "iu")
def left_shift(x: Any, y: Any, /) -> Array:
    """`x << y`, elementwise; 0 where `y` is not below the number of bits."""
    return lax.shift_left(*promote_numeric("left_shift", x, y))


@fast_binary(np.right_shift, "iu")
def right_shift(x1: Any, x2: Any, /) -> Array:
    """`x1 >> x2`, elementwise; signed integers keep their sign."""
    x1, x2 = promote_numeric("right_shift", x1, x2)
    if dtypes.kind(lattice_type(x1)[0]) == "u":
        return lax.shift_right_logical(x1, x2)
    return lax.shift_right_arithmetic(x1, x2)


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@fast_unary(np.bitwise_count, "iu")
def bitwise_count(x: Any, /) -> Array:
    """The number of one bits of the absolute value, elementwise, as uint8."""
    (x,) = promote_numeric("bitwise_count", x)
    if not dtypes.is_integer(lattice_type(x)[0]):
        raise DtypeError("bitwise_count: takes integers", mend="convert with .astype(int)")
    return lax.convert_element_type(lax.population_count(lax.abs(x)), np.uint8)
