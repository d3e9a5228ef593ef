"""Medians, quantiles and percentiles."""

import math
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.numpy import reductions
from funcflow.numpy.averages import aligned_weights
from funcflow.numpy.floating import isnan
from funcflow.numpy.indexing import getitem
from funcflow.numpy.promotion import (
    Axis,
    as_array,
    convert,
    inexact,
    is_complex,
    refuse_out,
)
from funcflow.numpy.reductions import operand, reduced_axes

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


def quantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """The values below which a part `q` of the elements lies, over axes.

    Args:
        a: an array of real numbers; NaN where one is among them.
        q: a number or vector of numbers in [0, 1].
        axis: an axis, a sequence of axes, or None for all.
        out: not supported.
        overwrite_input: not supported.
        method: what to do where `q` falls between two elements: `"linear"` interpolation,
            `"lower"`, `"higher"`, `"midpoint"`, `"nearest"` (the lower one of two), or
            `"inverted_cdf"`: the least element up to which a part `q` of the weights lies.
        keepdims: whether the axes stay, with extent 1.
        weights: weights of the elements, for `"inverted_cdf"`; as for `average`.

    Returns:
        A floating array, of the shape of `q` followed by that of a reduction. It is
        differentiable: the derivative goes to the elements that it was computed from.

    Example:
        >>> fnp.quantile(fnp.array([1.0, 2.0, 4.0]), 0.75)
        Array(3., dtype=float32)
    """
    _refuse("quantile", out, overwrite_input)
    return _quantile("quantile", a, q, axis, method, keepdims, weights, skip_nans=False)


def nanquantile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """`quantile` of what is not NaN; NaN where all is NaN."""
    _refuse("nanquantile", out, overwrite_input)
    return _quantile("nanquantile", a, q, axis, method, keepdims, weights, skip_nans=True)


def percentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """`quantile` for `q` in percent."""
    _refuse("percentile", out, overwrite_input)
    part = lax.div(inexact("percentile", q), 100.0)
    return _quantile("percentile", a, part, axis, method, keepdims, weights, skip_nans=False)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """`nanquantile` for `q` in percent."""
    _refuse("nanpercentile", out, overwrite_input)
    part = lax.div(inexact("nanpercentile", q), 100.0)
    return _quantile("nanpercentile", a, part, axis, method, keepdims, weights, skip_nans=True)


