"""Loops and branches over small states: one kernel, with the state in registers.

A `scan` whose body is straight code over elements (`straight/`) becomes a loop that carries
them. Where the arrays share a long dimension that the body never crosses, as those of `vmap` do,
that is a vector loop outside, whose ranges run in parallel: each lane goes through all iterations.
A `while` or a `cond` is straight code itself; its lanes go to ends of their own.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.elements import is_embedded
from funcflow.backends.families.nest import Access, Nest
from funcflow.backends.loop_ir import INDEX, Value
from funcflow.backends.passes.kinds import DEAR
from funcflow.backends.pipeline import prepared
from funcflow.backends.planner import Planner
from funcflow.backends.program import Step, View
from funcflow.backends.straight.arrays import (
    Elements,
    Lanes,
    NotStraight,
    Shape,
    arranged,
    check_dtype,
    element_shape,
    flat,
    nexts,
    small,
)
from funcflow.backends.straight.code import StraightCode
from funcflow.backends.straight.costs import GUESS
from funcflow.backends.straight.indexing import indexed, indexed_by
from funcflow.backends.straight.residents import Home, InMemory, rule_for
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn

# The axes of the kernel's loops.
_LANE, _TIME = 0, 1

# A dimension of fewer elements is no vector loop; so many dimensions are tried.
_FEWEST_LANES = 8
_CANDIDATES = 3

# A vector of state has 64 bytes; a short body works on up to four of them, which depend on each
# other less than its operations do, if all that is carried stays in 16 registers.
_VECTOR_BYTES = 64
_VECTORS = 4
_REGISTERS = 16
_SHORT = 24

# Operations that are worth a thread of their own.
_OPERATIONS_PER_TASK = 1 << 17


def lower_scan(plan: Planner, eqn: JaxprEqn) -> str | None:
    """Write the step of a scan that can be one kernel; else the reason why it cannot."""
    body: ClosedJaxpr = eqn.params["jaxpr"]
    avals = [v.aval for v in (*body.jaxpr.invars, *body.jaxpr.outvars)]
    return _first(plan, eqn, candidates(avals), _scan_step)


def lower_straight(plan: Planner, eqn: JaxprEqn) -> str | None:
    """The same for a while or a cond."""
    deciding = (
        eqn.invars[0].aval
        if eqn.primitive.name == "cond"
        else eqn.params["cond_jaxpr"].out_avals[0]
    )
    avals = [v.aval for v in (*eqn.invars, *eqn.outvars)]
    extents = [deciding.shape[0]] if deciding.ndim else candidates(avals)
    return _first(plan, eqn, extents, _straight_step)


def _first(plan: Planner, eqn: JaxprEqn, extents: Sequence[int | None], step: Any) -> str | None:
    """Write the step with the first extent of lanes that will do."""
    reasons: dict[str, None] = {}
    for extent in extents:
        try:
            plan.steps.append(step(plan, eqn, extent))
        except NotStraight as error:
            reasons[str(error)] = None
        else:
            return None
    return ", and ".join(reasons)


def candidates(avals: Sequence[ShapedArray]) -> list[int | None]:
    """The extents that lanes may have, the longest first; None is for no lanes."""
    long = sorted({n for aval in avals for n in aval.shape if n >= _FEWEST_LANES}, reverse=True)
    return [*(n for n in long[:_CANDIDATES] if all(_is_small(a, n) for a in avals)), None]


def _is_small(aval: ShapedArray, extent: int | None = None) -> bool:
    """Whether an array's elements may be values of their own."""
    try:
        element_shape(aval, extent)
    except NotStraight:
        return False
    return True


def _scan_step(plan: Planner, eqn: JaxprEqn, extent: int | None) -> Step:
    params, body = eqn.params, prepared(eqn.params["jaxpr"])
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    inner, back = body.jaxpr, params["reverse"]
    places = (*indexed(params["jaxpr"], prepared)[:second], *[False] * (len(inner.invars) - second))
    given = [
        Array.of(plan.operand(v), x.aval, extent, places[i], i >= second, back)
        for i, (v, x) in enumerate(zip(eqn.invars, inner.invars, strict=True))
    ]
    consts, starts, xs = given[:first], given[first:second], given[second:]
    carries = params["num_carry"]
    made = [
        Array.of(
            plan.result(v), x.aval, extent, i < carries and places[first + i], i >= carries, back
        )
        for i, (v, x) in enumerate(zip(eqn.outvars, inner.outvars, strict=True))
    ]
    finals, ys = made[:carries], made[carries:]
    if any(a.resident for a in (*xs, *ys)):
        raise NotStraight("an iteration takes or gives too many elements")
    states = [a for a in finals if not a.resident]
    reads = [*consts, *(a for a in starts if not a.resident), *xs]
    write = KernelWriter(extent, reads, made, params["length"])
    if extent is not None:
        write.spread(_LANE, extent, [body], states)
    elif not finals:
        write.spread(_TIME, params["length"], [body], ys)
    with write.loops([] if extent is None else [_LANE]):
        fixed = [write.in_memory(a) if a.resident else write.loaded([a])[0] for a in consts]
        begin = write.loaded([a for a in starts if not a.resident])
        with write.loops([_TIME]) as loop:
            inside = loop.carry("sequence", *flat(begin)) if begin else ()
            state = iter(arranged(inside, [a.shape for a in states]))
            carry = [write.in_memory(a, True) if a.resident else next(state) for a in finals]
            found = write.code.evaluate(body, [*fixed, *carry, *write.loaded(xs)])
            state = nexts(carry, found[: len(carry)])
            if begin:
                loop.next(*flat(x for x in state if isinstance(x, Elements)))
            write.store(ys, flat(map(small, found[len(carry) :])))
        write.store(states, loop.results)
    for start, final in zip(starts, finals, strict=True):
        if final.resident:
            plan.copy(start.view, final.view, (eqn,), why="what a loop changes in place")
    return write.step(eqn, "loop: one kernel, with the state in registers")


