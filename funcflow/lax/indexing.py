"""`gather`, and `scatter_add`, its transpose.

The mapped axis of a `vmap` becomes a batching axis of the dimension numbers, so a mapped gather
is one gather and a mapped scatter is one scatter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.addressing import check_indices, gather_windows, window_sizes
from funcflow.lax.arithmetic import rem
from funcflow.lax.comparison import lt, select
from funcflow.lax.dimension_numbers import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    canonical_dims,
    to_gather,
    to_scatter,
)
from funcflow.lax.forms import add
from funcflow.lax.joining import stack
from funcflow.lax.linear import canonical_axes
from funcflow.lax.scatter_forms import Mode, accumulate, bind_scatter, scatter_rules, shifted
from funcflow.lax.shape import moveaxis, zeros
from funcflow.lax.slicing import jointly_linear_jvp

# --- gather ---------------------------------------------------------------------------------

gather_p = Primitive("gather")


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Mode = None,
    fill_value: Any = None,
) -> Any:
    """Read one window of the operand for each index vector.

    Most programs are better served by `x[...]` and `x.at[...].get(...)`, which come to this.

    Args:
        operand: an array.
        start_indices: integers; the last axis holds index vectors, the places where the windows
            start. Negative indices do not count from the end here.
        dimension_numbers: how the axes of operand, indices and result belong together.
        slice_sizes: the windows' extents along each axis of the operand.
        unique_indices: promises that the windows do not overlap.
        indices_are_sorted: promises that the index vectors increase.
        mode: what happens to windows that are not inside the operand: "clip" moves them inside,
            "fill" gives `fill_value` for all of their elements, and "promise_in_bounds" (the
            default) promises that there are none.
        fill_value: for mode "fill"; by default NaN, the smallest signed or the largest unsigned
            integer, or True.

    Returns:
        An array of the operand's dtype. Its `offset_dims` run over the window, the other axes
        over the index vectors.

    Raises:
        ShapeError: shapes and dimension numbers do not fit together.
        DtypeError: the indices are no integers.

    Example:
        >>> rows = ff.lax.GatherDimensionNumbers((1,), (0,), (0,))
        >>> ff.lax.gather(fnp.arange(6).reshape(3, 2), fnp.array([[2], [0]]), rows, (1, 2))
        Array([[4, 5],
               [0, 1]], dtype=int32)
    """
    mode = GatherScatterMode.PROMISE_IN_BOUNDS if mode is None else mode
    return gather_p.bind(
        operand,
        start_indices,
        dimension_numbers=canonical_dims(dimension_numbers, GatherDimensionNumbers),
        slice_sizes=tuple(map(int, slice_sizes)),
        unique_indices=bool(unique_indices),
        indices_are_sorted=bool(indices_are_sorted),
        mode=GatherScatterMode.from_any(mode),
        fill_value=_canonical_fill(fill_value),
    )


def _canonical_fill(value: Any) -> Any:
    """A fill value as a Python scalar; NaN, the default, is None: NaNs do not equal themselves."""
    if value is None:
        return None
    if ndim_of(value):
        raise ArgumentError(
            f"gather: fill_value must be a scalar, got an array of shape {shape_of(value)}"
        )
    value = np.asarray(value).item()
    return None if value != value else value


def fill_of(dtype: np.dtype[Any], value: Any) -> np.ndarray[Any, Any]:
    """What a gather's parameter `fill_value` stands for in an array of this dtype."""
    if value is None:
        kind = dtypes.kind(dtype)
        if kind in "fc":
            value = np.nan
        elif kind == "b":
            value = True
        else:
            value = np.iinfo(dtype).min if kind == "i" else np.iinfo(dtype).max
    return np.asarray(value).astype(dtype)


def _gather_abstract(
    x: ShapedArray,
    indices: ShapedArray,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Shape,
    **params: Any,
) -> ShapedArray:
    check_indices("gather", indices)
    windows = gather_windows(x.shape, indices.shape, dimension_numbers, slice_sizes)
    return ShapedArray(windows.shape, x.dtype, x.weak_type)


def _gather_impl(
    xp: Any,
    x: Any,
    indices: Any,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Shape,
    mode: GatherScatterMode,
    fill_value: Any,
    **promises: bool,
) -> Any:
    check_indices("gather", indices)
    windows = gather_windows(x.shape, indices.shape, dimension_numbers, slice_sizes)
    clip = mode is not GatherScatterMode.FILL_OR_DROP
    starts, inside = windows.starts(xp, indices, clip)
    view, starts = windows.view(xp, x, starts)
    out = xp.asarray(view[starts])
    if inside is not None:
        aligned = inside.reshape(inside.shape + (1,) * len(windows.window_shape))
        out = xp.where(aligned, out, xp.asarray(fill_of(x.dtype, fill_value)))
    return out.transpose(windows.order)


def _gather_jvp(
    ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], *, fill_value: Any, **params: Any
) -> Any:
    x, indices = primals
    out = gather_p.bind(x, indices, fill_value=fill_value, **params)
    if type(tangents[0]) is Zero:
        return out, Zero(out.aval)
    return out, gather_p.bind(tangents[0], indices, fill_value=0, **params)


def _gather_transpose(
    ctx: Any,
    ct: Any,
    x: Any,
    indices: Any,
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Shape,
    fill_value: Any,
    **params: Any,
) -> Any:
    dims = to_scatter(dimension_numbers)
    x_ct = scatter_add_p.bind(zeros(x.aval), indices, ct, dimension_numbers=dims, **params)
    return [x_ct, None]


