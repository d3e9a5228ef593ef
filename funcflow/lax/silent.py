"""What a jaxpr computes without what it shows: for passes that compute something once more."""

from typing import Any

from funcflow.core import rules
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn, has_side_effects
from funcflow.lax.progress import progress_p


def silent(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The jaxpr without equations that only print, here and in the jaxprs of its equations."""
    if not has_side_effects(closed.effects):
        return closed
    eqns: list[JaxprEqn] = []
    for eqn in closed.eqns:
        if has_side_effects(eqn.effects):
            if not eqn.outvars:
                continue
            params = {name: _silent_parameter(value) for name, value in eqn.params.items()}
            if eqn.primitive is progress_p:
                params["silent"] = True
            effects = rules.effects[eqn.primitive](**params)
            eqn = eqn.replace(params=params, effects=effects)
        eqns.append(eqn)
    return ClosedJaxpr(closed.jaxpr.replace(eqns=eqns), closed.consts)


def _silent_parameter(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_silent_parameter, value))
    return silent(value) if isinstance(value, ClosedJaxpr) else value
