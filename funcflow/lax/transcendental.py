"""Exponentials, logarithms, powers, trigonometric and hyperbolic functions."""

import math
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import (
    constant,
    div_p,
    mul_p,
    neg_p,
    sqrt_p,
    square_p,
    sub_p,
)
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq_p, select_n_p
from funcflow.lax.forms import (
    INEXACT,
    add_p,
    check_dtype,
    check_same_dtypes,
    elementwise,
    elementwise_batch,
    partials_jvp,
    same_dtype,
    unary,
)
from funcflow.lax.shape import broadcast_shapes_of


def _one(like: Any) -> Any:
    return constant(1, like)


# --- exp, log -------------------------------------------------------------------------------


def _exp2(xp: Any, x: Any) -> Any:
    return xp.exp(x * math.log(2)) if x.dtype.kind == "c" else xp.exp2(x)


def _logistic(xp: Any, x: Any) -> Any:
    # exp(-x) may overflow to infinity, whose reciprocal is the right limit, 0; in float16 that is
    # long before the result does not differ from 0
    if x.dtype.itemsize == 2:
        return _logistic(xp, x.astype(np.float32)).astype(x.dtype)
    one = x.dtype.type(1)
    return xp.true_divide(one, xp.exp(xp.negative(x)) + one)


exp_p = unary(
    "exp",
    lambda xp, x: xp.exp(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, out),
)
exp2_p = unary(
    "exp2",
    _exp2,
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, mul_p.bind(out, constant(math.log(2), t))),
)
expm1_p = unary(
    "expm1",
    lambda xp, x: xp.expm1(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, add_p.bind(out, _one(t))),
)
log_p = unary(
    "log",
    lambda xp, x: xp.log(x),
    takes=INEXACT,
    derivative=lambda t, out, x: div_p.bind(t, x),
)
log1p_p = unary(
    "log1p",
    lambda xp, x: xp.log1p(x),
    takes=INEXACT,
    derivative=lambda t, out, x: div_p.bind(t, add_p.bind(x, _one(t))),
)
logistic_p = unary(
    "logistic",
    _logistic,
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, mul_p.bind(out, sub_p.bind(_one(t), out))),
)


def exp(x: Any) -> Array:
    """The exponential `e ** x`, elementwise, of floating or complex `x`."""
    return exp_p.bind(x)


def exp2(x: Any) -> Array:
    """The power `2 ** x`, elementwise, of floating or complex `x`."""
    return exp2_p.bind(x)


def expm1(x: Any) -> Array:
    """`e ** x - 1`, elementwise, precise also near `x = 0`."""
    return expm1_p.bind(x)


def log(x: Any) -> Array:
    """The natural logarithm, elementwise: -inf at 0, NaN for negative real `x`."""
    return log_p.bind(x)


def log1p(x: Any) -> Array:
    """The natural logarithm of `1 + x`, elementwise, precise also near `x = 0`."""
    return log1p_p.bind(x)


def logistic(x: Any) -> Array:
    """The logistic function `1 / (1 + e ** -x)`, elementwise, of floating or complex `x`."""
    return logistic_p.bind(x)


# --- pow ------------------------------------------------------------------------------------

pow_p = Primitive("pow")


def pow(x: Any, y: Any) -> Array:
    """`x ** y`, elementwise, of floating or complex `x`.

    The exponent has the dtype of `x`, or an integer one. The derivative with respect to `x` is 0
    where `y` is 0, and the one with respect to `y` is 0 where `x` is 0.

    Example:
        >>> ff.lax.pow(fnp.array([2.0, 3.0]), 2)
        Array([4., 9.], dtype=float32)
    """
    if type(x) in (float, complex) and dtypes.is_integer(aval_of(y).dtype):
        return pow_p.bind(x, y)
    return pow_p.bind(*same_dtype(x, y))


def _pow_abstract(x: ShapedArray, y: ShapedArray) -> ShapedArray:
    check_dtype("pow", x, INEXACT)
    if not dtypes.is_integer(y.dtype):
        check_same_dtypes("pow", (x, y))
    shape = x.shape if x.shape == y.shape else broadcast_shapes_of("pow", [x.shape, y.shape])
    return ShapedArray(shape, x.dtype, x.weak_type and y.weak_type)


