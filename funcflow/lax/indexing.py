"""`gather`, and `scatter_add`, its transpose; what all scatters have in common.

The mapped axis of a `vmap` becomes a batching axis of the dimension numbers, so a mapped gather
is one gather and a mapped scatter is one scatter.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.addressing import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    canonical_dims,
    check_indices,
    gather_windows,
    scatter_windows,
    to_gather,
    to_scatter,
    window_sizes,
)
from funcflow.lax.arithmetic import rem
from funcflow.lax.comparison import lt, select
from funcflow.lax.forms import add, check_same_dtypes, same_dtype
from funcflow.lax.joining import stack
from funcflow.lax.linear import canonical_axes
from funcflow.lax.shape import moveaxis, zeros
from funcflow.lax.slicing import jointly_linear_jvp

Dims = tuple[int, ...]
Mode = str | GatherScatterMode | None

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
    if np.ndim(value):
        raise ArgumentError(
            f"gather: fill_value must be a scalar, got an array of shape {np.shape(value)}"
        )
    value = np.asarray(value).item()
    return None if value != value else value


def _fill_of(dtype: np.dtype[Any], value: Any) -> np.ndarray[Any, Any]:
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
        out = xp.where(aligned, out, xp.asarray(_fill_of(x.dtype, fill_value)))
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
    if type(ct) is Zero:
        return [Zero(x.aval), None]
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
    offset = _shifted(offset)
    if d is None:  # more index vectors into the same operand
        indices = moveaxis(indices, e, 0)  # type: ignore[arg-type]
        indices_batching = _shifted(indices_batching)
        unique_indices = indices_are_sorted = False
    else:
        x = moveaxis(x, d, 0)
        collapsed, index_map = _shifted(collapsed), _shifted(index_map)
        x_batching = _shifted(x_batching)
        if e is None:  # windows that span the new axis
            offset = (0, *offset)
            slice_sizes = (ctx.size, *slice_sizes)
        else:  # index vectors of their own for each lane
            indices = moveaxis(indices, e, 0)
            x_batching = (0, *x_batching)
            indices_batching = (0, *_shifted(indices_batching))
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


def _shifted(axes: Dims) -> Dims:
    """Axes of an array that has got a new axis in front."""
    return tuple(axis + 1 for axis in axes)


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
    shape = np.shape(src)
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


# --- what scatters share --------------------------------------------------------------------


def scatter_rules(
    primitive: Primitive, combine: Callable[[Any, Any, Any, Any, bool], None]
) -> dict[str, Callable[..., Any]]:
    """The rules `abstract`, `impl` and `batch` of a scatter.

    Args:
        primitive: the scatter.
        combine: `combine(xp, view, starts, values, unique)` writes `values` into `view[starts]`;
            no element is named twice if `unique`.
    """
    name = primitive.name

    def abstract(
        x: ShapedArray,
        indices: ShapedArray,
        updates: ShapedArray,
        *,
        dimension_numbers: ScatterDimensionNumbers,
        **params: Any,
    ) -> ShapedArray:
        check_same_dtypes(name, (x, updates))
        check_indices(name, indices)
        scatter_windows(name, x.shape, indices.shape, updates.shape, dimension_numbers)
        return ShapedArray(x.shape, x.dtype, x.weak_type)

    def impl(
        xp: Any,
        x: Any,
        indices: Any,
        updates: Any,
        *,
        dimension_numbers: ScatterDimensionNumbers,
        mode: GatherScatterMode,
        unique_indices: bool,
        indices_are_sorted: bool,
    ) -> Any:
        if x.dtype != updates.dtype:
            check_same_dtypes(name, (aval_of(x), aval_of(updates)))
        check_indices(name, indices)
        windows = scatter_windows(name, x.shape, indices.shape, updates.shape, dimension_numbers)
        starts, inside = windows.starts(xp, indices, mode is GatherScatterMode.CLIP)
        values = updates.transpose(windows.inverse)
        if inside is not None:
            starts = tuple(start[inside] for start in starts)
            values = values[inside]
        out = x.copy()
        unique = unique_indices or starts[0].size == 1
        view, starts = windows.view(xp, out, starts)
        combine(xp, view, starts, values, unique)
        return out

    def batch(
        ctx: Any,
        args: Sequence[Any],
        dims: Sequence[int | None],
        *,
        dimension_numbers: ScatterDimensionNumbers,
        **params: Any,
    ) -> Any:
        (x, indices, updates), (d, e, f) = args, dims
        x, updates = ctx.to_front(x, d), ctx.to_front(updates, f)
        window, inserted, index_map, x_batching, indices_batching = dimension_numbers
        window, x_batching = _shifted(window), _shifted(x_batching)
        if e is None:  # windows that span the new axis
            window = (0, *window)
        else:  # index vectors of their own for each lane
            indices = moveaxis(indices, e, 0)
            x_batching, indices_batching = (0, *x_batching), (0, *_shifted(indices_batching))
        batched = ScatterDimensionNumbers(
            window, _shifted(inserted), _shifted(index_map), x_batching, indices_batching
        )
        return primitive.bind(x, indices, updates, dimension_numbers=batched, **params), 0

    return {"abstract": abstract, "impl": impl, "batch": batch}


def accumulate(ufunc: str) -> Callable[[Any, Any, Any, Any, bool], None]:
    """The `combine` of scatters that apply a ufunc to old and new values."""

    def combine(xp: Any, view: Any, starts: Any, values: Any, unique: bool) -> None:
        function = getattr(xp, ufunc)
        if unique:
            view[starts] = function(view[starts], values)
        else:
            function.at(view, starts, values)

    return combine


def bind_scatter(
    primitive: Primitive,
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    indices_are_sorted: bool,
    unique_indices: bool,
    mode: Mode,
) -> Any:
    """Apply a scatter primitive to a public function's arguments."""
    operand, updates = same_dtype(operand, updates)
    return primitive.bind(
        operand,
        scatter_indices,
        updates,
        dimension_numbers=canonical_dims(dimension_numbers, ScatterDimensionNumbers),
        indices_are_sorted=bool(indices_are_sorted),
        unique_indices=bool(unique_indices),
        mode=GatherScatterMode.from_any(mode),
    )


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
        slice_sizes=window_sizes(np.shape(x), updates_shape, dimension_numbers),
        fill_value=0,
        **params,
    )


def _scatter_add_transpose(
    ctx: Any, ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> Any:
    if type(ct) is Zero:
        return [Zero(a.aval) if is_undefined(a) else None for a in (x, indices, updates)]
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
