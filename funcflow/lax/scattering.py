"""Scatters that overwrite, subtract, multiply, or take the smaller or larger value."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.addressing import GatherScatterMode, ScatterDimensionNumbers, canonical_dims
from funcflow.lax.arithmetic import chain_mul, div, neg
from funcflow.lax.bitwise import bitwise_or
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, ne, select
from funcflow.lax.creation import broadcasted_iota, full, iota
from funcflow.lax.forms import add
from funcflow.lax.indexing import (
    Mode,
    accumulate,
    bind_scatter,
    gather_updates,
    scatter_add_p,
    scatter_rules,
)
from funcflow.lax.joining import concatenate
from funcflow.lax.scan import scan
from funcflow.lax.shape import broadcast_in_dim, instantiate, reshape, transpose, zeros
from funcflow.lax.slicing import jointly_linear_jvp

# --- scatter --------------------------------------------------------------------------------

scatter_p = Primitive("scatter")


def scatter(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Overwrite one window of the operand for each index vector.

    Where windows overlap, the last one stays. Arguments, result and errors are those of
    `scatter_add`; most programs are better served by `x.at[...].set(...)`, which comes to this.

    Example:
        >>> single = ff.lax.ScatterDimensionNumbers((), (0,), (0,))
        >>> ff.lax.scatter(fnp.zeros(3), fnp.array([[2], [0]]), fnp.array([1.0, 2.0]), single)
        Array([2., 0., 1.], dtype=float32)
    """
    return bind_scatter(
        scatter_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


def _overwrite(xp: Any, view: Any, starts: Any, values: Any, unique: bool) -> None:
    view[starts] = values


def _winners(shape: Shape, indices: Any, updates: Shape, params: dict[str, Any]) -> tuple[Any, Any]:
    """Which elements of the operand a scatter leaves alone, and which of the updates stay.

    Found by scattering numbers instead of values: the same one wins.
    """
    batch_axes = [
        i for i in range(len(updates)) if i not in params["dimension_numbers"].update_window_dims
    ]
    batch = [updates[i] for i in batch_axes]
    # window k is number k + 1; 0 is the operand
    numbers = add(iota("int32", math.prod(batch)), 1)
    numbers = broadcast_in_dim(reshape(numbers, batch), updates, batch_axes)
    owner = scatter_p.bind(full(shape, 0, "int32"), indices, numbers, **params)
    return eq(owner, 0), eq(gather_updates(owner, indices, updates, **params), numbers)


def _scatter_jvp(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, indices, updates = primals
    x_dot, _, updates_dot = tangents
    out = scatter_p.bind(x, indices, updates, **params)
    if type(x_dot) is Zero and type(updates_dot) is Zero:
        return out, Zero(out.aval)
    x_dot, updates_dot = instantiate(x_dot), instantiate(updates_dot)
    if params["unique_indices"]:
        return out, scatter_p.bind(x_dot, indices, updates_dot, **params)
    kept, stays = _winners(np.shape(x), indices, np.shape(updates), params)
    x_dot, updates_dot = select(kept, x_dot, 0), select(stays, updates_dot, 0)
    return out, scatter_add_p.bind(x_dot, indices, updates_dot, **params)


def _scatter_transpose(ctx: Any, ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Any:
    if type(ct) is Zero:
        return [Zero(a.aval) if is_undefined(a) else None for a in (x, indices, updates)]
    aval = updates.aval if is_undefined(updates) else aval_of(updates)
    x_ct = updates_ct = None
    if is_undefined(x):
        x_ct = scatter_p.bind(ct, indices, zeros(ShapedArray(aval.shape, ct.dtype)), **params)
    if is_undefined(updates):
        updates_ct = gather_updates(ct, indices, aval.shape, **params)
        if not params["unique_indices"]:
            _, stays = _winners(ct.shape, indices, aval.shape, params)
            updates_ct = select(stays, updates_ct, 0)
    return [x_ct, None, updates_ct]


define(
    scatter_p,
    **scatter_rules(scatter_p, _overwrite),
    jvp=_scatter_jvp,
    transpose=_scatter_transpose,
)

# --- scatter_sub ----------------------------------------------------------------------------

scatter_sub_p = Primitive("scatter_sub")


def scatter_sub(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """Subtract one window of `updates` from the operand for each index vector.

    Where windows overlap, all are subtracted. Arguments, result and errors are those of
    `scatter_add`.
    """
    return bind_scatter(
        scatter_sub_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


def _scatter_sub_transpose(
    ctx: Any, ct: Any, x: Any, indices: Any, updates: Any, **params: Any
) -> Any:
    if type(ct) is Zero:
        return [Zero(a.aval) if is_undefined(a) else None for a in (x, indices, updates)]
    updates_ct = None
    if is_undefined(updates):
        updates_ct = neg(gather_updates(ct, indices, updates.aval.shape, **params))
    return [ct if is_undefined(x) else None, None, updates_ct]


define(
    scatter_sub_p,
    **scatter_rules(scatter_sub_p, accumulate("subtract")),
    jvp=jointly_linear_jvp(scatter_sub_p, (0, 2)),
    transpose=_scatter_sub_transpose,
)

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
        here = gather_updates(x, indices, np.shape(updates), **params)
        spread = chain_mul(updates_dot, here)
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
    if type(ct) is Zero:
        return [Zero(a.aval) if is_undefined(a) else None for a in (x, indices, updates)]
    # linear in the operand alone: each element is multiplied by its updates
    return [scatter_mul_p.bind(ct, indices, updates, **params), None, None]


define(
    scatter_mul_p,
    **scatter_rules(scatter_mul_p, accumulate("multiply")),
    jvp=_scatter_mul_jvp,
    transpose=_scatter_mul_transpose,
)

# --- scatter_min, scatter_max ---------------------------------------------------------------

scatter_min_p = Primitive("scatter_min")
scatter_max_p = Primitive("scatter_max")


def scatter_min(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """The smaller of the operand's value and the windows of `updates`, for each index vector.

    NaN wins. Arguments, result and errors are those of `scatter_add`. Where several values are
    the smallest, they share the derivative equally.
    """
    return bind_scatter(
        scatter_min_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


def scatter_max(
    operand: Any,
    scatter_indices: Any,
    updates: Any,
    dimension_numbers: ScatterDimensionNumbers,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    mode: Mode = None,
) -> Any:
    """The larger of the operand's value and the windows of `updates`, for each index vector.

    NaN wins. Arguments, result and errors are those of `scatter_add`. Where several values are
    the largest, they share the derivative equally.
    """
    return bind_scatter(
        scatter_max_p,
        operand,
        scatter_indices,
        updates,
        dimension_numbers,
        indices_are_sorted,
        unique_indices,
        mode,
    )


def _extremum_jvp(primitive: Primitive) -> Callable[..., Any]:
    def rule(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        x, indices, updates = primals
        x_dot, _, updates_dot = tangents
        out = primitive.bind(x, indices, updates, **params)
        if type(x_dot) is Zero and type(updates_dot) is Zero:
            return out, Zero(out.aval)

        def scattered(values: Any) -> Any:
            return scatter_add_p.bind(zeros(out.aval), indices, values, **params)

        here = gather_updates(out, indices, np.shape(updates), **params)
        x_wins, update_wins = _is_extremum(x, out), _is_extremum(updates, here)
        dtype = out.dtype
        winners = add(
            convert_element_type(x_wins, dtype),
            scattered(convert_element_type(update_wins, dtype)),
        )
        total = add(
            select(x_wins, instantiate(x_dot), 0),
            scattered(select(update_wins, instantiate(updates_dot), 0)),
        )
        return out, div(total, winners)

    return rule


def _is_extremum(x: Any, extremum: Any) -> Any:
    """Whether a value is the extremum; if that is NaN, every value is taken to have a share."""
    return bitwise_or(eq(x, extremum), ne(extremum, extremum))


for _primitive, _ufunc in ((scatter_min_p, "minimum"), (scatter_max_p, "maximum")):
    define(
        _primitive,
        **scatter_rules(_primitive, accumulate(_ufunc)),
        jvp=_extremum_jvp(_primitive),
        transpose=NONLINEAR,
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
        if np.shape(new) != np.shape(old) or aval_of(new).dtype != old.dtype:
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
    *batch, _ = shape = np.shape(indices)
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
    shape = np.shape(updates)
    batch = [axis for axis in range(len(shape)) if axis not in dims.update_window_dims]
    ordered = transpose(updates, (*batch, *dims.update_window_dims))
    window = ordered.shape[len(batch) :]
    return reshape(ordered, (math.prod(shape[axis] for axis in batch), *window))
