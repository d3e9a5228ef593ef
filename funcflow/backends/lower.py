"""From a jaxpr to a Program: groups become kernels, library calls routines, the rest host calls."""

from collections import Counter
from collections.abc import Callable, Mapping
from math import prod
from operator import methodcaller
from typing import TypeAlias

import numpy as np

from funcflow.backends.copying import copy_step, fill_steps
from funcflow.backends.passes.fuse import Partition
from funcflow.backends.passes.fusion_memo import partition
from funcflow.backends.passes.groups import Alias, Alone, Group, Node
from funcflow.backends.passes.kinds import REDUCTIONS
from funcflow.backends.passes.order import in_order
from funcflow.backends.passes.recompute import recompute
from funcflow.backends.planner import Lowering, Part, Planner
from funcflow.backends.program import Program, Step, View
from funcflow.backends.step_memo import group_steps
from funcflow.core import rules
from funcflow.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.primitive import Primitive
from funcflow.lax.complex import complex_p
from funcflow.lax.joining import concatenate_p
from funcflow.lax.scan import scan_p
from funcflow.lax.shape import reshape_p

Lowerings: TypeAlias = Mapping[Primitive, Lowering]

# So many elements that lie together make a vector.
_RUN = 16


def lower_program(
    closed: ClosedJaxpr, lowerings: Lowerings, begin: Callable[[Step], None] | None = None
) -> Program:
    """The program of a jaxpr.

    Args:
        closed: the jaxpr, ready to be compiled.
        lowerings: the routines of the target.
        begin: called with each step as soon as it is known, so that its compilation may begin.
    """
    fusion = partition(closed.jaxpr)
    again = recompute(fusion, closed.jaxpr)
    virtual = fusion.virtual | again

    def fill(v: Var, target: View) -> list[Step]:
        steps = fill_steps(v, target, virtual, plan.operand)
        steps[-1].note = "copy: a value that is cheap to compute, stored for who needs all of it"
        return steps

    plan = Planner(closed, copy_step, fill, virtual)
    plan.parts = _joined(fusion, closed.jaxpr) | _halves(fusion, virtual, plan)
    plan.reshaped = _reshaped(fusion, closed.jaxpr)
    needed = _needed(fusion, again, closed.jaxpr)
    begun = 0
    for node in fusion.nodes:
        if isinstance(node, Group):
            _lower_group(plan, virtual, node, needed)
        elif isinstance(node, Alias):
            _lower_alias(plan, node.eqns[0])
        else:
            _lower_alone(plan, node.eqns[0], lowerings)
        if begin is not None:
            for step in plan.steps[begun:]:
                begin(step)
            begun = len(plan.steps)
    program = plan.finish()
    program.apart = fusion.apart
    return in_order(program)


def _joined(fusion: Partition, jaxpr: Jaxpr) -> dict[Var, Part]:
    """Values that only a concatenation reads: they are written where it wants them.

    These are values of kernels, and what scans stack if it is one piece there, also in another
    shape. Not so values of which only few elements would lie together.
    """
    nodes = fusion.nodes
    alone = [node.eqns[0] for node in nodes if isinstance(node, Alone)]
    joins = [eqn for eqn in alone if eqn.primitive is concatenate_p]
    if not joins:
        return {}
    uses = Counter(v for eqn in jaxpr.eqns for v in eqn.invars if isinstance(v, Var))
    uses.update(v for v in jaxpr.outvars if isinstance(v, Var))
    computed = {v for node in nodes if isinstance(node, Group) for v in node.places}
    scans = (eqn for eqn in alone if eqn.primitive is scan_p)
    stacked = {v for eqn in scans for v in eqn.outvars[eqn.params["num_carry"] :]}
    sources = {
        node.eqns[0].outvars[0]: node.eqns[0].invars[0]
        for node in nodes
        if isinstance(node, Alias) and node.eqns[0].primitive is reshape_p
    }
    parts: dict[Var, Part] = {}
    for eqn in joins:
        axis, start = eqn.params["dimension"], 0
        for v in eqn.invars:
            shape = v.aval.shape
            if isinstance(v, Var) and uses[v] == 1 and prod(shape[axis:]) >= _RUN:
                place = methodcaller("part", axis, start, shape[axis])
                source = sources.get(v, v)
                if v in computed:
                    parts[v] = Part(eqn.outvars[0], place)
                elif source in stacked and uses[source] == 1 and prod(shape[:axis]) == 1:
                    parts[source] = Part(eqn.outvars[0], _in_shape(place, source.aval.shape))
            start += shape[axis]
    return parts


def _in_shape(place: Callable[[View], View], shape: tuple[int, ...]) -> Callable[[View], View]:
    """The same elements, which are one piece of memory, in another shape."""

    def of(whole: View) -> View:
        view = place(whole).reshape(shape)
        assert view is not None
        return view

    return of


def _halves(fusion: Partition, virtual: Mapping[Var, JaxprEqn], plan: Planner) -> dict[Var, Part]:
    """The results of groups that become parts of complex values."""
    groups = [node for node in fusion.nodes if isinstance(node, Group)]
    computed = {v for group in groups for eqn in group.eqns for v in eqn.outvars} - virtual.keys()
    found: dict[Var, Part] = {}
    for eqn in (node.eqns[0] for node in fusion.nodes if not isinstance(node, Group)):
        if eqn.primitive is complex_p:
            (out,) = eqn.outvars
            for number, v in enumerate(eqn.invars):
                whole = v.aval.shape == out.aval.shape
                if isinstance(v, Var) and v in computed and whole and not plan.is_output(v):
                    found.setdefault(v, Part(out, methodcaller("half", number)))
    return found


