"""Evaluating a jaxpr by binding its equations one after the other.

Under `EVAL` this is the reference interpreter; under another trace it re-traces the jaxpr, and
that is how transforms of Python functions become transforms of jaxprs.
"""

from collections.abc import Sequence
from typing import Any

from funcflow.core.jaxpr import ClosedJaxpr, Jaxpr, Literal, Var
from funcflow.core.source import at_source, set_source
from funcflow.core.trace import EVAL, current_trace


def last_uses(jaxpr: Jaxpr) -> list[list[Var]]:
    """For each equation, the variables that are not needed after it."""
    kept = {v for v in jaxpr.outvars if isinstance(v, Var)}
    dead: list[list[Var]] = []
    for eqn in reversed(jaxpr.eqns):
        dying = [v for v in (*eqn.invars, *eqn.outvars) if isinstance(v, Var) and v not in kept]
        kept.update(dying)
        dead.append(list(dict.fromkeys(dying)))
    return dead[::-1]


def eval_jaxpr(jaxpr: Jaxpr, consts: Sequence[Any], *args: Any) -> list[Any]:
    """The outputs of `jaxpr` for the given constants and arguments, under the current trace."""
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    env.update(zip(jaxpr.invars, args, strict=True))
    trace = current_trace.get()
    staged = trace is not EVAL

    def run() -> None:
        for eqn, dead in zip(jaxpr.eqns, last_uses(jaxpr), strict=True):
            if staged:
                set_source(eqn.source)
            ins = [v.value if isinstance(v, Literal) else env[v] for v in eqn.invars]
            out = trace.process(eqn.primitive, ins, eqn.params)
            outs = out if eqn.primitive.multiple_results else (out,)
            env.update(zip(eqn.outvars, outs, strict=True))
            for var in dead:
                del env[var]

    if staged:
        with at_source(None):
            run()
    else:
        run()
    return [v.value if isinstance(v, Literal) else env[v] for v in jaxpr.outvars]


def eval_closed(closed: ClosedJaxpr, *args: Any) -> list[Any]:
    """The outputs of a closed jaxpr."""
    return eval_jaxpr(closed.jaxpr, closed.consts, *args)
