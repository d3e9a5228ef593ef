"""Reductions: sums, products, extrema, means and variances over axes.

What they have in common:

    axis: an axis, a sequence of axes, or None for all; negative axes count from the end.
    dtype: the dtype to convert the elements to first.
    out: not supported.
    keepdims: whether the axes that are reduced stay, with extent 1.
    initial: a further value to reduce.
    where: which elements take part; it broadcasts with the array.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import reduce_now
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.arithmetic import sqrt, square, subtract, true_divide
from funcflow.numpy.logic import truth
from funcflow.numpy.promotion import (
    Axis,
    DType,
    as_array,
    convert,
    inexact_dtype,
    is_complex,
    promote_inexact,
    refuse_out,
)


def operand(name: str, a: Any, dtype: Any = None) -> Array:
    """The array to reduce, of a dtype if one is asked for, and not weakly typed."""
    a = as_array(name, a)
    return lax.convert_element_type(a, a.dtype if dtype is None else dtypes.as_dtype(dtype))


def reduced_axes(name: str, axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes to reduce, counted from the front."""
    if axis is None:
        return tuple(range(ndim))
    return canonical_axes(axis, ndim, name)


def masked(a: Array, where: Any, identity: Any) -> Array:
    """`a` with `identity` where elements do not take part."""
    if where is None:
        return a
    where = truth("where", where)
    if lax.broadcast_shapes(where.shape, a.shape) != a.shape:
        raise ShapeError(
            f"where: the mask's shape {where.shape} does not broadcast to the array's, {a.shape}",
            mend="give the mask the array's shape, or extents of 1",
        )
    return lax.select(where, a, convert(identity, a.dtype))


def restored(out: Array, axes: Sequence[int], keepdims: bool) -> Array:
    """The result of a reduction, with its axes put back if they are to be kept."""
    return lax.expand_dims(out, axes) if keepdims else out


def _reduce(
    name: str,
    reduction: Callable[..., Any],
    combine: Callable[..., Any],
    a: Array,
    axis: Axis,
    keepdims: bool,
    initial: Any,
) -> Array:
    axes = reduced_axes(name, axis, a.ndim)
    out = restored(reduction(a, axes), axes, keepdims)
    return out if initial is None else combine(out, convert(scalar(name, initial), a.dtype))


def scalar(name: str, initial: Any) -> Any:
    """An initial value, which must have no dimension."""
    if np.shape(initial):
        raise ShapeError(
            f"{name}: `initial` must be a number, got an array of shape {np.shape(initial)}",
            mend="combine arrays with the result instead",
        )
    return initial


# --- sums and products ------------------------------------------------------------------------


def summed_dtype(dtype: DType, promote_integers: bool = True) -> DType:
    """The dtype of a sum: narrow integers and booleans take the default width of integers."""
    default = dtypes.default_int()
    if dtype == np.bool_:
        return default
    if promote_integers and dtypes.is_integer(dtype) and dtype.itemsize < default.itemsize:
        return np.dtype(f"u{default.name}") if dtype.kind == "u" else default
    return dtype


def sum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Array:
    """The sum over axes.

    Args:
        a: an array.
        axis: an axis, a sequence of axes, or None for all.
        dtype: the dtype to sum up in and of the result.
        out: not supported.
        keepdims: whether the axes stay, with extent 1.
        initial: a number to add.
        where: which elements to sum; it broadcasts with `a`.
        promote_integers: whether booleans and narrow integers are summed up in the default
            integer dtype, or unsigned one, where `dtype` is not given.

    Raises:
        AxisError: an axis is out of range or named twice.

    Example:
        >>> fnp.sum(fnp.array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
        Array([4., 6.], dtype=float32)
    """
    if dtype is None and out is None and initial is None and where is None:
        done = reduce_now(np.add.reduce, a, axis, keepdims, "fc")
        if done is not None:
            return done
    refuse_out("sum", out)
    a = operand("sum", a)
    a = operand("sum", a, summed_dtype(a.dtype, promote_integers) if dtype is None else dtype)
    return _reduce("sum", lax.reduce_sum, lax.add, masked(a, where, 0), axis, keepdims, initial)


def prod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Array:
    """The product over axes; the arguments are those of `sum`.

    Derivatives are exact where elements are 0.
    """
    if dtype is None and out is None and initial is None and where is None:
        done = reduce_now(np.multiply.reduce, a, axis, keepdims, "fc")
        if done is not None:
            return done
    refuse_out("prod", out)
    a = operand("prod", a)
    a = operand("prod", a, summed_dtype(a.dtype, promote_integers) if dtype is None else dtype)
    return _reduce("prod", lax.reduce_prod, lax.mul, masked(a, where, 1), axis, keepdims, initial)


def count_nonzero(a: Any, axis: Axis = None, keepdims: bool = False) -> Array:
    """The number of elements that are not zero, over axes."""
    return sum(truth("count_nonzero", a), axis, keepdims=keepdims)


# --- logic ------------------------------------------------------------------------------------