def _gather_batch(
    ctx: Any,
    args: Sequence[Any],
    dims: Sequence[int | None],
    *,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Shape,
    unique_indices: bool,
    indices_are_sorted: bool,
    **params: Any,
) -> Any:
    (x, indices), (d, e) = args, dims
    offset, collapsed, index_map, x_batching, indices_batching = dimension_numbers
    offset = shifted(offset)
    if d is None:  # more index vectors into the same operand
        assert e is not None
        indices = moveaxis(indices, e, 0)
        indices_batching = shifted(indices_batching)
        unique_indices = indices_are_sorted = False
    else:
        x = moveaxis(x, d, 0)
        collapsed, index_map = shifted(collapsed), shifted(index_map)
        x_batching = shifted(x_batching)
        if e is None:  # windows that span the new axis
            offset = (0, *offset)
            slice_sizes = (ctx.size, *slice_sizes)
        else:  # index vectors of their own for each lane
            indices = moveaxis(indices, e, 0)
            x_batching = (0, *x_batching)
            indices_batching = (0, *shifted(indices_batching))
            slice_sizes = (1, *slice_sizes)
    out = gather_p.bind(
        x,
        indices,
        dimension_numbers=GatherDimensionNumbers(
            offset, collapsed, index_map, x_batching, indices_batching
        ),
        slice_sizes=slice_sizes,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
        **params,
    )
    return out, 0


define(
    gather_p,
    abstract=_gather_abstract,
    impl=_gather_impl,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
)


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The subarrays of `src` at the given indices of `axes`.

    Args:
        src: an array.
        idxs: for each of `axes` a vector of integers, all of one length and dtype. Indices wrap
            around, so negative ones count from the end.
        axes: the axes to index, in increasing order.

    Returns:
        An array of `src`'s dtype: one axis over the indices, then the other axes of `src`.

    Example:
        >>> ff.lax.index_take(fnp.arange(6), [fnp.array([-1, 2])], (0,))
        Array([5, 2], dtype=int32)
    """
    shape = shape_of(src)
    axes = canonical_axes(axes, len(shape), "index_take")
    indices = stack(idxs, 1)
    extents = np.asarray([shape[axis] for axis in axes], indices.dtype)
    remainder = rem(indices, extents)
    indices = select(lt(remainder, 0), add(remainder, extents), remainder)
    sizes = tuple(1 if i in axes else extent for i, extent in enumerate(shape))
    dims = GatherDimensionNumbers(
        offset_dims=tuple(range(1, len(shape) - len(axes) + 1)),
        collapsed_slice_dims=axes,
        start_index_map=axes,
    )
    return gather(src, indices, dims, sizes)


# --- scatter_add ----------------------------------------------------------------------------

scatter_add_p = Primitive("scatter_add")


def scatter_add(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Add one window of `updates` to the operand for each index vector.

    Where windows overlap, all are added. Most programs are better served by `x.at[...].add(...)`,
    which comes to this.

    Args:
        operand: an array.
        scatter_indices: integers; the last axis holds index vectors, the places where the
            windows start. Negative indices do not count from the end here.
        updates: the windows, of the operand's dtype.
        dimension_numbers: how the axes of operand, indices and updates belong together.
        indices_are_sorted: promises that the index vectors increase.
        unique_indices: promises that the windows do not overlap.
        mode: what happens to windows that are not inside the operand: "clip" moves them inside,
            "drop" (or "fill", the default) leaves them out, and "promise_in_bounds" promises that
            there are none.

    Returns:
        An array of the operand's shape and dtype.

    Raises:
        ShapeError: shapes and dimension numbers do not fit together.
        DtypeError: the indices are no integers, or the dtypes differ.

    Example:
        >>> single = ff.lax.ScatterDimensionNumbers((), (0,), (0,))
        >>> ff.lax.scatter_add(fnp.zeros(3), fnp.array([[2], [2]]), fnp.ones(2), single)
        Array([0., 0., 2.], dtype=float32)
    """
    return bind_scatter(
        scatter_add_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


def gather_updates(
    x: Any,
    indices: Any,
    updates_shape: Shape,
    *,
    dimension_numbers: ScatterDimensionNumbers,
    **params: Any,
) -> Any:
    """What a scatter's windows hold in `x`, in the shape of its updates; 0 for those left out."""
    if params["mode"] is GatherScatterMode.PROMISE_IN_BOUNDS:
        params["mode"] = GatherScatterMode.FILL_OR_DROP  # which is what scatters do then
    return gather_p.bind(
        x,
        indices,
        dimension_numbers=to_gather(dimension_numbers),
        slice_sizes=window_sizes(shape_of(x), updates_shape, dimension_numbers),
        fill_value=0,
        **params,
    )


def _scatter_add_transpose(
    ctx: Any, ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> Any:
    updates_ct = None
    if is_undefined(updates):
        updates_ct = gather_updates(ct, indices, updates.aval.shape, **params)
    return [ct if is_undefined(x) else None, None, updates_ct]


define(
    scatter_add_p,
    **scatter_rules(scatter_add_p, accumulate("add")),
    jvp=jointly_linear_jvp(scatter_add_p, (0, 2)),
    transpose=_scatter_add_transpose,
)
