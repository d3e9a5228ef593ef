"""Which arguments of a loop's body are indexed by computed values: registers cannot be."""

from collections.abc import Callable
from functools import lru_cache

from funcflow.backends.straight.late_changes import CHANGES, VIEWS
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn, Var
from funcflow.lax.dynamic import dynamic_slice_p
from funcflow.lax.indexing import gather_p

_INDEXED = CHANGES | {dynamic_slice_p, gather_p}


@lru_cache(maxsize=256)
def indexed(closed: ClosedJaxpr, prepare: Callable[[ClosedJaxpr], ClosedJaxpr]) -> tuple[bool, ...]:
    """For each argument of a jaxpr, whether a part of it is read or changed at a computed place."""
    jaxpr = prepare(closed).jaxpr
    same = {v: v for v in jaxpr.invars}  # views of an argument, or changed ones -> the argument
    found: set[Var] = set()
    for eqn in jaxpr.eqns:
        for place, v in zip(indexed_by(eqn, prepare), eqn.invars, strict=True):
            if place and isinstance(v, Var) and v in same:
                found.add(same[v])
        if eqn.primitive in CHANGES or eqn.primitive.name in VIEWS:
            source = eqn.invars[0]
            if isinstance(source, Var) and source in same:
                same[eqn.outvars[0]] = same[source]
    return tuple(v in found for v in jaxpr.invars)


def indexed_by(eqn: JaxprEqn, prepare: Callable[[ClosedJaxpr], ClosedJaxpr]) -> tuple[bool, ...]:
    """For each operand of an equation, whether it reads or changes a part at a computed place."""
    if eqn.primitive in _INDEXED:
        return tuple(i == 0 for i in range(len(eqn.invars)))
    params = eqn.params
    if eqn.primitive.name == "scan":
        return indexed(params["jaxpr"], prepare)
    if eqn.primitive.name == "while":
        first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        test, body = (indexed(params[name], prepare) for name in ("cond_jaxpr", "body_jaxpr"))
        carry = zip(test[first:], body[params["body_nconsts"] :], strict=True)
        return (*test[:first], *body[: second - first], *(a or b for a, b in carry))
    return (False,) * len(eqn.invars)
