"""Mapping the parts of a custom derivative rule, which are Python functions of flat lists."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.lax.shape import moveaxis, reduce_sum

FlatFun = Callable[..., list[Any]]
Dims = Sequence[int | None]


def map_flat(
    ctx: Any, function: FlatFun, args: Sequence[Any], dims: Dims
) -> tuple[list[Any], list[int | None]]:
    """Map a flat function; if any argument is mapped, all outputs are, with the axis in front.

    That the outputs' places follow from the arguments' lets a rule and its function agree.
    """
    outs, out_dims = ctx.flat(function, args, dims)
    if all(d is None for d in dims):
        return outs, out_dims
    return [ctx.to_front(x, d) for x, d in zip(outs, out_dims, strict=True)], [0] * len(outs)


def map_in_front(ctx: Any, function: FlatFun, args: Sequence[Any], dims: Dims) -> list[Any]:
    """Map a flat function; every output is mapped, with its axis in front."""
    outs, out_dims = ctx.flat(function, args, dims)
    return [ctx.to_front(x, d) for x, d in zip(outs, out_dims, strict=True)]


def map_with_residuals(
    ctx: Any, function: Callable[..., tuple[list[Any], list[Any]]], args: Sequence[Any], dims: Dims
) -> tuple[list[Any], list[int | None], list[Any], list[int | None]]:
    """`map_flat` of a function that returns outputs and residuals, which stay where they are.

    Returns the outputs, their places, the residuals, and theirs.
    """
    count = 0

    def both(*xs: Any) -> list[Any]:
        nonlocal count
        outs, residuals = function(*xs)
        count = len(outs)
        return [*outs, *residuals]

    values, places = ctx.flat(both, args, dims)
    outs: list[Any] = values[:count]
    out_dims: list[int | None] = places[:count]
    if any(d is not None for d in dims):
        outs = [ctx.to_front(x, d) for x, d in zip(outs, out_dims, strict=True)]
        out_dims = [0 for _ in outs]
    return outs, out_dims, values[count:], places[count:]


def map_pullback(
    ctx: Any,
    pull: Callable[[list[Any], list[Any]], list[Any]],
    residuals: Sequence[Any],
    residual_dims: Dims,
    cts: Sequence[Any],
    ct_dims: Dims,
    dims: Dims,
) -> list[Any]:
    """The cotangents of arguments that are mapped at `dims`: summed up for those that are not."""
    count = len(residuals)
    values, places = ctx.flat(
        lambda *xs: pull(list(xs[:count]), list(xs[count:])),
        [*residuals, *cts],
        [*residual_dims, *ct_dims],
    )
    return [sum_or_move(ctx, x, d, w) for x, d, w in zip(values, places, dims, strict=True)]


def sum_or_move(ctx: Any, ct: Any, dim: int | None, wanted: int | None) -> Any:
    """The cotangent of an argument: summed over lanes if the argument is shared by them."""
    if wanted is None:
        return ct if dim is None else reduce_sum(ct, (dim,))
    return moveaxis(ctx.to_front(ct, dim), 0, wanted)


def mapped_in_front(
    ctx: Any, args: Sequence[Any], dims: Dims, num_consts: int
) -> tuple[list[Any], list[int | None]]:
    """The arguments with their mapped axes in front; if only constants are, all are repeated."""
    if all(d is None for d in dims[num_consts:]):
        args = [*args[:num_consts], *(ctx.to_front(x, None) for x in args[num_consts:])]
        dims = [*dims[:num_consts], *[0] * (len(args) - num_consts)]
    moved = [x if d is None else moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    return moved, [None if d is None else 0 for d in dims]
