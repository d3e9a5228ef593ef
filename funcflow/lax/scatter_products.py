"""Scatters whose windows may have to be taken one by one: products, and any function.

Where windows overlap, `scatter_apply` applies its function again and again, and the derivative of
a product needs the product of all the other factors. Without the promise of unique indices both
are a `scan` over the windows.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of, shape_of
from funcflow.core.aval import Shape, Zero
from funcflow.core.errors import ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.arithmetic import mul_p
from funcflow.lax.creation import broadcasted_iota
from funcflow.lax.dimension_numbers import (
    GatherScatterMode,
    ScatterDimensionNumbers,
    canonical_dims,
)
from funcflow.lax.forms import add
from funcflow.lax.indexing import gather_updates, scatter_add_p
from funcflow.lax.joining import concatenate
from funcflow.lax.scan import scan
from funcflow.lax.scatter_forms import Mode, accumulate, bind_scatter, scatter_rules
from funcflow.lax.scattering import scatter_p
from funcflow.lax.shape import instantiate, reshape, transpose, zeros

# --- scatter_mul ----------------------------------------------------------------------------

scatter_mul_p = Primitive("scatter_mul")


def scatter_mul(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Multiply the operand by one window of `updates` for each index vector.

    Where windows overlap, all are multiplied. Arguments, result and errors are those of
    `scatter_add`. The derivative with respect to the updates is fast only with
    `unique_indices=True`; otherwise it takes the windows one by one.
    """
    return bind_scatter(
        scatter_mul_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


def _scatter_mul_jvp(
    ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> Any:
    x, indices, updates = primals
    x_dot, _, updates_dot = tangents
    if type(updates_dot) is not Zero and not params["unique_indices"]:
        return _scatter_mul_jvp_in_turn(primals, tangents, **params)
    out = scatter_mul_p.bind(x, indices, updates, **params)
    terms = []
    if type(x_dot) is not Zero:
        terms.append(scatter_mul_p.bind(x_dot, indices, updates, **params))
    if type(updates_dot) is not Zero:
        here = gather_updates(x, indices, shape_of(updates), **params)
        spread = mul_p.bind(updates_dot, here)
        terms.append(scatter_add_p.bind(zeros(out.aval), indices, spread, **params))
    if not terms:
        return out, Zero(out.aval)
    return out, terms[0] if len(terms) == 1 else add(*terms)


def _scatter_mul_jvp_in_turn(
    primals: Sequence[Any],
    tangents: Sequence[Any],
    *,
    dimension_numbers: ScatterDimensionNumbers,
    **params: Any,
) -> Any:
    """The rule for windows that may overlap: multiply by one after the other.

    There is no shorter way that divides by no update, and they may be zero.
    """
    x, indices, updates = primals
    rows, single = index_rows(indices, dimension_numbers)
    params |= {"dimension_numbers": single, "unique_indices": True}

    def step(carry: Any, window: Any) -> Any:
        (value, value_dot), (index, update, update_dot) = carry, window
        pair = _scatter_mul_jvp(
            None, (value, index, update), (value_dot, None, update_dot), **params
        )
        return pair, None

    windows = (
        rows,
        update_rows(updates, dimension_numbers),
        update_rows(tangents[2], dimension_numbers),
    )
    pair, _ = scan(step, (x, instantiate(tangents[0])), windows)
    return pair


def _scatter_mul_transpose(
    ctx: Any, ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> Any:
    # linear in the operand alone: each element is multiplied by its updates
    return [scatter_mul_p.bind(ct, indices, updates, **params), None, None]


define(
    scatter_mul_p,
    **scatter_rules(scatter_mul_p, accumulate("multiply")),
    jvp=_scatter_mul_jvp,
    transpose=_scatter_mul_transpose,
)

# --- scatter_apply --------------------------------------------------------------------------


def scatter_apply(
    operand: Any,
    scatter_indices: Any,
    func: Callable[[Any], Any],
    dimension_numbers: ScatterDimensionNumbers,
    *,
    update_shape: Sequence[int] = (),
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Apply `func` to one window of the operand for each index vector.

    Where windows overlap, it is applied again and again: then (without `unique_indices=True`)
    the windows are taken one by one.

    Args:
        operand: an array.
        scatter_indices: as for `scatter_add`.
        func: an elementwise function of an array, which keeps its dtype.
        dimension_numbers: how the axes of operand, indices and windows belong together.
        update_shape: the shape that the updates of another scatter would have.
        indices_are_sorted: promises that the index vectors increase.
        unique_indices: promises that the windows do not overlap.
        mode: as for `scatter_add`.

    Raises:
        ShapeError: `func` changes the shape or dtype of its argument.

    Example:
        >>> single = ff.lax.ScatterDimensionNumbers((), (0,), (0,))
        >>> indices = fnp.array([[1], [1]])
        >>> ff.lax.scatter_apply(
        ...     fnp.arange(3.0), indices, lambda x: x + 1, single, update_shape=(2,)
        ... )
        Array([0., 3., 2.], dtype=float32)
    """
    dims = canonical_dims(dimension_numbers, ScatterDimensionNumbers)
    shape = tuple(map(int, update_shape))
    params = {
        "indices_are_sorted": bool(indices_are_sorted),
        "unique_indices": True,
        "mode": GatherScatterMode.from_any(mode),
    }

    def apply(x: Any, indices: Any, shape: Shape, dims: ScatterDimensionNumbers) -> Any:
        old = gather_updates(x, indices, shape, dimension_numbers=dims, **params)
        new = func(old)
        if shape_of(new) != shape_of(old) or aval_of(new).dtype != old.dtype:
            raise ShapeError(
                f"scatter_apply: func made {aval_of(new)} of {old.aval}",
                mend="return an array of the argument's shape and dtype",
            )
        return scatter_p.bind(x, indices, new, dimension_numbers=dims, **params)

    if unique_indices:
        return apply(operand, scatter_indices, shape, dims)
    rows, single = index_rows(scatter_indices, dims)
    window = tuple(shape[axis] for axis in dims.update_window_dims)
    return scan(lambda x, index: (apply(x, index, window, single), None), operand, rows)[0]


# --- one window after the other -------------------------------------------------------------


def index_rows(indices: Any, dims: ScatterDimensionNumbers) -> tuple[Any, ScatterDimensionNumbers]:
    """A scatter's index vectors as the rows of a matrix, and the numbers to scatter one of them.

    Batching axes become components of the index vectors.
    """
    *batch, _ = shape = shape_of(indices)
    dtype = aval_of(indices).dtype
    lanes = [
        broadcasted_iota(dtype, (*batch, 1), axis) for axis in dims.scatter_indices_batching_dims
    ]
    rows = concatenate([indices, *lanes], len(batch))
    single = ScatterDimensionNumbers(
        update_window_dims=tuple(range(len(dims.update_window_dims))),
        inserted_window_dims=tuple(
            sorted((*dims.inserted_window_dims, *dims.operand_batching_dims))
        ),
        scatter_dims_to_operand_dims=(
            *dims.scatter_dims_to_operand_dims,
            *dims.operand_batching_dims,
        ),
    )
    return reshape(rows, (math.prod(batch), shape[-1] + len(lanes))), single


def update_rows(updates: Any, dims: ScatterDimensionNumbers) -> Any:
    """A scatter's windows along one leading axis, in the order of `index_rows`."""
    shape = shape_of(updates)
    batch = [axis for axis in range(len(shape)) if axis not in dims.update_window_dims]
    ordered = transpose(updates, (*batch, *dims.update_window_dims))
    window = ordered.shape[len(batch) :]
    return reshape(ordered, (math.prod(shape[axis] for axis in batch), *window))
