"""Zeros but for slices, added to what a loop carries: only the slices are touched.

The cotangent of a part of an array is zeros with the cotangent's elements in that part. The reverse
of a loop that reads parts of a large array adds such zeros to the sum that it carries:

    c' = c + dynamic_update_slice(zeros, u, i)  =>  c' = dynamic_update_slice(c, c[i] + u, i)
    c' = c + scatter_add(zeros, indices, u)     =>  c' = scatter_add(c, indices, u)

and then the sum can change in place (`passes/carries`). If there are several terms, they are added
one after the other, in another order. Elsewhere a -0.0 stays, which a sum with 0.0 would make 0.0:
the signs of such zeros are left open (docs/architecture.md).
"""

from collections import Counter
from collections.abc import Sequence

from funcflow.backends.passes.carries import Carry
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var
from funcflow.core.rewrite import dce_closed
from funcflow.lax.arithmetic import add_p
from funcflow.lax.dynamic import dynamic_slice_p, dynamic_update_slice_p
from funcflow.lax.indexing import scatter_add_p
from funcflow.lax.shape import broadcast_in_dim_p


def loop_slices(closed: ClosedJaxpr, carries: Sequence[Carry]) -> ClosedJaxpr:
    """A body that touches only slices where it adds zeros but for these to what it carries."""
    body = _Body(closed)
    for carry in carries:
        body.rewrite(closed.jaxpr.invars[carry.argument], closed.jaxpr.outvars[carry.result])
    if not body.instead:
        return closed
    eqns = [e for eqn in closed.eqns for e in body.instead.get(eqn, [eqn])]
    return dce_closed(ClosedJaxpr(closed.jaxpr.replace(eqns=eqns), closed.consts))


class _Body:
    """A body's equations, and what stands in place of some of them."""

    def __init__(self, closed: ClosedJaxpr) -> None:
        jaxpr = closed.jaxpr
        self.instead: dict[JaxprEqn, list[JaxprEqn]] = {}
        self._made = {v: e for e in jaxpr.eqns for v in e.outvars}
        self._uses = Counter(v for e in jaxpr.eqns for v in e.invars if isinstance(v, Var))
        self._uses.update(v for v in jaxpr.outvars if isinstance(v, Var))

    def rewrite(self, before: Var, after: Atom) -> None:
        """Add the terms of a sum one after the other to what is carried, if that helps.

        Or to what takes its place, such as an array with other elements in some slices.
        """
        last = self._made.get(after) if isinstance(after, Var) else None
        if last is None or not _adds(last):
            return
        terms = self._terms(last)
        others = [v for v in terms if not self._touches_slices(v)]
        if not others or len(others) == len(terms):
            return
        total = before if before in others else others[0]
        terms.remove(total)
        eqns: list[JaxprEqn] = []
        for term in terms:
            end = last.outvars[0] if term is terms[-1] else Var(before.aval)
            eqns += self._added(total, term, end, last)
            total = end
        self.instead[last] = eqns

    def _terms(self, eqn: JaxprEqn) -> list[Atom]:
        """What a sum is one of."""
        terms: list[Atom] = []
        for v in eqn.invars:
            inner = self._made.get(v) if isinstance(v, Var) and self._uses[v] == 1 else None
            terms += self._terms(inner) if inner is not None and _adds(inner) else [v]
        return terms

    def _touches_slices(self, term: Atom) -> bool:
        """Whether a value, which nobody else reads, is zeros but for slices."""
        eqn = self._made.get(term) if isinstance(term, Var) and self._uses[term] == 1 else None
        if eqn is None or eqn.primitive not in (dynamic_update_slice_p, scatter_add_p):
            return False
        zeros = self._made.get(eqn.invars[0]) if isinstance(eqn.invars[0], Var) else None
        if zeros is None or zeros.primitive is not broadcast_in_dim_p:
            return False
        (value,) = zeros.invars
        return isinstance(value, Literal) and not value.val

    def _added(self, total: Atom, term: Atom, end: Var, last: JaxprEqn) -> list[JaxprEqn]:
        """The equations that add a term."""
        if not self._touches_slices(term):
            return [last.replace(invars=[total, term], outvars=[end])]
        assert isinstance(term, Var)
        eqn = self._made[term]
        _, *others = eqn.invars
        if eqn.primitive is scatter_add_p:
            return [eqn.replace(invars=[total, *others], outvars=[end])]
        update, *places = others
        old, new = Var(update.aval), Var(update.aval)
        sizes = {"slice_sizes": update.aval.shape}
        return [
            JaxprEqn([total, *places], [old], dynamic_slice_p, sizes, source=eqn.source),
            JaxprEqn([old, update], [new], add_p, {}, source=eqn.source),
            eqn.replace(invars=[total, new, *places], outvars=[end]),
        ]


def _adds(eqn: JaxprEqn) -> bool:
    """Whether an equation adds arrays of one shape."""
    shape = eqn.outvars[0].aval.shape
    return eqn.primitive is add_p and all(v.aval.shape == shape for v in eqn.invars)
