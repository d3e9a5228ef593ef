"""A scan cut into stretches, one after the other, and into pieces: a scan over scans."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, TypeAlias

from funcflow.core.array import aval_of, shape_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.source import Source, attributed, user_source
from funcflow.core.staging import stage_out
from funcflow.lax.joining import concatenate, split
from funcflow.lax.shape import reshape

# What runs a scan, given its jaxpr, constants, carry, xs, length, and whether it goes backwards.
Run: TypeAlias = Callable[
    [ClosedJaxpr, Sequence[Any], Sequence[Any], Sequence[Any], int, bool], list[Any]
]
# What runs some of its steps, given constants, carry, xs, and how many steps these are.
Piece: TypeAlias = Callable[[Sequence[Any], Sequence[Any], Sequence[Any], int], list[Any]]


class Stretch(NamedTuple):
    """So many steps of a scan, and what runs them.

    If they are cut into pieces, a piece has a multiple of `unit` steps.
    """

    steps: int
    run: Run
    unit: int = 1


class Pieces(NamedTuple):
    """A note at the source of a loop over the pieces of another, or of a stretch of one.

    Step i of piece n is step `first + n * size + i` of the other loop. A stretch has the size 0:
    its step i is step `first + i`.
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


def in_stretches(stretches: Sequence[Stretch]) -> Run:
    """What runs a scan in stretches, in the order in which it comes to them."""
    if len(stretches) == 1:
        return stretches[0].run

    def run(
        jaxpr: ClosedJaxpr,
        consts: Sequence[Any],
        carry: Sequence[Any],
        xs: Sequence[Any],
        length: int,
        reverse: bool,
    ) -> list[Any]:
        def piece_of(run: Run) -> Piece:
            return lambda consts, carry, xs, steps: run(jaxpr, consts, carry, xs, steps, reverse)

        pieces = [(stretch.steps, piece_of(stretch.run)) for stretch in stretches]
        return _in_turn(pieces, consts, carry, xs, reverse)

    return run


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

    def whole(
        consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any], steps: int
    ) -> list[Any]:
        fixed, carried = len(consts), len(consts) + len(carry)

        def step(*args: Any) -> list[Any]:
            return piece(args[:fixed], args[fixed:carried], args[carried:], size)

        rows = [reshape(x, (count, size, *shape_of(x)[1:])) for x in xs]
        avals = [aval_of(x) for x in (*consts, *carry)]
        row_avals = [a.update(shape=a.shape[1:]) for a in map(aval_of, rows)]
        body = stage_out(step, [*avals, *row_avals])
        outs = attributed(_noted(Pieces(size, 0)), scan, body, consts, carry, rows, count, reverse)
        stacked = [reshape(y, (steps, *shape_of(y)[2:])) for y in outs[len(carry) :]]
        return [*outs[: len(carry)], *stacked]

    count, rest = divmod(length, size)
    if count + bool(rest) < 2:
        return piece(consts, carry, xs, length)
    if not rest:
        return whole(consts, carry, xs, length)
    return _in_turn([(length - rest, whole), (rest, piece)], consts, carry, xs, reverse)


def _in_turn(
    pieces: Sequence[tuple[int, Piece]],
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    reverse: bool,
) -> list[Any]:
    """Run each piece on so many steps, one after the other."""
    turn = -1 if reverse else 1  # from the order of the steps to that of the elements
    sizes = [steps for steps, _ in pieces][::turn]
    starts = [0, *accumulate(sizes[:-1])][::turn]
    rows = [split(x, sizes)[::turn] for x in xs]
    stacked: list[list[Any]] = []
    for number, ((steps, piece), start) in enumerate(zip(pieces, starts, strict=True)):
        part = [row[number] for row in rows]
        outs = attributed(_noted(Pieces(0, start)), piece, consts, carry, part, steps)
        carry, ys = outs[: len(carry)], outs[len(carry) :]
        stacked.append(ys)
    return [*carry, *(concatenate(ys, 0) for ys in zip(*stacked[::turn], strict=True))]


def size_without_rest(length: int, least: int, most: int, multiple: int = 1) -> int:
    """The first size from `least` to `most`, in steps of `multiple`, that divides the length.

    `least` if none does: then there is a rest, which is one more loop to compile.
    """
    sizes = range(least, most + 1, multiple)
    return next((size for size in sizes if length % size == 0), least)
