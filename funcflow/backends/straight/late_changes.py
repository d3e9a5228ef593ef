"""The order of a loop's body in which arrays in memory are read before they are changed."""

from collections.abc import Iterable, Mapping

from funcflow.core.jaxpr import Atom, Jaxpr, JaxprEqn, Var
from funcflow.lax.dynamic import dynamic_update_slice_p
from funcflow.lax.indexing import scatter_add_p
from funcflow.lax.scatter_products import scatter_mul_p
from funcflow.lax.scattering import scatter_max_p, scatter_min_p, scatter_p, scatter_sub_p

VIEWS = frozenset(["copy", "stop_gradient", "reshape", "transpose", "rev", "slice"])
CHANGES = frozenset(
    [
        *(dynamic_update_slice_p, scatter_p, scatter_add_p, scatter_sub_p),
        *(scatter_mul_p, scatter_min_p, scatter_max_p),
    ]
)


def reads_first(jaxpr: Jaxpr, arrays: Iterable[Var]) -> Jaxpr:
    """The same jaxpr in an order in which arrays in memory are changed as late as possible."""
    same = {v: v for v in arrays}  # views of an array -> the array
    readers: dict[Var, list[JaxprEqn]] = {v: [] for v in same}
    changes: list[tuple[JaxprEqn, Var]] = []
    makers: dict[Atom, JaxprEqn] = {}
    earlier: dict[JaxprEqn, dict[JaxprEqn, None]] = {}
    for eqn in jaxpr.eqns:
        earlier[eqn] = dict.fromkeys(makers[v] for v in eqn.invars if v in makers)
        makers |= dict.fromkeys(eqn.outvars, eqn)
        for v in dict.fromkeys(same[v] for v in eqn.invars if isinstance(v, Var) and v in same):
            readers[v].append(eqn)
            if eqn.primitive in CHANGES:
                changes.append((eqn, v))
            elif eqn.primitive.name in VIEWS:
                same[eqn.outvars[0]] = v
    for change, v in changes:  # what needs a change itself cannot come before it
        behind = _behind(earlier, change)
        earlier[change] |= dict.fromkeys(reader for reader in readers[v] if reader not in behind)
    order: dict[JaxprEqn, None] = {}

    def place(eqn: JaxprEqn) -> None:
        if eqn not in order:
            for other in earlier[eqn]:
                place(other)
            order[eqn] = None

    for eqn in jaxpr.eqns:
        place(eqn)
    return jaxpr.replace(eqns=list(order))


def _behind(earlier: Mapping[JaxprEqn, Iterable[JaxprEqn]], first: JaxprEqn) -> set[JaxprEqn]:
    """An equation and all that must come after it."""
    later: dict[JaxprEqn, list[JaxprEqn]] = {}
    for eqn, others in earlier.items():
        for other in others:
            later.setdefault(other, []).append(eqn)
    found, left = {first}, [first]
    while left:
        fresh = [eqn for eqn in later.get(left.pop(), ()) if eqn not in found]
        found.update(fresh)
        left += fresh
    return found
