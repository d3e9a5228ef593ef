"""Sorting, and searching in what is sorted. NaN is greater than everything."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, wrap
from funcflow.core.eager import is_eager
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.lax.sorting_impl import stable_order
from funcflow.numpy.arguments import (
    at_once,
    buffer_of,
    index_dtype,
    is_known,
    static_int,
    to_arrays,
)
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.promotion import as_array, promote
from funcflow.numpy.selection import take


def _sorted_axis(function: str, a: Any, axis: int | None, order: Any) -> tuple[Array, int]:
    """The array and the axis to sort along."""
    if order is not None:
        raise ArgumentError(
            f"{function}: order={order!r} is for structured arrays", mend="leave it out"
        )
    a = as_array(function, a)
    if axis is None:
        a, axis = ravel(a), 0
    return a, canonical_axis(axis, a.ndim, function)


def sort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
) -> Array:
    """The elements in increasing order along an axis.

    Args:
        a: an array; complex numbers are sorted by real part, then imaginary part.
        axis: the axis; None sorts the raveled array.
        kind: not used.
        order: not supported.
        stable: whether equal elements keep their order (-0.0 and 0.0 are equal).
        descending: put the greatest first.

    Example:
        >>> fnp.sort(fnp.array([3.0, fnp.nan, 1.0]))
        Array([ 1.,  3., nan], dtype=float32)
    """
    del kind
    a, axis = _sorted_axis("sort", a, axis, order)
    out = lax.sort(a, axis, stable)
    return lax.rev(out, (axis,)) if descending else out


def argsort(
    a: Any,
    axis: int | None = -1,
    *,
    kind: None = None,
    order: None = None,
    stable: bool = True,
    descending: bool = False,
    dtype: Any = None,
) -> Array:
    """The indices that sort the array along an axis; see `sort`.

    Example:
        >>> fnp.argsort(fnp.array([30, 10, 20]))
        Array([1, 2, 0], dtype=int32)
    """
    del kind
    a, axis = _sorted_axis("argsort", a, axis, order)
    target = index_dtype() if dtype is None else dtypes.as_dtype(dtype)
    if not descending:
        order_ = at_once(_stable_argsort, a, axis, kinds="biuf")
        if order_ is not None:
            return lax.convert_element_type(order_, target)
    places = lax.broadcasted_iota(target, a.shape, axis)
    if descending:  # sorted backward, so that equal elements keep their order when turned around
        a, places = lax.rev(a, (axis,)), lax.rev(places, (axis,))
    _, found = lax.sort((a, places), axis, stable)
    return lax.rev(found, (axis,)) if descending else found


def _stable_argsort(x: Any, axis: int) -> Any:
    return stable_order(np, x, axis)


def lexsort(keys: Any, axis: int = -1) -> Array:
    """The indices that sort by several keys; the last one counts most.

    Args:
        keys: a sequence of arrays of one shape, or the rows of one array.
        axis: the axis to sort along.
    """
    arrays = to_arrays("lexsort", keys)
    if not arrays:
        raise ArgumentError("lexsort: needs at least one key", mend="pass one or more")
    if not arrays[0].ndim:
        return lax.full((), 0, index_dtype())
    axis = canonical_axis(axis, arrays[0].ndim, "lexsort")
    places = lax.broadcasted_iota(index_dtype(), arrays[0].shape, axis)
    return lax.sort((*arrays[::-1], places), axis, num_keys=len(arrays))[-1]


def _check_kth(function: str, a: Array, kth: Any, axis: int) -> None:
    kth, extent = static_int(function, "kth", kth), a.shape[axis]
    if not -extent <= kth < extent:
        raise ArgumentError(
            f"{function}: kth={kth} is out of range for an axis of extent {extent}",
            mend=f"use a number from {-extent} to {extent - 1}",
        )


def partition(a: Any, kth: int, axis: int = -1) -> Array:
    """The elements along an axis, of which the first `kth` are at most, the others at least the
    one at `kth`. They are in fact sorted.
    """  # noqa: D205
    a, axis = _sorted_axis("partition", a, axis, None)
    _check_kth("partition", a, kth, axis)
    return sort(a, axis)


def argpartition(a: Any, kth: int, axis: int = -1) -> Array:
    """The indices that partition the array along an axis; see `partition`."""
    a, axis = _sorted_axis("argpartition", a, axis, None)
    _check_kth("argpartition", a, kth, axis)
    return argsort(a, axis)


def sort_complex(a: Any) -> Array:
    """The elements as complex numbers, sorted along the last axis."""
    out = sort(as_array("sort_complex", a))
    return lax.convert_element_type(out, dtypes.promote((out.dtype, False), _COMPLEX)[0])


_COMPLEX = (np.dtype("complex64"), False)


# --- searching ------------------------------------------------------------------------------


def searchsorted(
    a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan"
) -> Array:
    """Where the values `v` have to be put into the sorted vector `a` to keep it sorted.

    Args:
        a: a vector in increasing order; or, with `sorter`, one that `a[sorter]` sorts.
        v: values, of any shape.
        side: "left": before elements that are equal; "right": after them.
        sorter: the indices that sort `a`.
        method: accepted for JAX's sake; it is a binary search.

    Returns:
        Indices from 0 to `len(a)`, of `v`'s shape.
    """
    del method
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side={side!r}", mend="use 'left' or 'right'")
    a, v = (as_array("searchsorted", x) for x in promote("searchsorted", a, v))
    if a.ndim != 1:
        raise ShapeError(
            f"searchsorted: a must be a vector, got shape {a.shape}", mend="ravel and sort it"
        )
    if sorter is not None:
        a = take(a, sorter)
    if is_eager(a) and is_eager(v) and a.dtype != dtypes.bfloat16:
        found = np.searchsorted(a._value, v._value, side)
        return wrap(np.asarray(found, index_dtype()))
    return _binary_search(a, v, side)


def _binary_search(a: Array, v: Array, side: str) -> Array:
    low = lax.full(v.shape, 0, index_dtype())
    high = lax.full(v.shape, len(a), index_dtype())
    for _ in range(len(a).bit_length()):
        middle = lax.div(lax.add(low, high), 2)
        element = take(a, middle, mode="clip")
        after = _precedes(element, v) if side == "left" else lax.bitwise_not(_precedes(v, element))
        after = lax.bitwise_and(after, lax.lt(low, high))
        low = lax.select(after, lax.add(middle, 1), low)
        high = lax.select(after, high, middle)
    return low


def _precedes(x: Array, y: Array) -> Array:
    """Whether `x` comes before `y` in the order of `sort`."""
    if dtypes.is_complex(x.dtype):
        first, second = _precedes(lax.real(x), lax.real(y)), _precedes(lax.real(y), lax.real(x))
        tie = lax.bitwise_not(lax.bitwise_or(first, second))
        return lax.bitwise_or(first, lax.bitwise_and(tie, _precedes(lax.imag(x), lax.imag(y))))
    if dtypes.is_float(x.dtype):
        only_y = lax.bitwise_and(lax.ne(y, y), lax.eq(x, x))
        return lax.bitwise_or(lax.lt(x, y), only_y)
    return lax.lt(x, y)


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Array:
    """For each value the number of the bin it falls into.

    Args:
        x: values.
        bins: the bins' edges, increasing or decreasing.
        right: whether a bin includes its right edge instead of its left one.
        method: accepted for JAX's sake.

    Returns:
        0 below the first edge, `len(bins)` above the last.
    """
    del method
    x, bins = as_array("digitize", x), as_array("digitize", bins)
    if bins.ndim != 1:
        raise ShapeError(
            f"digitize: bins must be a vector, got shape {bins.shape}", mend="ravel it"
        )
    if not len(bins):
        return lax.full(x.shape, 0, index_dtype())
    side = "left" if right else "right"
    first, last = (lax.index_in_dim(bins, i, keepdims=False) for i in (0, len(bins) - 1))
    increasing = lax.ge(last, first)
    if is_known(increasing):
        if buffer_of(increasing):
            return searchsorted(bins, x, side)
        return lax.sub(len(bins), searchsorted(lax.rev(bins, (0,)), x, side))
    backward = lax.sub(len(bins), searchsorted(lax.rev(bins, (0,)), x, side))
    return lax.select(increasing, searchsorted(bins, x, side), backward)
