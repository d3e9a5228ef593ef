"""Rearranging arrays: shapes, the order of axes, reversal and rotation."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, AxisError, ShapeError
from funcflow.lax.linear import canonical_axes, canonical_axis
from funcflow.numpy.arguments import (
    at_once,
    broadcasts_to,
    is_known,
    is_sequence,
    normal_axes,
    static_int,
    static_shape,
)
from funcflow.numpy.promotion import as_array

# --- shapes ---------------------------------------------------------------------------------


def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None) -> Array:
    """The same elements with another shape.

    Args:
        a: an array.
        shape: the new shape; one extent may be -1, which stands for what is left.
        order: "C": elements are read and placed with the last axis changing fastest; "F": with
            the first axis changing fastest.
        copy: accepted for NumPy's sake.

    Raises:
        ShapeError: the new shape has another number of elements.

    Example:
        >>> fnp.reshape(fnp.arange(6), (2, -1))
        Array([[0, 1, 2],
               [3, 4, 5]], dtype=int32)
    """
    del copy
    if order == "C":
        out = at_once(np.ndarray.reshape, a, shape)
        if out is not None:
            return out
    a = as_array("reshape", a)
    shape = _completed(a.shape, shape)
    if _order("reshape", order) == "F":
        return _reversed_axes(lax.reshape(_reversed_axes(a), shape[::-1]))
    return lax.reshape(a, shape)


def _completed(shape: tuple[int, ...], wanted: Any) -> tuple[int, ...]:
    """`wanted` with -1 replaced."""
    if not is_sequence(wanted):
        wanted = (wanted,)
    extents = tuple(static_int("reshape", "shape", extent) for extent in wanted)
    if extents.count(-1) > 1:
        raise ShapeError(
            f"reshape: the shape {extents} leaves more than one extent open",
            mend="write -1 at most once",
        )
    if -1 not in extents:
        return extents
    size, rest = math.prod(shape), math.prod(e for e in extents if e != -1)
    if rest == 0 or size % rest:
        raise ShapeError(
            f"reshape: {size} elements (shape {shape}) do not fit into {extents}: "
            f"{size} is no multiple of {rest}",
            mend="choose extents whose product divides the size",
        )
    return tuple(size // rest if e == -1 else e for e in extents)


def _order(function: str, order: str) -> str:
    if order not in ("C", "F", "A", "K"):
        raise ArgumentError(f"{function}: order={order!r}", mend="use 'C' or 'F'")
    return order


def _reversed_axes(a: Array) -> Array:
    return lax.transpose(a, range(a.ndim)[::-1])


def ravel(a: Any, order: str = "C") -> Array:
    """The elements as a vector; see `reshape` for `order`."""
    return reshape(a, (-1,) if np.size(a) else (0,), order)


def squeeze(a: Any, axis: int | Sequence[int] | None = None) -> Array:
    """Drop axes of extent 1: the named ones, or all.

    Raises:
        ShapeError: a named axis has another extent.
    """
    a = as_array("squeeze", a)
    if axis is None:
        return lax.reshape(a, tuple(extent for extent in a.shape if extent != 1))
    return lax.squeeze(a, normal_axes("squeeze", axis))


def expand_dims(a: Any, axis: int | Sequence[int]) -> Array:
    """Insert axes of extent 1 at the given places of the result."""
    out = at_once(np.expand_dims, a, axis)
    if out is not None:
        return out
    a = as_array("expand_dims", a)
    return lax.expand_dims(a, normal_axes("expand_dims", axis))


def broadcast_to(array: Any, shape: Any) -> Array:
    """`array` repeated to `shape`: axes are aligned from the right, extents of 1 grow.

    Raises:
        ShapeError: the array does not fit into the shape.
    """
    array = as_array("broadcast_to", array)
    shape = static_shape("broadcast_to", shape)
    if not broadcasts_to(array.shape, shape):
        raise ShapeError(
            f"broadcast_to: an array of shape {array.shape} does not broadcast to {shape}",
            mend="aligned from the right, each extent must be 1 or the new one",
        )
    return lax.broadcast_to(array, shape)


def broadcast_arrays(*args: Any) -> list[Array]:
    """The arrays, each repeated to their common shape."""
    arrays = [as_array("broadcast_arrays", x) for x in args]
    shape = lax.broadcast_shapes(*[x.shape for x in arrays])
    return [lax.broadcast_to(x, shape) for x in arrays]


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that arrays of the given shapes broadcast to."""
    return lax.broadcast_shapes(*[static_shape("broadcast_shapes", shape) for shape in shapes])


