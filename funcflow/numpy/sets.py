"""Arrays as sets: distinct elements, union, intersection, difference.

How many elements a result has depends on values; where they are traced, `size` has to say it.
"""

from typing import Any, NamedTuple

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.dtypes import is_inexact
from funcflow.core.errors import ArgumentError, ConcretizationTypeError
from funcflow.lax.linear import canonical_axis
from funcflow.lax.shape import moveaxis
from funcflow.numpy.arguments import cast, index_dtype, is_known, static_int
from funcflow.numpy.creation import zeros
from funcflow.numpy.joining import concatenate
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.nonzero import nonzero
from funcflow.numpy.promotion import as_array, promote
from funcflow.numpy.selection import take
from funcflow.numpy.sorting import searchsorted, sort
from funcflow.numpy.updating import IndexUpdateRef


class _Groups(NamedTuple):
    """Sorted rows with equal ones side by side.

    Attributes:
        rows: the rows, sorted.
        origin: where each came from.
        first: whether it differs from the one before.
    """

    rows: Array
    origin: Array
    first: Array


def _grouped(rows: Array, equal_nan: bool) -> _Groups:
    """Sort the rows of a matrix (or the elements of a vector)."""
    count = rows.shape[0]
    places = lax.iota(index_dtype(), count)
    columns = [rows] if rows.ndim == 1 else list(lax.unstack(rows, 1))
    if not columns or not count:
        return _Groups(rows, places, lax.lt(places, min(count, 1)))
    *columns, origin = lax.sort((*columns, places), 0, num_keys=len(columns))
    differs = lax.full((max(count - 1, 0),), False)
    for column in columns:
        upper, lower = lax.slice_in_dim(column, 1, count), lax.slice_in_dim(column, 0, count - 1)
        changed = lax.ne(upper, lower)
        if equal_nan and is_inexact(column.dtype):
            both_nan = lax.bitwise_and(lax.ne(upper, upper), lax.ne(lower, lower))
            changed = lax.bitwise_and(changed, lax.bitwise_not(both_nan))
        differs = lax.bitwise_or(differs, changed)
    first = lax.concatenate([lax.full((1,), True), differs], 0)
    found = columns[0] if rows.ndim == 1 else lax.stack(columns, 1)
    return _Groups(found, origin, first)


def _size(function: str, size: Any, *arrays: Array) -> int | None:
    """`size`, which is needed if an array is traced."""
    if size is not None:
        return static_int(function, "size", size)
    for x in arrays:
        if not is_known(x):
            raise ConcretizationTypeError(
                f"{function}: the array {x.aval} is traced, so the number of results is unknown",
                mend=f"say how many there are: fnp.{function}(..., size=n, fill_value=...)",
            )
    return None


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements, sorted.

    Args:
        ar: an array.
        return_index: also return where each is found first.
        return_inverse: also return, for each element of `ar`, its number among the distinct ones.
        return_counts: also return how often each is found.
        axis: look for distinct slices along this axis instead of elements.
        equal_nan: whether NaNs are equal to each other.
        size: the number of results: too many are left out, missing ones filled in. Needed if the
            array is traced.
        fill_value: what to fill in: by default the first result.
        sorted: accepted for NumPy's sake.

    Returns:
        The distinct elements, or a tuple of them and what else was asked for.

    Example:
        >>> fnp.unique(fnp.array([3, 1, 3]), return_counts=True)
        (Array([1, 3], dtype=int32), Array([1, 2], dtype=int32))
    """
    del sorted
    ar = as_array("unique", ar)
    size = _size("unique", size, ar)
    if axis is None:
        rows, rest = ravel(ar), ()
        axis = 0
        inverse_shape = ar.shape
    else:
        axis = canonical_axis(axis, ar.ndim, "unique")
        rows = moveaxis(ar, axis, 0)
        rest = rows.shape[1:]
        rows = lax.reshape(rows, (rows.shape[0], -1 if not rest else int(np.prod(rest))))
        inverse_shape = (ar.shape[axis],)
    count = rows.shape[0]
    if not count and size and fill_value is None:
        raise ArgumentError(
            "unique: the array is empty, so there is no element to fill up with",
            mend="pass fill_value",
        )
    groups = _grouped(rows, equal_nan)
    (starts,) = nonzero(groups.first, size=size, fill_value=count)
    present = lax.lt(starts, count)
    values = _taken(groups.rows, starts, present, fill_value)
    values = moveaxis(lax.reshape(values, (starts.size, *rest)), 0, axis)
    out = [values]
    rank = lax.sub(lax.cumsum(lax.convert_element_type(groups.first, index_dtype()), 0), 1)
    if return_index:
        out.append(_taken(groups.origin, starts, present, None))
    if return_inverse:
        inverse = IndexUpdateRef(zeros(count, index_dtype()), groups.origin).set(
            rank, mode="promise_in_bounds", unique_indices=True
        )
        out.append(lax.reshape(inverse, inverse_shape))
    if return_counts:
        none = zeros(starts.size, index_dtype())
        out.append(IndexUpdateRef(none, rank).add(1, mode="drop"))
    return out[0] if len(out) == 1 else tuple(out)


def _taken(rows: Array, places: Array, present: Array, fill_value: Any) -> Array:
    """The rows at `places`; where none is present, `fill_value`, or the first row."""
    if not places.size:
        return lax.full((0, *rows.shape[1:]), 0, rows.dtype)
    present = lax.reshape(present, (places.size, *(1,) * (rows.ndim - 1)))
    if not rows.shape[0]:
        return lax.full((places.size, *rows.shape[1:]), fill_value, rows.dtype)
    found = take(rows, places, 0, mode="clip")
    if fill_value is None:
        fill = lax.slice_in_dim(found, 0, 1)
    else:
        fill = cast("unique", fill_value, rows.dtype)
    return lax.select(present, found, fill)


class UniqueAllResult(NamedTuple):
    """What `unique_all` returns."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCountsResult(NamedTuple):
    """What `unique_counts` returns."""

    values: Array
    counts: Array


