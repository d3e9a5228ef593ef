"""Reductions: sums, products, extrema and what is true, over axes.

What they have in common:

    axis: an axis, a sequence of axes, or None for all; negative axes count from the end.
    dtype: the dtype to convert the elements to first.
    out: not supported.
    keepdims: whether the axes that are reduced stay, with extent 1.
    initial: a further value to reduce.
    where: which elements take part; it broadcasts with the array.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import reduce_now
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.logic import truth
from funcflow.numpy.promotion import (
    Axis,
    DType,
    as_array,
    convert,
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
