"""Inlining: calls become the equations of what they call.

Only for compiling. Before that a call stays a call, since its derivative may be the user's own.
"""

from collections.abc import Mapping
from typing import Any

from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var

# The parameter that holds the jaxpr of a call, by the name of the primitive.
BODIES: Mapping[str, str] = {
    "jit": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_rule_call": "call_jaxpr",
    "linear_call": "jaxpr",
}


def inline(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr without calls; constants of what is called become its own."""
    jaxpr = closed.jaxpr
    if not any(eqn.primitive.name in BODIES for eqn in jaxpr.eqns):
        return closed
    constants: list[tuple[Var, Any]] = list(zip(jaxpr.constvars, closed.consts, strict=True))
    eqns: list[JaxprEqn] = []
    renamed: dict[Var, Atom] = {}
    for eqn in jaxpr.eqns:
        _inline(eqn, renamed, eqns, constants)
    outvars = [_read(renamed, v) for v in jaxpr.outvars]
    changed = jaxpr.replace(constvars=[v for v, _ in constants], eqns=eqns, outvars=outvars)
    return ClosedJaxpr(changed, [value for _, value in constants])


def _read(renamed: Mapping[Var, Atom], v: Atom) -> Atom:
    return v if isinstance(v, Literal) else renamed.get(v, v)


def _inline(
    eqn: JaxprEqn,
    renamed: dict[Var, Atom],
    eqns: list[JaxprEqn],
    constants: list[tuple[Var, Any]],
) -> None:
    """Append an equation, or those of the jaxpr that it calls."""
    invars = [_read(renamed, v) for v in eqn.invars]
    body = BODIES.get(eqn.primitive.name)
    if body is None:
        outvars: list[Any] = [renamed.get(v, v) for v in eqn.outvars]
        eqns.append(eqn.replace(invars=invars, outvars=outvars))
        return
    inner: ClosedJaxpr = eqn.params[body]
    local: dict[Var, Atom] = dict(zip(inner.jaxpr.invars, invars, strict=True))
    for v, value in zip(inner.jaxpr.constvars, inner.consts, strict=True):
        constant = local[v] = Var(v.aval)
        constants.append((constant, value))
    for e in inner.eqns:
        local |= {v: Var(v.aval) for v in e.outvars}  # a jaxpr may be called twice
        _inline(e, local, eqns, constants)
    for v, result in zip(eqn.outvars, inner.jaxpr.outvars, strict=True):
        renamed[v] = _read(local, result)
