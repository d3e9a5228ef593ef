"""Scans whose reverse pass saves the carry of a few steps only.

The steps are cut into segments. The forward pass saves the carry at the start of each, the reverse
pass computes a segment again before it goes back through it, and saves what it needs of each step
meanwhile. With segments of sqrt(n) steps, that takes memory for sqrt(n) carries and sqrt(n) steps,
and the time of one more forward pass (Chen, Xu, Zhang and Guestrin, "Training deep nets with
sublinear memory cost", 2016).

Segments that are half as long in the last quarter of the steps make that 7/4 sqrt(n). There are
more starts then, sqrt(n) / 2 of that quarter and 3/4 sqrt(n) of the rest. But all of them are in
memory only while the reverse pass goes through the short segments. When it comes to the long ones,
it needs the starts of the quarter no more.
"""

from collections.abc import Sequence
from math import isqrt
from typing import Any, NamedTuple

from funcflow.core.array import aval_of
from funcflow.core.errors import ArgumentError
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.staging import stage_out
from funcflow.lax.checkpoint import bind_checkpoint
from funcflow.lax.pieces import Run, in_pieces, size_without_rest


class Segments(NamedTuple):
    """So many steps, one after the other, and how many of them a segment has."""

    steps: int
    length: int


def segments(loop: str, checkpoint: Any, length: int) -> list[Segments]:
    """The segments of a loop of so many steps, by its argument `checkpoint`.

    Raises:
        ArgumentError: it is neither "sqrt" nor a positive whole number.
    """
    if isinstance(checkpoint, str) and checkpoint == "sqrt":
        return _by_the_root(length)
    if not isinstance(checkpoint, int) or isinstance(checkpoint, bool) or checkpoint < 1:
        raise ArgumentError(
            f"{loop}: checkpoint={checkpoint!r} is neither 'sqrt' nor a whole number of steps",
            mend="pass checkpoint='sqrt', the steps of a segment (1 or more), or None",
        )
    return [Segments(length, checkpoint)]


def _by_the_root(length: int) -> list[Segments]:
    """Those of sqrt(n) steps, then some about half as long, if that leaves no rest and is less."""
    root = isqrt(length)
    for count in range(root * 3 // 4, root):
        long = count * root
        half = size_without_rest(length - long, (root + 1) // 2, root * 2 // 3)
        short, rest = divmod(length - long, half)
        if not rest and count + short + half < 2 * root:
            return [Segments(long, root), Segments(length - long, half)]
    root = isqrt(max(length - 1, 0)) + 1
    return [Segments(length, size_without_rest(length, root, root * 4 // 3))]


def checkpointed(scan: Run, segment: int) -> Run:
    """What runs scans in segments of so many steps, each of which is checkpointed."""

    def run(
        jaxpr: ClosedJaxpr,
        consts: Sequence[Any],
        carry: Sequence[Any],
        xs: Sequence[Any],
        length: int,
        reverse: bool,
    ) -> list[Any]:
        def piece(
            consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any], steps: int
        ) -> list[Any]:
            fixed, carried = len(consts), len(consts) + len(carry)

            def steps_of_segment(*args: Any) -> list[Any]:
                parts = args[:fixed], args[fixed:carried], args[carried:]
                return scan(jaxpr, *parts, steps, reverse)

            args = [*consts, *carry, *xs]
            closed = stage_out(steps_of_segment, [aval_of(x) for x in args])
            return bind_checkpoint(closed, None, *args)

        return in_pieces(scan, piece, segment, consts, carry, xs, length, reverse)

    return run
