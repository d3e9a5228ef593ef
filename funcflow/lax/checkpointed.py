"""Scans whose reverse pass saves the carry of a few steps only.

The steps are cut into segments. The forward pass saves the carry at the start of each, the reverse
pass computes a segment again before it goes back through it, and saves what it needs of each step
meanwhile. With segments of sqrt(n) steps, that takes memory for about sqrt(n) carries and sqrt(n)
steps, and the time of one more forward pass (Chen, Xu, Zhang and Guestrin, "Training deep nets with
sublinear memory cost", 2016).
"""

from collections.abc import Sequence
from math import isqrt
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.errors import ArgumentError
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.staging import stage_out
from funcflow.lax.checkpoint import bind_checkpoint
from funcflow.lax.pieces import Run, in_pieces, size_without_rest


def segment_length(loop: str, checkpoint: Any, length: int) -> int:
    """How many steps a segment has, by the argument `checkpoint` of a loop.

    Raises:
        ArgumentError: it is neither "sqrt" nor a positive whole number.
    """
    if isinstance(checkpoint, str) and checkpoint == "sqrt":
        root = isqrt(max(length - 1, 0)) + 1
        return size_without_rest(length, root, root * 4 // 3)
    if not isinstance(checkpoint, int) or isinstance(checkpoint, bool) or checkpoint < 1:
        raise ArgumentError(
            f"{loop}: checkpoint={checkpoint!r} is neither 'sqrt' nor a whole number of steps",
            mend="pass checkpoint='sqrt', the steps of a segment (1 or more), or None",
        )
    return checkpoint


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
