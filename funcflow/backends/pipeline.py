"""What happens to a jaxpr before it is compiled, in order."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeAlias

from funcflow.backends.passes.fold import fold
from funcflow.backends.passes.inline import inline
from funcflow.backends.passes.lanes import lanes
from funcflow.backends.passes.loop_constants import loop_constants
from funcflow.backends.passes.loop_sums import loop_sums
from funcflow.backends.passes.parts import split_complex
from funcflow.backends.passes.simplify import simplify
from funcflow.backends.passes.turned_products import turned_products
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.rewrite import cse, dce_closed

Pass: TypeAlias = Callable[[ClosedJaxpr], ClosedJaxpr]


def _cse(closed: ClosedJaxpr) -> ClosedJaxpr:
    return ClosedJaxpr(cse(closed.jaxpr), closed.consts)


PASSES: Mapping[str, Pass] = {
    "fold": fold,
    "cse": _cse,
    "dce": dce_closed,
}

# What only compilers do, since calls have derivatives of their own. `simplify` folds what it has
# made foldable, so it takes the place of `fold`. `parts` makes much that is equal, which `cse`
# then finds. What leaves a loop was simplified with it.
COMPILE_PASSES: Mapping[str, Pass] = {
    "inline": inline,
    "lanes": lambda closed: lanes(closed, prepared),
    "simplify": simplify,
    "parts": split_complex,
    "cse": _cse,
    "dce": dce_closed,
    "turned products": turned_products,
    "loop sums": loop_sums,
    "loop constants": loop_constants,
}


def lower(closed: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
    """The jaxpr after each pass, by the pass's name; calls stay calls."""
    return _stages(PASSES, closed)


def prepare(closed: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
    """The jaxpr after each pass for compiling, by the pass's name; the last one is compiled."""
    return _stages(COMPILE_PASSES, closed)


@lru_cache(maxsize=256)
def prepared(closed: ClosedJaxpr) -> ClosedJaxpr:
    """What `prepare` comes to, for the jaxprs inside of equations, which are looked at again."""
    *_, last = prepare(closed).values()
    return last


def _stages(passes: Mapping[str, Pass], closed: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
    stages: dict[str, ClosedJaxpr] = {}
    for name, run in passes.items():
        closed = stages[name] = run(closed)
    return stages
