"""In which iteration of a loop a NaN comes to be, or an index out of bounds is used.

The steps are run in compiled pieces, of which only the carries in between are looked at, or a
count. Single steps are run in the one piece that makes a NaN, and only the step that does is looked
into. A loop of n steps costs about as much as two runs of it, and sqrt(n) steps one by one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isqrt
from typing import Any, TypeAlias

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.backend import Executable
from funcflow.core.evaluate import eval_closed
from funcflow.core.executables import compiled
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn
from funcflow.core.staging import stage_out
from funcflow.lax.bitwise import bitwise_and
from funcflow.lax.comparison import lt
from funcflow.lax.forms import add
from funcflow.lax.pieces import Pieces, step_in_pieces
from funcflow.lax.scan import bind_scan
from funcflow.lax.shape import broadcast
from funcflow.lax.while_binding import STEP_NUMBER, bind_while
from funcflow.lax.while_reverse import operands_of, together
from funcflow.transforms.nans import Follow, Found, first_nan
from funcflow.transforms.whereabouts import Element, Frame, Origin

Carry: TypeAlias = list[Any]

_FEW = 64  # steps that are run one by one


class Loop(ABC):
    """A loop whose steps can be run again."""

    length: int
    start: Carry
    first: int  # the number of the operand that is the body's first

    def __init__(self, eqn: JaxprEqn, body: ClosedJaxpr, consts: int, carry: int) -> None:
        self.eqn = eqn
        self.body = body
        self.consts = consts  # how many of them the body takes
        self.carry = carry  # how many values are carried

    @abstractmethod
    def run(self, carry: Carry, step: int, count: int) -> Carry:
        """The carry after `count` steps from this one on."""

    @abstractmethod
    def body_operands(self, carry: Carry, step: int) -> list[Any]:
        """What a step's body is given."""

    @abstractmethod
    def within_step(self, origin: Origin, carry: Carry, step: int) -> Origin:
        """The origin, inside of a step."""

    @property
    def notes(self) -> tuple[object, ...]:
        """What transforms and loops noted at the source of this one."""
        return () if self.eqn.source is None else self.eqn.source.notes

    def operand(self, found: Element, step: int) -> Element:
        """What a constant of the body is among the loop's operands."""
        return Element(self.first + found.number, found.index)

    def carry_before(self, step: int) -> Carry:
        """The carry that a step is given."""
        size = _piece(self.length)
        carry, done = self.start, 0
        while done < step:
            count = size if done + size <= step else 1
            carry = self.run(carry, done, count)
            done += count
        return carry

    def origin_in_step(self, carry: Carry, step: int, nan: Element, follow: Follow) -> Found:
        """What made a NaN in the results of a step's body."""
        found = follow(self.body, self.body_operands(carry, step), nan)
        if isinstance(found, Origin):
            return self.within_step(found, carry, step)
        if found is None:
            return None
        if self.consts <= found.number < self.consts + self.carry:
            carried = Element(found.number - self.consts, found.index)
            return self.origin_before(step, carried, follow, moved=True)
        return self.operand(found, step)

    def origin_before(
        self, end: int, nan: Element, follow: Follow, *, moved: bool = False
    ) -> Found:
        """What made a NaN in the carry that step `end` is given.

        It is looked for in the step from which on there is one. A NaN that has moved may do so in
        each step; then a step is wanted before which the whole array is clean that the NaN is in,
        not only the element.
        """
        number, index = nan

        def clean(carry: Carry) -> bool:
            return not np.isnan(carry[number][() if moved else index]).any()

        found = self._last_clean(end, clean)
        if found is None:
            return Element(self.first + self.consts + number, index)
        step, carry = found
        if moved:
            first = first_nan([self.run(carry, step, 1)[number]])
            assert first is not None
            index = first.index
        return self.origin_in_step(carry, step, Element(number, index), follow)

    def _last_clean(self, end: int, clean: Callable[[Carry], bool]) -> tuple[int, Carry] | None:
        """A step before `end` that is given a clean carry and makes one that is not, and the carry.

        The last one there is, unless carries become clean again within a piece.
        """
        size = _piece(self.length)
        found = self._last_clean_from(0, self.start, end, size, clean)
        if found is None or size == 1:
            return found
        first, carry = found
        return self._last_clean_from(first, carry, min(first + size, end), 1, clean)

    def _last_clean_from(
        self, first: int, carry: Carry, end: int, size: int, clean: Callable[[Carry], bool]
    ) -> tuple[int, Carry] | None:
        found = None
        for step in range(first, end, size):
            if clean(carry):
                found = step, carry
            if step + size < end:
                carry = self.run(carry, step, size)
        return found

    def steps_that_count(self, count: Callable[[], int]) -> Iterator[tuple[int, Carry]]:
        """The steps in which a count goes up and what they are given; at last the loop's end."""

        def counted(carry: Carry, step: int, steps: int) -> tuple[Carry, bool]:
            before = count()
            return self.run(carry, step, steps), count() != before

        size, carry = _piece(self.length), self.start
        for first in range(0, self.length, size):
            steps = min(size, self.length - first)
            after, found = counted(carry, first, steps)
            for step in range(first, first + steps) if found else ():
                here = carry
                carry, found = counted(here, step, 1)
                if found:
                    yield step, here
            carry = after
        yield self.length, carry


