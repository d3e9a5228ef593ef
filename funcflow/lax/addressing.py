"""How `gather` and `scatter` address their operand: windows at computed places.

A gather reads, for each index vector, one window of the operand; a scatter writes the same
windows. The dimension numbers of the two say the same thing with other words, so one description
serves both: for each index vector ("batch" axes: all axes of the indices but the last) there is a
window (one axis for each axis of the operand that is neither collapsed nor a batching axis), and
`offset_dims` says where the window's axes are among those of the gathered result, or of the
updates.

See https://openxla.org/xla/operation_semantics#gather for the semantics.
"""

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import Shape
from funcflow.core.errors import DtypeError, ShapeError
from funcflow.lax.dimension_numbers import (
    Dims,
    GatherDimensionNumbers,
    ScatterDimensionNumbers,
    to_gather,
)


class Windows(NamedTuple):
    """Windows of an operand, worked out from shapes and dimension numbers."""

    batch_shape: Shape
    # the axes of the operand along which windows move, and how far they can
    moving: Dims
    reach: tuple[int, ...]
    # of those, the first are moved by the index vectors, the others with these axes of the batch
    batching: Dims
    # the axes of the operand that windows show, and the windows' extents along them
    shown: Dims
    window_shape: Shape
    # the shape of the gathered result (the updates), and where batch and window axes are in it
    shape: Shape
    order: Dims
    inverse: Dims

    def starts(self, xp: Any, indices: Any, clip: bool) -> tuple[tuple[Any, ...], Any]:
        """Where the windows start along `moving`, moved inside; and which of them were inside.

        The latter is None if windows are clipped, or if all of them are inside.
        """
        indices = _as_positions(xp, indices)
        starts, inside = [], None
        for component, reach in enumerate(self.reach[: len(self.moving) - len(self.batching)]):
            wanted = indices[..., component]
            start = xp.asarray(xp.minimum(xp.maximum(wanted, 0), reach))
            starts.append(start)
            if not clip:
                fits = xp.asarray(start == wanted)
                inside = fits if inside is None else inside & fits
        for axis in self.batching:
            aligned = [1] * len(self.batch_shape)
            aligned[axis] = self.batch_shape[axis]
            lanes = xp.arange(self.batch_shape[axis]).reshape(aligned)
            starts.append(xp.broadcast_to(lanes, self.batch_shape))
        if not starts:  # windows that don't move: let them move along an axis of extent 1
            starts.append(xp.zeros(self.batch_shape, xp.intp))
        return tuple(starts), None if inside is None or inside.all() else inside

    def view(self, xp: Any, x: Any, starts: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """All windows of the operand, and how to index those that start at `starts`.

        The view's first axes are for the place, the others are the window's.
        """
        places = [reach + 1 for reach in self.reach] or [1]
        steps = [x.strides[axis] for axis in self.moving] or [0]
        if len(starts) > 1 and x.flags.c_contiguous:
            # one index instead of several: NumPy is much faster with that
            width = x.dtype.itemsize
            strides = [step // width for step in steps]
            starts = (sum(map(operator.mul, starts, strides)),)
            last = sum(map(operator.mul, self.reach, strides))
            places, steps = [max(last + 1, 0)], [width]
        view = xp.lib.stride_tricks.as_strided(
            x,
            (*places, *self.window_shape),
            (*steps, *(x.strides[axis] for axis in self.shown)),
        )
        return view, starts


def _as_positions(xp: Any, indices: Any) -> Any:
    """Indices as signed integers of the machine's width; huge unsigned ones stay out of bounds."""
    if indices.dtype == "uint64":
        indices = xp.minimum(indices, xp.iinfo(xp.int64).max)
    return indices.astype(xp.intp)


def check_indices(name: str, indices: Any) -> None:
    """Refuse index arrays that are not integers."""
    if not dtypes.is_integer(indices.dtype):
        raise DtypeError(
            f"{name}: indices must be integers, got {aval_of(indices)}",
            mend="convert them with .astype('int32')",
        )


@lru_cache(maxsize=4096)
def gather_windows(
    operand: Shape, indices: Shape, dims: GatherDimensionNumbers, sizes: Shape
) -> Windows:
    """The windows that a gather reads; raises where the dimension numbers make no sense."""
    _check_dims("gather", GatherDimensionNumbers._fields, operand, indices, dims)
    if len(sizes) != len(operand) or not _fits(sizes, operand, dims.operand_batching_dims):
        raise ShapeError(
            f"gather: slice_sizes {sizes} for an operand of shape {operand}",
            mend="give one size for each axis, from 0 to the axis' extent",
        )
    hidden = (*dims.collapsed_slice_dims, *dims.operand_batching_dims)
    if any(sizes[axis] != 1 for axis in hidden):
        raise ShapeError(
            f"gather: slice_sizes {sizes} must be 1 at collapsed_slice_dims "
            f"{dims.collapsed_slice_dims} and operand_batching_dims {dims.operand_batching_dims}",
            mend="make these sizes 1, or keep the axes as offset_dims",
        )
    return _windows(operand, indices, dims, sizes)


@lru_cache(maxsize=4096)
def scatter_windows(
    name: str, operand: Shape, indices: Shape, updates: Shape, dims: ScatterDimensionNumbers
) -> Windows:
    """The windows that a scatter writes; raises where the dimension numbers make no sense."""
    _check_dims(name, ScatterDimensionNumbers._fields, operand, indices, to_gather(dims))
    batch = indices[:-1]
    if len(updates) != len(batch) + len(dims.update_window_dims):
        raise ShapeError(
            f"{name}: updates of shape {updates} must have {len(batch)} axes for the indices of "
            f"shape {indices} and {len(dims.update_window_dims)} update_window_dims",
            mend="give the updates these axes",
        )
    given = tuple(e for i, e in enumerate(updates) if i not in dims.update_window_dims)
    if given != batch:
        raise ShapeError(
            f"{name}: updates of shape {updates} have extents {given} for index vectors of shape "
            f"{batch}",
            mend="give the updates one window for each index vector",
        )
    sizes = window_sizes(operand, updates, dims)
    if not _fits(sizes, operand, dims.operand_batching_dims):
        raise ShapeError(
            f"{name}: the updates' windows of shape {sizes} are larger than the operand of shape "
            f"{operand}",
            mend="make the windows fit into the operand",
        )
    return _windows(operand, indices, to_gather(dims), sizes)


def window_sizes(operand: Shape, updates: Shape, dims: ScatterDimensionNumbers) -> Shape:
    """The extents of a scatter's windows along each axis of the operand."""
    hidden = (*dims.inserted_window_dims, *dims.operand_batching_dims)
    shown = iter(dims.update_window_dims)
    return tuple(1 if i in hidden else updates[next(shown)] for i in range(len(operand)))


def _windows(operand: Shape, indices: Shape, dims: GatherDimensionNumbers, sizes: Shape) -> Windows:
    batch = indices[:-1]
    hidden = (*dims.collapsed_slice_dims, *dims.operand_batching_dims)
    shown = tuple(i for i in range(len(operand)) if i not in hidden)
    window = tuple(sizes[i] for i in shown)
    moving = (*dims.start_index_map, *dims.operand_batching_dims)
    # the i-th axis of the result is the order[i]-th of (batch axes, window axes)
    batch_axes, window_axes = (
        iter(range(len(batch))),
        iter(range(len(batch), len(batch) + len(window))),
    )
    order = tuple(
        next(window_axes) if i in dims.offset_dims else next(batch_axes)
        for i in range(len(batch) + len(window))
    )
    return Windows(
        batch_shape=batch,
        moving=moving,
        reach=tuple(operand[i] - sizes[i] for i in moving),
        batching=dims.start_indices_batching_dims,
        shown=shown,
        window_shape=window,
        shape=tuple((*batch, *window)[i] for i in order),
        order=order,
        inverse=tuple(sorted(range(len(order)), key=order.__getitem__)),
    )


def _check_dims(
    name: str,
    fields: tuple[str, ...],
    operand: Shape,
    indices: Shape,
    dims: GatherDimensionNumbers,
) -> None:
    """What the dimension numbers of gathers and scatters must fulfil alike."""
    offset, collapsed, index_map, operand_batching, indices_batching = fields

    def require(holds: bool, what: str) -> None:
        if not holds:
            described = ", ".join(f"{f}={v}" for f, v in zip(fields, dims, strict=True))
            raise ShapeError(
                f"{name}: {what}; got {described} for an operand of shape {operand} and indices "
                f"of shape {indices}",
                mend="see the docstrings of ff.lax.GatherDimensionNumbers and "
                "ff.lax.ScatterDimensionNumbers",
            )

    require(bool(indices), "the indices must have an axis, the last, for the index vectors")
    ndim, batch = len(operand), indices[:-1]
    hidden = (*dims.collapsed_slice_dims, *dims.operand_batching_dims)
    rank = len(batch) + len(dims.offset_dims)
    require(_increasing(dims.offset_dims, rank), f"{offset} must be increasing axes of {rank}")
    require(
        _increasing(dims.collapsed_slice_dims, ndim)
        and _increasing(dims.operand_batching_dims, ndim)
        and len(set(hidden)) == len(hidden),
        f"{collapsed} and {operand_batching} must be increasing axes of the operand, each in one",
    )
    require(
        len(dims.offset_dims) + len(hidden) == ndim,
        f"each axis of the operand must be one of {offset}, {collapsed} or {operand_batching}",
    )
    moving = (*dims.start_index_map, *dims.operand_batching_dims)
    require(
        len(dims.start_index_map) == indices[-1] and _distinct(moving, ndim),
        f"{index_map} must name one axis of the operand, none of {operand_batching}, for each "
        "component of an index vector",
    )
    require(
        _distinct(dims.start_indices_batching_dims, len(batch))
        and [operand[i] for i in dims.operand_batching_dims]
        == [indices[i] for i in dims.start_indices_batching_dims],
        f"{operand_batching} and {indices_batching} must be axes of the same extents, the latter "
        "not the indices' last",
    )


def _fits(sizes: Shape, operand: Shape, batching: Dims) -> bool:
    """Whether windows fit into the operand; a batching axis fits even if it has no lanes."""
    return all(
        0 <= size <= extent or axis in batching
        for axis, (size, extent) in enumerate(zip(sizes, operand, strict=True))
    )


def _distinct(axes: Sequence[int], ndim: int) -> bool:
    return len(set(axes)) == len(axes) and all(0 <= axis < ndim for axis in axes)


def _increasing(axes: Sequence[int], ndim: int) -> bool:
    return _distinct(axes, ndim) and list(axes) == sorted(axes)
