"""`vmap` in chunks: a loop over groups of lanes, for bounded memory."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.lax.joining import concatenate
from funcflow.lax.scan import scan
from funcflow.lax.shape import moveaxis, reshape
from funcflow.lax.slicing import index_in_dim, slice_in_dim
from funcflow.transforms.batching import batch_flat


def batch_in_chunks(
    function: Callable[..., Sequence[Any]],
    args: Sequence[Any],
    dims: Sequence[int | None],
    size: int,
    chunk: int,
) -> tuple[list[Any], list[int | None]]:
    """`batch_flat`, `chunk` lanes at a time; what is left over is one smaller batch."""
    mapped = [moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True) if d is not None]
    out_mapped: list[bool] = []

    def some_lanes(rows: Sequence[Any], count: int) -> list[Any]:
        rest = iter(rows)
        full = [x if d is None else next(rest) for x, d in zip(args, dims, strict=True)]
        places = [None if d is None else 0 for d in dims]
        outs, out_dims = batch_flat(function, full, places, count)
        out_mapped[:] = [d is not None for d in out_dims]
        return [x if d is None else moveaxis(x, d, 0) for x, d in zip(outs, out_dims, strict=True)]

    whole = size // chunk * chunk
    groups = [
        reshape(slice_in_dim(x, 0, whole), (whole // chunk, chunk, *aval_of(x).shape[1:]))
        for x in mapped
    ]
    _, stacked = scan(
        lambda _, rows: (None, some_lanes(rows, chunk)), None, groups, length=whole // chunk
    )
    outs = [
        reshape(y, (whole, *aval_of(y).shape[2:])) if m else index_in_dim(y, 0, 0, False)
        for y, m in zip(stacked, out_mapped, strict=True)
    ]
    if whole < size:
        last = some_lanes([slice_in_dim(x, whole, size) for x in mapped], size - whole)
        outs = [
            concatenate([x, y], 0) if m else x
            for x, y, m in zip(outs, last, out_mapped, strict=True)
        ]
    return outs, [0 if m else None for m in out_mapped]