def _piece(length: int) -> int:
    """How many steps to run at a time."""
    return isqrt(length) if length > _FEW else 1


class Scan(Loop):
    """A `scan` whose steps can be run again."""

    def __init__(self, eqn: JaxprEqn, ins: Sequence[Any]) -> None:
        params = eqn.params
        super().__init__(eqn, params["jaxpr"], params["num_consts"], params["num_carry"])
        self.first = 0
        self.length = params["length"]
        self.reverse = params["reverse"]
        end = self.consts + self.carry
        self.fixed, self.start = list(ins[: self.consts]), list(ins[self.consts : end])
        self.xs = list(ins[end:])
        self._pieces: dict[int, Executable] = {}

    def place(self, step: int) -> int:
        """Where in `xs` a step is."""
        return self.length - 1 - step if self.reverse else step

    def run(self, carry: Carry, step: int, count: int) -> Carry:
        if count not in self._pieces:
            self._pieces[count] = compiled(self._piece_jaxpr(count))
        first = min(self.place(step), self.place(step + count - 1))
        rows = [x[first : first + count] for x in self.xs]
        return list(self._pieces[count](*self.fixed, *carry, *rows))

    def _piece_jaxpr(self, count: int) -> ClosedJaxpr:
        end = self.consts + self.carry

        def piece(*args: Any) -> list[Any]:
            consts, carry, xs = args[: self.consts], args[self.consts : end], args[end:]
            outs = bind_scan(self.body, consts, carry, xs, count, self.reverse)
            return outs[: self.carry]

        rows = [a.update(shape=(count, *a.shape)) for a in self.body.in_avals[end:]]
        return stage_out(piece, [*self.body.in_avals[:end], *rows])

    def body_operands(self, carry: Carry, step: int) -> list[Any]:
        return [*self.fixed, *carry, *(x[self.place(step), ...] for x in self.xs)]

    def within_step(self, origin: Origin, carry: Carry, step: int) -> Origin:
        pieces = [note for note in self.notes if isinstance(note, Pieces)]
        over_pieces, number = step_in_pieces(pieces, self.place(step))
        if not over_pieces:
            return origin.within(Frame("iteration", number, "scan"))
        inner, *rest = origin.context  # the step of the piece
        return replace(origin, context=(inner._replace(number=inner.number + number), *rest))

    def operand(self, found: Element, step: int) -> Element:
        if found.number < self.consts:
            return found
        return Element(found.number, (self.place(step), *found.index))


