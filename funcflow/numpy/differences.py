"""Differences of neighbours, and what they approximate: derivatives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.dtypes import is_inexact
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axes, canonical_axis
from funcflow.numpy.arguments import cast, is_sequence, normal_axes, static_int
from funcflow.numpy.joining import concatenate
from funcflow.numpy.manipulation import ravel
from funcflow.numpy.promotion import as_array, inexact, promote


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """The n-th differences of neighbours along an axis; for booleans, whether they differ.

    Args:
        a: an array of at least one axis.
        n: how many times to take differences.
        axis: the axis, which becomes shorter by `n`.
        prepend: values to put before `a` along the axis; a number stands for a slice of them.
        append: values to put after it.

    Example:
        >>> fnp.diff(fnp.array([1, 4, 9]))
        Array([3, 5], dtype=int32)
    """
    a = as_array("diff", a)
    if not a.ndim:
        raise ShapeError("diff: the array has no axis", mend="pass an array of 1 or more axes")
    n = static_int("diff", "n", n)
    if n < 0:
        raise ArgumentError(f"diff: n is {n}", mend="take differences at least 0 times")
    if n == 0:
        return a
    axis = canonical_axis(axis, a.ndim, "diff")
    ends = [None if x is None else _slab(x, a, axis) for x in (prepend, append)]
    parts = [part for part in (ends[0], a, ends[1]) if part is not None]
    a = concatenate(parts, axis)
    for _ in range(min(n, a.shape[axis])):
        upper = lax.slice_in_dim(a, 1, None, axis=axis)
        lower = lax.slice_in_dim(a, 0, max(a.shape[axis] - 1, 0), axis=axis)
        a = lax.ne(upper, lower) if a.dtype == np.bool_ else lax.sub(upper, lower)
    return a


def _slab(values: Any, a: Array, axis: int) -> Array:
    values = as_array("diff", values)
    if values.ndim:
        return values
    return lax.broadcast_to(values, tuple(1 if i == axis else e for i, e in enumerate(a.shape)))


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """The differences of neighbours in the raveled array, between `to_begin` and `to_end`."""
    vector = ravel(ary)
    parts = [diff(vector)]
    if to_begin is not None:
        parts.insert(0, ravel(to_begin))
    if to_end is not None:
        parts.append(ravel(to_end))
    return concatenate([lax.convert_element_type(part, vector.dtype) for part in parts])


def gradient(
    f: Any,
    *varargs: Any,
    axis: int | Sequence[int] | None = None,
    edge_order: int | None = None,
) -> Any:
    """The derivatives of sampled values, by central differences inside and one-sided at the ends.

    Args:
        f: samples.
        varargs: the distance of samples (1 by default): one number for all axes, or for each
            axis a number or a vector of coordinates.
        axis: the axes to differentiate along; all by default.
        edge_order: 1 or 2, the order of accuracy at the ends.

    Returns:
        An array of the samples' shape, or a list with one for each axis.
    """
    f = as_array("gradient", inexact("gradient", f))
    axes = range(f.ndim) if axis is None else normal_axes("gradient", axis)
    axes = canonical_axes(tuple(axes), f.ndim, "gradient")
    order = 1 if edge_order is None else edge_order
    if order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order={edge_order}", mend="use 1 or 2")
    spacings = list(varargs) or [1.0]
    if len(spacings) == 1 and not is_sequence(spacings[0]):
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(
            f"gradient: {len(spacings)} spacings for {len(axes)} axes",
            mend="pass one number, or one spacing for each axis",
        )
    out = [_derivative(f, h, i, order) for h, i in zip(spacings, axes, strict=True)]
    return out[0] if len(out) == 1 else out


def _derivative(f: Array, spacing: Any, axis: int, order: int) -> Array:
    extent = f.shape[axis]
    if extent < order + 1:
        raise ShapeError(
            f"gradient: axis {axis} has {extent} samples; edge_order {order} needs {order + 1}",
            mend="pass more samples",
        )
    spacing = as_array("gradient", inexact("gradient", spacing))
    f, spacing = promote("gradient", f, spacing)
    if spacing.ndim == 0:
        steps = lax.full((extent - 1,), spacing)
    elif spacing.shape == (extent,):
        steps = diff(spacing)
    else:
        raise ShapeError(
            f"gradient: coordinates of shape {spacing.shape} for an axis of extent {extent}",
            mend="pass one coordinate for each sample",
        )
    steps = lax.reshape(steps, tuple(extent - 1 if i == axis else 1 for i in range(f.ndim)))
    slopes = lax.div(diff(f, axis=axis), lax.convert_element_type(steps, f.dtype))
    count = extent - 1
    left, right = _part(steps, axis, 0, count - 1), _part(steps, axis, 1, count)
    # the parabola through three neighbours: slopes weighted with the opposite steps
    inner = _weighted(_part(slopes, axis, 0, count - 1), _part(slopes, axis, 1, count), right, left)
    first, last = _part(slopes, axis, 0, 1), _part(slopes, axis, count - 1, count)
    if order == 2:
        h0, h1 = _part(steps, axis, 0, 1), _part(steps, axis, 1, 2)
        first = _extrapolated(first, _part(slopes, axis, 1, 2), h0, h1)
        h0, h1 = _part(steps, axis, count - 1, count), _part(steps, axis, count - 2, count - 1)
        last = _extrapolated(last, _part(slopes, axis, count - 2, count - 1), h0, h1)
    return lax.concatenate([first, inner, last], axis)


def _part(x: Array, axis: int, start: int, stop: int) -> Array:
    return lax.slice_in_dim(x, start, stop, axis=axis)


def _weighted(x: Array, y: Array, a: Array, b: Array) -> Array:
    """The mean of `x` and `y` with weights `a` and `b`."""
    return lax.div(lax.add(lax.mul(a, x), lax.mul(b, y)), lax.add(a, b))


def _extrapolated(x: Array, y: Array, h0: Array, h1: Array) -> Array:
    """The slope at the end, from the slopes of the last two intervals, of lengths h0 and h1."""
    return lax.add(x, lax.mul(lax.sub(x, y), lax.div(h0, lax.add(h0, h1))))


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """The integral of samples along an axis by the trapezoidal rule.

    Args:
        y: samples.
        x: their coordinates: a vector, or an array like `y`; `dx` apart by default.
        dx: the distance of samples.
        axis: the axis.
    """
    y = as_array("trapezoid", inexact("trapezoid", y))
    axis = canonical_axis(axis, y.ndim, "trapezoid")
    if x is None:
        steps = as_array("trapezoid", inexact("trapezoid", dx))
    else:
        coordinates = as_array("trapezoid", inexact("trapezoid", x))
        if coordinates.ndim == 1:
            shape = tuple(coordinates.size if i == axis else 1 for i in range(y.ndim))
            steps = diff(lax.reshape(coordinates, shape), axis=axis)
        else:
            steps = diff(coordinates, axis=axis)
    y, steps = promote("trapezoid", y, steps)
    extent = y.shape[axis]
    means = lax.mul(lax.add(_part(y, axis, 1, extent), _part(y, axis, 0, extent - 1)), 0.5)
    areas = lax.mul(means, steps)
    return lax.reduce_sum(areas, (axis,))


def unwrap(p: Any, discont: Any = None, axis: int = -1, period: Any = 2 * np.pi) -> Array:
    """Angles without jumps: neighbours that differ by more than half a period are brought closer.

    Args:
        p: angles.
        discont: the least difference that counts as a jump; half a period at least.
        axis: the axis along which the angles follow each other.
        period: by how much to shift, or a multiple of it.
    """
    p, period = (as_array("unwrap", x) for x in promote("unwrap", p, period))
    p = lax.convert_element_type(p, p.dtype)
    axis = canonical_axis(axis, p.ndim, "unwrap")
    if not p.shape[axis]:
        return p
    step = diff(p, axis=axis)
    integral = not is_inexact(p.dtype)
    half = lax.div(period, 2)
    low = lax.neg(half)
    ambiguous = lax.eq(lax.rem(period, 2), 0) if integral else lax.full((), True)
    moved = lax.add(_modulo(lax.sub(step, low), period), low)
    # a step of exactly half a period keeps its sign
    edge = lax.bitwise_and(lax.eq(moved, low), lax.gt(step, 0))
    moved = lax.select(lax.bitwise_and(edge, ambiguous), half, moved)
    limit = half if discont is None else cast("unwrap", discont, p.dtype)
    correction = lax.select(lax.lt(lax.abs(step), limit), 0, lax.sub(moved, step))
    first = lax.slice_in_dim(p, 0, 1, axis=axis)
    rest = lax.slice_in_dim(p, 1, None, axis=axis)
    return lax.concatenate([first, lax.add(rest, lax.cumsum(correction, axis))], axis)


def _modulo(x: Array, period: Array) -> Array:
    remainder = lax.rem(x, period)
    return lax.select(lax.lt(remainder, 0), lax.add(remainder, period), remainder)