def all(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Array:
    """Whether all elements are true (not zero), over axes; True for no elements."""
    if out is None and where is None:
        done = reduce_now(np.logical_and.reduce, a, axis, keepdims, "b")
        if done is not None:
            return done
    refuse_out("all", out)
    a = masked(operand("all", truth("all", a)), where, True)
    return _reduce("all", lax.reduce_and, lax.bitwise_and, a, axis, keepdims, None)


def any(
    a: Any, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Array:
    """Whether some element is true (not zero), over axes; False for no elements."""
    if out is None and where is None:
        done = reduce_now(np.logical_or.reduce, a, axis, keepdims, "b")
        if done is not None:
            return done
    refuse_out("any", out)
    a = masked(operand("any", truth("any", a)), where, False)
    return _reduce("any", lax.reduce_or, lax.bitwise_or, a, axis, keepdims, None)


# --- extrema ----------------------------------------------------------------------------------


def max(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The maximum over axes; NaN if there is one.

    Elements that attain it share the derivative equally.

    Args:
        a: an array.
        axis: an axis, a sequence of axes, or None for all.
        out: not supported.
        keepdims: whether the axes stay, with extent 1.
        initial: the least value of the result; needed for no elements, and with `where`.
        where: which elements to look at.

    Raises:
        ArgumentError: there are no elements, or a `where`, but no `initial`.
        AxisError: an axis is out of range or named twice.
    """
    if out is None and initial is None and where is None:
        done = reduce_now(np.maximum.reduce, a, axis, keepdims, "fiub")
        if done is not None:
            return done
    refuse_out("max", out)
    a = _extremum_operand("max", a, axis, initial, where)
    return _reduce("max", lax.reduce_max, lax.max, a, axis, keepdims, initial)


def min(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The minimum over axes; NaN if there is one. The arguments are those of `max`."""
    if out is None and initial is None and where is None:
        done = reduce_now(np.minimum.reduce, a, axis, keepdims, "fiub")
        if done is not None:
            return done
    refuse_out("min", out)
    a = _extremum_operand("min", a, axis, initial, where)
    return _reduce("min", lax.reduce_min, lax.min, a, axis, keepdims, initial)


amax, amin = max, min


def _extremum_operand(name: str, a: Any, axis: Axis, initial: Any, where: Any) -> Array:
    a = operand(name, a)
    if initial is not None:
        return masked(a, where, initial)
    axes = reduced_axes(name, axis, a.ndim)
    if 0 in [a.shape[i] for i in axes]:
        raise ArgumentError(
            f"{name}: no elements along the axes {axes} of an array of shape {a.shape}",
            mend="pass `initial`",
        )
    if where is not None:
        raise ArgumentError(
            f"{name}: with `where`, there may be no elements left", mend="pass `initial`"
        )
    return a


def ptp(a: Any, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """The difference of maximum and minimum over axes ("peak to peak")."""
    refuse_out("ptp", out)
    a = operand("ptp", a)
    return lax.sub(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def argmax(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """The index of the first maximum along an axis, or, for None, in the flattened array.

    The first NaN counts as the maximum.

    Raises:
        ArgumentError: the axis is empty.
        AxisError: the axis is out of range.
    """
    refuse_out("argmax", out)
    return arg_extremum("argmax", lax.argmax, operand("argmax", a), axis, bool(keepdims))


def argmin(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """The index of the first minimum along an axis; otherwise as `argmax`."""
    refuse_out("argmin", out)
    return arg_extremum("argmin", lax.argmin, operand("argmin", a), axis, bool(keepdims))


def arg_extremum(
    name: str, find: Callable[..., Any], a: Array, axis: int | None, keepdims: bool
) -> Array:
    """The index that `find` gives along an axis or in the flattened array."""
    if axis is None:
        index = find(lax.reshape(a, (a.size,)), 0, dtypes.default_int())
        return lax.reshape(index, (1,) * a.ndim) if keepdims else index
    (axis,) = reduced_axes(name, axis, a.ndim)
    return restored(find(a, axis, dtypes.default_int()), (axis,), keepdims)


# --- means and variances ----------------------------------------------------------------------


def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Array:
    """The arithmetic mean over axes; NaN for no elements.

    Integers are averaged as floats, 16-bit floats in float32.

    Example:
        >>> fnp.mean(fnp.arange(4))
        Array(1.5, dtype=float32)
    """
    if dtype is None and out is None and where is None:
        done = reduce_now(np.add.reduce, a, axis, keepdims, "fc")
        if done is not None and done.size:
            return true_divide(done, a.size // done.size)
    refuse_out("mean", out)
    a = operand("mean", a)
    result = inexact_dtype(a.dtype) if dtype is None else dtypes.as_dtype(dtype)
    a = operand("mean", a, dtypes.accumulator(inexact_dtype(result)))
    total = sum(a, axis, keepdims=keepdims, where=where)
    divisor = convert(count("mean", a, axis, keepdims, where), a.dtype)
    return lax.convert_element_type(true_divide(total, divisor), result)


def count(name: str, a: Array, axis: Axis, keepdims: bool, where: Any) -> Any:
    """How many elements take part: a number, or an array if there is a mask."""
    if where is None:
        return math.prod(a.shape[i] for i in reduced_axes(name, axis, a.ndim))
    mask = lax.broadcast_to(truth(name, where), a.shape)
    return sum(mask, axis, keepdims=keepdims)


def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Array:
    """The variance over axes: the mean of the squared distances from the mean.

    Args:
        a: an array.
        axis: an axis, a sequence of axes, or None for all.
        dtype: the dtype of the result. 16-bit floats are always averaged in float32.
        out: not supported.
        ddof: what to subtract from the number of elements before dividing by it.
        keepdims: whether the axes stay, with extent 1.
        where: which elements take part.
        mean: the mean with `keepdims`, if it is known already.
        correction: the array API's name for `ddof`.

    Returns:
        A real array, also for complex `a`; NaN where the number of elements is not above `ddof`.

    Raises:
        ArgumentError: both `ddof` and `correction` are given.
        DtypeError: `dtype` is real and `a` complex.
    """
    refuse_out("var", out)
    if correction is not None:
        if ddof:
            raise ArgumentError("var: ddof and correction mean the same", mend="pass one of them")
        ddof = correction
    a = operand("var", a)
    if dtype is not None and is_complex(a) and not dtypes.is_complex(dtypes.as_dtype(dtype)):
        raise DtypeError(
            f"var: a real dtype for the complex array {a.aval}", mend="leave out dtype"
        )
    computed = inexact_dtype(a.dtype if dtype is None else dtypes.as_dtype(dtype))
    a = operand("var", a, dtypes.accumulator(computed))
    if mean is None:
        mean = _mean(a, axis, keepdims=True, where=where)
    centered = subtract(a, convert(as_array("var", mean), a.dtype))
    if is_complex(a):
        squares = lax.real(lax.mul(centered, lax.conj(centered)))
    else:
        squares = square(centered)
    total = sum(squares, axis, keepdims=keepdims, where=where)
    variance = _divided(total, count("var", a, axis, keepdims, where), ddof)
    return lax.convert_element_type(variance, dtypes.real_of(computed))


_mean = mean  # `var` has an argument of that name


def _divided(total: Array, elements: Any, ddof: Any) -> Array:
    """`total / (elements - ddof)`, NaN where the divisor is not positive."""
    if isinstance(elements, int) and isinstance(ddof, int | float):
        return true_divide(total, float(elements - ddof) if elements > ddof else math.nan)
    divisor = lax.sub(convert(elements, total.dtype), convert(ddof, total.dtype))
    return lax.select(lax.gt(divisor, 0), lax.div(total, divisor), math.nan)


def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Array:
    """The standard deviation over axes, the square root of `var`, whose arguments it has.

    Its derivative is 0 where the variance is 0.
    """
    refuse_out("std", out)
    variance = var(
        a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction
    )
    # the root's infinite slope at 0 must not meet the zero slope of the variance
    return lax.select(lax.gt(variance, 0), sqrt(variance), variance)


def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Any:
    """The weighted mean over axes.

    Args:
        a: an array.
        axis: an axis, a sequence of axes, or None for all.
        weights: an array of the shape of `a`, or a vector along the one axis; 1 by default.
        returned: whether to return the pair of the average and the sum of the weights.
        keepdims: whether the axes stay, with extent 1.

    Raises:
        ShapeError: the shape of `weights` fits neither `a` nor the axis.

    Example:
        >>> fnp.average(fnp.array([1.0, 2.0]), weights=fnp.array([3.0, 1.0]))
        Array(1.25, dtype=float32)
    """
    a = operand("average", a)
    if weights is None:
        (a,) = promote_inexact("average", a)
        result = mean(a, axis, keepdims=keepdims)
        total = lax.full_like(result, count("average", a, axis, keepdims, None))
        return (result, total) if returned else result
    a, weights = promote_inexact("average", a, as_array("average", weights))
    axes = reduced_axes("average", axis, a.ndim)
    weights = lax.broadcast_to(aligned_weights("average", weights, a.shape, axes), a.shape)
    total = sum(weights, axes, keepdims=keepdims)
    result = lax.div(sum(lax.mul(a, weights), axes, keepdims=keepdims), total)
    return (result, total) if returned else result


def aligned_weights(name: str, weights: Array, shape: Sequence[int], axes: Sequence[int]) -> Array:
    """Weights of each element, or of each place along the axes, as they broadcast to `shape`."""
    if weights.shape == tuple(shape):
        return weights
    if weights.shape != tuple(shape[i] for i in axes):
        raise ShapeError(
            f"{name}: weights of shape {weights.shape} for an array of shape {tuple(shape)} and "
            f"the axes {tuple(axes)}",
            mend="give one weight for each element, or for each place along the axes",
        )
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    weights = lax.transpose(weights, order)
    extents = [extent if i in axes else 1 for i, extent in enumerate(shape)]
    return lax.reshape(weights, extents)