def is_literal(x: Any) -> bool:
    """Whether `x` is a single number that no transform follows."""
    return type(x) in SCALARS or (type(x) is np.ndarray and x.ndim == 0)


def _pow_partial_x(t: Any, out: Any, x: Any, y: Any) -> Any:
    if is_literal(y):
        y = np.asarray(y).item()
        if y == 0:
            return mul_p.bind(t, constant(0, t))
        power = pow_p.bind(x, constant(y - 1, t))
        return mul_p.bind(t, mul_p.bind(power, constant(y, t)))
    # y x^(y-1), which is 0 for y = 0 also where x^(y-1) is infinite
    y = convert_element_type(y, t.dtype)
    is_zero = eq_p.bind(y, constant(0, t))
    lowered = select_n_p.bind(is_zero, sub_p.bind(y, _one(t)), _one(t))
    return mul_p.bind(t, mul_p.bind(y, pow_p.bind(x, lowered)))


def _pow_partial_y(t: Any, out: Any, x: Any, y: Any) -> Any:
    # x^y log(x), which is 0 for x = 0
    nonzero = select_n_p.bind(eq_p.bind(x, constant(0, t)), x, _one(t))
    return mul_p.bind(t, mul_p.bind(log_p.bind(nonzero), out))


define(
    pow_p,
    abstract=_pow_abstract,
    impl=lambda xp, x, y: xp.power(x, y.astype(x.dtype, copy=False)),
    jvp=partials_jvp(pow_p, [_pow_partial_x, _pow_partial_y]),
    transpose=NONLINEAR,
    batch=elementwise_batch(pow_p),
)

# --- trigonometric functions ------------------------------------------------------------------


def _one_minus_square(t: Any, x: Any) -> Any:
    """`1 - x^2` as `(1 - x) (1 + x)`, which loses no digits near 1 and -1."""
    one = _one(t)
    return mul_p.bind(sub_p.bind(one, x), add_p.bind(one, x))


def _one_plus_square(t: Any, x: Any) -> Any:
    return add_p.bind(square_p.bind(x), _one(t))


def _asin_partial(t: Any, out: Any, x: Any) -> Any:
    return div_p.bind(t, sqrt_p.bind(_one_minus_square(t, x)))


def _atan2(xp: Any, x: Any, y: Any) -> Any:
    if x.dtype.kind != "c":
        return xp.arctan2(x, y)
    # the angle of y + i x, continued analytically
    return -1j * xp.log((y + 1j * x) / xp.sqrt(x * x + y * y))


def _over_squared_radius(out: Any, side: Any, x: Any, y: Any) -> Any:
    """`side / (x^2 + y^2)`, which is 0 at the origin."""
    squared = add_p.bind(square_p.bind(x), square_p.bind(y))
    at_origin = eq_p.bind(squared, constant(0, out))
    return div_p.bind(side, select_n_p.bind(at_origin, squared, constant(1, out)))


sin_p = unary(
    "sin",
    lambda xp, x: xp.sin(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, cos_p.bind(x)),
)
cos_p = unary(
    "cos",
    lambda xp, x: xp.cos(x),
    takes=INEXACT,
    derivative=lambda t, out, x: neg_p.bind(mul_p.bind(t, sin_p.bind(x))),
)
tan_p = unary(
    "tan",
    lambda xp, x: xp.tan(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, _one_plus_square(t, out)),
)
asin_p = unary("asin", lambda xp, x: xp.arcsin(x), takes=INEXACT, derivative=_asin_partial)
acos_p = unary(
    "acos",
    lambda xp, x: xp.arccos(x),
    takes=INEXACT,
    derivative=lambda t, out, x: neg_p.bind(_asin_partial(t, out, x)),
)
atan_p = unary(
    "atan",
    lambda xp, x: xp.arctan(x),
    takes=INEXACT,
    derivative=lambda t, out, x: div_p.bind(t, _one_plus_square(t, x)),
)
atan2_p = elementwise(
    "atan2",
    _atan2,
    takes=INEXACT,
    partials=[
        lambda t, out, x, y: mul_p.bind(t, _over_squared_radius(out, y, x, y)),
        lambda t, out, x, y: neg_p.bind(mul_p.bind(t, _over_squared_radius(out, x, x, y))),
    ],
)


