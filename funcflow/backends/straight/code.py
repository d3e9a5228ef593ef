"""Jaxprs over small arrays as straight code: each element is a value of its own, in a register.

The arrays of a loop's body are often small, the state of a pendulum or a key of random bits. A
kernel for each equation would take longer to start than to run, so the whole body becomes one
sequence of operations on elements, with no memory between them. What moves elements, such as slices
and transposes, then costs nothing: it happens to arrays of values while the code is written.

One long dimension may run through the arrays: the lanes of a vector loop that stands around the
code. A dimension is that one if it has its extent. What computes across the lanes is refused, as is
whatever needs memory or too many operations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np

from funcflow.backends.elements import apply, index_as
from funcflow.backends.loop_ir import INDEX, Builder, Value
from funcflow.backends.passes.kinds import DEAR, IDENTITIES, is_elementwise, is_reduction
from funcflow.backends.reducing import next_values, starts, widened
from funcflow.backends.straight.arrays import (
    MOST_ELEMENTS,
    Counted,
    Elements,
    Lanes,
    NotStraight,
    Resident,
    ResidentRules,
    Shape,
    Zeros,
    arranged,
    element_shape,
    filled,
    flat,
    nexts,
    small,
)
from funcflow.backends.straight.costs import operations
from funcflow.backends.straight.late_changes import reads_first
from funcflow.backends.straight.matrices import MATRICES
from funcflow.backends.straight.moves import MOVES
from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import Atom, ClosedJaxpr, JaxprEqn, Literal, Var

Prepare: TypeAlias = Callable[[ClosedJaxpr], ClosedJaxpr]

# So many operations the code may have.
MOST_OPERATIONS = 2000

# A branch of no more operations than that, all quick, is computed whether it is taken or not.
_FREE_BRANCH = 8

# Lanes are collected for a branch of so many: that takes about as long as 30 operations.
_DEAR_BRANCH = 200


class StraightCode:
    """Writes jaxprs as operations on elements.

    Args:
        build: where the operations are written.
        literal: gives the value of a number.
        prepare: what the jaxprs inside of equations go through before they are written.
        lanes: the loop around, if one dimension is its lanes.
        residents: what gives the rules for arrays in memory; without it, none are expected.

    Attributes:
        origins: the equations that values are elements of the results of.
        operations: how many were written.
    """

    def __init__(
        self,
        build: Builder,
        literal: Callable[[np.ndarray[Any, Any]], Value],
        prepare: Prepare,
        lanes: Lanes | None = None,
        residents: ResidentRules | None = None,
    ) -> None:
        self.build = build
        self.prepare = prepare
        self.lanes = lanes
        self.extent = lanes.extent if lanes else None
        self.origins: dict[Value, JaxprEqn] = {}
        self._residents = residents
        self._literal = literal
        self._literals: dict[tuple[bytes, Any], Value] = {}
        self.operations = 0

    def elements(self, closed: ClosedJaxpr, args: Sequence[Elements]) -> list[Elements]:
        """The results of a jaxpr that has nothing to do with memory."""
        found = self.evaluate(closed, args)
        small = [x for x in found if isinstance(x, Elements)]
        assert len(small) == len(found)
        return small

    def evaluate(
        self, closed: ClosedJaxpr, args: Sequence[Elements | Resident]
    ) -> list[Elements | Resident]:
        """The results of a jaxpr.

        Raises:
            NotStraight: some equation cannot be written so.
        """
        jaxpr = closed.jaxpr
        kept = [v for v, x in zip(jaxpr.invars, args, strict=True) if isinstance(x, Resident)]
        jaxpr = reads_first(jaxpr, kept) if kept else jaxpr
        known: dict[Var, Elements | Resident] = dict(zip(jaxpr.invars, args, strict=True))
        for v, value in zip(jaxpr.constvars, closed.consts, strict=True):
            known[v] = self._constant(np.asarray(value))

        def read(v: Atom) -> Elements | Resident:
            return self._constant(np.asarray(v.val)) if isinstance(v, Literal) else known[v]

        for eqn in jaxpr.eqns:
            results = self.results(eqn, [read(v) for v in eqn.invars])
            for v, found in zip(eqn.outvars, results, strict=True):
                if isinstance(found, Elements) and (
                    (found.values.shape, found.lanes) != element_shape(v.aval, self.extent)
                ):
                    raise NotStraight(f"{eqn.primitive.name} moves elements across the lanes")
                known[v] = found
        return [read(v) for v in jaxpr.outvars]

    def results(
        self, eqn: JaxprEqn, args: Sequence[Elements | Resident]
    ) -> Sequence[Elements | Resident]:
        """The results of an equation.

        Raises:
            NotStraight: it cannot be written so.
        """
        if eqn.primitive.name == "while":
            return self.while_loop(eqn, args)
        if eqn.primitive.name == "scan":
            return self.scan(eqn, args)
        small = [x for x in args if isinstance(x, Elements)]
        if len(small) == len(args):
            return self._small_results(eqn, small)
        if isinstance(args[0], Counted):
            return [self._recounted(eqn, args[0], args[1:])]
        rule = self._residents(eqn.primitive.name, args[0]) if self._residents else None
        found = rule(self, eqn, args) if rule is not None else None
        if found is not None:
            return found
        try:
            loaded = [x if isinstance(x, Elements) else x.elements(self) for x in args]
        except NotStraight:
            raise NotStraight(f"{eqn.primitive.name} takes an array that is in memory") from None
        return self._small_results(eqn, loaded)

    def _small_results(self, eqn: JaxprEqn, args: list[Elements]) -> Sequence[Elements | Resident]:
        if eqn.effects:
            raise NotStraight(f"{eqn.primitive.name} has effects")
        aval = eqn.outvars[0].aval
        many = aval.size > MOST_ELEMENTS and self.extent not in aval.shape
        if eqn.primitive.name == "iota" and aval.ndim == 1 and many:
            return [Counted(self.number(np.zeros((), aval.dtype)))]
        if eqn.primitive.name == "broadcast_in_dim" and self.extent is None:
            (x,) = eqn.invars
            zero = isinstance(x, Literal) and not x.val.any() and not np.signbit(x.val).any()
            if zero and many:
                return [Zeros(aval)]
        for v in (*eqn.invars, *eqn.outvars):
            element_shape(v.aval, self.extent)
        if eqn.primitive.name == "cond":
            return self.branch(eqn, args)
        rule = MOVES.get(eqn.primitive.name) or MATRICES.get(eqn.primitive.name)
        if rule is not None:
            return rule(self, eqn, args)
        if is_elementwise(eqn):
            return self._elementwise(eqn, args)
        if is_reduction(eqn):
            return [self._reduced(eqn, args[0])]
        raise NotStraight(f"{eqn.primitive.name} is not done element by element")

    def _recounted(
        self, eqn: JaxprEqn, x: Counted, others: Sequence[Elements | Resident]
    ) -> Counted:
        """Numbers that are counted from another start, or in another dtype."""
        dtype = eqn.outvars[0].aval.dtype
        if eqn.primitive.name == "add" and eqn.invars[1].aval.shape == ():
            (more,) = flat([small(others[0])])
            start = self.let("add", x.start, more)
        elif eqn.primitive.name == "convert_element_type" and dtypes.kind(dtype) in "iu":
            start = index_as(self.build, x.start, dtype)
        else:
            raise NotStraight(f"{eqn.primitive.name} takes more than {MOST_ELEMENTS} numbers")
        return Counted(start)

    # --- values -----------------------------------------------------------------------------------

    def let(self, op: str, *args: Value, **params: Any) -> Value:
        """An operation."""
        self.count()
        return self.build.let(op, *args, **params)

    def count(self) -> None:
        """Note an operation.

        Raises:
            NotStraight: there are too many.
        """
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise NotStraight(f"it takes more than {MOST_OPERATIONS} operations")

    def _constant(self, array: np.ndarray[Any, Any]) -> Elements:
        shape, lanes = element_shape(ShapedArray(array.shape, array.dtype), self.extent)
        if lanes is not None:
            raise NotStraight("a constant has an element for each lane")
        return Elements(filled(shape, lambda place: self.number(array[place])))

    def number(self, x: Any, /) -> Value:
        """The value of a number; one for each number in a region."""
        number = np.asarray(x)
        key = (number.tobytes(), number.dtype)
        if key not in self._literals:
            self._literals[key] = self._literal(number)
        return self._literals[key]

    def _elementwise(self, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
        out = eqn.outvars[0].aval
        shape, lanes = element_shape(out, self.extent)
        behind = None if lanes is None else out.ndim - lanes
        for arg in args:
            if arg.lanes is not None and arg.values.ndim - arg.lanes != behind:
                raise NotStraight(f"{eqn.primitive.name} moves elements across the lanes")
        arrays = [np.broadcast_to(arg.values, shape) for arg in args]
        done: dict[tuple[Value, ...], tuple[Value, ...]] = {}

        def computed(place: tuple[int, ...]) -> tuple[Value, ...]:
            operands = tuple(array[place] for array in arrays)
            if operands not in done:
                done[operands] = tuple(
                    self._applied(eqn, operands, i) for i in range(len(eqn.outvars))
                )
            return done[operands]

        return [
            Elements(filled(shape, lambda place, i=i: computed(place)[i]), lanes)
            for i in range(len(eqn.outvars))
        ]

    def _applied(self, eqn: JaxprEqn, args: Sequence[Value], result: int) -> Value:
        if eqn.primitive.name not in IDENTITIES:
            self.count()
        value = apply(self.build, eqn, list(args), result)
        self.origins.setdefault(value, eqn)
        return value

    def _reduced(self, eqn: JaxprEqn, arg: Elements) -> Elements:
        axes = eqn.params["axes"]
        if arg.lanes in axes:
            raise NotStraight(f"{eqn.primitive.name} reduces the lanes")
        kept = [i for i in range(arg.values.ndim) if i not in axes]
        shape = tuple(arg.values.shape[i] for i in kept)
        rows = arg.values.transpose([*kept, *axes]).reshape(*shape, -1)

        def reduced(place: tuple[int, ...]) -> Value:
            carried = starts(self.build, eqn)
            for position, x in enumerate(rows[place]):
                self.count()
                where = self.number(np.asarray(position, INDEX))
                x = widened(self.build, x, eqn)
                carried = next_values(self.build, eqn, carried, x, lambda _, where=where: where)
            return widened(self.build, carried[-1], eqn, back=True)

        lanes = None if arg.lanes is None else kept.index(arg.lanes)
        return Elements(filled(shape, reduced), lanes)

    # --- branches and loops -----------------------------------------------------------------------

    def branch(self, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
        """Each branch where it is taken, the first one everywhere if it is quick."""
        index, *operands = args
        branches = [self.prepare(branch) for branch in eqn.params["branches"]]
        shapes = [element_shape(v.aval, self.extent) for v in eqn.outvars]
        if index.values.size > 1:
            found = [self._flat(branch, operands, shapes) for branch in branches]
            return self._selected(index.values, [arranged(x, shapes) for x in found])
        (taken,) = index.values.reshape(-1)
        first, *others = branches
        dear = _dear_branch(branches)
        if is_free(first):
            chosen = self._flat(first, operands, shapes)
        else:
            others = list(branches)
            chosen = [
                self.number(np.zeros((), v.aval.dtype))
                for v, (shape, _) in zip(eqn.outvars, shapes, strict=True)
                for _ in range(prod(shape))
            ]
        for number, branch in enumerate(others, len(branches) - len(others)):
            which = self.number(np.asarray(number, taken.dtype))
            mask = self.let("eq", taken, which)
            with self.build.guard(mask, *chosen, dear=number == dear) as guard, self._region():
                guard.take(*self._flat(branch, operands, shapes))
            chosen = list(guard.results)
        return arranged(chosen, shapes)

    def _selected(
        self, index: np.ndarray[Any, Any], results: Sequence[Sequence[Elements]]
    ) -> list[Elements]:
        """For each element the result of its own branch."""
        (first, *others), ndim = results, index.ndim
        for number, arrays in enumerate(others, 1):

            def chosen(
                place: tuple[int, ...], x: Elements, other: Elements, number: int = number
            ) -> Value:
                taken = index[place[:ndim]]
                mask = self.let("eq", taken, self.number(np.asarray(number, taken.dtype)))
                return self.let("select", mask, x.values[place], other.values[place])

            first = [
                Elements(filled(x.values.shape, partial(chosen, x=x, other=other)), x.lanes)
                for x, other in zip(arrays, first, strict=True)
            ]
        return list(first)

    def while_loop(
        self, eqn: JaxprEqn, args: Sequence[Elements | Resident]
    ) -> list[Elements | Resident]:
        """A loop in which each lane goes to its own end."""
        params = eqn.params
        first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
        cond_consts, body_consts, start = args[:first], args[first:second], args[second:]
        cond, body = self.prepare(params["cond_jaxpr"]), self.prepare(params["body_jaxpr"])
        lanes = [x.lanes for x in start if isinstance(x, Elements)]
        if cond.out_avals[0].ndim and any(place != 0 for place in lanes):
            raise NotStraight("while carries what is not one array for each lane")

        def test(counter: Value | None, now: Sequence[Elements | Resident]) -> Value:
            goes_on, *more = flat(map(small, self.evaluate(cond, [*cond_consts, *now])))
            if more:
                raise NotStraight("while has lanes that are no loop around it")
            return goes_on

        return self._loop(
            start, test, lambda counter, now: self.evaluate(body, [*body_consts, *now])
        )

    def _loop(
        self,
        start: Sequence[Elements | Resident],
        test: Callable[[Any, Sequence[Elements | Resident]], Value],
        step: Callable[[Any, Sequence[Elements | Resident]], Sequence[Elements | Resident]],
        count: Callable[[Value], Value] | None = None,
    ) -> list[Elements | Resident]:
        """A while over elements and arrays in memory, and over a counter if there is one."""
        begin = [x for x in start if isinstance(x, Elements)]
        shapes = [(x.values.shape, x.lanes) for x in begin]
        counters = [self.number(np.asarray(0, INDEX))] if count is not None else []
        now = list(start)

        def carried(values: Sequence[Value]) -> tuple[Any, list[Elements | Resident]]:
            state = iter(arranged(values[len(counters) :], shapes))
            arrays = [x if isinstance(x, Resident) else next(state) for x in now]
            return values[0] if counters else None, arrays

        def goes_on(values: Sequence[Value]) -> Value:
            with self._region():
                return test(*carried(values))

        def body(values: Sequence[Value]) -> list[Value]:
            with self._region():
                now[:] = nexts(start, step(*carried(values)))
                more = [count(values[0])] if count is not None else []
            found = [x for x in now if isinstance(x, Elements)]
            if [(x.values.shape, x.lanes) for x in found] != shapes:
                raise NotStraight("the body of a loop gives results of another type")
            return [*more, *flat(found)]

        _, found = carried(self.build.while_loop([*counters, *flat(begin)], goes_on, body))
        return found

    def scan(self, eqn: JaxprEqn, args: Sequence[Elements | Resident]) -> list[Elements | Resident]:
        """A loop inside that only counts is a while; another one is unrolled if it is short."""
        params = eqn.params
        length, closed = params["length"], self.prepare(params["jaxpr"])
        split = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry = args[: split[0]], args[split[0] : split[1]]
        counted = [x for x in args[split[1] :] if isinstance(x, Counted)]
        if len(eqn.outvars) == len(carry) and len(args) - split[1] == len(counted):
            return self._counting(closed, consts, carry, counted, length, params["reverse"])
        if not 0 < length <= MOST_ELEMENTS:
            raise NotStraight(f"the scan inside has {length} iterations")
        xs = [small(x) for x in args[split[1] :]]
        if any(x.lanes == 0 for x in xs):
            raise NotStraight("the scan inside runs over the lanes")
        rows: list[list[Elements]] = []
        for i in reversed(range(length)) if params["reverse"] else range(length):
            row = [Elements(x.values[i, ...], None if x.lanes is None else x.lanes - 1) for x in xs]
            found = self.evaluate(closed, [*consts, *carry, *row])
            carry = found[: params["num_carry"]]
            rows.append([small(x) for x in found[params["num_carry"] :]])
        if params["reverse"]:
            rows.reverse()
        stacked = [
            Elements(
                np.stack([x.values for x in column]),
                None if column[0].lanes is None else column[0].lanes + 1,
            )
            for column in zip(*rows, strict=True)
        ]
        return [*carry, *stacked]

    def _counting(
        self,
        body: ClosedJaxpr,
        consts: Sequence[Elements | Resident],
        carry: Sequence[Elements | Resident],
        xs: Sequence[Counted],
        length: int,
        reverse: bool,
    ) -> list[Elements | Resident]:
        """A scan of numbers that it counts, or of none: a while with a counter."""
        end = self.number(np.asarray(length, INDEX))

        def row(counter: Value) -> list[Elements]:
            if not xs:
                return []
            last = self.number(np.asarray(length - 1, INDEX))
            index = self.let("sub", last, counter) if reverse else counter
            numbers = [
                self.let("add", x.start, index_as(self.build, index, x.start.dtype)) for x in xs
            ]
            return arranged(numbers, [((), None)] * len(numbers))

        return self.repeat(
            end, carry, lambda counter, now: self.evaluate(body, [*consts, *now, *row(counter)])
        )

    def repeat(
        self,
        times: Value,
        start: Sequence[Elements | Resident],
        step: Callable[[Value, Sequence[Any]], Sequence[Elements | Resident]],
    ) -> list[Any]:
        """What is left after so many steps, each of which is given its number."""
        one = self.number(np.asarray(1, INDEX))
        return self._loop(
            start,
            lambda counter, now: self.let("lt", counter, times),
            step,
            lambda counter: self.let("add", counter, one),
        )

    @contextmanager
    def _region(self) -> Iterator[None]:
        """What is defined in a region is not known behind it."""
        outside = dict(self._literals)
        yield
        self._literals = outside

    def _flat(
        self,
        branch: ClosedJaxpr,
        operands: Sequence[Elements],
        shapes: Sequence[Shape],
    ) -> list[Value]:
        found = self.elements(branch, operands)
        if [(x.values.shape, x.lanes) for x in found] != list(shapes):
            raise NotStraight("a branch or a body has results of another type")
        return flat(found)


def _dear_branch(branches: Sequence[ClosedJaxpr]) -> int | None:
    """The branch that lanes should be collected for, if there is one that takes so long."""
    costs = [operations(branch.jaxpr) for branch in branches]
    return int(np.argmax(costs)) if max(costs) >= _DEAR_BRANCH else None


def is_free(branch: ClosedJaxpr) -> bool:
    """Whether a branch costs less than the decision to take it."""
    names = {eqn.primitive.name for eqn in branch.jaxpr.eqns}
    quick = names.isdisjoint([*DEAR, "cond", "scan", "while"])
    return quick and len(branch.jaxpr.eqns) <= _FREE_BRANCH
