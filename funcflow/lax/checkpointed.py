"""Scans whose reverse pass saves the carry of a few steps only.

The steps are cut into segments. The forward pass saves the carry at the start of each, the reverse
pass computes a segment again before it goes back through it, and saves what it needs of each step
meanwhile. With segments of sqrt(n) steps, that takes memory for sqrt(n) carries and sqrt(n) steps,
and the time of one more forward pass (Chen, Xu, Zhang and Guestrin, "Training deep nets with
sublinear memory cost", 2016).

Segments of 3/4 sqrt(n) in the last 3/16 of the steps make that 29/16 sqrt(n): the starts of long
segments, 13/16 sqrt(n), and of short ones, sqrt(n) / 4, are all in memory only while the reverse
pass goes through the short ones. When it comes to the long ones, it needs the other starts no more.
Ever shorter segments would do with less, sqrt(2 n) in all, but have more starts, which are all that
counts where the steps of a segment take little memory, as in loops that run by blocks of rows.
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
    """Those of sqrt(n) steps, then shorter ones, if that leaves no rest and takes less memory."""
    root = isqrt(length)
    for count in range(root * 13 // 16, root):
        left = length - count * root
        short = size_without_rest(left, -(-root * 7 // 10), root * 8 // 10)
        more, rest = divmod(left, short)
        if not rest and count + more + short < 2 * root:
            return [Segments(count * root, root), Segments(left, short)]
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
