"""Tables of steps that a native routine runs again and again.

The body of a loop or of a branch is compiled like any program. The table of its steps wants the
addresses of its arguments, outputs, arena and constants; these stand in memory of the outer
program, and may advance from iteration to iteration.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from funcflow.backends.numba.runner import StepTable, native
from funcflow.backends.passes.carries import Carry, is_in_place
from funcflow.backends.passes.memory import Arena
from funcflow.backends.planner import Planner
from funcflow.backends.program import Check, Program, Routine, View
from funcflow.core.jaxpr import Atom, JaxprEqn


class Body(Protocol):
    """A compiled program whose steps are all native: `table` is None if they are not."""

    @property
    def program(self) -> Program: ...

    @property
    def arena(self) -> Arena: ...

    @property
    def table(self) -> StepTable | None: ...


class Slot(NamedTuple):
    """What an entry of a body's table points to: one view in even iterations, another in odd ones.

    Both advance by `stride` bytes with each iteration, and by `apart` with each block of rows.
    """

    even: View
    odd: View
    stride: int = 0
    apart: int = 0

    @staticmethod
    def fixed(view: View) -> "Slot":
        """The same in each iteration."""
        return Slot(view, view)


class Carried(NamedTuple):
    """Where a carried value lies: it changes from one place to the other in an iteration.

    What changes in place has one place, that of the result.
    """

    even: View
    odd: View
    result: View

    @property
    def in_place(self) -> bool:
        return self.even is self.odd

    @property
    def before(self) -> Slot:
        """What a body gets."""
        return Slot(self.even, self.odd)

    @property
    def after(self) -> Slot:
        """What it gives."""
        return Slot(self.odd, self.even)


def carried(
    plan: Planner, eqn: JaxprEqn, body: Body, starts: Sequence[Atom], carries: Sequence[Carry]
) -> list[Carried]:
    """The places of what a body carries, in which the starts are put.

    The first results of the equation are what it comes to.
    """
    places: list[Carried] = []
    for start, carry, v in zip(starts, carries, eqn.outvars[: len(carries)], strict=True):
        result = plan.result(v)
        if is_in_place(body.program, carry):
            place = Carried(result, result, result)
        else:
            even, odd = (plan.temporary(result.shape, result.dtype) for _ in range(2))
            place = Carried(even, odd, result)
        plan.store(start, place.even, eqn)
        places.append(place)
    return places


def note_of(places: Sequence[Carried]) -> str:
    """What is to be said of what a loop carries."""
    count = sum(place.in_place for place in places)
    return f"; {count} of {len(places)} carried values change in place" if count else ""


def private(plan: Planner, body: Body) -> list[Slot]:
    """A body's own slots: its arena, one for each block of rows, and its constants."""
    size = body.arena.size
    arena = plan.temporary((body.program.blocks * size,), np.uint8)
    constants = [plan.constant(value) for _, value in body.program.constants]
    return [Slot(arena, arena, apart=size), *map(Slot.fixed, constants)]


def call(
    plan: Planner,
    eqn: JaxprEqn,
    note: str,
    routine: Routine,
    bodies: Sequence[Body],
    tables: Sequence[Sequence[Slot]],
    results: Sequence[View],
    params: Sequence[int],
    others: Sequence[View] = (),
    failures: Sequence[Check] = (),
    blocks: int = 1,
) -> None:
    """A step that runs bodies, for each block of rows; `failures` are checks of its own.

    Its parameters are the routine's own, the places of `others` among the buffers, and for each
    body its descriptor: the number of slots, the address of its steps, and for each slot the
    places of the even and the odd view and what it advances by. Descriptors are found by their
    distance from the first one.
    """
    views = [*others, *(v for slots in tables for slot in slots for v in slot[:2])]
    views = list(dict.fromkeys(views))
    writes = [v for v in views if v.buffer.role in ("temporary", "output")]
    writes += [v for v in results if v not in views]
    read_only = [v for v in views if v.buffer.role not in ("temporary", "output")]
    place = {v: i for i, v in enumerate([*read_only, *writes])}
    words: list[int] = []
    distances: list[int] = []
    for body, slots in zip(bodies, tables, strict=True):
        assert body.table is not None
        distances.append(len(words))
        words += [len(slots), body.table.address]
        for slot in slots:
            words += [place[slot.even], place[slot.odd], slot.stride, slot.apart]
    head = [*params, *(place[v] for v in others)]
    plan.call(
        routine,
        read_only,
        writes,
        [1 + len(head) + len(distances), *head, *distances, *words],
        eqn,
        note,
        resources=tuple(bodies),
        checks=(*failures, *checks(bodies)),
        parts=blocks,
    )


