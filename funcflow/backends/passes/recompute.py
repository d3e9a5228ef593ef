"""Recomputation: values that are cheaper to compute again than to store and load.

Differentiation leaves a kernel of the forward pass with many results that only the backward pass
reads: for `gelu` seven arrays, all functions of one. Memory is what bounds such kernels, so the
kernels that read them compute them again from what is in memory anyway: operands of the first
kernel, results that must be stored, values of a row. No bit changes: the operations are the same.
"""

from collections import defaultdict
from collections.abc import Mapping

from funcflow.backends.passes.fuse import Partition
from funcflow.backends.passes.groups import Alone, Group, Node
from funcflow.backends.passes.kinds import DEAR, VIEWS, is_elementwise
from funcflow.core.jaxpr import Jaxpr, JaxprEqn, Literal, Var
from funcflow.lax.indexing import gather_p

# What may be repeated for one group's results, and by how much fewer bytes must be stored.
MOST_EQUATIONS = 64
MOST_DEAR = 3
SAVING = 0.75


def recompute(fusion: Partition, jaxpr: Jaxpr) -> dict[Var, JaxprEqn]:
    """The variables that other groups than their own compute again, and their equations."""
    readers = _readers(fusion, jaxpr)
    found: dict[Var, JaxprEqn] = {}
    for group in fusion.nodes:
        if isinstance(group, Group):
            found |= _of_group(group, fusion.virtual, readers, found)
    return found


def _readers(fusion: Partition, jaxpr: Jaxpr) -> Mapping[Var, set[Node | None]]:
    """The nodes that read each variable; None for outputs."""
    readers: defaultdict[Var, set[Node | None]] = defaultdict(set)
    for node in fusion.nodes:
        for eqn in node.eqns:
            for v in eqn.invars:
                if isinstance(v, Var):
                    readers[v].add(node)
    for v in jaxpr.outvars:
        if isinstance(v, Var):
            readers[v].add(None)
    return readers


def _of_group(
    group: Group,
    virtual: Mapping[Var, JaxprEqn],
    readers: Mapping[Var, set[Node | None]],
    elsewhere: Mapping[Var, JaxprEqn],
) -> dict[Var, JaxprEqn]:
    defined = {v: eqn for eqn in group.eqns for v in eqn.outvars}
    read_outside = {v: readers[v] - {group} for v in defined if readers[v] - {group}}
    stored = {v for v, nodes in read_outside.items() if not all(_can_compute(n, v) for n in nodes)}
    candidates = [v for v in read_outside if v not in stored and _is_element(group, v)]
    again: dict[Var, JaxprEqn] = {}
    anchors: dict[Var, None] = {}
    stack: list[Var] = list(candidates)
    while stack:
        v = stack.pop()
        if v in again or v in anchors or v in virtual:
            continue
        eqn = defined.get(v)
        if v in stored or eqn is None or not _is_element(group, v) or not _can_repeat(eqn):
            anchors[v] = None
            continue
        again[v] = eqn
        stack += [w for w in eqn.invars if not isinstance(w, Literal)]
    if not candidates or any(v in anchors or v not in again for v in candidates):
        return {}
    if any(v in elsewhere for v in anchors):
        return {}  # what it would be computed from is not stored either
    before = sum(v.aval.size * v.aval.dtype.itemsize for v in candidates)
    after = sum(v.aval.size * v.aval.dtype.itemsize for v in anchors)
    dear = sum(eqn.primitive.name in DEAR for eqn in again.values())
    if len(again) > MOST_EQUATIONS or dear > MOST_DEAR:
        return {}
    nodes = {n for v in candidates for n in read_outside[v]}
    if any(isinstance(n, Group) for n in nodes):
        return again if after <= SAVING * before else {}
    # gathers that read what the indices are computed from, instead of the indices
    saved = after + (1 + len(nodes)) * before
    return again if not dear and len(nodes) * after <= saved else {}


def _can_compute(node: Node | None, v: Var) -> bool:
    """Whether a node can compute an operand itself."""
    if isinstance(node, Alone) and node.eqns[0].primitive is gather_p:
        source, indices = node.eqns[0].invars
        return v is indices and v is not source and v.aval.shape[-1] == 1
    return isinstance(node, Group)


def _is_element(group: Group, v: Var) -> bool:
    """Whether a value runs over all axes of its group."""
    return {a for a in group.places[v] if a is not None} == group.extents.keys()


def _can_repeat(eqn: JaxprEqn) -> bool:
    simple = is_elementwise(eqn) or eqn.primitive.name in VIEWS
    return simple and len(eqn.outvars) == 1