def median(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """The element in the middle, or the mean of the two there, over axes; see `quantile`."""
    _refuse("median", out, overwrite_input)
    return _quantile("median", a, 0.5, axis, "midpoint", keepdims, None, skip_nans=False)


def nanmedian(
    a: Any,
    axis: Axis = None,
    out: None = None,
    overwrite_input: bool = False,
    keepdims: bool = False,
) -> Array:
    """`median` of what is not NaN; NaN where all is NaN."""
    _refuse("nanmedian", out, overwrite_input)
    return _quantile("nanmedian", a, 0.5, axis, "midpoint", keepdims, None, skip_nans=True)


def _refuse(name: str, out: None, overwrite_input: bool) -> None:
    refuse_out(name, out)
    if overwrite_input:
        raise ArgumentError(f"{name}: arrays are immutable", mend="leave out overwrite_input")


def _quantile(
    name: str,
    a: Any,
    q: Any,
    axis: Axis,
    method: str,
    keepdims: bool,
    weights: Any,
    skip_nans: bool,
) -> Array:
    if method not in _METHODS or (weights is not None and method != "inverted_cdf"):
        raise ArgumentError(
            f"{name}: no method {method!r}" + (" with weights" if weights is not None else ""),
            mend="use 'inverted_cdf'" if weights is not None else f"use one of {_METHODS}",
        )
    a, q = (operand(name, inexact(name, x)) for x in (a, q))
    if is_complex(a):
        raise DtypeError(f"{name}: complex numbers have no order", mend="pass fnp.abs(a)")
    if q.ndim > 1:
        raise ShapeError(f"{name}: q has the shape {q.shape}", mend="pass a number or a vector")
    axes = reduced_axes(name, axis, a.ndim)
    kept = [i for i in range(a.ndim) if i not in axes]
    rows = _to_rows(a, axes, kept)
    if weights is not None:
        weights = aligned_weights(name, convert(as_array(name, weights), a.dtype), a.shape, axes)
        weights = _to_rows(lax.broadcast_to(weights, a.shape), axes, kept)
    out = _row_quantiles(rows, lax.reshape(q, (q.size, 1)), method, weights, skip_nans)
    shape = [1 if i in axes else a.shape[i] for i in range(a.ndim) if keepdims or i in kept]
    return lax.reshape(out, (*q.shape, *shape))


def _to_rows(a: Array, axes: Any, kept: Any) -> Array:
    """The reduced axes as one, in front of the others as one."""
    size = math.prod(a.shape[i] for i in axes)
    rest = math.prod(a.shape[i] for i in kept)
    return lax.reshape(lax.transpose(a, (*axes, *kept)), (size, rest))


def _row_quantiles(x: Array, q: Array, method: str, weights: Any, skip_nans: bool) -> Array:
    """Quantiles over the first of two axes: of shape (number of quantiles, columns)."""
    rows, columns = x.shape
    nan = np.asarray(np.nan, x.dtype)
    if not rows:
        return lax.full((q.size, columns), nan, x.dtype)
    if weights is None:
        out = _of_sorted(lax.sort(x, 0), q, method, skip_nans)
    else:
        if skip_nans:
            weights = lax.select(isnan(x), np.zeros((), x.dtype), weights)
        ordered, weights = lax.sort((x, weights), 0, num_keys=1)
        out = _take(ordered, _weighted_index(weights, q))
    if skip_nans:
        return out
    return lax.select(reductions.any(isnan(x), 0), nan, out)


def _of_sorted(x: Array, q: Array, method: str, skip_nans: bool) -> Array:
    # positions are computed in at least 32 bits: float16 counts to 2048 only
    wide = dtypes.accumulator(x.dtype)
    if skip_nans:  # sorting has put them behind the rest
        elements = reductions.sum(lax.bitwise_not(isnan(x)), 0)
    else:
        elements = np.asarray(x.shape[0])
    last = lax.sub(convert(elements, wide), np.ones((), wide))
    part = convert(q, wide)
    if method == "inverted_cdf":
        position = lax.sub(lax.ceil(lax.mul(part, lax.add(last, 1.0))), 1.0)
    else:
        position = lax.mul(part, last)
    position = lax.max(position, np.zeros((), wide))
    low, high = lax.floor(position), lax.ceil(position)
    if method == "nearest":
        low = high = lax.ceil(lax.sub(position, 0.5))
    lower, upper = _take(x, low), _take(x, high)
    if method in ("lower", "inverted_cdf", "nearest"):
        return lower
    if method == "higher":
        return upper
    if method == "midpoint":
        return lax.mul(lax.add(lower, upper), 0.5)
    weight = convert(lax.sub(position, low), x.dtype)
    between = lax.add(lax.mul(lower, lax.sub(1.0, weight)), lax.mul(upper, weight))
    # an infinite element times a weight of 0 would be NaN
    return lax.select(lax.eq(weight, np.zeros((), x.dtype)), lower, between)


def _weighted_index(weights: Array, q: Array) -> Array:
    """The first places at which the cumulated weights reach the part `q` of their sum."""
    cumulated = lax.cumsum(weights, 0)
    total = lax.index_in_dim(cumulated, -1, 0, keepdims=False)
    reached = lax.expand_dims(lax.mul(q, total), (1,))
    zero = np.zeros((), weights.dtype)
    short = lax.bitwise_or(lax.lt(cumulated, reached), lax.le(cumulated, zero))
    return lax.min(reductions.sum(short, 1), weights.shape[0] - 1)


def _take(x: Array, index: Array) -> Array:
    """Rows of `x` if the index has one column, else an element of each column."""
    index = lax.convert_element_type(index, dtypes.default_int())
    if index.shape[1] == 1:
        return getitem(x, lax.reshape(index, (index.shape[0],)))
    return getitem(x, (index, lax.iota(index.dtype, x.shape[1])))