class UniqueInverseResult(NamedTuple):
    """What `unique_inverse` returns."""

    values: Array
    inverse_indices: Array


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAllResult:
    """`unique` with all it can return; NaNs are distinct."""
    out = unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueAllResult(*out)


def unique_counts(
    x: Any, /, *, size: int | None = None, fill_value: Any = None
) -> UniqueCountsResult:
    """`unique` with the counts; NaNs are distinct."""
    out = unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueCountsResult(*out)


def unique_inverse(
    x: Any, /, *, size: int | None = None, fill_value: Any = None
) -> UniqueInverseResult:
    """`unique` with the numbers of the elements; NaNs are distinct."""
    out = unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value)
    return UniqueInverseResult(*out)


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Array:
    """`unique`; NaNs are distinct."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# --- two sets -------------------------------------------------------------------------------


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Array:
    """Whether each element is among the test elements; with `invert`, whether it is not."""
    del assume_unique, method
    element, tests = promote("isin", element, test_elements)
    element, tests = as_array("isin", element), ravel(tests)
    if not tests.size:
        return lax.full(element.shape, invert)
    tests = sort(tests)
    near = take(tests, searchsorted(tests, element), mode="clip")
    return lax.ne(near, element) if invert else lax.eq(near, element)


def _pair(function: str, ar1: Any, ar2: Any, size: Any) -> tuple[Array, Array, int | None]:
    first, second = (ravel(x) for x in promote(function, ar1, ar2))
    return first, second, _size(function, size, first, second)


def _chosen(groups: _Groups, keep: Array, size: int | None, fill_value: Any) -> Any:
    """Of each group that is kept the first element, and where it came from."""
    count = groups.origin.size
    (starts,) = nonzero(lax.bitwise_and(groups.first, keep), size=size, fill_value=count)
    present = lax.lt(starts, count)
    if not count and fill_value is None:
        fill_value = 0
    return _taken(groups.rows, starts, present, fill_value), starts, present


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The distinct elements of two arrays, sorted; see `unique` for `size`."""
    first, second, size = _pair("union1d", ar1, ar2, size)
    return unique(concatenate([first, second]), size=size, fill_value=fill_value)


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements that both arrays have, sorted; see `unique` for `size`.

    With `return_indices` also where each is found first in the first and in the second array.
    """
    del assume_unique
    first, second, size = _pair("intersect1d", ar1, ar2, size)
    groups, others = _grouped(first, False), _grouped(second, False)
    values, starts, present = _chosen(groups, isin(groups.rows, second), size, fill_value)
    if not return_indices:
        return values
    if not first.size or not second.size:
        none = lax.full(starts.shape, 0, index_dtype())
        return values, none, none
    ours = lax.select(present, take(groups.origin, starts, mode="clip"), first.size)
    places = take(others.origin, searchsorted(others.rows, values), mode="clip")
    return values, ours, lax.select(present, places, second.size)


def setdiff1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Array:
    """The distinct elements of the first array that the second has not, sorted.

    Missing results are filled with `fill_value` (0).
    """
    del assume_unique
    first, second, size = _pair("setdiff1d", ar1, ar2, size)
    groups = _grouped(first, True)
    keep = isin(groups.rows, second, invert=True)
    return _chosen(groups, keep, size, 0 if fill_value is None else fill_value)[0]


def setxor1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Array:
    """The distinct elements that only one of the arrays has, sorted; see `unique` for `size`."""
    del assume_unique
    first, second, size = _pair("setxor1d", ar1, ar2, size)
    groups = _grouped(concatenate([first, second]), True)
    keep = lax.ne(isin(groups.rows, first), isin(groups.rows, second))
    # NaN is in no set, so one that only one array has is told by its absence from both
    return _chosen(groups, lax.bitwise_or(keep, _is_nan(groups.rows)), size, fill_value)[0]


def _is_nan(x: Array) -> Array:
    return lax.ne(x, x)