def _straight_step(plan: Planner, eqn: JaxprEqn, extent: int | None) -> Step:
    name, params = eqn.primitive.name, eqn.params
    places = indexed_by(eqn, prepared) if name == "while" else (False,) * len(eqn.invars)
    # a while changes what it carries, which are its last operands, where they will be results
    first = len(eqn.invars) - len(eqn.outvars) if name == "while" else len(eqn.invars)
    given = [
        Array.of(plan.operand(v), v.aval, extent, place)
        for v, place in zip(eqn.invars, places, strict=True)
    ]
    carried = places[first:] or (False,) * len(eqn.outvars)
    made = [
        Array.of(plan.result(v), v.aval, extent, place)
        for v, place in zip(eqn.outvars, carried, strict=True)
    ]
    starts = {i: a for i, a in enumerate(made, first) if i < len(given) and a.resident}
    if len(starts) < sum(a.resident for a in made):
        raise NotStraight("a branch gives too many elements")
    write = KernelWriter(extent, [a for i, a in enumerate(given) if i not in starts], made)
    if extent is not None:
        bodies = params["branches"] if name == "cond" else [params["body_jaxpr"]]
        write.spread(_LANE, extent, [prepared(body) for body in bodies], made, vectors=1)
    with write.loops([] if extent is None else [_LANE]):
        operands = [
            write.in_memory(starts.get(i, a), i in starts) if a.resident else write.loaded([a])[0]
            for i, a in enumerate(given)
        ]
        found = write.code.results(eqn, operands)
        write.store(
            [a for a in made if not a.resident], flat(x for x in found if isinstance(x, Elements))
        )
    for i, final in starts.items():
        plan.copy(given[i].view, final.view, (eqn,), why="what a loop changes in place")
    return write.step(eqn, f"{name}: one kernel, with the state in registers")


class Array(NamedTuple):
    """An operand or a result: in each iteration an array of elements.

    Attributes:
        view: where it is, the iterations first if `timed`.
        shape: the shape of its elements, and which dimension the lanes are.
        timed: whether each iteration has its own.
        resident: whether it stays in memory, since it has too many elements.
    """

    view: View
    shape: Shape
    timed: bool = False
    resident: bool = False

    @staticmethod
    def of(
        view: View,
        aval: ShapedArray,
        extent: int | None,
        indexed: bool = False,
        timed: bool = False,
        back: bool = False,
    ) -> "Array":
        """An array that is `aval` in one iteration.

        Parts of it are at computed places if it is `indexed`; each iteration has its own if it is
        `timed`; and the iterations run backwards with `back`.
        """
        check_dtype(aval)
        view = view.reverse((0,)) if timed and back else view
        if extent is None and (indexed or not _is_small(aval)):
            return Array(view, ((), None), timed, resident=True)
        return Array(view, element_shape(aval, extent), timed)

    @property
    def access(self) -> Access:
        """How far an element moves with each loop."""
        strides = {_TIME: self.view.strides[0]} if self.timed else {}
        _, lanes = self.shape
        if lanes is not None:
            strides[_LANE] = self._inner[lanes]
        return Access(self.view, strides)

    @property
    def _inner(self) -> tuple[int, ...]:
        """The strides within an iteration."""
        return self.view.strides[1:] if self.timed else self.view.strides

    def offset(self, place: tuple[int, ...]) -> tuple[int, bool]:
        """How far an element is from the first one, and whether it is so for all extents."""
        distance = sum(i * stride for i, stride in zip(place, self._inner, strict=True))
        shape, lanes = self.shape
        before = prod(shape[:lanes]) if lanes is not None else 1
        return distance, self.view.dense and before == 1


