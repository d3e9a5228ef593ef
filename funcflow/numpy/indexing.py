"""Reading elements: `x[index]`, and what `x.at[index].get()` adds to it."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array, ConcreteArray, wrap
from funcflow.core.trace import EVAL, current_trace
from funcflow.lax.dynamic import element_at
from funcflow.numpy.arguments import is_known
from funcflow.numpy.index_parsing import (
    AdvancedIndex,
    BasicIndex,
    ParsedIndex,
    out_of_bounds,
    parse_index,
)

_get_trace = current_trace.get


def getitem(x: Array, index: Any) -> Array:
    """`x[index]`, with all of NumPy's indexing.

    Integers, slices, None, Ellipsis, integer arrays and boolean masks mean what they mean in
    NumPy. Traced integers may be used as indices; where they are out of bounds they are clipped.

    Raises:
        OutOfBoundsError: an index whose value is known is out of bounds.
        NonConcreteBooleanIndexError: a mask is traced.

    Example:
        >>> x = fnp.arange(12).reshape(3, 4)
        >>> x[1:, fnp.array([0, -1])]
        Array([[ 4,  7],
               [ 8, 11]], dtype=int32)
    """
    if isinstance(x, ConcreteArray) and _get_trace() is EVAL:
        buffer = x._value
        try:
            if type(index) is int:
                return type(x)(buffer[index, ...])  # with `...`, NumPy gives an array, no scalar
            if type(index) is slice:
                return type(x)(buffer[index])
            return wrap(buffer[plain_index(index)], x.weak_type)
        except (IndexError, TypeError, ValueError):
            pass  # the general way says better what is wrong
    return read(x, parse_index(x.shape, index))


def plain_index(index: Any) -> Any:
    """An index as NumPy takes it."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))
    return index._value if isinstance(index, ConcreteArray) else index


def read(
    x: Array,
    index: ParsedIndex,
    *,
    mode: Any = None,
    fill_value: Any = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
) -> Array:
    """The elements of `x` that a parsed index selects."""
    part = take_slices(x, index.basic)
    advanced = index.advanced
    if advanced is None:
        return lax.reshape(part, index.shape)
    if 0 in index.shape:
        return lax.full(index.shape, 0, x.dtype)
    for axis in advanced.axes:
        if not part.shape[axis]:
            raise out_of_bounds(0, 0, axis)
    mode = default_mode(advanced, mode, "clip")
    sizes = tuple(1 if i in advanced.axes else extent for i, extent in enumerate(part.shape))
    if not advanced.shape and mode in ("clip", "promise_in_bounds"):
        return lax.reshape(element_at(part, advanced.axes, advanced.arrays), index.shape)
    out = lax.gather(
        part,
        index_vectors(advanced),
        lax.GatherDimensionNumbers(window_axes(advanced, part.ndim), advanced.axes, advanced.axes),
        sizes,
        mode=mode,
        fill_value=fill_value,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
    )
    return lax.reshape(out, index.shape)


def take_slices(x: Array, basic: BasicIndex) -> Array:
    """What the basic part of an index selects."""
    x = lax.reshape(x, basic.operand_shape)
    if basic.is_whole:
        return x
    starts = [first_of(s) for s in basic.slices]
    limits = [end_of(s) for s in basic.slices]
    x = lax.slice(x, starts, limits, [abs(s.step) for s in basic.slices])
    x = lax.rev(x, backward_axes(basic))
    return lax.reshape(x, basic.shape)


def first_of(s: Any) -> int:
    """The lowest index of a slice, which is not where a backward slice starts."""
    if not s.length:
        return 0
    return s.start if s.step > 0 else s.start + (s.length - 1) * s.step


def end_of(s: Any) -> int:
    """The end of a slice: one more than its highest index."""
    return first_of(s) + (s.length - 1) * abs(s.step) + 1 if s.length else 0


def backward_axes(basic: BasicIndex) -> list[int]:
    """The axes whose slices run backward."""
    return [i for i, s in enumerate(basic.slices) if s.step < 0 and s.length > 1]


def index_vectors(advanced: AdvancedIndex) -> Any:
    """The integer arrays as one array whose last axis holds an index for each indexed axis."""
    arrays = advanced.arrays
    dtype = np.result_type(*[x.dtype for x in arrays])
    if all(map(is_known, arrays)):
        spread = [np.broadcast_to(x, advanced.shape).astype(dtype) for x in arrays]
        return wrap(np.stack(spread, -1))
    spread = [lax.broadcast_to(lax.convert_element_type(x, dtype), advanced.shape) for x in arrays]
    last = len(advanced.shape)
    return lax.concatenate([lax.expand_dims(x, (last,)) for x in spread], last)


def window_axes(advanced: AdvancedIndex, operand_ndim: int) -> tuple[int, ...]:
    """The axes of the result that do not belong to the integer arrays."""
    rest = operand_ndim - len(advanced.axes)
    place, width = advanced.place, len(advanced.shape)
    return (*range(place), *range(place + width, rest + width))


def default_mode(advanced: AdvancedIndex, mode: Any, otherwise: str) -> Any:
    """The mode of a gather or scatter, where the caller has not asked for one."""
    if mode is not None:
        return mode
    return "promise_in_bounds" if advanced.in_bounds else otherwise