def _reshaped(fusion: Partition, jaxpr: Jaxpr) -> set[Var]:
    """The values that only change their shape to become outputs."""
    outputs = {v for v in jaxpr.outvars if isinstance(v, Var)}
    found: set[Var] = set()
    for node in reversed(fusion.nodes):
        (eqn, *_) = node.eqns
        if isinstance(node, Alias) and eqn.primitive is reshape_p:
            (source,), (result,) = eqn.invars, eqn.outvars
            if isinstance(source, Var) and (result in outputs or result in found):
                found.add(source)
    return found


def _needed(fusion: Partition, again: Mapping[Var, JaxprEqn], jaxpr: Jaxpr) -> set[Var]:
    """The variables that are read outside the node that defines them."""
    home = {v: node for node in fusion.nodes for eqn in node.eqns for v in eqn.outvars}
    needed = {v for v in jaxpr.outvars if isinstance(v, Var)}
    for node in fusion.nodes:
        stack = [v for eqn in node.eqns for v in eqn.invars]
        seen: set[Var] = set()
        while stack:
            v = stack.pop()
            if isinstance(v, Literal) or v in seen:
                continue
            seen.add(v)
            outside = home.get(v) is not node
            if outside and v in again:
                stack += again[v].invars
            elif outside or not _inside(node, v):
                needed.add(v)
    return needed


def _inside(node: Node, v: Var) -> bool:
    """Whether a group's equations can use a value of the group without its being stored."""
    return not isinstance(node, Group) or node.covers(node.places[v])


def _lower_group(
    plan: Planner, virtual: Mapping[Var, JaxprEqn], group: Group, needed: set[Var]
) -> None:
    # A view of a value of the group is not stored but for an output: what it is a view of is.
    views = {e.outvars[0]: e for e in group.eqns if e.primitive.name in _VIEWS}
    later: list[JaxprEqn] = []
    stored: dict[Var, None] = {}
    for eqn in group.eqns:
        for v in eqn.outvars:
            if v not in needed:
                continue
            chain: list[JaxprEqn] = []
            while v in views and not plan.is_output(v):
                chain.append(views[v])
                (source,) = views[v].invars
                assert isinstance(source, Var)  # a view joins a group only with its operand
                v = source
            stored[v] = None
            later += [e for e in reversed(chain) if e not in later]
    if stored:
        outputs = {v: plan.result(v) for v in stored}
        plan.steps += group_steps(group, virtual, plan.operand, outputs)
    for eqn in later:
        _lower_alias(plan, eqn)


def _lower_alone(plan: Planner, eqn: JaxprEqn, lowerings: Lowerings) -> None:
    lowering = lowerings.get(eqn.primitive)
    if lowering is not None:
        lowering(plan, eqn)
    elif _computes_nothing(eqn):
        for v in eqn.outvars:
            plan.result(v)
    elif eqn.primitive.name in REDUCTIONS and not eqn.invars[0].aval.size:
        _lower_reduction_of_nothing(plan, eqn)
    else:
        plan.host(eqn, f"{eqn.primitive.name} has no native form")


def _computes_nothing(eqn: JaxprEqn) -> bool:
    """Whether all results are empty, and Python code of the user's need not run for them."""
    calls = eqn.effects or eqn.primitive.name == "pure_callback"
    return not calls and not any(v.aval.size for v in eqn.outvars)


def _lower_reduction_of_nothing(plan: Planner, eqn: JaxprEqn) -> None:
    """Each result is what one of no elements is."""
    impl = rules.impl[eqn.primitive]
    assert not isinstance(impl, rules.Absent)
    nothing = np.empty((0,), eqn.invars[0].aval.dtype)
    value = plan.constant(np.asarray(impl(np, nothing, **{**eqn.params, "axes": (0,)})))
    result = plan.result(eqn.outvars[0])
    plan.copy(value.broadcast(result.shape, ()), result, (eqn,), why="a reduction of nothing")


# --- views ------------------------------------------------------------------------------------


def _lower_alias(plan: Planner, eqn: JaxprEqn) -> None:
    source, (v,) = plan.operand(eqn.invars[0]), eqn.outvars
    view = _VIEWS[eqn.primitive.name](source, eqn)
    if view is not None:
        plan.views[v] = view
        return
    target = plan.result(v).reshape(source.shape)
    assert target is not None
    plan.copy(source, target, (eqn,), why="a reshape of what is not one piece of memory")


def _sliced(view: View, eqn: JaxprEqn) -> View:
    steps = eqn.params["strides"] or [1] * len(view.shape)
    return view.slice(eqn.params["start_indices"], eqn.params["limit_indices"], steps)


_VIEWS: Mapping[str, Callable[[View, JaxprEqn], View | None]] = {
    "reshape": lambda view, eqn: view.reshape(eqn.params["new_sizes"]),
    "transpose": lambda view, eqn: view.transpose(eqn.params["permutation"]),
    "broadcast_in_dim": lambda view, eqn: view.broadcast(
        eqn.params["shape"], eqn.params["broadcast_dimensions"]
    ),
    "slice": _sliced,
    "real": lambda view, eqn: view.half(0),
    "imag": lambda view, eqn: view.half(1),
    "rev": lambda view, eqn: view.reverse(eqn.params["dimensions"]),
}
