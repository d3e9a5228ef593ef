"""Arithmetic, integer powers and roots."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array, aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq_p, select_n_p
from funcflow.lax.complex import conj_p, real_p
from funcflow.lax.forms import (
    ANY,
    FLOATS,
    INEXACT,
    INTEGERS,
    NUMBERS,
    check_dtype,
    elementwise,
    elementwise_batch,
    same_dtype,
    unary,
)
from funcflow.lax.forms import add as add  # defined there because the forms need it
from funcflow.lax.forms import add_p as add_p
from funcflow.lax.rounding import round
from funcflow.lax.shape import unbroadcast


def constant(value: float, like: Any) -> Any:
    """A number as a 0-d array of the dtype of `like`."""
    return np.asarray(value, like.dtype)


# --- neg, sub -------------------------------------------------------------------------------


def _neg_transpose(ctx: Any, ct: Any, x: Any) -> Any:
    return [neg_p.bind(ct)]


neg_p = unary(
    "neg",
    lambda xp, x: xp.negative(x),
    takes=NUMBERS,
    derivative=lambda t, out, x: neg_p.bind(t),
    transpose=_neg_transpose,
)


def neg(x: Any) -> Array:
    """`-x`, elementwise; unsigned integers wrap around."""
    return neg_p.bind(x)


def _sub_transpose(ctx: Any, ct: Any, x: Any, y: Any) -> Any:
    out: list[Any] = [unbroadcast(ct, x.aval) if is_undefined(x) else None, None]
    if is_undefined(y):
        out[1] = unbroadcast(neg_p.bind(ct), y.aval)
    return out


sub_p = elementwise(
    "sub",
    lambda xp, x, y: xp.subtract(x, y),
    takes=NUMBERS,
    partials=[lambda t, out, x, y: t, lambda t, out, x, y: neg_p.bind(t)],
    transpose=_sub_transpose,
)


def sub(x: Any, y: Any) -> Array:
    """The difference `x - y`, elementwise.

    The arguments have one dtype and shapes that broadcast.
    """
    return sub_p.bind(*same_dtype(x, y))


# --- mul and div ------------------------------------------------------------------------------


def _product_transpose(ctx: Any, ct: Any, x: Any, y: Any) -> Any:
    if is_undefined(x):
        return [unbroadcast(mul_p.bind(ct, y), x.aval), None]
    return [None, unbroadcast(mul_p.bind(ct, x), y.aval)]


def _quotient_transpose(ctx: Any, ct: Any, x: Any, y: Any) -> Any:
    return [unbroadcast(div_p.bind(ct, y), x.aval), None]


_product_partials = [
    lambda t, out, x, y: mul_p.bind(t, y),
    lambda t, out, x, y: mul_p.bind(t, x),
]
_quotient_partials = [
    lambda t, out, x, y: div_p.bind(t, y),
    lambda t, out, x, y: neg_p.bind(div_p.bind(mul_p.bind(t, out), y)),
]

mul_p = elementwise(
    "mul",
    lambda xp, x, y: xp.multiply(x, y),
    takes=ANY,
    partials=_product_partials,
    transpose=_product_transpose,
)


def mul(x: Any, y: Any) -> Array:
    """The product `x * y`, elementwise.

    The arguments have one dtype and shapes that broadcast; for booleans it is "and".
    """
    return mul_p.bind(*same_dtype(x, y))


def _mulhi(xp: Any, x: Any, y: Any) -> Any:
    bits = 8 * x.dtype.itemsize
    if bits < 64:
        wide = x.dtype.kind + "8"
        return ((x.astype(wide) * y.astype(wide)) >> bits).astype(x.dtype)
    # 64 bits: schoolbook multiplication of 32-bit halves, "Hacker's Delight", section 8-2.
    # With signed numbers the high halves and the carries are signed, and shifts keep the sign.
    low = x.dtype.type(0xFFFFFFFF)
    x0, x1, y0, y1 = x & low, x >> 32, y & low, y >> 32
    carry = (((x0.view("u8") * y0.view("u8")) >> 32).view(x.dtype)) + x1 * y0
    middle = (carry & low) + x0 * y1
    return x1 * y1 + (carry >> 32) + (middle >> 32)


mulhi_p = elementwise("mulhi", _mulhi, takes=INTEGERS)


def mulhi(x: Any, y: Any, /) -> Array:
    """The upper half of the double-width product of integers `x` and `y`, elementwise.

    Example:
        >>> ff.lax.mulhi(fnp.int32(2**30), 8)
        Array(2, dtype=int32)
    """
    return mulhi_p.bind(*same_dtype(x, y))


def _divide(xp: Any, x: Any, y: Any) -> Any:
    if x.dtype.kind not in "iu":
        return xp.true_divide(x, y)
    rest = _remainder(xp, x, y)
    nonzero = xp.where(y == 0, x.dtype.type(1), y)
    quotient = xp.floor_divide(x - rest, nonzero)
    return xp.where(y == 0, ~x.dtype.type(0), quotient)


div_p = elementwise(
    "div", _divide, takes=NUMBERS, partials=_quotient_partials, transpose=_quotient_transpose
)


def div(x: Any, y: Any) -> Array:
    """The quotient `x / y`, elementwise, in the arguments' dtype.

    Integer quotients are rounded towards zero; division by zero gives -1 (all bits one).

    Example:
        >>> ff.lax.div(fnp.array([7, -7]), 2)
        Array([ 3, -3], dtype=int32)
    """
    return div_p.bind(*same_dtype(x, y))


def _remainder(xp: Any, x: Any, y: Any) -> Any:
    if x.dtype.kind not in "iu":
        return xp.fmod(x, y)
    nonzero = xp.where(y == 0, x.dtype.type(1), y)
    return xp.where(y == 0, x, xp.fmod(x, nonzero))


def _rem_partial_y(t: Any, out: Any, x: Any, y: Any) -> Any:
    # rem(x, y) = x - y trunc(x / y), and x - rem(x, y) is a multiple of y up to rounding
    quotient = round(div_p.bind(sub_p.bind(x, out), y))
    return neg_p.bind(mul_p.bind(t, quotient))


rem_p = elementwise(
    "rem", _remainder, takes="iuf", partials=[lambda t, out, x, y: t, _rem_partial_y]
)


def rem(x: Any, y: Any) -> Array:
    """The remainder of `x / y` rounded towards zero, elementwise: it has the sign of `x`.

    For integers the remainder of division by zero is `x`.

    Example:
        >>> ff.lax.rem(fnp.array([7, -7]), 4)
        Array([ 3, -3], dtype=int32)
    """
    return rem_p.bind(*same_dtype(x, y))


# --- sign, abs ------------------------------------------------------------------------------

sign_p = Primitive("sign")


def sign(x: Any) -> Array:
    """-1, 0 or 1 for real `x`, `x / |x|` (or 0) for complex `x`, elementwise.

    NaN stays NaN. The derivative at 0 is 0.
    """
    return sign_p.bind(x)


def _sign_abstract(x: ShapedArray) -> ShapedArray:
    check_dtype("sign", x, NUMBERS)
    return x


def _sign_jvp(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (x,), (t,) = primals, tangents
    out = sign_p.bind(x)
    if type(t) is Zero or not dtypes.is_complex(out.dtype):
        return out, Zero(out.aval)
    # s = z / |z| turns only by the part of t across z: ds = i s Im(conj(s) t) / |z|
    along = mul_p.bind(conj_p.bind(out), t)
    across = sub_p.bind(along, conj_p.bind(along))  # 2 i Im(...)
    modulus = abs_p.bind(x)
    at_zero = eq_p.bind(modulus, constant(0, modulus))  # the derivative there is taken to be 0
    modulus = select_n_p.bind(at_zero, mul(modulus, 2.0), constant(1, modulus))
    return out, div_p.bind(mul_p.bind(across, out), convert_element_type(modulus, out.dtype))


define(
    sign_p,
    abstract=_sign_abstract,
    impl=lambda xp, x: xp.sign(x),
    jvp=_sign_jvp,
    transpose=NONLINEAR,
    batch=elementwise_batch(sign_p),
)


def _abs_partial(t: Any, out: Any, x: Any) -> Any:
    if dtypes.is_complex(t.dtype):
        return real_p.bind(mul_p.bind(t, conj_p.bind(sign_p.bind(x))))
    return mul_p.bind(t, sign_p.bind(x))


abs_p = unary(
    "abs",
    lambda xp, x: xp.absolute(x),
    takes=NUMBERS,
    derivative=_abs_partial,
    out_dtype=dtypes.real_of,
)


def abs(x: Any) -> Array:
    """The absolute value, elementwise; real also for complex `x`.

    The derivative at 0 is 0.
    """
    return abs_p.bind(x)


# --- max, min -------------------------------------------------------------------------------


def _chosen(t: Any, out: Any, x: Any, y: Any) -> Any:
    """`t` where `x` is the extremum, half of it where `y` is it as well."""
    half = mul_p.bind(t, constant(0.5, t))
    shared = select_n_p.bind(eq_p.bind(y, out), t, half)
    return select_n_p.bind(eq_p.bind(x, out), constant(0, t), shared)


_extremum_partials = [_chosen, lambda t, out, x, y: _chosen(t, out, y, x)]

max_p = elementwise(
    "max", lambda xp, x, y: xp.maximum(x, y), takes=ANY, partials=_extremum_partials
)
min_p = elementwise(
    "min", lambda xp, x, y: xp.minimum(x, y), takes=ANY, partials=_extremum_partials
)


def max(x: Any, y: Any) -> Array:
    """The larger of `x` and `y`, elementwise; NaN if either is NaN.

    Complex numbers are compared by their real, then their imaginary parts. Where both are equal,
    each has half of the derivative.
    """
    return max_p.bind(*same_dtype(x, y))


def min(x: Any, y: Any) -> Array:
    """The smaller of `x` and `y`, elementwise; NaN if either is NaN. See `max`."""
    return min_p.bind(*same_dtype(x, y))


# --- integer_pow, square, reciprocal ----------------------------------------------------------


def _integer_pow_impl(xp: Any, x: Any, *, y: int) -> Any:
    """Multiply the squares x, x^2, x^4, ... that the bits of `y` name."""
    if y < 0:
        return xp.true_divide(x.dtype.type(1), _integer_pow_impl(xp, x, y=-y))
    out = None
    while y:
        if y & 1:
            out = x if out is None else xp.multiply(out, x)
        y >>= 1
        if y:
            x = xp.multiply(x, x)
    return xp.ones_like(x) if out is None else out


def _integer_pow_partial(t: Any, out: Any, x: Any, *, y: int) -> Any:
    if y == 0:
        return mul_p.bind(t, constant(0, t))
    if y == 1:
        return t
    power = x if y == 2 else integer_pow_p.bind(x, y=y - 1)
    return mul_p.bind(t, mul_p.bind(power, constant(y, t)))


integer_pow_p = unary(
    "integer_pow", _integer_pow_impl, takes=NUMBERS, derivative=_integer_pow_partial
)


def integer_pow(x: Any, y: int) -> Array:
    """`x ** y` for a Python integer `y`, elementwise, by repeated multiplication.

    Raises:
        ArgumentError: `x` is an integer array and `y` negative.
    """
    try:
        y = operator.index(y)
    except TypeError:
        raise ArgumentError(
            f"integer_pow: y must be an integer, got {y!r}", mend="use lax.pow"
        ) from None
    if y < 0 and not dtypes.is_inexact(aval_of(x).dtype):
        raise ArgumentError(
            f"integer_pow: the integers {aval_of(x)} cannot be raised to the power {y}",
            mend="convert them to a floating dtype first",
        )
    return integer_pow_p.bind(x, y=y)


def reciprocal(x: Any) -> Array:
    """`1 / x`, elementwise, of floating or complex `x`."""
    return integer_pow(x, -1)


square_p = unary(
    "square",
    lambda xp, x: xp.square(x),
    takes=NUMBERS,
    derivative=lambda t, out, x: mul_p.bind(t, mul_p.bind(x, constant(2, t))),
)


def square(x: Any) -> Array:
    """`x * x`, elementwise."""
    return square_p.bind(x)


# --- roots ----------------------------------------------------------------------------------

sqrt_p = unary(
    "sqrt",
    lambda xp, x: xp.sqrt(x),
    takes=INEXACT,
    derivative=lambda t, out, x: div_p.bind(mul_p.bind(t, constant(0.5, t)), out),
)
rsqrt_p = unary(
    "rsqrt",
    lambda xp, x: xp.true_divide(x.dtype.type(1), xp.sqrt(x)),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, mul_p.bind(div_p.bind(out, x), constant(-0.5, t))),
)
cbrt_p = unary(
    "cbrt",
    lambda xp, x: xp.cbrt(x),
    takes=FLOATS,
    derivative=lambda t, out, x: div_p.bind(mul_p.bind(t, constant(1 / 3, t)), square_p.bind(out)),
)


def sqrt(x: Any) -> Array:
    """The square root, elementwise: NaN for negative real `x`, the principal root for complex."""
    return sqrt_p.bind(x)


def rsqrt(x: Any) -> Array:
    """`1 / sqrt(x)`, elementwise, of floating or complex `x`."""
    return rsqrt_p.bind(x)


def cbrt(x: Any) -> Array:
    """The real cube root, elementwise, of floating `x`."""
    return cbrt_p.bind(x)
