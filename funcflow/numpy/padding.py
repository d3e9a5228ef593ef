"""`pad`, in all of NumPy's modes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.arguments import cast, is_sequence, static, static_int
from funcflow.numpy.averages import mean
from funcflow.numpy.promotion import as_array
from funcflow.numpy.quantiles import median
from funcflow.numpy.ranges import linspace
from funcflow.numpy.reductions import max as maximum_of
from funcflow.numpy.reductions import min as minimum_of
from funcflow.numpy.selection import take
from funcflow.numpy.vectorizing import apply_along_axis

Width = tuple[int, int]

# The keyword that each mode takes, and its default.
_OPTIONS: dict[str, dict[str, Any]] = {
    "constant": {"constant_values": 0},
    "edge": {},
    "empty": {},
    "linear_ramp": {"end_values": 0},
    "maximum": {"stat_length": None},
    "mean": {"stat_length": None},
    "median": {"stat_length": None},
    "minimum": {"stat_length": None},
    "reflect": {"reflect_type": "even"},
    "symmetric": {"reflect_type": "even"},
    "wrap": {},
}


def pad(
    array: Any, pad_width: Any, mode: str | Callable[..., Any] = "constant", **kwargs: Any
) -> Array:
    """Put values around an array.

    Args:
        array: an array.
        pad_width: how many values to put before and after: one number, a pair, a pair for each
            axis, or a dictionary from axes to pairs.
        mode: what to put there:
            "constant": `constant_values` (0);
            "edge": the nearest element;
            "linear_ramp": values from the edge to `end_values` (0);
            "maximum", "mean", "median", "minimum": of the `stat_length` nearest elements (all);
            "reflect", "symmetric": the mirror image, without and with the edge itself; with
            `reflect_type="odd"` mirrored about the edge's value as well;
            "wrap": the array again;
            "empty": values that do not matter;
            or a function `f(vector, (before, after), axis, kwargs)`, which returns the vector
            with its ends replaced.
        kwargs: what the mode takes.

    Example:
        >>> fnp.pad(fnp.array([1, 2, 3]), (1, 2), mode="reflect")
        Array([2, 1, 2, 3, 2, 1], dtype=int32)
    """
    x = as_array("pad", array)
    widths = _widths(x.ndim, pad_width)
    if callable(mode):
        return _pad_by_function(x, widths, mode, kwargs)
    if mode not in _OPTIONS:
        raise ArgumentError(f"pad: mode={mode!r}", mend=f"use one of {', '.join(_OPTIONS)}")
    options = _OPTIONS[mode]
    if not kwargs.keys() <= options.keys():
        raise ArgumentError(
            f"pad: mode {mode!r} does not take {', '.join(kwargs.keys() - options.keys())}",
            mend=f"it takes {', '.join(options) or 'no options'}",
        )
    options = {**options, **kwargs}
    if mode in ("constant", "empty"):
        return _pad_constant(x, widths, options.get("constant_values", 0))
    if mode == "linear_ramp":
        ends = _pairs(x.ndim, options["end_values"])
        return _each_axis(x, widths, lambda y, i: _ramps(y, i, widths[i], ends[i]))
    if "stat_length" in options:
        lengths = _pairs(x.ndim, options["stat_length"])
        statistic = _STATISTICS[mode]
        return _each_axis(
            x, widths, lambda y, i: _statistics(y, i, widths[i], lengths[i], statistic)
        )
    odd = options.get("reflect_type", "even") == "odd"
    return _each_axis(x, widths, lambda y, i: _mapped(y, i, widths[i], mode, odd))


def _widths(ndim: int, pad_width: Any) -> list[Width]:
    if isinstance(pad_width, dict):
        by_axis: list[Any] = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            by_axis[axis] = width if is_sequence(width) else (width, width)
        pad_width = by_axis
    if isinstance(pad_width, Array):
        pad_width = static("pad", "pad_width", pad_width)
    pairs = [
        (static_int("pad", "pad_width", low), static_int("pad", "pad_width", high))
        for low, high in _pairs(ndim, pad_width)
    ]
    if any(low < 0 or high < 0 for low, high in pairs):
        raise ArgumentError(
            f"pad: the pad_width {pairs} is negative", mend="use slices to drop elements"
        )
    return pairs


def _pairs(ndim: int, values: Any) -> list[tuple[Any, Any]]:
    """One pair for each axis from a number, (number,), a pair, or pairs."""
    if not is_sequence(values):
        return [(values, values)] * ndim
    items = [values[i] for i in range(len(values))]
    if not is_sequence(items[0]):
        if len(items) > 2:
            raise ShapeError(
                f"pad: {len(items)} values where one, two, or a pair for each axis is expected",
                mend="pass ((before, after), ...)",
            )
        return [(items[0], items[-1])] * ndim
    pairs = [(item[0], item[len(item) - 1]) for item in items]
    if len(pairs) == 1:
        pairs = pairs * ndim
    if len(pairs) != ndim:
        raise ShapeError(
            f"pad: {len(pairs)} pairs for an array of {ndim} axes", mend="pass one for each axis"
        )
    return pairs


def _each_axis(x: Array, widths: Sequence[Width], extend: Callable[[Array, int], Array]) -> Array:
    """Extend one axis after the other, so that corners are made from edges."""
    for axis, width in enumerate(widths):
        if any(width):
            if not x.shape[axis]:
                raise ShapeError(
                    f"pad: axis {axis} is empty, so there is nothing to continue",
                    mend="use mode='constant'",
                )
            x = extend(x, axis)
    return x


def _between(before: Array, x: Array, after: Array, axis: int) -> Array:
    parts = [part for part in (before, x, after) if part.shape[axis]]
    return lax.concatenate([lax.convert_element_type(part, x.dtype) for part in parts], axis)


def _pad_constant(x: Array, widths: Sequence[Width], constant_values: Any) -> Array:
    if not is_sequence(constant_values):
        value = cast("pad", constant_values, x.dtype)
        return lax.pad(x, value, [(low, high, 0) for low, high in widths])
    values = _pairs(x.ndim, constant_values)
    for axis, (width, pair) in enumerate(zip(widths, values, strict=True)):
        before, after = (
            lax.full(_resized(x, axis, size), value, x.dtype)
            for size, value in zip(width, pair, strict=True)
        )
        if any(width):
            x = _between(before, x, after, axis)
    return x


def _resized(x: Array, axis: int, extent: int) -> tuple[int, ...]:
    return (*x.shape[:axis], extent, *x.shape[axis + 1 :])


def _ramps(x: Array, axis: int, width: Width, ends: tuple[Any, Any]) -> Array:
    sides = []
    for size, end, place in zip(width, ends, (0, x.shape[axis] - 1), strict=True):
        edge = lax.index_in_dim(x, place, axis, keepdims=False)
        end = as_array("pad", end)
        ramp = linspace(end, edge, size, endpoint=False, dtype=x.dtype, axis=axis)
        sides.append(ramp if place == 0 and not sides else lax.rev(ramp, (axis,)))
    return _between(sides[0], x, sides[1], axis)


def _statistics(
    x: Array,
    axis: int,
    width: Width,
    lengths: tuple[Any, Any],
    statistic: Callable[..., Array],
) -> Array:
    extent = x.shape[axis]
    sides = []
    for side, (size, length) in enumerate(zip(width, lengths, strict=True)):
        count = extent if length is None else min(static_int("pad", "stat_length", length), extent)
        if count < 1:
            raise ArgumentError("pad: stat_length is 0", mend="use a length of at least 1")
        start = 0 if side == 0 else extent - count
        near = lax.slice_in_dim(x, start, start + count, axis=axis)
        value = statistic(near, axis=axis, keepdims=True)
        if not dtypes.is_inexact(x.dtype) and dtypes.is_inexact(value.dtype):
            value = lax.round(value, lax.RoundingMethod.TO_NEAREST_EVEN)
        sides.append(lax.broadcast_to(value, _resized(x, axis, size)))
    return _between(sides[0], x, sides[1], axis)


_STATISTICS: dict[str, Callable[..., Array]] = {
    "maximum": maximum_of,
    "minimum": minimum_of,
    "mean": mean,
    "median": median,
}


def _mapped(x: Array, axis: int, width: Width, mode: Any, odd: bool) -> Array:
    """The modes whose values are elements of the array: take them by their indices."""
    extent = x.shape[axis]
    source = np.pad(np.arange(extent), width, mode=mode)
    out = take(x, source.astype(np.int32), axis)
    if not odd or extent == 1:
        return out
    # mirrored about a point: each crossing of an edge turns the sign and adds twice the edge
    period = extent - 1 if mode == "reflect" else extent
    position = np.arange(-width[0], extent + width[1])
    crossings = position // period
    turned = crossings % 2 != 0
    first = np.where(turned, 1 - crossings, -crossings)
    last = np.where(turned, crossings + 1, crossings)

    def along(values: Any) -> Array:
        shape = tuple(len(position) if i == axis else 1 for i in range(x.ndim))
        return as_array("pad", np.asarray(values).reshape(shape).astype(x.dtype))

    low = lax.index_in_dim(x, 0, axis)
    high = lax.index_in_dim(x, extent - 1, axis)
    signed = lax.mul(along(np.where(turned, -1, 1)), out)
    return lax.add(signed, lax.add(lax.mul(along(first), low), lax.mul(along(last), high)))


def _pad_by_function(
    x: Array, widths: Sequence[Width], function: Callable[..., Any], kwargs: dict[str, Any]
) -> Array:
    padded = _pad_constant(x, widths, 0)
    for axis, width in enumerate(widths):
        padded = apply_along_axis(
            lambda vector, width=width, axis=axis: function(vector, width, axis, kwargs),
            axis,
            padded,
        )
    return padded
