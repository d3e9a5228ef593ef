"""What an index `x[...]` means, by NumPy's rules.

An index is brought into a normal form that reading (`numpy.indexing`) and writing
(`numpy.updating`) share: first a *basic* part, of slices only, then an *advanced* part, of integer
arrays for some of the axes that are left. See
https://numpy.org/doc/stable/user/basics.indexing.html for the rules.
"""

import operator
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np

from funcflow import lax
from funcflow.core.array import Array, aval_of
from funcflow.core.aval import Shape
from funcflow.core.errors import (
    ArgumentError,
    AxisError,
    ConcretizationTypeError,
    DtypeError,
    FuncflowError,
    NonConcreteBooleanIndexError,
    OutOfBoundsError,
)
from funcflow.lax.index_check import checked
from funcflow.numpy.arguments import buffer_of, is_known
from funcflow.numpy.creation import array


class Slice(NamedTuple):
    """A slice of one axis: `length` elements from `start`, `step` apart. An int has length 1."""

    start: int
    step: int
    length: int


class BasicIndex(NamedTuple):
    """The static part of an index.

    Attributes:
        operand_shape: the operand's shape; longer than the array's where a scalar boolean was
            given, which indexes a new axis of extent 1.
        slices: one for each axis.
        dropped: axes that were indexed with an integer and so disappear.
    """

    operand_shape: Shape
    slices: tuple[Slice, ...]
    dropped: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """The shape of what the basic part selects."""
        return tuple(s.length for i, s in enumerate(self.slices) if i not in self.dropped)

    @property
    def is_whole(self) -> bool:
        """Whether it selects all elements in their order."""
        pairs = zip(self.slices, self.operand_shape, strict=True)
        return not self.dropped and all(s == (0, 1, extent) for s, extent in pairs)


class AdvancedIndex(NamedTuple):
    """The dynamic part of an index.

    Attributes:
        axes: which axes of the basic part's result are indexed.
        arrays: an integer array for each, none negative; they broadcast against each other.
        shape: the shape that they broadcast to.
        place: where the axes of `shape` come among those of the result (without new axes).
        in_bounds: whether they are known to be in bounds.
    """

    axes: tuple[int, ...]
    arrays: tuple[Any, ...]
    shape: Shape
    place: int
    in_bounds: bool


class ParsedIndex(NamedTuple):
    """An index in normal form, and the shape of its result, new axes included."""

    basic: BasicIndex
    advanced: AdvancedIndex | None
    shape: Shape


# What an entry of an index contributes to the result's axes.
_NEW, _KEPT, _ADVANCED, _GAP = range(4)


def parse_index(shape: Shape, index: Any, mode: Any = None) -> ParsedIndex:
    """The normal form of `index` for an array of the given shape.

    With a `mode`, integers out of bounds are no error: they become arrays, which the mode takes
    care of.

    Raises:
        OutOfBoundsError: an integer, or an array of integers whose values are known, is out of
            bounds; or a mask has another extent than what it masks.
        AxisError: there are more indices than axes, or several ellipses.
        DtypeError: an index is neither an integer nor a boolean, slice, None or Ellipsis.
        NonConcreteBooleanIndexError: a mask is traced.
    """
    entries, operand_shape = _entries(shape, index)
    slices: list[Slice] = []
    dropped: list[int] = []
    arrays: dict[int, Any] = {}
    layout: list[tuple[int, int]] = []
    in_bounds = True
    for entry in entries:
        axis = len(slices)
        if entry is None:
            layout.append((_NEW, 1))
        elif entry is Ellipsis:
            layout.append((_GAP, 0))
        elif isinstance(entry, slice):
            slices.append(_static_slice(entry, operand_shape[axis], axis))
            layout.append((_KEPT, slices[-1].length))
        else:
            extent = operand_shape[axis]
            layout.append((_ADVANCED, 0))
            if type(entry) is int and (mode is None or -extent <= entry < extent):
                slices.append(Slice(_checked_int(entry, extent, axis), 1, 1))
                dropped.append(axis)
            else:
                slices.append(Slice(0, 1, extent))
                in_bounds = in_bounds and mode is None and is_known(entry)
                indices = np.asarray(entry) if type(entry) is int else entry
                arrays[axis - len(dropped)] = from_front(indices, extent, axis, mode)
    basic = BasicIndex(operand_shape, tuple(slices), tuple(dropped))
    if not arrays:
        kept = tuple(extent for kind, extent in layout if kind in (_NEW, _KEPT))
        return ParsedIndex(basic, None, kept)
    common = lax.broadcast_shapes(*[np.shape(x) for x in arrays.values()])
    before, after = _around_advanced(layout)
    place = sum(kind == _KEPT for kind, _ in before)
    advanced = AdvancedIndex(tuple(arrays), tuple(arrays.values()), common, place, in_bounds)
    result = (*(extent for _, extent in before), *common, *(extent for _, extent in after))
    return ParsedIndex(basic, advanced, result)