def sin(x: Any) -> Array:
    """The sine, elementwise, of floating or complex `x` in radians."""
    return sin_p.bind(x)


def cos(x: Any) -> Array:
    """The cosine, elementwise, of floating or complex `x` in radians."""
    return cos_p.bind(x)


def tan(x: Any) -> Array:
    """The tangent, elementwise, of floating or complex `x` in radians."""
    return tan_p.bind(x)


def asin(x: Any) -> Array:
    """The inverse sine, elementwise, in radians: NaN for real `x` outside [-1, 1]."""
    return asin_p.bind(x)


def acos(x: Any) -> Array:
    """The inverse cosine, elementwise, in radians: NaN for real `x` outside [-1, 1]."""
    return acos_p.bind(x)


def atan(x: Any) -> Array:
    """The inverse tangent, elementwise, in radians."""
    return atan_p.bind(x)


def atan2(x: Any, y: Any) -> Array:
    """The angle of the point with ordinate `x` and abscissa `y`, elementwise, in (-pi, pi].

    The arguments are in the order of `atan(x / y)`. At the origin the derivative is 0.
    """
    return atan2_p.bind(*same_dtype(x, y))


# --- hyperbolic functions -----------------------------------------------------------------------


def _acosh_partial(t: Any, out: Any, x: Any) -> Any:
    # two roots, not the root of the product: only so is it the right branch for complex x
    one = _one(t)
    roots = sqrt_p.bind(sub_p.bind(x, one)), sqrt_p.bind(add_p.bind(x, one))
    return div_p.bind(t, mul_p.bind(*roots))


sinh_p = unary(
    "sinh",
    lambda xp, x: xp.sinh(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, cosh_p.bind(x)),
)
cosh_p = unary(
    "cosh",
    lambda xp, x: xp.cosh(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, sinh_p.bind(x)),
)
tanh_p = unary(
    "tanh",
    lambda xp, x: xp.tanh(x),
    takes=INEXACT,
    derivative=lambda t, out, x: mul_p.bind(t, sub_p.bind(_one(t), square_p.bind(out))),
)
asinh_p = unary(
    "asinh",
    lambda xp, x: xp.arcsinh(x),
    takes=INEXACT,
    derivative=lambda t, out, x: div_p.bind(t, sqrt_p.bind(_one_plus_square(t, x))),
)
acosh_p = unary("acosh", lambda xp, x: xp.arccosh(x), takes=INEXACT, derivative=_acosh_partial)
atanh_p = unary(
    "atanh",
    lambda xp, x: xp.arctanh(x),
    takes=INEXACT,
    derivative=lambda t, out, x: div_p.bind(t, _one_minus_square(t, x)),
)


def sinh(x: Any) -> Array:
    """The hyperbolic sine, elementwise, of floating or complex `x`."""
    return sinh_p.bind(x)


def cosh(x: Any) -> Array:
    """The hyperbolic cosine, elementwise, of floating or complex `x`."""
    return cosh_p.bind(x)


def tanh(x: Any) -> Array:
    """The hyperbolic tangent, elementwise, of floating or complex `x`."""
    return tanh_p.bind(x)


def asinh(x: Any) -> Array:
    """The inverse hyperbolic sine, elementwise, of floating or complex `x`."""
    return asinh_p.bind(x)


def acosh(x: Any) -> Array:
    """The inverse hyperbolic cosine, elementwise: NaN for real `x` below 1."""
    return acosh_p.bind(x)


def atanh(x: Any) -> Array:
    """The inverse hyperbolic tangent, elementwise: NaN for real `x` outside [-1, 1]."""
    return atanh_p.bind(x)