def _at_least(function: str, ndim: int, arys: Sequence[Any]) -> Any:
    arrays = [as_array(function, x) for x in arys]
    grown = [lax.reshape(x, _grown(x.shape, ndim)) for x in arrays]
    return grown[0] if len(grown) == 1 else grown


def _grown(shape: tuple[int, ...], ndim: int) -> tuple[int, ...]:
    if ndim == 3 and len(shape) in (1, 2):  # NumPy's rule: (n,) -> (1, n, 1), (m, n) -> (m, n, 1)
        return (*(1,) * (2 - len(shape)), *shape, 1)
    return (*(1,) * (ndim - len(shape)), *shape)


def atleast_1d(*arys: Any) -> Any:
    """Each array with one or more axes; a list if several are given."""
    return _at_least("atleast_1d", 1, arys)


def atleast_2d(*arys: Any) -> Any:
    """Each array with two or more axes; new ones come first."""
    return _at_least("atleast_2d", 2, arys)


def atleast_3d(*arys: Any) -> Any:
    """Each array with three or more axes; (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1)."""
    return _at_least("atleast_3d", 3, arys)


def shape(a: Any) -> tuple[int, ...]:
    """The extents of the array's axes."""
    return a.shape if hasattr(a, "shape") else as_array("shape", a).shape


def ndim(a: Any) -> int:
    """The number of the array's axes."""
    return len(shape(a))


def size(a: Any, axis: int | Sequence[int] | None = None) -> int:
    """The number of elements, along `axis` or in all."""
    extents = shape(a)
    if axis is None:
        return math.prod(extents)
    axes = canonical_axes(normal_axes("size", axis), len(extents), "size")
    return math.prod(extents[i] for i in axes)


def isscalar(element: Any) -> bool:
    """Whether the argument is a number, or an array of no dimension."""
    return np.isscalar(element) or (isinstance(element, Array | np.ndarray) and not element.ndim)


def iterable(y: Any) -> bool:
    """Whether the argument can be iterated over."""
    return bool(np.iterable(y)) if not isinstance(y, Array) else y.ndim > 0


# --- the order of axes ----------------------------------------------------------------------


def transpose(a: Any, axes: Sequence[int] | None = None) -> Array:
    """Permute the axes: axis `i` of the result is axis `axes[i]` of `a`; reversed by default."""
    out = at_once(np.ndarray.transpose, a, axes)
    if out is not None:
        return out
    a = as_array("transpose", a)
    if axes is None:
        return _reversed_axes(a)
    order = canonical_axes(normal_axes("transpose", axes), a.ndim, "transpose")
    if len(order) != a.ndim:
        raise AxisError(
            f"transpose: axes {tuple(axes)} for an array of {a.ndim} dimensions",
            mend="name each axis once",
        )
    return lax.transpose(a, order)


def permute_dims(a: Any, /, axes: Sequence[int]) -> Array:
    """`transpose`, under its name in the array API standard."""
    return transpose(a, axes)


def matrix_transpose(x: Any, /) -> Array:
    """Swap the last two axes."""
    x = as_array("matrix_transpose", x)
    if x.ndim < 2:
        raise ShapeError(
            f"matrix_transpose: takes matrices, got shape {x.shape}",
            mend="pass an array of 2 or more axes",
        )
    return swapaxes(x, -1, -2)


