"""Reductions that leave out NaNs. Their arguments are those of `sum`, `max`, `var`, ..."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.numpy import averages, reductions
from funcflow.numpy.floating import isnan
from funcflow.numpy.logic import logical_and, logical_not
from funcflow.numpy.promotion import Axis, convert, refuse_out
from funcflow.numpy.reductions import arg_extremum, operand


def without_nans(name: str, a: Any, identity: Any) -> Array:
    """`a` with `identity` in the place of NaNs."""
    a = operand(name, a)
    if not dtypes.is_inexact(a.dtype):
        return a
    return lax.select(isnan(a), convert(identity, a.dtype), a)


def _present(a: Array, where: Any) -> Array:
    """Which elements are no NaNs and take part."""
    present = logical_not(isnan(a))
    return present if where is None else logical_and(present, where)


def nansum(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The sum over axes of what is not NaN; see `sum`."""
    a = without_nans("nansum", a, 0)
    return reductions.sum(a, axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The product over axes of what is not NaN; see `prod`."""
    a = without_nans("nanprod", a, 1)
    return reductions.prod(a, axis, dtype, out, keepdims, initial, where)


def nanmax(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The maximum over axes of what is not NaN; NaN where all is NaN. See `max`."""
    bounded = without_nans("nanmax", a, -np.inf)
    result = reductions.max(bounded, axis, out, keepdims, initial, where)
    return _nan_where_empty("nanmax", a, result, axis, keepdims, initial)


def nanmin(
    a: Any,
    axis: Axis = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Array:
    """The minimum over axes of what is not NaN; NaN where all is NaN. See `min`."""
    bounded = without_nans("nanmin", a, np.inf)
    result = reductions.min(bounded, axis, out, keepdims, initial, where)
    return _nan_where_empty("nanmin", a, result, axis, keepdims, initial)


def _nan_where_empty(
    name: str, a: Any, result: Array, axis: Axis, keepdims: bool, initial: Any
) -> Array:
    if initial is not None or not dtypes.is_inexact(result.dtype):
        return result
    empty = reductions.all(isnan(operand(name, a)), axis, keepdims=keepdims)
    return lax.select(empty, np.asarray(np.nan, result.dtype), result)


def nanmean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    where: Any = None,
) -> Array:
    """The mean over axes of what is not NaN; NaN where all is NaN. See `mean`."""
    a = operand("nanmean", a)
    present = _present(a, where)
    return averages.mean(a, axis, dtype, out, keepdims, where=present)


def nanvar(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Array:
    """The variance over axes of what is not NaN; see `var`."""
    a = operand("nanvar", a)
    present = _present(a, where)
    return averages.var(a, axis, dtype, out, ddof, keepdims, where=present, mean=mean)


def nanstd(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Array:
    """The standard deviation over axes of what is not NaN; see `std`."""
    return lax.sqrt(nanvar(a, axis, dtype, out, ddof, keepdims, where, mean))


def nanargmax(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """The index of the first maximum of what is not NaN; -1 where all is NaN. See `argmax`."""
    refuse_out("nanargmax", out)
    return _nan_arg_extremum("nanargmax", lax.argmax, a, axis, bool(keepdims), -np.inf)


def nanargmin(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Array:
    """The index of the first minimum of what is not NaN; -1 where all is NaN. See `argmin`."""
    refuse_out("nanargmin", out)
    return _nan_arg_extremum("nanargmin", lax.argmin, a, axis, bool(keepdims), np.inf)


def _nan_arg_extremum(
    name: str,
    find: Callable[..., Any],
    a: Any,
    axis: int | None,
    keepdims: bool,
    identity: float,
) -> Array:
    a = operand(name, a)
    index = arg_extremum(name, find, without_nans(name, a, identity), axis, keepdims)
    empty = reductions.all(isnan(a), axis, keepdims=keepdims)
    return lax.select(empty, np.asarray(-1, index.dtype), index)
