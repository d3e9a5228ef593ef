"""Cumulative operations: the running sum, product, maximum, minimum and log-sum-exp along an axis.

All but the sum are differentiated as parallel prefix scans of an associative operation on pairs
(value, tangent), which is linear in the tangents (see Blelloch, "Prefix sums and their
applications", 1990). That is exact at zeros, where dividing by the values would not be.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of, ndim_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, Absent, Rule, define
from funcflow.lax.arithmetic import add, div, max, max_p, min_p, mul, sub
from funcflow.lax.bitwise import bitwise_and, bitwise_not
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, select_n
from funcflow.lax.complex import real
from funcflow.lax.creation import full_like
from funcflow.lax.forms import ANY, INEXACT, NUMBERS, check_dtype
from funcflow.lax.linear import canonical_axis, linear_jvp
from funcflow.lax.loops import associative_scan
from funcflow.lax.reduction import multiply_pairs
from funcflow.lax.rounding import is_finite
from funcflow.lax.transcendental import exp, log


def _cumulative(
    name: str,
    takes: str,
    impl: Callable[..., Any],
    jvp: Callable[[Primitive], Rule],
    transpose: Rule | Absent = NONLINEAR,
) -> Primitive:
    """A primitive that combines each element with all before it (or after it, if `reverse`)."""
    primitive = Primitive(name)

    def abstract(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        check_dtype(name, x, takes)
        return x

    def ordered_impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        wide = x.astype(dtypes.accumulator(x.dtype), copy=False)
        if reverse:
            out = xp.flip(impl(xp, xp.flip(wide, axis), axis), axis)
        else:
            out = impl(xp, wide, axis)
        return out.astype(x.dtype, copy=False)

    def batch(ctx: Any, args: Any, dims: Any, *, axis: int, reverse: bool) -> Any:
        (d,) = dims
        return primitive.bind(args[0], axis=axis + (axis >= d), reverse=reverse), d

    define(
        primitive,
        abstract=abstract,
        impl=ordered_impl,
        jvp=jvp(primitive),
        transpose=transpose,
        batch=batch,
    )
    return primitive


def _bind(primitive: Primitive, operand: Any, axis: int, reverse: bool) -> Any:
    axis = canonical_axis(axis, ndim_of(operand), primitive.name)
    return primitive.bind(operand, axis=axis, reverse=bool(reverse))


def _scanned_jvp(start: Callable[[Any, Any], Any], combine: Callable[..., Any]) -> Any:
    """The forward rule by a scan over tuples of value, tangent and whatever else it takes.

    `start(x, t)` makes the tuples of single elements and `combine` merges two neighbours; the
    tangent of the result is the tuple's second entry, divided by the third if there is one.
    """

    def of(primitive: Primitive) -> Rule:
        def rule(ctx: Any, primals: Any, tangents: Any, *, axis: int, reverse: bool) -> Any:
            (x,), (t,) = primals, tangents
            out = primitive.bind(x, axis=axis, reverse=reverse)
            if type(t) is Zero:
                return out, Zero(out.aval)
            _, tangent, *count = associative_scan(combine, start(x, t), reverse=reverse, axis=axis)
            return out, div(tangent, count[0]) if count else tangent

        return rule

    return of


def _prefixes(xp: Any, combine: Callable[[Any, Any], Any], x: Any, axis: int) -> Any:
    """The running combination along `axis`, in log2(n) passes (Hillis and Steele, 1986)."""
    x = xp.moveaxis(x, axis, 0)
    shift = 1
    while shift < len(x):
        x = xp.concatenate([x[:shift], combine(x[:-shift], x[shift:])])
        shift *= 2
    return xp.moveaxis(x, 0, axis)


def _accumulate(xp: Any, ufunc: str, x: Any, axis: int) -> Any:
    """`ufunc.accumulate`, which CuPy has for sums and products only."""
    operation = getattr(xp, ufunc)
    if xp is np:
        return operation.accumulate(x, axis=axis)
    return _prefixes(xp, operation, x, axis)


# --- sum and product --------------------------------------------------------------------------


def _cumsum_transpose(ctx: Any, ct: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    return [_bind(cumsum_p, ct, axis, not reverse)]


cumsum_p = _cumulative(
    "cumsum",
    NUMBERS,
    lambda xp, x, axis: xp.cumsum(x, axis=axis, dtype=x.dtype),
    linear_jvp,
    _cumsum_transpose,
)


cumprod_p = _cumulative(
    "cumprod",
    NUMBERS,
    lambda xp, x, axis: xp.cumprod(x, axis=axis, dtype=x.dtype),
    _scanned_jvp(lambda x, t: (x, t), multiply_pairs),
)


def cumsum(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running sum along `axis`, of the operand's shape and dtype.

    Args:
        operand: an array of numbers; 16-bit floats are summed in float32.
        axis: the axis to sum along.
        reverse: sum from the end.

    Raises:
        AxisError: the axis is out of range.
        DtypeError: the operand is boolean.

    Example:
        >>> ff.lax.cumsum(fnp.array([1, 2, 3]))
        Array([1, 3, 6], dtype=int32)
    """
    return _bind(cumsum_p, operand, axis, reverse)


