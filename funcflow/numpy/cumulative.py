"""Running sums and products."""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.numpy.nan_reductions import without_nans
from funcflow.numpy.promotion import refuse_out
from funcflow.numpy.reductions import operand, reduced_axes, summed_dtype

Scan = Callable[..., Any]


def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running sum along an axis, or, for None, of the flattened array.

    Args:
        a: an array.
        axis: the axis; negative ones count from the end.
        dtype: the dtype to sum up in; that of `a` by default, the default integer for booleans.
        out: not supported.

    Example:
        >>> fnp.cumsum(fnp.arange(4))
        Array([0, 1, 3, 6], dtype=int32)
    """
    refuse_out("cumsum", out)
    return _running("cumsum", lax.cumsum, operand("cumsum", a), axis, dtype)


def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running product along an axis; see `cumsum`. Derivatives are exact at zeros."""
    refuse_out("cumprod", out)
    return _running("cumprod", lax.cumprod, operand("cumprod", a), axis, dtype)


def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running sum along an axis with NaNs counted as 0; see `cumsum`."""
    refuse_out("nancumsum", out)
    return _running("nancumsum", lax.cumsum, without_nans("nancumsum", a, 0), axis, dtype)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running product along an axis with NaNs counted as 1; see `cumsum`."""
    refuse_out("nancumprod", out)
    return _running("nancumprod", lax.cumprod, without_nans("nancumprod", a, 1), axis, dtype)


def _running(name: str, scan: Scan, a: Array, axis: int | None, dtype: Any) -> Array:
    if dtype is None and a.dtype == np.bool_:
        dtype = dtypes.default_int()
    a = operand(name, a, dtype)
    if axis is None:
        a, axis = lax.reshape(a, (a.size,)), 0
    if not a.ndim:
        return a
    return scan(a, reduced_axes(name, axis, a.ndim)[0])


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """The running sum along an axis, as the array API standard has it.

    Args:
        x: an array of one dimension or more.
        axis: the axis; needed for more than one dimension.
        dtype: the dtype to sum up in; as for `sum` by default.
        include_initial: whether the result starts with 0, and so is one element longer.

    Raises:
        ArgumentError: `x` has no dimension, or several and `axis` is not given.
    """
    x = operand("cumulative_sum", x)
    dtype = summed_dtype(x.dtype) if dtype is None else dtype
    return _cumulative("cumulative_sum", lax.cumsum, x, axis, dtype, include_initial, 0)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """The running product along an axis, by default in the dtype of `x`; see `cumulative_sum`.

    The initial value is 1.
    """
    x = operand("cumulative_prod", x)
    dtype = summed_dtype(x.dtype, promote_integers=False) if dtype is None else dtype
    return _cumulative("cumulative_prod", lax.cumprod, x, axis, dtype, include_initial, 1)


def _cumulative(
    name: str,
    scan: Scan,
    x: Array,
    axis: int | None,
    dtype: Any,
    include_initial: bool,
    initial: int,
) -> Array:
    if not x.ndim or (axis is None and x.ndim > 1):
        raise ArgumentError(
            f"{name}: axis is {axis} for an array of {x.ndim} dimensions",
            mend="pass an array of at least one dimension, and axis= if it has several",
        )
    (axis,) = reduced_axes(name, 0 if axis is None else axis, x.ndim)
    x = operand(name, x, dtype)
    out = scan(x, axis)
    if not include_initial:
        return out
    edge = lax.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), initial, x.dtype)
    return lax.concatenate([edge, out], axis)
