"""Repeating, inserting and deleting elements."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array, aval_of
from funcflow.core.errors import ArgumentError, ConcretizationTypeError, ShapeError
from funcflow.lax.linear import canonical_axes, canonical_axis
from funcflow.lax.shape import moveaxis
from funcflow.numpy.arguments import (
    broadcasts_to,
    buffer_of,
    index_dtype,
    is_known,
    is_sequence,
    known,
    normal_axes,
    static_int,
    static_shape,
)
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.nonzero import nonzero
from funcflow.numpy.promotion import as_array
from funcflow.numpy.selection import take
from funcflow.numpy.sorting import searchsorted


def repeat(
    a: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None
) -> Array:
    """Each element several times in a row.

    Args:
        a: an array.
        repeats: how many times: one number, or one for each index of the axis.
        axis: the axis; None repeats the elements of the raveled array.
        total_repeat_length: the extent of the result along the axis, needed if `repeats` is
            traced. What is too much is left out; the last element fills up what is missing.

    Example:
        >>> fnp.repeat(fnp.array([1, 2]), fnp.array([3, 1]))
        Array([1, 1, 1, 2], dtype=int32)
    """
    a = as_array("repeat", a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim, "repeat")
    extent = a.shape[axis]
    counts = repeats if isinstance(repeats, Array) else np.asarray(repeats)
    if counts.ndim > 1 or (counts.ndim == 1 and len(counts) not in (1, extent)):
        raise ShapeError(
            f"repeat: repeats of shape {counts.shape} for an axis of extent {extent}",
            mend="pass one number, or one for each index",
        )
    if is_known(counts):
        places = _repeated(buffer_of(counts), extent)
        if total_repeat_length is None:
            if counts.size == 1:
                return _each_repeated(a, axis, int(buffer_of(counts).item()))
            return take(a, places, axis)
        total = static_int("repeat", "total_repeat_length", total_repeat_length)
        filled = np.pad(places[:total], (0, max(0, total - len(places))), mode="edge")
        return take(a, filled, axis)
    if total_repeat_length is None:
        raise ConcretizationTypeError(
            f"repeat: repeats {aval_of(counts)} are traced, so the length of the result is unknown",
            mend="fnp.repeat(x, repeats, total_repeat_length=n)",
        )
    total = static_int("repeat", "total_repeat_length", total_repeat_length)
    ends = lax.cumsum(lax.broadcast_to(counts, (extent,)), 0)
    places = searchsorted(ends, lax.iota(ends.dtype, total), "right")
    return take(a, places, axis, mode="clip")


def _repeated(counts: Any, extent: int) -> Any:
    if counts.dtype.kind not in "iub" or (counts < 0).any():
        raise ArgumentError(
            f"repeat: repeats must be integers of at least 0, got {counts}", mend="see fnp.tile"
        )
    return np.repeat(np.arange(extent, dtype=index_dtype()), counts)


def _each_repeated(a: Array, axis: int, count: int) -> Array:
    shape = a.shape
    spread = lax.expand_dims(a, (axis + 1,))
    spread = lax.broadcast_to(spread, (*shape[: axis + 1], count, *shape[axis + 1 :]))
    return lax.reshape(spread, (*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))


def resize(a: Any, new_shape: Any) -> Array:
    """The elements in row-major order, repeated or cut off to fill a new shape."""
    vector, shape = ravel(a), static_shape("resize", new_shape)
    size = int(np.prod(shape, dtype=int))
    if not vector.size:
        return lax.full(shape, 0, vector.dtype)
    tiled = lax.tile(vector, (max(-(-size // vector.size), 1),))
    return lax.reshape(lax.slice_in_dim(tiled, 0, size), shape)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    """Put values before the given indices of an axis.

    Args:
        arr: an array.
        obj: an integer, which may be traced; or a slice, integers or a mask, which must be known.
        values: what to insert; broadcast along the other axes.
        axis: the axis; None inserts into the raveled array.

    Example:
        >>> fnp.insert(fnp.array([1, 2]), 1, 9)
        Array([1, 9, 2], dtype=int32)
    """
    arr, values = as_array("insert", arr), as_array("insert", values)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = canonical_axis(axis, arr.ndim, "insert")
    extent = arr.shape[axis]
    values = lax.convert_element_type(values, arr.dtype)
    values = lax.reshape(values, (*(1,) * (arr.ndim - values.ndim), *values.shape))
    if not is_sequence(obj) and not isinstance(obj, slice):
        values = moveaxis(values, 0, axis)  # NumPy's way for a single index
    if isinstance(obj, Array) and not is_known(obj):
        if obj.ndim:
            raise ConcretizationTypeError(
                f"insert: several traced indices {obj.aval}", mend="pass known indices"
            )
        source = _insertion_point(obj, extent, values.shape[axis])
        count = values.shape[axis]
    else:
        places, single = _places("insert", obj, extent, extent + 1)
        if single:
            places = np.repeat(places, values.shape[axis])
        count = len(places)
        source = _insertion_order(places, extent)
    shape = tuple(count if i == axis else e for i, e in enumerate(arr.shape))
    values = _broadcast_values(values, shape)
    return take(lax.concatenate([arr, values], axis), source, axis, mode="clip")


def _broadcast_values(values: Array, shape: tuple[int, ...]) -> Array:
    if not broadcasts_to(values.shape, shape):
        raise ShapeError(
            f"insert: values of shape {values.shape} do not broadcast to {shape}",
            mend="pass one value for each place",
        )
    return lax.broadcast_to(values, shape)


def _insertion_point(index: Array, extent: int, count: int) -> Array:
    """Where each element of the result comes from, with `count` values put in at a traced index."""
    index = lax.convert_element_type(index, index_dtype())
    index = lax.clamp(0, lax.select(lax.lt(index, 0), lax.add(index, extent), index), extent)
    position = lax.iota(index_dtype(), extent + count)
    after = lax.ge(position, lax.add(index, count))
    new = lax.add(lax.sub(position, index), extent)
    old = lax.select(after, lax.sub(position, count), position)
    return lax.select(lax.bitwise_and(lax.ge(position, index), lax.bitwise_not(after)), new, old)


def _insertion_order(places: Any, extent: int) -> Any:
    """The same for known indices: NumPy inserts equal indices in their order."""
    order = np.argsort(places, kind="stable")
    targets = np.empty(len(places), int)
    targets[order] = places[order] + np.arange(len(places))
    source = np.full(extent + len(places), -1)
    source[targets] = extent + np.arange(len(places))
    source[source < 0] = np.arange(extent)
    return source.astype(index_dtype())


def _places(function: str, obj: Any, extent: int, bound: int) -> tuple[Any, bool]:
    """Known indices counted from the front, and whether a single integer was given."""
    if isinstance(obj, slice):
        return np.arange(extent)[obj], False
    given = buffer_of(obj) if isinstance(known(obj), Array) else np.asarray(obj)
    if given.dtype == bool:
        return np.flatnonzero(given), False
    if not given.size:
        given = given.astype(int)
    if given.dtype.kind not in "iu":
        raise ArgumentError(
            f"{function}: indices must be integers, got {obj!r}", mend="convert them to int"
        )
    places = given.ravel().astype(int)
    for bad in places[(places < -extent) | (places >= bound)][:1]:
        raise ArgumentError(
            f"{function}: index {bad} is out of bounds for an axis of extent {extent}",
            mend=f"use indices from {-extent} to {bound - 1}",
        )
    return np.where(places < 0, places + extent, places), given.ndim == 0


def delete(
    arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False
) -> Array:
    """Leave out the elements at the given indices of an axis.

    Args:
        arr: an array.
        obj: an integer, which may be traced; or a slice, integers or a mask, which must be known.
        axis: the axis; None deletes from the raveled array.
        assume_unique_indices: promises that no index is named twice; then integers may be traced.
    """
    arr = as_array("delete", arr)
    if axis is None:
        arr, axis = ravel(arr), 0
    axis = canonical_axis(axis, arr.ndim, "delete")
    extent = arr.shape[axis]
    if isinstance(obj, Array) and not is_known(obj):
        if obj.ndim and not assume_unique_indices:
            raise ConcretizationTypeError(
                f"delete: the indices {obj.aval} are traced, so the result's length is unknown",
                mend="promise that none is named twice: assume_unique_indices=True",
            )
        obj = lax.convert_element_type(lax.reshape(obj, (obj.size, 1)), index_dtype())
        obj = lax.select(lax.lt(obj, 0), lax.add(obj, extent), obj)
        hit = lax.eq(obj, lax.broadcasted_iota(index_dtype(), (obj.size, extent), 1))
        kept = lax.bitwise_not(lax.reduce_or(hit, (0,)))
        return take(arr, nonzero(kept, size=extent - obj.size)[0], axis, mode="clip")
    keep = np.ones(extent, bool)
    keep[_places("delete", obj, extent, extent)[0]] = False
    return take(arr, np.flatnonzero(keep).astype(index_dtype()), axis)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Array:
    """Leave out the zeros at the front ("f" in `trim`) and at the back ("b").

    The values must be known. Of an array with several axes, slices of zeros are left out along
    `axis`, or all axes.
    """
    filt = as_array("trim_zeros", filt)
    if not is_known(filt):
        raise ConcretizationTypeError(
            f"trim_zeros: the array {filt.aval} is traced, so the length of the result is unknown",
            mend="trim outside of the traced function",
        )
    found = np.argwhere(buffer_of(filt))
    axes = range(filt.ndim) if axis is None else normal_axes("trim_zeros", axis)
    starts, limits = [0] * filt.ndim, list(filt.shape)
    for i in canonical_axes(tuple(axes), filt.ndim, "trim_zeros"):
        low, high = (found[:, i].min(), found[:, i].max() + 1) if len(found) else (0, 0)
        if "f" in trim.lower() or not len(found):
            starts[i] = int(low)
        if "b" in trim.lower() or not len(found):
            limits[i] = int(high)
    return lax.slice(filt, starts, limits)


def packbits(a: Any, axis: int | None = None, bitorder: str = "big") -> Array:
    """Groups of eight truth values as the bits of `uint8` numbers; the last group is filled up.

    Args:
        a: integers or booleans, of which those that are not zero are bits that are set.
        axis: the axis to pack along; None packs the raveled array.
        bitorder: "big": the first of a group is the highest bit; "little": the lowest.
    """
    a = as_array("packbits", a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim, "packbits")
    shape = a.shape
    groups = -(-shape[axis] // 8)
    bits = lax.convert_element_type(lax.ne(a, 0) if a.dtype != np.bool_ else a, "uint8")
    missing = [(0, groups * 8 - e if i == axis else 0, 0) for i, e in enumerate(shape)]
    bits = lax.pad(bits, np.uint8(0), missing)
    bits = lax.reshape(bits, (*shape[:axis], groups, 8, *shape[axis + 1 :]))
    weights = as_array("packbits", _weights(bitorder).reshape(8, *(1,) * (a.ndim - axis - 1)))
    return lax.reduce_sum(lax.mul(bits, weights), (axis + 1,))


def unpackbits(
    a: Any, axis: int | None = None, count: int | None = None, bitorder: str = "big"
) -> Array:
    """The bits of `uint8` numbers as numbers 0 and 1; `count` limits or extends how many."""
    a = as_array("unpackbits", a)
    if axis is None:
        a, axis = ravel(a), 0
    axis = canonical_axis(axis, a.ndim, "unpackbits")
    if a.dtype != np.uint8:
        raise ArgumentError(f"unpackbits: takes uint8, got {a.aval}", mend="convert the array")
    weights = as_array("unpackbits", _weights(bitorder).reshape(8, *(1,) * (a.ndim - axis - 1)))
    bits = lax.ne(lax.bitwise_and(lax.expand_dims(a, (axis + 1,)), weights), 0)
    bits = lax.collapse(lax.convert_element_type(bits, "uint8"), axis, axis + 2)
    if count is None:
        return bits
    extent = bits.shape[axis]
    wanted = count if count >= 0 else extent + count
    change = [(0, wanted - extent if i == axis else 0, 0) for i in range(bits.ndim)]
    return lax.pad(bits, np.uint8(0), change)


def _weights(bitorder: str) -> Any:
    if bitorder not in ("big", "little"):
        raise ArgumentError(f"bitorder={bitorder!r}", mend="use 'big' or 'little'")
    powers = (1 << np.arange(8)).astype(np.uint8)
    return powers[::-1] if bitorder == "big" else powers