def cumprod(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running product along `axis`; the derivative is exact at zeros. See `cumsum`."""
    return _bind(cumprod_p, operand, axis, reverse)


# --- maximum and minimum ----------------------------------------------------------------------


def _attained(x: Any, t: Any) -> Any:
    return x, t, full_like(t, 1)


def _extremum_of_pairs(primitive: Primitive) -> Callable[[Any, Any], Any]:
    """Merge (value, sum of tangents, count) of the elements that attain the extremum."""

    def combine(left: Any, right: Any) -> Any:
        best = primitive.bind(left[0], right[0])
        sides = [(eq(value, best), sum_, count) for value, sum_, count in (left, right)]
        zero = np.zeros((), aval_of(left[1]).dtype)
        sums = [select_n(attains, zero, sum_) for attains, sum_, _ in sides]
        counts = [select_n(attains, zero, count) for attains, _, count in sides]
        return best, add(*sums), add(*counts)

    return combine


cummax_p = _cumulative(
    "cummax",
    ANY,
    lambda xp, x, axis: _accumulate(xp, "maximum", x, axis),
    _scanned_jvp(_attained, _extremum_of_pairs(max_p)),
)
cummin_p = _cumulative(
    "cummin",
    ANY,
    lambda xp, x, axis: _accumulate(xp, "minimum", x, axis),
    _scanned_jvp(_attained, _extremum_of_pairs(min_p)),
)


def cummax(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running maximum along `axis`, NaN from the first NaN on. See `cumsum`.

    As in `reduce_max`, the derivative is shared equally by the elements that attain it.
    """
    return _bind(cummax_p, operand, axis, reverse)


def cummin(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running minimum along `axis`, NaN from the first NaN on. See `cummax`."""
    return _bind(cummin_p, operand, axis, reverse)


# --- log-sum-exp ------------------------------------------------------------------------------


def _logaddexp(xp: Any, x: Any, y: Any) -> Any:
    """`log(exp(x) + exp(y))` for real and complex numbers, without overflow."""
    top = xp.maximum(x.real, y.real)
    top = xp.where(xp.isfinite(top), top, 0)
    return top + xp.log(xp.exp(x - top) + xp.exp(y - top))


def _cumlogsumexp_impl(xp: Any, x: Any, axis: int) -> Any:
    if xp is np and x.dtype.kind == "f":
        return np.logaddexp.accumulate(x, axis=axis)
    return _prefixes(xp, lambda a, b: _logaddexp(xp, a, b), x, axis)


def _logaddexp_of_pairs(left: Any, right: Any) -> Any:
    """Merge (value, tangent): the tangents are averaged with the weights exp(value)."""
    (x, dx), (y, dy) = left, right
    top = max(real(x), real(y)) if dtypes.is_complex(x.dtype) else max(x, y)
    infinite = bitwise_not(is_finite(top))
    top = convert_element_type(top, x.dtype)
    weights = [exp(_below(top, infinite, value)) for value in (x, y)]
    total = add(*weights)
    tangent = div(add(mul(dx, weights[0]), mul(dy, weights[1])), total)
    return add(top, log(total)), tangent


def _below(top: Any, infinite: Any, x: Any) -> Any:
    """`x - top`, and 0 where both are the same infinity."""
    same = bitwise_and(eq(x, top), infinite)
    return select_n(same, sub(x, top), np.zeros((), x.dtype))


cumlogsumexp_p = _cumulative(
    "cumlogsumexp",
    INEXACT,
    _cumlogsumexp_impl,
    _scanned_jvp(lambda x, t: (x, t), _logaddexp_of_pairs),
)


def cumlogsumexp(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The running `log(sum(exp(x)))` along `axis`, without overflow. See `cumsum`.

    The operand is floating or complex. The derivative stays finite where all elements are -inf.
    """
    return _bind(cumlogsumexp_p, operand, axis, reverse)
