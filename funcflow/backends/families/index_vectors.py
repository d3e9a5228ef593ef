"""Index vectors of a gather: loaded, or computed where they are needed."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from funcflow.backends.elements import apply, index_as, is_embedded
from funcflow.backends.families.nest import Access, Nest, access
from funcflow.backends.families.windows import components
from funcflow.backends.loop_ir import INDEX, Value
from funcflow.backends.passes.groups import Place
from funcflow.backends.places import virtual_operands
from funcflow.backends.planner import Planner
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal, Var


class Places(Protocol):
    """Where index vectors come from.

    Attributes:
        reads: what a kernel reads for them; its first operands.
        indexed: the axes whose index they depend on.
        eqns: the equations that it computes for them.
    """

    reads: list[Access]
    indexed: set[int]
    eqns: list[JaxprEqn]

    def write(self, nest: Nest) -> Sequence[Value]:
        """The components of the vector here."""
        ...


def index_vectors(plan: Planner, vectors: Atom) -> Places:
    """The index vectors of a gather; its axes are those of the vectors, then others."""
    alone = vectors.aval.shape[-1] == 1
    if alone and isinstance(vectors, Var) and _equation(plan, vectors) is not None:
        return _Computed(plan, vectors)
    return _Loaded(components(plan.operand(vectors)))


def _equation(plan: Planner, v: Var) -> JaxprEqn | None:
    """The equation of what has not been stored."""
    return None if v in plan.views else plan.virtual.get(v)


class _Loaded:
    """The components of index vectors that are in memory."""

    def __init__(self, reads: list[Access]) -> None:
        self.reads = reads
        self.indexed: set[int] = set()
        self.eqns: list[JaxprEqn] = []

    def write(self, nest: Nest) -> Sequence[Value]:
        return [nest.load(number) for number in range(len(self.reads))]


class _Computed:
    """The one component of index vectors, computed from what is in memory."""

    def __init__(self, plan: Planner, vectors: Var) -> None:
        self.reads: list[Access] = []
        self.indexed: set[int] = set()
        self.eqns: list[JaxprEqn] = []
        self._plan = plan
        self._known: dict[tuple[Atom, Place], Value] = {}
        self._numbers: dict[tuple[Atom, Place], int] = {}
        self._root = vectors, tuple(None if n == 1 else a for a, n in enumerate(vectors.aval.shape))
        self._find(*self._root)

    def _find(self, v: Atom, place: Place) -> None:
        """Note what is read for a value."""
        if isinstance(v, Literal) or (v, place) in self._numbers:
            return
        eqn = _equation(self._plan, v)
        if eqn is None:
            self._numbers[v, place] = len(self.reads)
            axes = [-1 if axis is None else axis for axis in place]
            self.reads.append(access(self._plan.operand(v), axes))
            return
        if eqn.primitive.name == "iota":
            axis = place[eqn.params["dimension"]]
            self.indexed |= set() if axis is None else {axis}
        for w, inner in virtual_operands(eqn, place):
            self._find(w, inner)
        if eqn not in self.eqns:
            self.eqns.append(eqn)

    def write(self, nest: Nest) -> Sequence[Value]:
        return [self._value(nest, *self._root)]

    def _value(self, nest: Nest, v: Atom, place: Place) -> Value:
        if isinstance(v, Literal):
            value = np.asarray(v.val)
            if is_embedded(value):
                return nest.build.const(value, value.dtype)
            return nest.parameter(value)
        if (v, place) not in self._known:
            self._known[v, place] = self._new_value(nest, v, place)
        return self._known[v, place]

    def _new_value(self, nest: Nest, v: Var, place: Place) -> Value:
        if (v, place) in self._numbers:
            return nest.load(self._numbers[v, place])
        eqn = self._plan.virtual[v]
        if eqn.primitive.name == "iota":
            axis = place[eqn.params["dimension"]]
            index = nest.build.const(0, INDEX) if axis is None else nest.index(axis)
            return index_as(nest.build, index, eqn.outvars[0].aval.dtype)
        args = [self._value(nest, w, inner) for w, inner in virtual_operands(eqn, place)]
        return apply(nest.build, eqn, args)
