"""What happens to a jaxpr before it is compiled, in order."""

from collections.abc import Callable

from funcflow.backends.passes.fold import fold
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.rewrite import cse, dce_closed


def _cse(closed: ClosedJaxpr) -> ClosedJaxpr:
    return ClosedJaxpr(cse(closed.jaxpr), closed.consts)


PASSES: dict[str, Callable[[ClosedJaxpr], ClosedJaxpr]] = {
    "fold": fold,
    "cse": _cse,
    "dce": dce_closed,
}


def lower(closed: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
    """The jaxpr after each pass, by the pass's name; the last one is what is compiled."""
    stages: dict[str, ClosedJaxpr] = {}
    for name, run in PASSES.items():
        closed = stages[name] = run(closed)
    return stages
