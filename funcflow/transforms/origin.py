"""Where a NaN in a program's results comes from.

The program is evaluated once more, and then followed backwards from the NaN. Whether the NaN came
to an operation with an operand is tried out, by applying the operation to operands without NaNs. So
one that `where` does not select, or in a lane that has left its loop, is never taken for the cause.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcflow.core.array import as_buffer
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var
from funcflow.core.primitive import Primitive
from funcflow.core.typing import Shape
from funcflow.lax.cond import cond_p
from funcflow.lax.scan import scan_p
from funcflow.lax.while_binding import while_p
from funcflow.lax.while_reverse import reverse_while_p
from funcflow.transforms.implicit import linear_solve_p
from funcflow.transforms.nans import Follow, Found, nans_in
from funcflow.transforms.origin_loops import reverse_origin, scan_origin, while_origin
from funcflow.transforms.pmap import pmap_p
from funcflow.transforms.replay import (
    called,
    evaluated,
    shards_together,
    solve_operands,
    values_of,
)
from funcflow.transforms.whereabouts import Element, Frame, Index, Origin, first_true


def origin_of(eqn: JaxprEqn, ins: Sequence[Any], nan: Element) -> Found:
    """What made a NaN in the results of an equation."""
    inside = _INSIDE.get(eqn.primitive)
    if inside is not None:
        return inside(eqn, ins, nan, origin_in)
    inner = called(eqn)
    if inner is not None:
        return origin_in(inner, ins, nan)
    operand = _operand_at_fault(eqn, ins, nan)
    return Origin(eqn, ins, nan) if operand is None else operand


def origin_in(closed: ClosedJaxpr, ins: Sequence[Any], nan: Element) -> Found:
    """What made a NaN in the results of a jaxpr."""
    jaxpr = closed.jaxpr
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, map(as_buffer, closed.consts), strict=True))
    env.update(zip(jaxpr.invars, ins, strict=True))
    made: dict[Atom, tuple[JaxprEqn, int]] = {}
    for eqn in jaxpr.eqns:
        env.update(zip(eqn.outvars, evaluated(eqn, values_of(env, eqn.invars)), strict=True))
        made.update((v, (eqn, number)) for number, v in enumerate(eqn.outvars))
    atom, index = jaxpr.outvars[nan.number], nan.index
    if not np.isnan(values_of(env, [atom])[0][index]):
        return None
    while atom in made:
        eqn, number = made[atom]
        operands = values_of(env, eqn.invars)
        found = origin_of(eqn, operands, Element(number, index))
        if not isinstance(found, Element):
            return found
        atom = eqn.invars[found.number]
        if isinstance(atom, Literal):
            return Origin(eqn, operands, Element(number, index))
        index = found.index
    return Element(jaxpr.invars.index(atom), index) if atom in jaxpr.invars else None


# --- operations with jaxprs inside --------------------------------------------------------------

_Inside: TypeAlias = Callable[[JaxprEqn, Sequence[Any], Element, Follow], Found]


def _in_cond(eqn: JaxprEqn, ins: Sequence[Any], nan: Element, follow: Follow) -> Found:
    which, *operands = ins
    branch = int(which[nan.index[: which.ndim]])
    found = follow(eqn.params["branches"][branch], operands, nan)
    if isinstance(found, Origin):
        return found.within(Frame("branch", branch, "cond"))
    return None if found is None else Element(found.number + 1, found.index)


def _in_solve(eqn: JaxprEqn, ins: Sequence[Any], nan: Element, follow: Follow) -> Found:
    taken = solve_operands(eqn)
    found = follow(eqn.params["solve"], [ins[i] for i in taken], nan)
    return Element(taken[found.number], found.index) if isinstance(found, Element) else found


def _in_pmap(eqn: JaxprEqn, ins: Sequence[Any], nan: Element, follow: Follow) -> Found:
    return follow(shards_together(eqn), ins, nan)


_INSIDE: Mapping[Primitive, _Inside] = {
    scan_p: scan_origin,
    while_p: while_origin,
    reverse_while_p: reverse_origin,
    cond_p: _in_cond,
    linear_solve_p: _in_solve,
    pmap_p: _in_pmap,
}


# --- all others -----------------------------------------------------------------------------------


def _operand_at_fault(eqn: JaxprEqn, ins: Sequence[Any], nan: Element) -> Element | None:
    """The operand's element without whose NaN there would be none in the result, if there is one.

    What has effects is not done again: there, the first NaN among the operands is blamed.
    """
    nans = {number: found for number, x in enumerate(ins) if (found := nans_in(x)) is not None}
    if not nans:
        return None
    if eqn.effects:
        number, found = next(iter(nans.items()))
        return Element(number, first_true(found))

    def remains(kept: dict[int, Any]) -> bool:
        """Whether the result is NaN if operands keep these NaNs, and have 1 for all others."""
        given = list(ins)
        for number, found in nans.items():
            replaced = found & ~kept[number] if number in kept else found
            one = np.ones((), given[number].dtype)
            given[number] = np.where(replaced, one, given[number])
        return bool(np.isnan(evaluated(eqn, given)[nan.number][nan.index]))

    if remains({}):
        return None
    number = next((n for n, found in nans.items() if remains({n: found})), next(iter(nans)))
    index = _narrowed(nans[number], nan.index, lambda found: remains({number: found}))
    return Element(number, index)


def _narrowed(nans: Any, guess: Index, remains: Callable[[Any], bool]) -> Index:
    """One of the NaNs with which alone the result is NaN; the one at `guess` if that is one."""
    places = np.argwhere(nans)
    if len(guess) == nans.ndim:
        same = places[(places == guess).all(1)]
        if len(same) and remains(_only(nans.shape, same)):
            return guess
    while len(places) > 1:
        half = places[: len(places) // 2]
        places = half if remains(_only(nans.shape, half)) else places[len(half) :]
    return tuple(map(int, places[0]))


def _only(shape: Shape, places: Any) -> Any:
    """A mask that is true at these places."""
    found = np.zeros(shape, np.bool_)
    found[tuple(places.T)] = True
    return found
