"""Slices that start at computed places; the start is moved inside where a slice would stick out."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, is_undefined
from funcflow.core.errors import DtypeError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import lt, select
from funcflow.lax.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
)
from funcflow.lax.forms import add, check_same_dtypes, same_dtype
from funcflow.lax.index_check import checked, checking
from funcflow.lax.indexing import gather_p
from funcflow.lax.joining import stack, unstack
from funcflow.lax.linear import canonical_axis, linear_jvp
from funcflow.lax.scattering import scatter_p
from funcflow.lax.shape import expand_dims, moveaxis, squeeze, zeros
from funcflow.lax.slicing import jointly_linear_jvp

# What `gather` and `scatter` call the way dynamic slices treat their starts.
_CLIP = {"mode": GatherScatterMode.CLIP, "unique_indices": True, "indices_are_sorted": True}


def _canonical_starts(
    function: str,
    starts: Any,
    shape: Shape,
    sizes: Sequence[int],
    allow_negative: bool | Sequence[bool],
) -> list[Any]:
    """Start indices as scalar arrays; negative ones, where allowed, counted from the end."""
    starts = list(unstack(starts) if hasattr(starts, "dtype") else starts)
    if len(starts) != len(shape):
        raise ShapeError(
            f"{function}: {len(starts)} start indices for an operand of {len(shape)} dimensions",
            mend="give one start index for each axis",
        )
    if isinstance(allow_negative, bool):
        allow_negative = [allow_negative] * len(shape)
    if checking.get() and len(sizes) == len(shape):
        starts = [
            checked(function, start, extent, axis, size=sizes[axis], from_end=allow_negative[axis])
            for axis, (start, extent) in enumerate(zip(starts, shape, strict=True))
        ]
    return [
        _canonical_start(function, start, extent, allowed)
        for start, extent, allowed in zip(starts, shape, allow_negative, strict=True)
    ]


def _canonical_start(function: str, start: Any, extent: int, allow_negative: bool) -> Any:
    if type(start) is int:
        if start < 0 and allow_negative:
            start += extent
        return np.asarray(start, np.int32 if abs(start) < 2**31 else np.int64)
    aval = aval_of(start)
    _check_start(function, aval)
    if allow_negative and aval.dtype.kind == "i":
        if aval.dtype.itemsize < 4:  # the extent may not fit into the index' dtype
            start = convert_element_type(start, np.int32)
        start = select(lt(start, 0), add(start, extent), start)
    return start


def _check_start(function: str, aval: ShapedArray) -> None:
    if aval.shape or not dtypes.is_integer(aval.dtype):
        raise DtypeError(
            f"{function}: start indices must be integer scalars, got {aval}",
            mend="pass one integer for each axis",
        )


def _clamped(starts: Sequence[Any], sizes: Shape, shape: Shape) -> tuple[slice, ...]:
    """The slices of the operand that are meant, moved inside."""
    first = [
        min(max(int(start), 0), extent - size)
        for start, size, extent in zip(starts, sizes, shape, strict=True)
    ]
    return tuple(slice(start, start + size) for start, size in zip(first, sizes, strict=True))


def _index_vectors(
    ctx: Any, starts: Sequence[Any], dims: Sequence[int | None]
) -> tuple[Any, int | None]:
    """Start indices, of which some may be mapped, as one array of index vectors."""
    wide = any(aval_of(start).dtype.itemsize == 8 for start in starts)
    starts = [convert_element_type(start, np.int64 if wide else np.int32) for start in starts]
    if all(d is None for d in dims):
        return stack(starts), None
    return stack([ctx.to_front(x, d) for x, d in zip(starts, dims, strict=True)], 1), 0


# --- dynamic_slice --------------------------------------------------------------------------

dynamic_slice_p = Primitive("dynamic_slice")


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Sequence[int],
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """A slice of static size that starts at a computed place.

    Args:
        operand: an array.
        start_indices: for each axis an integer scalar; or a vector of integers. A slice that
            would stick out of the operand is moved inside.
        slice_sizes: the extents of the slice.
        allow_negative_indices: whether negative indices count from the end (for all axes, or one
            entry per axis).

    Returns:
        An array of the operand's dtype and of shape `slice_sizes`.

    Raises:
        ShapeError: there is not one start and one size for each axis, or a size is larger than
            the operand.
        DtypeError: a start index is no integer scalar.

    Example:
        >>> ff.lax.dynamic_slice(fnp.arange(5), (4,), (2,))
        Array([3, 4], dtype=int32)
    """
    shape, sizes = shape_of(operand), tuple(map(operator.index, slice_sizes))
    starts = _canonical_starts("dynamic_slice", start_indices, shape, sizes, allow_negative_indices)
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=sizes)


def element_at(operand: Any, axes: Sequence[int], positions: Sequence[Any]) -> Any:
    """The elements at one position of each of some axes, which stay with extent 1.

    Negative positions do not count from the end, and those out of bounds take the nearest element
    also under `debug_indices`.
    """
    starts: list[Any] = [np.zeros((), np.int32)] * ndim_of(operand)
    sizes = list(shape_of(operand))
    for axis, position in zip(axes, positions, strict=True):
        starts[axis], sizes[axis] = position, 1
    return dynamic_slice_p.bind(operand, *starts, slice_sizes=tuple(sizes))


def _check_sizes(name: str, shape: Shape, sizes: Shape) -> None:
    if len(sizes) != len(shape) or any(
        not 0 <= size <= extent for size, extent in zip(sizes, shape, strict=True)
    ):
        raise ShapeError(
            f"{name}: a slice of shape {sizes} does not fit into an operand of shape {shape}",
            mend="give one size for each axis, at most the axis' extent",
        )


def _dynamic_slice_abstract(
    x: ShapedArray, *starts: ShapedArray, slice_sizes: Shape
) -> ShapedArray:
    _check_sizes("dynamic_slice", x.shape, slice_sizes)
    for start in starts:
        _check_start("dynamic_slice", start)
    return ShapedArray(slice_sizes, x.dtype, x.weak_type)


def _dynamic_slice_impl(xp: Any, x: Any, *starts: Any, slice_sizes: Shape) -> Any:
    _check_sizes("dynamic_slice", x.shape, slice_sizes)
    return x[_clamped(starts, slice_sizes, x.shape)]


def _dynamic_slice_transpose(ctx: Any, ct: Any, x: Any, *starts: Any, slice_sizes: Shape) -> Any:
    x_ct = dynamic_update_slice_p.bind(zeros(x.aval), ct, *starts)
    return [x_ct, *[None] * len(starts)]


def _dynamic_slice_batch(
    ctx: Any, args: Sequence[Any], dims: Sequence[int | None], *, slice_sizes: Shape
) -> Any:
    (x, *starts), (d, *start_dims) = args, dims
    if d is not None and all(dim is None for dim in start_dims):
        x = moveaxis(x, d, 0)
        first = np.zeros((), np.int32)
        return dynamic_slice_p.bind(x, first, *starts, slice_sizes=(ctx.size, *slice_sizes)), 0
    indices, e = _index_vectors(ctx, starts, start_dims)
    axes = tuple(range(len(slice_sizes)))
    numbers = GatherDimensionNumbers(
        offset_dims=axes, collapsed_slice_dims=(), start_index_map=axes
    )
    return rules.batch[gather_p](
        ctx,
        (x, indices),
        (d, e),
        dimension_numbers=numbers,
        slice_sizes=slice_sizes,
        fill_value=None,
        **_CLIP,
    )


define(
    dynamic_slice_p,
    abstract=_dynamic_slice_abstract,
    impl=_dynamic_slice_impl,
    jvp=linear_jvp(dynamic_slice_p),
    transpose=_dynamic_slice_transpose,
    batch=_dynamic_slice_batch,
)


def dynamic_slice_in_dim(
    operand: Any,
    start_index: Any,
    slice_size: int,
    axis: int = 0,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """A slice of static size along one axis that starts at a computed place.

    Example:
        >>> ff.lax.dynamic_slice_in_dim(fnp.arange(5), -3, 2)
        Array([2, 3], dtype=int32)
    """
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "dynamic_slice_in_dim")
    starts: list[Any] = [0] * len(shape)
    sizes = list(shape)
    starts[axis], sizes[axis] = start_index, slice_size
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


def dynamic_index_in_dim(
    operand: Any,
    index: Any,
    axis: int = 0,
    keepdims: bool = True,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """The elements at a computed index of an axis, which stays with extent 1 if `keepdims`.

    An index that is out of bounds takes the nearest element.
    """
    found = dynamic_slice_in_dim(
        operand, index, 1, axis, allow_negative_indices=allow_negative_indices
    )
    return found if keepdims else squeeze(found, (axis,))


# --- dynamic_update_slice -------------------------------------------------------------------

dynamic_update_slice_p = Primitive("dynamic_update_slice")


def dynamic_update_slice(
    operand: Any,
    update: Any,
    start_indices: Any,
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """The operand with a slice, which starts at a computed place, replaced by `update`.

    Args:
        operand: an array.
        update: the slice, of the operand's dtype and number of dimensions.
        start_indices: for each axis an integer scalar; or a vector of integers. A slice that
            would stick out of the operand is moved inside.
        allow_negative_indices: whether negative indices count from the end (for all axes, or one
            entry per axis).

    Returns:
        An array of the operand's shape and dtype.

    Raises:
        ShapeError: there is not one start for each axis, or `update` is larger than the operand.
        DtypeError: a start index is no integer scalar, or the dtypes differ.

    Example:
        >>> ff.lax.dynamic_update_slice(fnp.zeros(4), fnp.ones(2), (1,))
        Array([0., 1., 1., 0.], dtype=float32)
    """
    shape = shape_of(operand)
    starts = _canonical_starts(
        "dynamic_update_slice", start_indices, shape, shape_of(update), allow_negative_indices
    )
    operand, update = same_dtype(operand, update)
    return dynamic_update_slice_p.bind(operand, update, *starts)


def _dynamic_update_slice_abstract(
    x: ShapedArray, update: ShapedArray, *starts: ShapedArray
) -> ShapedArray:
    check_same_dtypes("dynamic_update_slice", (x, update))
    _check_sizes("dynamic_update_slice", x.shape, update.shape)
    for start in starts:
        _check_start("dynamic_update_slice", start)
    return x


def _dynamic_update_slice_impl(xp: Any, x: Any, update: Any, *starts: Any) -> Any:
    if x.dtype != update.dtype:
        check_same_dtypes("dynamic_update_slice", (aval_of(x), aval_of(update)))
    _check_sizes("dynamic_update_slice", x.shape, update.shape)
    out = x.copy()
    out[_clamped(starts, update.shape, x.shape)] = update
    return out


def _dynamic_update_slice_transpose(ctx: Any, ct: Any, x: Any, update: Any, *starts: Any) -> Any:
    held = [None] * len(starts)
    aval = update.aval if is_undefined(update) else aval_of(update)
    x_ct = update_ct = None
    if is_undefined(x):
        nothing = zeros(ShapedArray(aval.shape, aval.dtype))
        x_ct = dynamic_update_slice_p.bind(ct, nothing, *starts)
    if is_undefined(update):
        update_ct = dynamic_slice_p.bind(ct, *starts, slice_sizes=aval.shape)
    return [x_ct, update_ct, *held]


def _dynamic_update_slice_batch(ctx: Any, args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    (x, update, *starts), (d, f, *start_dims) = args, dims
    if all(dim is None for dim in start_dims):
        x, update = ctx.to_front(x, d), ctx.to_front(update, f)
        return dynamic_update_slice_p.bind(x, update, np.zeros((), np.int32), *starts), 0
    indices, e = _index_vectors(ctx, starts, start_dims)
    axes = tuple(range(len(starts)))
    numbers = ScatterDimensionNumbers(
        update_window_dims=axes, inserted_window_dims=(), scatter_dims_to_operand_dims=axes
    )
    return rules.batch[scatter_p](
        ctx, (x, indices, update), (d, e, f), dimension_numbers=numbers, **_CLIP
    )


define(
    dynamic_update_slice_p,
    abstract=_dynamic_update_slice_abstract,
    impl=_dynamic_update_slice_impl,
    jvp=jointly_linear_jvp(dynamic_update_slice_p, (0, 1)),
    transpose=_dynamic_update_slice_transpose,
    batch=_dynamic_update_slice_batch,
)


def dynamic_update_slice_in_dim(
    operand: Any,
    update: Any,
    start_index: Any,
    axis: int,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """The operand with a slice along one axis, which starts at a computed place, replaced."""
    ndim = ndim_of(operand)
    axis = canonical_axis(axis, ndim, "dynamic_update_slice_in_dim")
    starts: list[Any] = [0] * ndim
    starts[axis] = start_index
    return dynamic_update_slice(
        operand, update, starts, allow_negative_indices=allow_negative_indices
    )


def dynamic_update_index_in_dim(
    operand: Any,
    update: Any,
    index: Any,
    axis: int,
    *,
    allow_negative_indices: bool = True,
) -> Any:
    """The operand with the elements at a computed index of an axis replaced.

    `update` may have the axis, with extent 1, or lack it.

    Example:
        >>> ff.lax.dynamic_update_index_in_dim(fnp.zeros((2, 2)), fnp.ones(2), 1, 0)
        Array([[0., 0.],
               [1., 1.]], dtype=float32)
    """
    ndim = ndim_of(operand)
    axis = canonical_axis(axis, ndim, "dynamic_update_index_in_dim")
    operand, update = same_dtype(operand, update)
    if ndim_of(update) != ndim:
        update = expand_dims(update, (axis,))
    return dynamic_update_slice_in_dim(
        operand, update, index, axis, allow_negative_indices=allow_negative_indices
    )
