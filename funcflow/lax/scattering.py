"""Scatters that overwrite, subtract, or take the smaller or larger value."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import div, neg
from funcflow.lax.bitwise import bitwise_or
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, ne, select
from funcflow.lax.creation import full, iota
from funcflow.lax.dimension_numbers import (
    ScatterDimensionNumbers,
)
from funcflow.lax.forms import add
from funcflow.lax.indexing import gather_updates, scatter_add_p
from funcflow.lax.scatter_forms import Mode, accumulate, bind_scatter, scatter_rules
from funcflow.lax.shape import broadcast_in_dim, instantiate, reshape, zeros
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
    kept, stays = _winners(shape_of(x), indices, shape_of(updates), params)
    x_dot, updates_dot = select(kept, x_dot, 0), select(stays, updates_dot, 0)
    return out, scatter_add_p.bind(x_dot, indices, updates_dot, **params)


def _scatter_transpose(ctx: Any, ct: Any, x: Any, indices: Any, updates: Any, **params: Any) -> Any:
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

        here = gather_updates(out, indices, shape_of(updates), **params)
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
