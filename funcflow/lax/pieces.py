"""A scan cut into pieces: a scan over scans, and a shorter one for the rest of the steps."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from funcflow.core.array import aval_of, shape_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.staging import stage_out
from funcflow.lax.joining import concatenate
from funcflow.lax.shape import reshape
from funcflow.lax.slicing import slice_in_dim

# What runs a scan, given its jaxpr, constants, carry, xs, length, and whether it goes backwards.
Run: TypeAlias = Callable[
    [ClosedJaxpr, Sequence[Any], Sequence[Any], Sequence[Any], int, bool], list[Any]
]
# What runs some of its steps, given constants, carry, xs, and how many steps these are.
Piece: TypeAlias = Callable[[Sequence[Any], Sequence[Any], Sequence[Any], int], list[Any]]


def in_pieces(
    scan: Run,
    piece: Piece,
    size: int,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
) -> list[Any]:
    """Run `piece` on `size` steps at a time, in a scan, then on the steps that are left.

    Returns:
        The last carry, and the stacked results of all steps.
    """
    count, rest = divmod(length, size)
    if count + bool(rest) < 2:
        return piece(consts, carry, xs, length)
    whole, others = (0, length - rest), (length - rest, length)
    if reverse:
        whole, others = (rest, length), (0, rest)
    fixed, carried = len(consts), len(consts) + len(carry)

    def step(*args: Any) -> list[Any]:
        return piece(args[:fixed], args[fixed:carried], args[carried:], size)

    rows = [reshape(_rows(x, *whole), (count, size, *shape_of(x)[1:])) for x in xs]
    avals = [aval_of(x) for x in (*consts, *carry)]
    row_avals = [a.update(shape=a.shape[1:]) for a in map(aval_of, rows)]
    outs = scan(stage_out(step, [*avals, *row_avals]), consts, carry, rows, count, reverse)
    carry, stacked = outs[: len(carry)], outs[len(carry) :]
    ys = [reshape(y, (count * size, *shape_of(y)[2:])) for y in stacked]
    if not rest:
        return [*carry, *ys]
    outs = piece(consts, carry, [_rows(x, *others) for x in xs], rest)
    pairs = zip(ys, outs[len(carry) :], strict=True)
    joined = [concatenate((y, x) if reverse else (x, y), 0) for x, y in pairs]
    return [*outs[: len(carry)], *joined]


def size_without_rest(length: int, least: int, most: int, multiple: int = 1) -> int:
    """The first size from `least` to `most`, in steps of `multiple`, that divides the length.

    `least` if none does: then there is a rest, which is one more loop to compile.
    """
    sizes = range(least, most + 1, multiple)
    return next((size for size in sizes if length % size == 0), least)


def _rows(x: Any, start: int, stop: int) -> Any:
    return x if stop - start == shape_of(x)[0] else slice_in_dim(x, start, stop)
