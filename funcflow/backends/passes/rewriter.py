"""What the rules of a rewriting pass work with: the equations so far, and how to add more."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Var, subjaxprs
from funcflow.core.primitive import Primitive

# What a rule makes of an equation: an atom that its result is equal to, another equation for the
# same result, or None.
Rewritten: TypeAlias = Atom | JaxprEqn | None


class Rewriter:
    """Equations that are added one by one, each simplified by what is known of its operands.

    Attributes:
        eqns: the equations that are left.
        made: the equation that gives a variable its value.
        small: the array that a value repeats: broadcast to the value's shape, as NumPy does, it is
            the value.
    """

    def __init__(self, rule: "Callable[[Rewriter, JaxprEqn], Rewritten]") -> None:
        self._rule = rule
        self.eqns: list[JaxprEqn] = []
        self.made: dict[Any, JaxprEqn] = {}
        self.small: dict[Any, Atom] = {}
        self._known: dict[Atom, Atom] = {}

    def read(self, v: Atom) -> Atom:
        """The atom that stands for another in what is left."""
        return self._known.get(v, v) if type(v) is Var else v

    def add(self, eqn: JaxprEqn) -> None:
        """Add an equation, or note what its result is equal to."""
        for v in eqn.invars:
            if self.read(v) is not v:
                eqn = eqn.replace(invars=[self.read(v) for v in eqn.invars])
                break
        while not (eqn.effects or eqn.primitive.multiple_results or subjaxprs(eqn)):
            found = self._rule(self, eqn)
            if found is None:
                break
            if not isinstance(found, JaxprEqn):
                self._known[eqn.outvars[0]] = found
                return
            eqn = found
        self.eqns.append(eqn)
        for v in eqn.outvars:
            self.made[v] = eqn

    def emit(
        self,
        primitive: Primitive,
        invars: Sequence[Atom],
        params: Mapping[str, Any],
        aval: ShapedArray,
        like: JaxprEqn,
    ) -> Atom:
        """Add a new equation, at the source line of another; returns what it computes."""
        out = Var(aval)
        self.add(JaxprEqn(list(invars), [out], primitive, dict(params), source=like.source))
        return self.read(out)

    def maker(self, v: Atom, primitive: Primitive) -> JaxprEqn | None:
        """The equation that gives a value, if it is one of the given primitive."""
        eqn = self.made.get(v) if type(v) is Var else None
        return eqn if eqn is not None and eqn.primitive is primitive else None


def rewrite(closed: ClosedJaxpr, rule: Callable[[Rewriter, JaxprEqn], Rewritten]) -> ClosedJaxpr:
    """Apply a rule to every equation, in order."""
    rewriter = Rewriter(rule)
    for eqn in closed.eqns:
        rewriter.add(eqn)
    outvars = [rewriter.read(v) for v in closed.jaxpr.outvars]
    return ClosedJaxpr(closed.jaxpr.replace(eqns=rewriter.eqns, outvars=outvars), closed.consts)
