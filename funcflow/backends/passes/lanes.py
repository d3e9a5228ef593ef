"""Control flow in which each lane has a condition of its own: a kernel, or a mask.

`vmap` makes branches with an index for each lane, and loops in which each lane goes to its own end.
Where their jaxprs are straight code (`straight/`) they stay, to become kernels with real
branches and loops. Others become what runs all lanes together, under a mask; so do branches that
are quicker to compute than to decide between.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.passes.inline import inline
from funcflow.backends.straight.arrays import Elements, Lanes, NotStraight, arranged, element_shape
from funcflow.backends.straight.code import Prepare, StraightCode, is_free
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn
from funcflow.core.staging import stage_out
from funcflow.lax.cond import cond_p, select_branches
from funcflow.lax.while_binding import bind_while, while_p
from funcflow.lax.while_loop import until_all_done
from funcflow.lax.while_reverse import operands_of, reverse_together, reverse_while_p


class Masked(NamedTuple):
    """A note at the source of what runs all lanes under a mask, in the place of an equation."""

    primitive: str
    reason: str

    def __str__(self) -> str:
        return f"{self.primitive}: all lanes together, since {self.reason}"


def lanes(closed: ClosedJaxpr, prepare: Prepare) -> ClosedJaxpr:
    """The same jaxpr, in which lanes have conditions of their own only where a kernel runs them.

    Args:
        closed: a jaxpr without calls.
        prepare: the pipeline, for the jaxprs inside of equations.
    """
    jaxpr = closed.jaxpr
    if not any(map(decide_apart, jaxpr.eqns)):
        return closed
    eqns: list[JaxprEqn] = []
    constants = list(zip(jaxpr.constvars, closed.consts, strict=True))
    renamed: dict[Atom, Atom] = {}
    for eqn in jaxpr.eqns:
        eqn = eqn.replace(invars=[renamed.get(v, v) for v in eqn.invars])
        reason = why_masked(eqn, prepare) if decide_apart(eqn) else None
        if reason is None:
            eqns.append(eqn)
            continue
        source = eqn.source and eqn.source.noted(Masked(eqn.primitive.name, reason))
        masked = lanes(inline(_masked(eqn)), prepare)  # branches have branches
        constants += zip(masked.jaxpr.constvars, masked.consts, strict=True)
        inner: dict[Atom, Atom] = dict(zip(masked.jaxpr.invars, eqn.invars, strict=True))
        for e in masked.jaxpr.eqns:
            eqns.append(e.replace(invars=[inner.get(v, v) for v in e.invars], source=source))
        for v, result in zip(eqn.outvars, masked.jaxpr.outvars, strict=True):
            renamed[v] = inner.get(result, result)
    outvars = [renamed.get(v, v) for v in jaxpr.outvars]
    changed = jaxpr.replace(constvars=[v for v, _ in constants], eqns=eqns, outvars=outvars)
    return ClosedJaxpr(changed, [value for _, value in constants])


def decide_apart(eqn: JaxprEqn) -> bool:
    """Whether an equation is a branch or a loop of lanes that decide for themselves."""
    return bool(_extents(eqn))


def _extents(eqn: JaxprEqn) -> tuple[int, ...]:
    """The extents of the lanes of what decides."""
    if eqn.primitive is cond_p:
        return eqn.invars[0].aval.shape
    if eqn.primitive is while_p:
        return eqn.params["cond_jaxpr"].out_avals[0].shape
    if eqn.primitive is reverse_while_p:
        return eqn.invars[0].aval.shape
    return ()


def why_masked(eqn: JaxprEqn, prepare: Prepare) -> str | None:
    """Why an equation of lanes that decide for themselves is no kernel; None if it is one."""
    extent, *more = _extents(eqn)
    if eqn.primitive is cond_p and all(is_free(prepare(b)) for b in eqn.params["branches"]):
        return "its branches are quick"
    if more:
        return f"its lanes have {1 + len(more)} dimensions"
    build = Builder()
    around = Lanes(extent, lambda: build.index(0))
    code = StraightCode(build, lambda x: build.const(x, x.dtype), prepare, around)
    try:
        _try(code, eqn, _unknown(eqn.invars, extent))
    except NotStraight as error:
        return str(error)
    return None


def _try(code: StraightCode, eqn: JaxprEqn, args: Sequence[Elements]) -> None:
    """Write an equation as straight code.

    Raises:
        NotStraight: it cannot be written so.
    """
    if eqn.primitive is not reverse_while_p:
        code.results(eqn, args)
        return
    params = eqn.params
    step, pull = params["step_jaxpr"], params["pull_jaxpr"]
    sizes = step, params["step_nconsts"], params["pull_nconsts"]
    _, step_consts, pull_consts, carry, cotangents = operands_of(args, *sizes)
    code.evaluate(code.prepare(step), [*step_consts, *carry])
    code.evaluate(code.prepare(pull), [*pull_consts, *carry, *cotangents])


def _unknown(atoms: Sequence[Atom], extent: int) -> list[Elements]:
    """Elements of which nothing is known."""
    shapes = [element_shape(v.aval, extent) for v in atoms]
    values = [
        Value(np.dtype(v.aval.dtype))
        for v, (shape, _) in zip(atoms, shapes, strict=True)
        for _ in range(prod(shape))
    ]
    return arranged(values, shapes)


def _masked(eqn: JaxprEqn) -> ClosedJaxpr:
    """A jaxpr that computes the equation for all lanes together."""
    params = eqn.params

    def branches(index: Atom, *operands: Atom) -> list[Atom]:
        return select_branches(index, operands, params["branches"])

    def loop(*args: Atom) -> list[Atom]:
        sizes = params["cond_nconsts"], params["body_nconsts"]
        cond, body = until_all_done(params["cond_jaxpr"], params["body_jaxpr"], *sizes)
        consts, rest, carry = args[: sizes[0]], args[: sum(sizes)], args[sum(sizes) :]
        return bind_while(cond, body, consts, rest, carry, params["checkpoint"])

    def back(*args: Atom) -> list[Atom]:
        return reverse_together(*args, **params)

    function = {cond_p: branches, while_p: loop, reverse_while_p: back}[eqn.primitive]
    return stage_out(function, [v.aval for v in eqn.invars])