def _around_advanced(layout: list[tuple[int, int]]) -> tuple[list[Any], list[Any]]:
    """The result's other axes before and after those of the advanced indices.

    Where advanced indices (integers among them) stand side by side, their axes come in their
    place; where something lies between them, in front.
    """
    places = [i for i, (kind, _) in enumerate(layout) if kind == _ADVANCED]
    first, last = places[0], places[-1]
    if last - first + 1 != len(places):
        first = 0
    kept = [(i, item) for i, item in enumerate(layout) if item[0] in (_NEW, _KEPT)]
    before = [item for i, item in kept if i < first]
    return before, [item for i, item in kept if i >= first]


# --- entries --------------------------------------------------------------------------------


def _entries(shape: Shape, index: Any) -> tuple[list[Any], Shape]:
    """The index's entries, one for each axis, besides `None` for new axes and `Ellipsis`.

    An entry is an int, a slice or an integer array. Masks are replaced by the indices where they
    hold, scalar booleans by an index of a new axis, and `Ellipsis` is followed by what it means.
    """
    given = [_entry(item) for item in (index if isinstance(index, tuple) else (index,))]
    if sum(item is Ellipsis for item in given) > 1:
        raise AxisError("index: more than one ellipsis ('...')", mend="write '...' at most once")
    if Ellipsis not in [item for item in given if isinstance(item, EllipsisType)]:
        given.append(Ellipsis)
    taken = sum(map(_axes_taken, given))
    if taken > len(shape):
        raise AxisError(
            f"index: too many indices: {taken} for an array of {len(shape)} dimensions, "
            f"of shape {shape}",
            mend=f"index at most {len(shape)} axes",
        )
    entries: list[Any] = []
    operand_shape: list[int] = []
    remaining = list(shape)
    for item in given:
        if isinstance(item, bool):
            entries.append(np.zeros(int(item), np.int32))
            operand_shape.append(1)
            continue
        axes = len(shape) - taken if item is Ellipsis else _axes_taken(item)
        extents, remaining = remaining[:axes], remaining[axes:]
        operand_shape.extend(extents)
        if item is Ellipsis:
            entries.extend([Ellipsis, *[slice(None)] * axes])
        elif isinstance(item, np.ndarray) and item.dtype == bool:
            _check_mask(item.shape, tuple(extents), len(shape) - len(remaining) - axes)
            entries.extend(np.nonzero(item))
        else:
            entries.append(item)
    return entries, tuple(operand_shape)


def _axes_taken(item: Any) -> int:
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1


