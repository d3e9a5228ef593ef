"""Windows of an operand at computed places: the addressing of gathers, scatters, dynamic slices.

A window starts at a place that is loaded, so an access to it has an offset: the sum of the places
along the axes of the operand, each times the operand's stride. Inside a window, and along axes that
run with the index vectors, the operand has strides like any other.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from funcflow.backends.families.nest import Access, access
from funcflow.backends.loop_ir import INDEX, Builder, Value
from funcflow.backends.program import View
from funcflow.lax.addressing import Windows


class Start(NamedTuple):
    """Where windows start along one axis of the operand.

    Attributes:
        reach: the last place where a window is inside.
        stride: the operand's stride along the axis.
    """

    reach: int
    stride: int


class Writing(Protocol):
    """What writes a kernel, and its numbers."""

    build: Builder

    def number(self, value: int, /) -> Value:
        """An index that is a parameter of the kernel."""
        ...


def offset_of(
    nest: Writing, starts: Sequence[Start], places: Sequence[Value], clip: bool
) -> tuple[Value | None, Value | None]:
    """The offset of the window here, and whether it is inside; None stands for 0 and for always.

    `places` are those of the starts, here. Windows that are outside are moved inside. If that is
    not what the caller wants (`clip`), it gets told which ones those are; then they may still be
    loaded from.
    """
    build, offset, inside = nest.build, None, None
    for start, index in zip(starts, places, strict=True):
        wanted = _position(build, index)
        lowest, highest = build.const(0, INDEX), nest.number(start.reach)
        place = build.let("min", build.let("max", wanted, lowest), highest)
        if not clip:
            fits = build.let("eq", place, wanted)
            inside = fits if inside is None else build.let("and", inside, fits)
        way = place if start.stride == 1 else build.let("mul", place, nest.number(start.stride))
        offset = way if offset is None else build.let("add", offset, way)
    return offset, inside


def _position(build: Builder, index: Value) -> Value:
    """An index as int64; huge unsigned ones stay out of bounds."""
    if index.dtype == np.uint64:
        index = build.let("min", index, build.const(np.iinfo(np.int64).max, np.uint64))
    return index if index.dtype == INDEX else build.let("convert", index, dtype=INDEX)


class MovingWindows(NamedTuple):
    """The windows of a gather or scatter, on views.

    The axes are those of the index vectors (0, 1, ...), then those of the window, then one for the
    parts of an element if it has any.

    Attributes:
        extents: the extents by axis.
        operand: the operand; the places where windows start are not among its strides.
        starts: where windows start, for each component of an index vector.
        result: the axes of the gathered result, or of the updates, in its order.
        parts: the last axis, if there is one for parts.
        meeting: the axes of the index vectors along which windows may meet.
        moving: the axes of the window along which it is moved.
    """

    extents: dict[int, int]
    operand: Access
    starts: list[Start]
    result: tuple[int, ...]
    parts: tuple[int, ...]
    meeting: tuple[int, ...]
    moving: frozenset[int]


def moving_windows(windows: Windows, operand: View, ndim: int) -> MovingWindows:
    """The windows of an operand of `ndim` dimensions, and maybe one more for elements' parts."""
    batch, rank = len(windows.batch_shape), len(windows.shape)
    parts = (rank,) if len(operand.shape) > ndim else ()
    components = len(windows.moving) - len(windows.batching)
    runs = dict(zip(windows.moving[components:], windows.batching, strict=True))
    runs |= {axis: batch + place for place, axis in enumerate(windows.shown)}
    runs |= dict.fromkeys(range(ndim, ndim + len(parts)), rank)
    shape = (*windows.batch_shape, *windows.window_shape, *operand.shape[ndim:])
    extents = dict(enumerate(shape))
    return MovingWindows(
        extents,
        Access(operand, {a: operand.strides[k] for k, a in runs.items() if extents[a] != 1}),
        [
            Start(windows.reach[number], operand.strides[axis])
            for number, axis in enumerate(windows.moving[:components])
        ],
        (*windows.order, *parts),
        parts,
        tuple(axis for axis in range(batch) if axis not in windows.batching),
        frozenset(runs[axis] for axis in windows.shown if axis in windows.moving),
    )


def components(indices: View) -> list[Access]:
    """The components of index vectors, which lie along the last axis."""
    *shape, count = indices.shape
    *strides, last = indices.strides
    views = (
        View(
            indices.buffer,
            indices.dtype,
            tuple(shape),
            tuple(strides),
            indices.offset + number * last,
        )
        for number in range(count)
    )
    return [access(view, range(len(shape))) for view in views]
