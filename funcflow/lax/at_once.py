"""Loops outside of all programs: compiled, if they are long.

Python takes microseconds for each operation of each step; to compile a loop takes milliseconds the
first time, and a fraction of one when it is known. So short loops are evaluated by `impl`; long
ones, and those whose length nobody knows beforehand, are compiled as `jit` would compile them.
Branches and checkpoints count for the loops in them. Where `disable_jit` is set, all are evaluated.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from funcflow.core import rules
from funcflow.core.array import aval_of
from funcflow.core.config import config
from funcflow.core.executables import compiled
from funcflow.core.jaxpr import Jaxpr, subjaxprs
from funcflow.core.primitive import Primitive
from funcflow.core.staging import single_equation

# So many operations take Python as long as it takes to compile a small loop.
MOST_OPERATIONS = 1000
UNKNOWN = MOST_OPERATIONS + 1

# How often a primitive with such parameters evaluates the jaxprs in them.
Times: TypeAlias = Callable[..., int]
_times: dict[Primitive, Times] = {}


def at_once(primitive: Primitive, times: Times) -> rules.Rule:
    """What evaluates a primitive outside of all programs, for `define`.

    Args:
        primitive: one with jaxprs among its parameters.
        times: given the parameters, how often they are evaluated.
    """
    _times[primitive] = times

    def run(xp: Any, *buffers: Any, **params: Any) -> Any:
        closed = single_equation(primitive, [*map(aval_of, buffers)], params)
        if xp is not np or config.disable_jit or _operations(closed.jaxpr) <= MOST_OPERATIONS:
            return rules.impl[primitive](xp, *buffers, **params)
        return compiled(closed, lambda: f"{primitive.name}, outside of jit")(*buffers)

    return run


def _operations(jaxpr: Jaxpr) -> int:
    """How many operations Python would evaluate."""
    count = len(jaxpr.eqns)
    for eqn in jaxpr.eqns:
        inside = sum(map(_operations, subjaxprs(eqn)))
        if inside:
            times = _times.get(eqn.primitive)
            count += inside * (times(**eqn.params) if times else 1)
    return count
