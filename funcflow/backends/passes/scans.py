"""A scan taken apart, for passes that move work out of its body."""

from collections import Counter
from dataclasses import dataclass

from funcflow.backends.passes.inline import inline
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Var, must_stay
from funcflow.core.rewrite import dce_closed, used_inputs


@dataclass(eq=False)
class Carry:
    """A carried value: in the body before and after a step, outside at the start and in the end."""

    before: Var
    after: Atom
    start: Atom
    end: Var


class Scan:
    """The parts of a `scan`; `equation` puts them together again.

    Attributes:
        length: the number of steps.
        consts: the body's constants, and what they are outside.
        carry: what is carried.
        xs: the body's arguments that change from step to step, and what they are rows of.
        ys: the body's results that are stacked, and what they are stacked in.
        eqns: the body's equations, calls being inlined.
        made: the equation that gives a value of the body.
        uses: how often a value of the body is read, results included.
    """

    def __init__(self, eqn: JaxprEqn) -> None:
        params = eqn.params
        self._eqn = eqn
        self._body = inline(params["jaxpr"])
        self.eqns = list(self._body.eqns)
        jaxpr, first = self._body.jaxpr, params["num_consts"]
        rest = first + params["num_carry"]
        outer = list(zip(jaxpr.invars, eqn.invars, strict=True))
        results = list(zip(jaxpr.outvars, eqn.outvars, strict=True))
        self.length: int = params["length"]
        self.consts: list[tuple[Var, Atom]] = outer[:first]
        self.carry = [
            Carry(before, after, start, end)
            for (before, start), (after, end) in zip(
                outer[first:rest], results[: rest - first], strict=True
            )
        ]
        self.xs: list[tuple[Var, Atom]] = outer[rest:]
        self.ys: list[tuple[Atom, Var]] = results[rest - first :]
        self.made = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.uses = Counter(v for e in jaxpr.eqns for v in e.invars if isinstance(v, Var))
        self.uses.update(v for v in jaxpr.outvars if isinstance(v, Var))

    def stacked(self, v: Atom) -> Atom | None:
        """An array outside whose rows are the values of `v`, if there is one."""
        for inner, outer in (*self.xs, *self.ys):
            if inner is v:
                return outer
        return None

    def stack(self, v: Var) -> Atom:
        """An array of the values of `v`; the scan gets one more result if there is none yet."""
        found = self.stacked(v)
        if found is None:
            found = Var(v.aval.update(shape=(self.length, *v.aval.shape)))
            self.ys.append((v, found))
        return found

    def changes(self, v: Atom) -> bool:
        """Whether a value can differ from step to step."""
        constant = any(v is inner for inner, _ in self.consts) or v in self._body.jaxpr.constvars
        return isinstance(v, Var) and not constant

    def row_bytes(self) -> int:
        """How much is read from stacks and written to them in a step."""
        rows = [v for v, _ in (*self.xs, *self.ys)]
        return sum(nbytes(v.aval) for v in rows)

    def does_something(self) -> bool:
        """Whether the loop is still needed."""
        return bool(self.carry or self.ys) or must_stay(self._eqn.effects)

    def equation(self) -> JaxprEqn:
        """The scan of these parts, without what its body does not need."""
        carry = self.carry
        jaxpr = Jaxpr(
            self._body.jaxpr.constvars,
            [v for v, _ in self.consts] + [c.before for c in carry] + [v for v, _ in self.xs],
            [c.after for c in carry] + [v for v, _ in self.ys],
            self.eqns,
        )
        body = dce_closed(ClosedJaxpr(jaxpr, self._body.consts))
        read = {v for v, used in zip(jaxpr.invars, used_inputs(body.jaxpr), strict=True) if used}
        consts = [(v, outer) for v, outer in self.consts if v in read]
        xs = [(v, outer) for v, outer in self.xs if v in read]
        invars = [v for v, _ in consts] + [c.before for c in carry] + [v for v, _ in xs]
        return self._eqn.replace(
            invars=[v for _, v in consts] + [c.start for c in carry] + [v for _, v in xs],
            outvars=[c.end for c in carry] + [v for _, v in self.ys],
            params=self._eqn.params
            | {
                "jaxpr": ClosedJaxpr(body.jaxpr.replace(invars=invars), body.consts),
                "num_consts": len(consts),
                "num_carry": len(carry),
            },
        )


def nbytes(aval: ShapedArray) -> int:
    """The size of an array."""
    return aval.size * aval.dtype.itemsize
