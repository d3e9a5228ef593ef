"""Evaluating a program's equations one by one, once more, to see where something came to be."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from funcflow.core import rules
from funcflow.core.backend import array_namespace
from funcflow.core.executables import compiled
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, subjaxprs
from funcflow.transforms.batching import batch_jaxpr


def values_of(env: Mapping[Var, Any], atoms: Sequence[Atom]) -> list[Any]:
    """The values of atoms."""
    return [v.val if isinstance(v, Literal) else env[v] for v in atoms]


def evaluated(eqn: JaxprEqn, ins: Sequence[Any]) -> list[Any]:
    """The results of an equation; it is compiled if it has a jaxpr inside."""
    if subjaxprs(eqn):
        invars = [Var(v.aval) for v in eqn.invars]
        alone = Jaxpr((), invars, eqn.outvars, [eqn.replace(invars=list(invars))])
        return list(compiled(ClosedJaxpr(alone))(*ins))
    with np.errstate(all="ignore"):
        out = rules.impl[eqn.primitive](array_namespace(ins), *ins, **eqn.params)
    return list(map(np.asarray, out if eqn.primitive.multiple_results else [out]))


def called(eqn: JaxprEqn) -> ClosedJaxpr | None:
    """The jaxpr that an equation is a call of, if it is a call."""
    found = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr"))
    if not isinstance(found, ClosedJaxpr):
        return None
    same = len(found.in_avals) == len(eqn.invars) and len(found.out_avals) == len(eqn.outvars)
    return found if same else None


def solve_operands(eqn: JaxprEqn) -> list[int]:
    """Which operands of a linear solve the jaxpr is given that computes the solution."""
    matvec, solve, transposed = eqn.params["counts"]
    first = matvec + solve + transposed
    return [*range(matvec, matvec + solve), *range(first, len(eqn.invars))]


def shards_together(eqn: JaxprEqn) -> ClosedJaxpr:
    """A pmap as a `vmap` over all shards, which need not wait for each other then."""
    params = eqn.params
    every = (True,) * len(eqn.outvars)
    size, axis_name, mapped = params["size"], params["axis_name"], tuple(params["mapped"])
    return batch_jaxpr(params["jaxpr"], size, axis_name, mapped, every)[0]
