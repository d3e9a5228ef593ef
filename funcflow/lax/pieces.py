"""A scan cut into pieces: a scan over scans, and a shorter one for the rest of the steps."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from funcflow.core.array import aval_of, shape_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.source import Source, attributed, user_source
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


class Pieces(NamedTuple):
    """A note at the source of a loop over the pieces of another, or of the rest of one.

    Step i of piece n is step `first + n * size + i` of the other loop. The rest has the size 0: its
    step i is step `first + i`.
    """

    size: int
    first: int


def step_in_pieces(notes: Sequence[Pieces], number: int) -> tuple[bool, int]:
    """Whether a loop with these notes goes over pieces, and the step that `number` stands for.

    If it goes over pieces, that is the number of steps before the piece, to which the step in the
    piece is to be added. Pieces may have pieces themselves, and so may the loop over them.
    """
    left = list(notes)
    while left and not left[-1].size:
        number += left.pop().first
    if not left:
        return False, number
    last = left.pop()
    number = last.first + number * last.size
    for note in left:
        number *= note.size or 1
    return True, number


def _noted(pieces: Pieces) -> Source | None:
    source = user_source()
    return None if source is None else source.noted(pieces)


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
    body = stage_out(step, [*avals, *row_avals])
    over_pieces = _noted(Pieces(size, whole[0]))
    outs = attributed(over_pieces, scan, body, consts, carry, rows, count, reverse)
    carry, stacked = outs[: len(carry)], outs[len(carry) :]
    ys = [reshape(y, (count * size, *shape_of(y)[2:])) for y in stacked]
    if not rest:
        return [*carry, *ys]
    left = [_rows(x, *others) for x in xs]
    outs = attributed(_noted(Pieces(0, others[0])), piece, consts, carry, left, rest)
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
