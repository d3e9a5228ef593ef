"""The order of a loop's body in which arrays in memory are read before they are changed."""

from collections.abc import Iterable

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
    for eqn in jaxpr.eqns:
        makers |= dict.fromkeys(eqn.outvars, eqn)
        for v in dict.fromkeys(same[v] for v in eqn.invars if isinstance(v, Var) and v in same):
            readers[v].append(eqn)
            if eqn.primitive in CHANGES:
                changes.append((eqn, v))
            elif eqn.primitive.name in VIEWS:
                same[eqn.outvars[0]] = v
    before = {eqn: [*readers[v]] for eqn, v in changes}
    for eqn, earlier in before.items():  # what needs the change itself comes after it
        behind = _behind(jaxpr, eqn)
        before[eqn] = [reader for reader in earlier if reader not in behind]
    order: dict[JaxprEqn, None] = {}
    begun: set[JaxprEqn] = set()  # two changes of one array each wait for the other: one is first

    def place(eqn: JaxprEqn) -> None:
        if eqn in begun:
            return
        begun.add(eqn)
        for v in eqn.invars:
            if v in makers:
                place(makers[v])
        for reader in before.get(eqn, ()):
            place(reader)
        order[eqn] = None

    for eqn in jaxpr.eqns:
        place(eqn)
    return jaxpr.replace(eqns=list(order))


def _behind(jaxpr: Jaxpr, first: JaxprEqn) -> set[JaxprEqn]:
    """An equation and all that need a result of it."""
    found, known = {first}, set(first.outvars)
    for eqn in jaxpr.eqns:
        if not known.isdisjoint(v for v in eqn.invars if isinstance(v, Var)):
            found.add(eqn)
            known |= set(eqn.outvars)
    return found