def moveaxis(a: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Move axes to other places; the others keep their order."""
    a = as_array("moveaxis", a)
    sources = canonical_axes(normal_axes("moveaxis", source), a.ndim, "moveaxis")
    places = canonical_axes(normal_axes("moveaxis", destination), a.ndim, "moveaxis")
    if len(sources) != len(places):
        raise AxisError(
            f"moveaxis: {len(sources)} axes in source, {len(places)} in destination",
            mend="name a destination for each source",
        )
    order = [i for i in range(a.ndim) if i not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        order.insert(place, axis)
    return lax.transpose(a, order)


def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """Exchange two axes."""
    a = as_array("swapaxes", a)
    first = canonical_axis(axis1, a.ndim, "swapaxes")
    second = canonical_axis(axis2, a.ndim, "swapaxes")
    order = list(range(a.ndim))
    order[first], order[second] = second, first
    return lax.transpose(a, order)


def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """Move `axis` in front of axis `start`; `moveaxis` is easier to understand."""
    a = as_array("rollaxis", a)
    axis = canonical_axis(axis, a.ndim, "rollaxis")
    start = canonical_axis(start, a.ndim + 1, "rollaxis") if start >= 0 else start + a.ndim
    return moveaxis(a, axis, start - (start > axis))


# --- reversal and rotation ------------------------------------------------------------------


def flip(m: Any, axis: int | Sequence[int] | None = None) -> Array:
    """The elements in reverse order along the named axes, or all."""
    m = as_array("flip", m)
    axes = range(m.ndim) if axis is None else normal_axes("flip", axis)
    return lax.rev(m, canonical_axes(tuple(axes), m.ndim, "flip"))


def fliplr(m: Any) -> Array:
    """The columns in reverse order."""
    return flip(m, 1)


def flipud(m: Any) -> Array:
    """The rows in reverse order."""
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Array:
    """Rotate by `k` quarter turns in the plane of two axes, from the first to the second."""
    m = as_array("rot90", m)
    first, second = canonical_axes(axes, m.ndim, "rot90")
    turns = static_int("rot90", "k", k) % 4
    if turns == 0:
        return m
    if turns == 2:
        return flip(m, (first, second))
    if turns == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second)


def roll(a: Any, shift: Any, axis: int | Sequence[int] | None = None) -> Array:
    """Shift the elements along axes; what leaves at one end enters at the other.

    Args:
        a: an array.
        shift: by how many places, for each of the axes; may be traced.
        axis: the axes; by default the array is rolled as a vector.
    """
    a = as_array("roll", a)
    if axis is None:
        return lax.reshape(roll(lax.reshape(a, (a.size,)), shift, 0), a.shape)
    axes = normal_axes("roll", axis)
    shifts = [shift[i] for i in range(len(shift))] if is_sequence(shift) else [shift]
    if len(shifts) == 1:
        shifts = [*shifts] * len(axes)
    elif len(axes) == 1:
        axes = axes * len(shifts)
    if len(shifts) != len(axes):
        raise ArgumentError(
            f"roll: {len(shifts)} shifts for {len(axes)} axes", mend="give one shift for each axis"
        )
    for places, i in zip(shifts, axes, strict=True):
        a = _rolled(a, places, canonical_axis(i, a.ndim, "roll"))
    return a


def _rolled(a: Array, shift: Any, axis: int) -> Array:
    extent = a.shape[axis]
    if not extent:
        return a
    if not is_known(shift):
        start = lax.rem(lax.neg(as_array("roll", shift)), extent)
        start = lax.select(lax.lt(start, 0), lax.add(start, extent), start)
        return lax.dynamic_slice_in_dim(lax.concatenate([a, a], axis), start, extent, axis)
    places = static_int("roll", "shift", shift) % extent
    if not places:
        return a
    head = lax.slice_in_dim(a, 0, extent - places, axis=axis)
    return lax.concatenate([lax.slice_in_dim(a, extent - places, extent, axis=axis), head], axis)