class KernelWriter:
    """Writes a kernel over arrays of elements: a loop over lanes, one over iterations, or both."""

    def __init__(
        self,
        extent: int | None,
        reads: Sequence[Array],
        writes: Sequence[Array],
        length: int | None = None,
    ) -> None:
        arrays = [*enumerate(reads), *enumerate(writes)]
        self._operands = {id(a): number for number, a in arrays}
        extents = {_LANE: extent, _TIME: length}
        given = {axis: n for axis, n in extents.items() if n is not None}
        accesses = [[a.access for a in side] for side in (reads, writes)]
        self._nest = Nest([*given], given, *accesses)
        self._numbers: dict[tuple[bytes, Any], int] = {}
        self._length = length
        self._vector: int | None = None
        self._lanes = 1
        around = None if extent is None else Lanes(extent, lambda: self._nest.index(_LANE))
        self.code = StraightCode(self._nest.build, self._literal, prepared, around, rule_for)

    def spread(
        self,
        axis: int,
        extent: int,
        bodies: Sequence[ClosedJaxpr],
        carried: Sequence[Array],
        vectors: int = _VECTORS,
    ) -> None:
        """Let a loop be the vector loop, with lanes for what these bodies compute."""
        eqns = [eqn for body in bodies for eqn in body.jaxpr.eqns]
        if len(eqns) > _SHORT or any(eqn.primitive.name in DEAR for eqn in eqns):
            vectors = 1
        while vectors > 1 and vectors * sum(prod(a.shape[0]) for a in carried) > _REGISTERS:
            vectors //= 2
        avals = [v.aval for eqn in eqns for v in eqn.outvars]
        avals += [v.aval for body in bodies for v in body.jaxpr.invars]
        widest = max((aval.dtype.itemsize for aval in avals), default=4)
        lanes = vectors * _VECTOR_BYTES // widest
        self._vector, self._lanes = axis, min(lanes, 1 << (max(extent, 1) - 1).bit_length())

    def loops(self, axes: Sequence[int]) -> Any:
        """Loops around what is written inside; gives the innermost one."""
        return self._nest.loops(axes, self._vector, self._lanes)

    def loaded(self, arrays: Sequence[Array]) -> list[Elements]:
        """The elements of operands."""
        places = [(a, place) for a in arrays for place in np.ndindex(a.shape[0])]
        values = [self._nest.load(self._operands[id(a)], **self._at(a, p)) for a, p in places]
        return arranged(values, [a.shape for a in arrays])

    def in_memory(self, a: Array, written: bool = False) -> InMemory:
        """An operand or a result that stays in memory."""
        number = self._operands[id(a)]
        if not written:
            load = partial(self._nest.load, number)
            return InMemory(Home(a.view, self.code.number, load), a.view)
        load, store = self._nest.load_written, self._nest.store
        home = Home(a.view, self.code.number, partial(load, number), partial(store, number))
        return InMemory(home, a.view)

    def load_at(self, a: Array, offset: Value) -> Value:
        """An element of a result that stays in memory."""
        return self._nest.load_written(self._operands[id(a)], offset=offset)

    def store_at(self, a: Array, value: Value, offset: Value) -> None:
        """Write an element of a result that stays in memory."""
        self._nest.store(self._operands[id(a)], value, offset=offset)

    def store(self, arrays: Sequence[Array], values: Sequence[Value]) -> None:
        """Write the elements of results; what has no lanes is written by the first lane."""
        places = [(a, place) for a in arrays for place in np.ndindex(a.shape[0])]
        for (a, place), value in zip(places, values, strict=True):
            where = self._at(a, place)
            if self.code.lanes is not None and a.shape[1] is None:
                zero = {"offset": self._nest.build.const(0, INDEX)}
                where = {**zero, **where, "mask": self._is_first()}
            self._nest.store(self._operands[id(a)], value, **where)

    def _is_first(self) -> Value:
        build = self._nest.build
        return build.let("eq", self._nest.index(_LANE), build.const(0, INDEX))

    def _at(self, a: Array, place: tuple[int, ...]) -> dict[str, Value]:
        distance, fixed = a.offset(place)
        if not distance:
            return {}
        number = np.asarray(distance, INDEX)
        return {"offset": self._nest.build.const(number, INDEX) if fixed else self._literal(number)}

    def _literal(self, number: np.ndarray[Any, Any]) -> Value:
        """A number: part of the kernel if it is one of a few, else one of its parameters."""
        if is_embedded(number):
            return self._nest.build.const(number, number.dtype)
        key = (number.tobytes(), number.dtype)
        if key in self._numbers:
            return self._nest.build.scalar(self._numbers[key], number.dtype)
        self._numbers[key] = len(self._numbers)
        return self._nest.parameter(number)

    def step(self, eqn: JaxprEqn, note: str) -> Step:
        """The kernel's step."""
        step = self._nest.step(eqn, split=self._vector is not None, note=note)
        iterations = GUESS if self._length is None else self._length
        grain = _OPERATIONS_PER_TASK // max(1, self.code.operations * iterations)
        grain = max(grain, self._lanes) if step.grain else 0
        return replace(step, grain=grain, origins=self.code.origins)