def checks(bodies: Sequence[Body]) -> tuple[Check, ...]:
    """The checks of all steps of some bodies, each once."""
    steps = (step for body in bodies for step in body.program.steps)
    return tuple(dict.fromkeys(check for step in steps for check in step.checks))


def routine(name: str, text: str) -> Routine:
    """A routine that runs bodies by `@{name}_body`, and copies what is left by `@{name}_move`.

    Its parameters are the address of what executes a body, the distance from there to the first
    descriptor, then its own.
    """
    return Routine(f"control_{name}", _BODY.format(name=name) + text, (native().execute_body,))


def routine_of_blocks(name: str, text: str, blocks: int) -> Routine:
    """A routine that runs bodies for each block of rows, if there are several; it may be split."""
    execute = native().execute_block if blocks > 1 else native().execute_body
    whole = _BODY.format(name=name) + text
    return Routine(f"control_{name}", whole, (execute,), split=True)


_BODY = """
; Runs a body: fills its table for an iteration and a block of rows, then executes its steps.
define internal void @{name}_body(ptr %buffers, ptr %descriptor, i64 %i, i64 %parity,
                                  i64 %block, ptr %execute) nounwind noinline {{
entry:
  %count = load i64, ptr %descriptor
  %steps.at = getelementptr i64, ptr %descriptor, i64 1
  %steps = load ptr, ptr %steps.at
  %slots = getelementptr i64, ptr %descriptor, i64 2
  %table = alloca ptr, i64 %count
  br label %next
next:
  %s = phi i64 [0, %entry], [%s.next, %fill]
  %more = icmp slt i64 %s, %count
  br i1 %more, label %fill, label %go
fill:
  %slot = getelementptr [4 x i64], ptr %slots, i64 %s
  %place.at = getelementptr i64, ptr %slot, i64 %parity
  %place = load i64, ptr %place.at
  %stride.at = getelementptr i64, ptr %slot, i64 2
  %stride = load i64, ptr %stride.at
  %base.at = getelementptr ptr, ptr %buffers, i64 %place
  %base = load ptr, ptr %base.at
  %apart.at = getelementptr i64, ptr %slot, i64 3
  %apart = load i64, ptr %apart.at
  %way = mul i64 %stride, %i
  %apart.way = mul i64 %apart, %block
  %distance = add i64 %way, %apart.way
  %pointer = getelementptr i8, ptr %base, i64 %distance
  %entry.at = getelementptr ptr, ptr %table, i64 %s
  store ptr %pointer, ptr %entry.at
  %s.next = add i64 %s, 1
  br label %next
go:
  call void %execute(ptr %table, ptr %steps, i64 %block)
  ret void
}}

; Copies values from one of their two copies, by parity, to where results are. A move has the places
; of both copies and of the result.
define internal void @{name}_move(ptr %buffers, ptr %moves, ptr %sizes, i64 %count,
                                  i64 %parity) nounwind {{
entry:
  br label %next
next:
  %c = phi i64 [0, %entry], [%c.next, %copy]
  %more = icmp slt i64 %c, %count
  br i1 %more, label %copy, label %done
copy:
  %places = getelementptr [3 x i64], ptr %moves, i64 %c
  %from.place.at = getelementptr i64, ptr %places, i64 %parity
  %from.place = load i64, ptr %from.place.at
  %to.place.at = getelementptr i64, ptr %places, i64 2
  %to.place = load i64, ptr %to.place.at
  %from.at = getelementptr ptr, ptr %buffers, i64 %from.place
  %from = load ptr, ptr %from.at
  %to.at = getelementptr ptr, ptr %buffers, i64 %to.place
  %to = load ptr, ptr %to.at
  %size.at = getelementptr i64, ptr %sizes, i64 %c
  %size = load i64, ptr %size.at
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %size, i1 false)
  %c.next = add i64 %c, 1
  br label %next
done:
  ret void
}}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""
