"""Arithmetic of integers: quotients, remainders, signs and the upper halves of products."""

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.registry import expansion

# --- quotients and remainders -----------------------------------------------------------------

# Processors divide vectors of floats, but not of integers. The rounded quotient of floats with p
# digits, cut off, is that of the integers if x + y < 2**p: the next integer is at least
# 1 / y >= x / y * 2**-p away.
_EXACT_FLOAT = {1: np.float32, 2: np.float32, 4: np.float64}


@expansion("div", "i", "u")
def div(build: Builder, x: Value, y: Value) -> Value:
    """`x / y` towards zero; -1 (all bits one) where `y` is 0, and the wrapped `-x` where -1."""
    quotient = _quotient(build, x, _safe_divisor(build, y))
    if y.dtype.kind == "i":
        minus_one = build.let("eq", y, build.const(-1, y.dtype))
        quotient = build.let("select", minus_one, build.let("neg", x), quotient)
    all_ones = build.const(-1, x.dtype)
    return build.let("select", _is_zero(build, y), all_ones, quotient)


@expansion("rem", "i", "u")
def rem(build: Builder, x: Value, y: Value) -> Value:
    """What the quotient towards zero leaves of `x`; `x` itself where `y` is 0."""
    divisor = _safe_divisor(build, y)
    if x.dtype.itemsize in _EXACT_FLOAT:
        product = build.let("mul", _quotient(build, x, divisor), divisor)
        rest = build.let("sub", x, product)
    else:
        rest = build.let("rem", x, divisor)
    return build.let("select", _is_zero(build, y), x, rest)


def _is_zero(build: Builder, x: Value) -> Value:
    return build.let("eq", x, build.const(0, x.dtype))


def _safe_divisor(build: Builder, y: Value) -> Value:
    """`y`, or 1 where the quotient may overflow: at 0 and -1."""
    unsafe = _is_zero(build, y)
    if y.dtype.kind == "i":
        minus_one = build.let("eq", y, build.const(-1, y.dtype))
        unsafe = build.let("or", unsafe, minus_one)
    return build.let("select", unsafe, build.const(1, y.dtype), y)


def _quotient(build: Builder, x: Value, y: Value) -> Value:
    """`x / y` towards zero, where `y` is neither 0 nor -1."""
    exact = _EXACT_FLOAT.get(x.dtype.itemsize)
    if exact is None:
        return build.let("div", x, y)
    wide = [build.let("convert", value, dtype=exact) for value in (x, y)]
    return build.let("convert", build.let("div", *wide), dtype=x.dtype)


# --- signs ------------------------------------------------------------------------------------


@expansion("sign", "i")
def sign(build: Builder, x: Value) -> Value:
    """-1, 0 or 1."""
    last = build.const(8 * x.dtype.itemsize - 1, x.dtype)
    positive = build.let("gt", x, build.const(0, x.dtype))
    # the sign's copies in all bits are -1 or 0
    copies = build.let("shift_right_arithmetic", x, last)
    return build.let("select", positive, build.const(1, x.dtype), copies)


@expansion("sign", "u")
def unsigned_sign(build: Builder, x: Value) -> Value:
    """0 or 1."""
    return build.let("min", x, build.const(1, x.dtype))


@expansion("abs", "u")
def unsigned_abs(build: Builder, x: Value) -> Value:
    """The number itself: it has no sign."""
    return x


# --- mulhi ------------------------------------------------------------------------------------


@expansion("mulhi", "i", "u")
def mulhi(build: Builder, x: Value, y: Value) -> Value:
    """The upper half of the product of double width."""
    bits = 8 * x.dtype.itemsize
    if bits == 64:
        return _mulhi_64(build, x, y)
    wide = np.dtype(f"{x.dtype.kind}{2 * x.dtype.itemsize}")
    product = build.let("mul", *[build.let("convert", v, dtype=wide) for v in (x, y)])
    upper = _shift_right(build, product, bits)
    return build.let("convert", upper, dtype=x.dtype)


def _mulhi_64(build: Builder, x: Value, y: Value) -> Value:
    """Schoolbook multiplication of 32-bit halves, "Hacker's Delight", section 8-2.

    With signed numbers the high halves and the carries are signed, and shifts keep the sign.
    """
    low = build.const(0xFFFFFFFF, x.dtype)
    x0, y0 = build.let("and", x, low), build.let("and", y, low)
    x1, y1 = _shift_right(build, x, 32), _shift_right(build, y, 32)
    # a product of low halves is unsigned
    carry = build.let("shift_right_logical", build.let("mul", x0, y0), build.const(32, x.dtype))
    carry = build.let("add", carry, build.let("mul", x1, y0))
    middle = build.let("add", build.let("and", carry, low), build.let("mul", x0, y1))
    upper = build.let("add", build.let("mul", x1, y1), _shift_right(build, carry, 32))
    return build.let("add", upper, _shift_right(build, middle, 32))


def _shift_right(build: Builder, x: Value, count: int) -> Value:
    """`x >> count`, which keeps the sign of signed numbers."""
    kind = "arithmetic" if x.dtype.kind == "i" else "logical"
    return build.let(f"shift_right_{kind}", x, build.const(count, x.dtype))
