"""Which index of a program is out of bounds, and where.

The program is evaluated once more, equation by equation, and the first index that is out of bounds
is found. Loops are run in compiled pieces; single steps are looked into if one was seen in them. A
mask says which lanes are running, where lanes decide for themselves: the others compute with any
indices.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from funcflow.core.array import as_buffer
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import INDEX_CHECK, ClosedJaxpr, JaxprEqn, Var
from funcflow.core.primitive import Primitive
from funcflow.lax.cond import cond_p
from funcflow.lax.index_check import check_index_p, count_sightings, inside
from funcflow.lax.scan import scan_p
from funcflow.lax.while_binding import while_p
from funcflow.transforms.implicit import linear_solve_p
from funcflow.transforms.origin_loops import Scan, While
from funcflow.transforms.pmap import pmap_p
from funcflow.transforms.replay import (
    called,
    evaluated,
    shards_together,
    solve_operands,
    values_of,
)
from funcflow.transforms.whereabouts import Element, Frame, Origin, first_true

# Which lanes run, in an array of the leading dimensions of what has lanes; all of them if there
# are none that decide for themselves.
Mask: TypeAlias = np.ndarray[Any, Any]
ALL: Mask = np.ones((), np.bool_)


def index_origin(eqn: JaxprEqn, ins: Sequence[Any], running: Mask = ALL) -> Origin | None:
    """The first check in an equation that an index of a running lane does not pass."""
    if INDEX_CHECK not in eqn.effects or not running.any():
        return None
    rule = _RULES.get(eqn.primitive)
    if rule is not None:
        return rule(eqn, ins, running)
    jaxpr = called(eqn)
    return None if jaxpr is None else _origin_in(jaxpr, ins, running)


def _origin_in(closed: ClosedJaxpr, ins: Sequence[Any], running: Mask) -> Origin | None:
    if INDEX_CHECK not in closed.effects:
        return None
    jaxpr = closed.jaxpr
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, map(as_buffer, closed.consts), strict=True))
    env.update(zip(jaxpr.invars, ins, strict=True))
    for eqn in jaxpr.eqns:
        operands = values_of(env, eqn.invars)
        found = index_origin(eqn, operands, running)
        if found is not None:
            return found
        env.update(zip(eqn.outvars, evaluated(eqn, operands), strict=True))
    return None


def _in_check(eqn: JaxprEqn, ins: Sequence[Any], running: Mask) -> Origin | None:
    params, (indices,) = eqn.params, map(np.asarray, ins)
    outside = ~inside(indices, params["extent"], params["size"], params["from_end"])
    outside &= _spread(running, indices.shape)
    return Origin(eqn, ins, Element(0, first_true(outside))) if outside.any() else None


def _spread(running: Mask, shape: tuple[int, ...]) -> Mask:
    """The mask for indices of that shape.

    Their leading dimensions are those of the lanes, but for lanes that share their indices.
    """
    axes = range(running.ndim)
    for count in reversed(range(running.ndim + 1)):
        for own in combinations(axes, count):
            if tuple(running.shape[i] for i in own) == shape[:count]:
                shared = tuple(i for i in axes if i not in own)
                mask = np.asarray(running.any(shared))
                return mask.reshape((*shape[:count], *(1,) * (len(shape) - count)))
    raise AssertionError("no lanes at all fit any shape")


def _narrowed(running: Mask, chosen: Mask) -> Mask:
    """The running lanes among those chosen by a condition of each lane."""
    return chosen & _spread(running, chosen.shape)


def _in_cond(eqn: JaxprEqn, ins: Sequence[Any], running: Mask) -> Origin | None:
    which, *operands = ins
    for number, branch in enumerate(eqn.params["branches"]):
        chosen = which == number
        taken = _narrowed(running, chosen) if which.ndim else running & chosen
        found = _origin_in(branch, operands, taken) if taken.any() else None
        if found is not None:
            return found.within(Frame("branch", number, "cond"))
    return None


def _in_scan(eqn: JaxprEqn, ins: Sequence[Any], running: Mask) -> Origin | None:
    loop = Scan(eqn, ins)
    for step, carry in loop.steps_that_count(count_sightings):
        if step < loop.length:
            found = _origin_in(loop.body, loop.body_operands(carry, step), running)
            if found is not None:
                return loop.within_step(found, carry, step)
    return None


def _in_while(eqn: JaxprEqn, ins: Sequence[Any], running: Mask) -> Origin | None:
    loop = While(eqn, ins)
    for step, carry in loop.steps_that_count(count_sightings):
        tested = [*loop.fixed[: loop.first], *carry]
        found = _origin_in(loop.cond, tested, running)
        if found is None and step < loop.length:
            (goes_on,) = eval_buffers(loop.cond, tested)
            goes_on = np.asarray(goes_on)
            inner = _narrowed(running, goes_on) if goes_on.ndim else running
            found = _origin_in(loop.body, loop.body_operands(carry, step), inner)
        if found is not None:
            return loop.within_step(found, carry, step)
    return None


def _in_solve(eqn: JaxprEqn, ins: Sequence[Any], running: Mask) -> Origin | None:
    return _origin_in(eqn.params["solve"], [ins[i] for i in solve_operands(eqn)], running)


def _in_pmap(eqn: JaxprEqn, ins: Sequence[Any], running: Mask) -> Origin | None:
    return _origin_in(shards_together(eqn), ins, running)


_RULES: Mapping[Primitive, Callable[[JaxprEqn, Sequence[Any], Mask], Origin | None]] = {
    check_index_p: _in_check,
    scan_p: _in_scan,
    while_p: _in_while,
    cond_p: _in_cond,
    linear_solve_p: _in_solve,
    pmap_p: _in_pmap,
}
