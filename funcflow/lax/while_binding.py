"""The primitive of `while_loop`, and what binds it."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.rewrite import dce_closed, hoist
from funcflow.core.source import attributed, user_source
from funcflow.core.staging import stage_out

while_p = Primitive("while", multiple_results=True)


def bind_while(
    cond: ClosedJaxpr,
    body: ClosedJaxpr,
    cond_consts: Sequence[Any],
    body_consts: Sequence[Any],
    carry: Sequence[Any],
    checkpoint: int | None = None,
    apart: bool = False,
) -> list[Any]:
    """Bind `while_p`.

    Args:
        cond: from (its constants, carry) to a boolean.
        body: from (its constants, carry) to the next carry.
        cond_consts: the former's.
        body_consts: the latter's.
        carry: what there is at first.
        checkpoint: how many carries the reverse pass keeps at equal distances; None for all.
        apart: whether each lane of `vmap` has its own of all that has a derivative.
    """
    cond, cond_more = hoist(cond)
    body, body_more = hoist(body)
    return while_p.bind(
        *cond_more,
        *cond_consts,
        *body_more,
        *body_consts,
        *carry,
        cond_jaxpr=cond,
        body_jaxpr=body,
        cond_nconsts=len(cond_more) + len(cond_consts),
        body_nconsts=len(body_more) + len(body_consts),
        checkpoint=checkpoint,
        apart=apart,
    )


# A note at the source of a loop over the steps of another: its first value is the number of one.
STEP_NUMBER = "step number"


def over_steps(
    cond: Callable[..., Any], body: Callable[..., Any], carry: Sequence[Any]
) -> list[Any]:
    """`while_of`, for a loop over the steps of another, whose number comes first in the carry."""
    source = user_source()
    noted = None if source is None else source.noted(STEP_NUMBER)
    return attributed(noted, while_of, cond, body, carry)


def while_of(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    carry: Sequence[Any],
    checkpoint: int | None = None,
) -> list[Any]:
    """A while loop over a flat carry, of flat functions."""
    avals = [aval_of(x) for x in carry]
    test, step = stage_out(lambda *xs: [cond(*xs)], avals), stage_out(body, avals)
    return bind_while(dce_closed(test), dce_closed(step), [], [], carry, checkpoint)