class While(Loop):
    """A `while` whose steps can be run again."""

    def __init__(self, eqn: JaxprEqn, ins: Sequence[Any]) -> None:
        body, self.cond = eqn.params["body_jaxpr"], eqn.params["cond_jaxpr"]
        self.first = eqn.params["cond_nconsts"]
        consts = eqn.params["body_nconsts"]
        super().__init__(eqn, body, consts, len(body.in_avals) - consts)
        self.fixed, self.start = list(ins[: self.first + consts]), list(ins[self.first + consts :])
        self._steps = compiled(self._steps_jaxpr())
        most = np.asarray(np.iinfo(np.int32).max, np.int32)
        self.length = int(np.max(self._steps(most, *ins)[0]))

    def _steps_jaxpr(self) -> ClosedJaxpr:
        """From a number of steps and operands to the steps done, in each lane, and the carry."""
        lanes = self.cond.out_avals[0].shape
        one, first = np.int32(1), self.first

        def cond(most: Any, *args: Any) -> list[Any]:
            consts, done, carry = args[:first], args[first], args[first + 1 :]
            return [bitwise_and(eval_closed(self.cond, *consts, *carry)[0], lt(done, most))]

        def body(*args: Any) -> list[Any]:
            consts, done, carry = args[: self.consts], args[self.consts], args[self.consts + 1 :]
            return [add(done, one), *eval_closed(self.body, *consts, *carry)]

        done, most = ShapedArray(lanes, one.dtype), ShapedArray((), one.dtype)
        fixed, carried = self.body.in_avals[: self.consts], self.body.in_avals[self.consts :]
        tested = self.cond.in_avals[:first]
        cond_jaxpr = stage_out(cond, [most, *tested, done, *carried])
        body_jaxpr = stage_out(body, [*fixed, done, *carried])

        def steps(most: Any, *args: Any) -> list[Any]:
            consts, carry = args[: first + self.consts], args[first + self.consts :]
            start = [broadcast(np.int32(0), lanes), *carry]
            return bind_while(
                cond_jaxpr, body_jaxpr, [most, *consts[:first]], consts[first:], start
            )

        return stage_out(steps, [most, *tested, *fixed, *carried])

    def run(self, carry: Carry, step: int, count: int) -> Carry:
        return list(self._steps(np.asarray(count, np.int32), *self.fixed, *carry)[1:])

    def body_operands(self, carry: Carry, step: int) -> list[Any]:
        return [*self.fixed[self.first :], *carry]

    def within_step(self, origin: Origin, carry: Carry, step: int) -> Origin:
        if STEP_NUMBER in self.notes and not carry[0].ndim:
            step = int(carry[0])
        return origin.within(Frame("iteration", step, "while"))


def scan_origin(eqn: JaxprEqn, ins: Sequence[Any], nan: Element, follow: Follow) -> Found:
    """What made a NaN in the results of a `scan`."""
    loop = Scan(eqn, ins)
    if nan.number < loop.carry:
        return loop.origin_before(loop.length, nan, follow)
    place, *index = nan.index
    step = loop.place(place)  # which is its own inverse
    return loop.origin_in_step(
        loop.carry_before(step), step, Element(nan.number, tuple(index)), follow
    )


def while_origin(eqn: JaxprEqn, ins: Sequence[Any], nan: Element, follow: Follow) -> Found:
    """What made a NaN in the results of a `while`."""
    loop = While(eqn, ins)
    return loop.origin_before(loop.length, nan, follow)


def reverse_origin(eqn: JaxprEqn, ins: Sequence[Any], nan: Element, follow: Follow) -> Found:
    """What made a NaN in the results of a `reverse_while`: a scan that keeps all carries, and back.

    The number of steps is known here, and lanes go all as many, under a mask.
    """
    length = int(np.max(ins[0]))

    def forth_and_back(*args: Any) -> list[Any]:
        operands, params = args, eqn.params
        if aval_of(args[0]).ndim:
            operands, params = together(args, **params)
        step, pull = params["step_jaxpr"], params["pull_jaxpr"]
        sizes = step, params["step_nconsts"], params["pull_nconsts"]
        _, step_consts, pull_consts, start, cotangents = operands_of(operands, *sizes)
        fixed = len(step_consts)

        def keep(*values: Any) -> list[Any]:
            return [*eval_closed(step, *values), *values[fixed:]]

        kept = stage_out(keep, step.in_avals)
        tape = bind_scan(kept, step_consts, start, [], length, False)[len(start) :]
        fixed, size = len(pull_consts), len(cotangents)

        def back(*values: Any) -> list[Any]:
            consts, cts, carry = values[:fixed], values[fixed:][:size], values[fixed + size :]
            return eval_closed(pull, *consts, *carry, *cts)

        avals = [aval_of(x) for x in (*pull_consts, *cotangents, *start)]
        return bind_scan(stage_out(back, avals), pull_consts, cotangents, tape, length, True)

    found = follow(stage_out(forth_and_back, [v.aval for v in eqn.invars]), ins, nan)
    if isinstance(found, Origin):
        loop, *rest = found.context
        return replace(found, context=(loop._replace(whole="while"), *rest))
    return found
