"""Rewriting jaxprs: dead code, constants as arguments, renaming."""

from collections.abc import Hashable, Sequence

from funcflow.core import rules
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Var, must_stay, subjaxprs


def dce(jaxpr: Jaxpr, used_outputs: Sequence[bool] | None = None) -> Jaxpr:
    """Drop outputs that are not used, equations that nothing needs, and unused constvars.

    Equations with effects stay; loops lose the results that nothing needs. All inputs stay:
    `used_inputs` tells which are needed.
    """
    outvars = list(jaxpr.outvars)
    if used_outputs is not None:
        outvars = [v for v, used in zip(outvars, used_outputs, strict=True) if used]
    live = {v for v in outvars if isinstance(v, Var)}
    eqns: list[JaxprEqn] = []
    for eqn in reversed(jaxpr.eqns):
        used = [v in live for v in eqn.outvars]
        if must_stay(eqn.effects) or any(used):
            if not all(used) and eqn.primitive in rules.dce:
                eqn = rules.dce[eqn.primitive](eqn, used)
            eqns.append(eqn)
            live.update(v for v in eqn.invars if isinstance(v, Var))
    constvars = [v for v in jaxpr.constvars if v in live]
    return Jaxpr(constvars, jaxpr.invars, outvars, eqns[::-1])


def dce_closed(closed: ClosedJaxpr) -> ClosedJaxpr:
    """`dce`, dropping the values of unused constvars as well."""
    jaxpr = dce(closed.jaxpr)
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    return ClosedJaxpr(jaxpr, [values[v] for v in jaxpr.constvars])


def cse(jaxpr: Jaxpr) -> Jaxpr:
    """Compute equal expressions once. Equations with effects, or with jaxprs inside, stay."""
    renamed: dict[Var, Atom] = {}
    seen: dict[Hashable, list[Var]] = {}
    eqns: list[JaxprEqn] = []
    for eqn in jaxpr.eqns:
        if renamed:
            invars = [renamed.get(v, v) if isinstance(v, Var) else v for v in eqn.invars]
            eqn = eqn.replace(invars=invars)
        if eqn.effects or subjaxprs(eqn):
            eqns.append(eqn)
            continue
        key = (eqn.primitive, tuple(eqn.invars), tuple(eqn.params.items()))
        known = seen.setdefault(key, eqn.outvars)
        if known is eqn.outvars:
            eqns.append(eqn)
        else:
            renamed.update(zip(eqn.outvars, known, strict=True))
    outvars = [renamed.get(v, v) if isinstance(v, Var) else v for v in jaxpr.outvars]
    return jaxpr.replace(eqns=eqns, outvars=outvars)


def used_inputs(jaxpr: Jaxpr) -> list[bool]:
    """Which inputs an equation or an output reads."""
    read = {v for eqn in jaxpr.eqns for v in eqn.invars if isinstance(v, Var)}
    read.update(v for v in jaxpr.outvars if isinstance(v, Var))
    return [v in read for v in jaxpr.invars]


def constants_to_arguments(jaxpr: Jaxpr) -> Jaxpr:
    """The same jaxpr with its constvars as leading arguments."""
    return Jaxpr((), (*jaxpr.constvars, *jaxpr.invars), jaxpr.outvars, jaxpr.eqns)


def close(jaxpr: Jaxpr) -> ClosedJaxpr:
    """A jaxpr with its constvars as leading arguments, closed over nothing."""
    return ClosedJaxpr(constants_to_arguments(jaxpr), ())


def permute(
    closed: ClosedJaxpr, inputs: Sequence[int] | None = None, outputs: Sequence[int] | None = None
) -> ClosedJaxpr:
    """The same jaxpr with its inputs and outputs taken in another order."""
    jaxpr = closed.jaxpr
    invars = jaxpr.invars if inputs is None else [jaxpr.invars[i] for i in inputs]
    outvars = jaxpr.outvars if outputs is None else [jaxpr.outvars[i] for i in outputs]
    return ClosedJaxpr(jaxpr.replace(invars=invars, outvars=outvars), closed.consts)


def hoist(closed: ClosedJaxpr) -> tuple[ClosedJaxpr, list[object]]:
    """The jaxpr with its constants as leading arguments, and their values."""
    return close(closed.jaxpr), list(closed.consts)


def split_invariant(jaxpr: Jaxpr, num_consts: int) -> tuple[Jaxpr, Jaxpr]:
    """Take out of a loop's body what depends on its first `num_consts` inputs only.

    Returns the jaxpr that computes it from these inputs, and the body with the results as further
    inputs in front. The jaxpr must have no constvars.
    """
    fixed = set(jaxpr.invars[:num_consts])
    moved: list[JaxprEqn] = []
    stay: list[JaxprEqn] = []
    for eqn in jaxpr.eqns:
        if not eqn.effects and all(v in fixed for v in eqn.invars if isinstance(v, Var)):
            moved.append(eqn)
            fixed.update(eqn.outvars)
        else:
            stay.append(eqn)
    read = {v for eqn in stay for v in eqn.invars} | set(jaxpr.outvars)
    values = [v for eqn in moved for v in eqn.outvars if v in read]
    before = Jaxpr((), jaxpr.invars[:num_consts], values, moved)
    return dce(before), Jaxpr((), (*values, *jaxpr.invars), jaxpr.outvars, stay)