def _entry(item: Any) -> Any:
    """An entry as None, Ellipsis, a bool, an int, a slice, or an array; known masks in NumPy."""
    if item is None or item is Ellipsis or isinstance(item, slice | bool):
        return item
    if isinstance(item, int | np.integer):
        return int(item)
    if not isinstance(item, Array | np.ndarray | np.generic):
        item = _as_index_array(item)
    kind = item.dtype.kind
    if kind not in "biu":
        raise DtypeError(
            f"index: indices must be integers or booleans, got {item.dtype.name}"
            f"[{','.join(map(str, item.shape))}]",
            mend="convert the index with .astype(int)",
        )
    if kind == "b" and not is_known(item):
        raise NonConcreteBooleanIndexError(
            f"index: the boolean mask {aval_of(item)} is traced, so the shape of the result is "
            "unknown",
            mend="use fnp.where(mask, x, 0), or fnp.nonzero(mask, size=n)",
        )
    if is_known(item):
        item = buffer_of(item)
        if not item.ndim:
            return item.item()
    return item


def _as_index_array(item: Any) -> Any:
    """A list, or something else that is no array, as an array."""
    try:
        found = array(item)
    except FuncflowError as error:
        raise DtypeError(
            f"index: {item!r} of type {type(item).__name__} is no index",
            mend="use integers, booleans, slices, None, ... or arrays of integers or booleans",
        ) from error
    # an empty list indexes nothing; only by default does it hold floats
    return found if found.size or isinstance(item, Array) else lax.convert_element_type(found, int)


def _check_mask(shape: Shape, extents: Shape, axis: int) -> None:
    if shape != extents:
        raise OutOfBoundsError(
            f"index: a boolean mask of shape {shape} for axes of extents {extents}, "
            f"starting at axis {axis}",
            mend="use a mask of the array's own shape",
        )


def _static_slice(entry: slice, extent: int, axis: int) -> Slice:
    for bound in (entry.start, entry.stop, entry.step):
        if bound is None:
            continue
        if not is_known(bound):
            raise ConcretizationTypeError(
                f"index: the bounds of a slice must be known while tracing, got {bound.aval} "
                f"for axis {axis}",
                mend="use lax.dynamic_slice_in_dim(x, start, size, axis), whose size is static",
            )
        try:
            operator.index(bound)
        except TypeError:
            raise DtypeError(
                f"index: the bounds of a slice must be integers, got {bound!r} for axis {axis}",
                mend="convert the bound with int(...)",
            ) from None
    if entry.step is not None and operator.index(entry.step) == 0:
        raise ArgumentError("index: the step of a slice is 0", mend="use a step other than 0")
    start, stop, step = entry.indices(extent)
    return Slice(start, step, len(range(start, stop, step)))


# --- integers -------------------------------------------------------------------------------


def _checked_int(i: int, extent: int, axis: int) -> int:
    if not -extent <= i < extent:
        raise out_of_bounds(i, extent, axis)
    return i + extent if i < 0 else i


def out_of_bounds(i: int, extent: int, axis: int, function: str = "x[...]") -> OutOfBoundsError:
    """The error for an index that lies outside its axis."""
    bounds = f"use an index from {-extent} to {extent - 1}" if extent else "the axis is empty"
    return OutOfBoundsError(
        f"{function}: index {i} is out of bounds for axis {axis} of extent {extent}",
        mend=f"{bounds}; x.at[i].get(mode='clip' or 'fill') allows others",
    )


def from_front(indices: Any, extent: int, axis: int, mode: Any, function: str = "x[...]") -> Any:
    """Integer indices counted from the front, as int32 or int64.

    Without a mode, which would say what to do about indices out of bounds, known ones are checked,
    and others as far as `debug_indices` is on.
    """
    dtype = np.dtype("int64" if indices.dtype.itemsize == 8 else "int32")
    if not is_known(indices):
        indices = lax.convert_element_type(indices, dtype)
        if mode is None:
            indices = checked(function, indices, extent, axis)
        return lax.select(lax.lt(indices, 0), lax.add(indices, extent), indices)
    values = buffer_of(indices).astype(dtype)
    if mode is None and values.size:
        low, high = int(values.min()), int(values.max())
        if low < -extent or high >= extent:
            raise out_of_bounds(high if high >= extent else low, extent, axis, function)
    return np.where(values < 0, values + np.asarray(extent, dtype), values)
