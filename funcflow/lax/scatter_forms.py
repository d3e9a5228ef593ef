"""What all scatters have in common."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.primitive import Primitive
from funcflow.lax.addressing import check_indices, scatter_windows
from funcflow.lax.dimension_numbers import (
    Dims,
    GatherScatterMode,
    ScatterDimensionNumbers,
    canonical_dims,
)
from funcflow.lax.forms import check_same_dtypes, same_dtype
from funcflow.lax.shape import moveaxis

Mode = str | GatherScatterMode | None


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
        window, x_batching = shifted(window), shifted(x_batching)
        if e is None:  # windows that span the new axis
            window = (0, *window)
        else:  # index vectors of their own for each lane
            indices = moveaxis(indices, e, 0)
            x_batching, indices_batching = (0, *x_batching), (0, *shifted(indices_batching))
        batched = ScatterDimensionNumbers(
            window, shifted(inserted), shifted(index_map), x_batching, indices_batching
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


def shifted(axes: Dims) -> Dims:
    """Axes of an array that has got a new axis in front."""
    return tuple(axis + 1 for axis in axes)
