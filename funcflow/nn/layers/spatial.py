"""Arguments and inputs of layers that work along the axes between batch and channels."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.nn.layers.arguments import expect_ndim

Extents: TypeAlias = int | Sequence[int]
Pairs: TypeAlias = tuple[tuple[int, int], ...]
Padding: TypeAlias = str | int | Sequence[int | Sequence[int]]

_NAMES = {1: "length", 2: "height, width", 3: "depth, height, width"}
_PADDINGS = ("SAME", "SAME_LOWER", "VALID")


def extents(what: str, given: Extents, rank: int) -> tuple[int, ...]:
    """One positive number for each spatial axis; a single one counts for all."""
    numbers = _entries(given, rank)
    if len(numbers) != rank or not all(isinstance(n, int) and n > 0 for n in numbers):
        raise ArgumentError(
            f"{what} must be a positive integer or {rank} of them, got {given!r}",
            mend=f"the layer has {rank} spatial {'axis' if rank == 1 else 'axes'}",
        )
    return numbers


def pairs(what: str, given: int | Sequence[int | Sequence[int]], rank: int) -> Pairs:
    """For each spatial axis how much is at its two ends; a single number counts for both."""
    ends: tuple[Any, ...] = tuple(_entries(entry, 2) for entry in _entries(given, rank))
    if len(ends) != rank or not all(map(_is_pair, ends)):
        raise ArgumentError(
            f"{what} must be an integer from 0 up, or {rank} of them, or as many pairs of them, "
            f"got {given!r}",
            mend="give each spatial axis a pair (low, high)",
        )
    return ends


def _entries(given: Any, count: int) -> tuple[Any, ...]:
    """A single number as many times, a sequence as a tuple; nothing of what is neither."""
    if isinstance(given, int):
        return (given,) * count
    return tuple(given) if isinstance(given, Sequence) else ()


def _is_pair(ends: tuple[Any, ...]) -> bool:
    return len(ends) == 2 and all(isinstance(n, int) and n >= 0 for n in ends)


def canonical_padding(given: Padding, rank: int) -> str | Pairs:
    """The padding of windows: "SAME", "SAME_LOWER", "VALID", or pairs."""
    if not isinstance(given, str):
        return pairs("padding", given, rank)
    if given.upper() not in _PADDINGS:
        raise ArgumentError(
            f"the padding {given!r} is not known",
            mend='use "SAME", "SAME_LOWER", "VALID", or numbers',
        )
    return given.upper()


def spatial_input(x: Any, rank: int) -> Array:
    """The input as an array; one of another rank is refused."""
    expect_ndim(x, rank + 2, f"batch, {_NAMES.get(rank, f'{rank} spatial axes')}, channels")
    return fnp.asarray(x)
