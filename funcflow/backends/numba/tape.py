"""Going back through while loops, natively: the tape is memory that a routine asks for.

How many steps there are is known when the routine runs. It takes memory for the carries of all of
them, has these written and read, and gives it back. Where both jaxprs are straight code, one kernel
does that, with a stretch of the tape for each lane (`families/tapes.py`). Otherwise they are tables
of steps that read and write the rows of the tape where they are.
"""

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from funcflow.backends.families.tapes import taped_kernel
from funcflow.backends.numba import tables
from funcflow.backends.numba.tables import Body, Slot
from funcflow.backends.passes.carries import Carry
from funcflow.backends.passes.lanes import decide_apart
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import Check, Program, Routine
from funcflow.backends.straight.arrays import NotStraight
from funcflow.core.errors import OutOfMemoryError
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.while_reverse import ended_p, no_end, operands_of, reverse_while_p


def lowerings(
    compile_body: Callable[[ClosedJaxpr, tuple[Carry, ...]], Body],
    executable: Callable[[Program], Body],
) -> Mapping[Primitive, Lowering]:
    """The lowerings, with what compiles bodies and what makes them of programs."""

    def lowering(plan: Planner, eqn: JaxprEqn) -> None:
        try:
            _lower_kernel(plan, eqn, executable)
        except NotStraight as error:
            reason = str(error)
        else:
            return
        if decide_apart(eqn):
            plan.host(eqn, f"lanes that decide for themselves have no table; {reason}")
            return
        step, pull = eqn.params["step_jaxpr"], eqn.params["pull_jaxpr"]
        bodies = [compile_body(step, ()), compile_body(pull, _carries(eqn))]
        if any(body.table is None for body in bodies):
            plan.host(eqn, "the body of the loop has host steps")
        else:
            _lower_tables(
                plan,
                eqn,
                f"tape, as long as the loop was: tables of steps, since {reason}",
                *bodies,
            )

    return {reverse_while_p: lowering, ended_p: _lower_ended}


# --- as one kernel ----------------------------------------------------------------------------


def _lower_kernel(plan: Planner, eqn: JaxprEqn, executable: Callable[[Program], Body]) -> None:
    kernel = taped_kernel(eqn)
    body = executable(kernel.program)
    operands = [plan.dense(plan.operand(v)) for v in eqn.invars]
    results = [plan.result(v) for v in eqn.outvars]
    count = operands[0]
    first = plan.temporary(count.shape, np.int64)
    rows = [plan.temporary((1,), np.uint8) for _ in kernel.row_bytes]
    slots = [
        *map(Slot.fixed, [first, *operands]),
        *map(Slot.fixed, [*results, *rows]),
        *tables.private(plan, body),
    ]
    words = [count.size, kernel.lanes, *_tape_words(kernel.row_bytes)]
    tables.call(
        plan,
        eqn,
        "tape, as long as the loop was: one kernel, with the state in registers",
        tables.routine("tape_kernel", _OPEN.format(name="tape_kernel") + _KERNEL),
        [body],
        [slots],
        results,
        words,
        [count, first, *rows],
        (_CHECK,),
    )


# --- as tables --------------------------------------------------------------------------------


def _lower_tables(plan: Planner, eqn: JaxprEqn, note: str, step: Body, pull: Body) -> None:
    params = eqn.params
    count, step_consts, pull_consts, start, cotangents = operands_of(
        eqn.invars, params["step_jaxpr"], params["step_nconsts"], params["pull_nconsts"]
    )
    carried = tables.carried(plan, eqn, pull, cotangents, _carries(eqn))
    count, *step_consts = (plan.dense(plan.operand(v)) for v in (count, *step_consts))
    pull_consts, start = (
        [plan.dense(plan.operand(v)) for v in part] for part in (pull_consts, start)
    )
    sizes = [x.size * x.dtype.itemsize for x in start]
    rows, nexts = ([plan.temporary((1,), np.uint8) for _ in start] for _ in range(2))
    read = [Slot(row, row, size) for row, size in zip(rows, sizes, strict=True)]
    slots = [
        [
            *map(Slot.fixed, step_consts),
            *read,
            *(Slot(row, row, size) for row, size in zip(nexts, sizes, strict=True)),
            *tables.private(plan, step),
        ],
        [
            *map(Slot.fixed, pull_consts),
            *read,
            *(place.before for place in carried),
            *(place.after for place in carried),
            *tables.private(plan, pull),
        ],
    ]
    moved = [place for place in carried if not place.in_place]
    words = [len(moved), *(p.result.buffer.nbytes for p in moved), *_tape_words(sizes)]
    others = [count, *(v for place in moved for v in place), *rows, *nexts, *start]
    tables.call(
        plan,
        eqn,
        note + tables.note_of(carried),
        tables.routine("tape_tables", _OPEN.format(name="tape_tables") + _TABLES),
        [step, pull],
        slots,
        [place.result for place in carried],
        words,
        others,
        (_CHECK,),
    )


def _carries(eqn: JaxprEqn) -> tuple[Carry, ...]:
    """Which arguments of the pull are which of its results in the step before."""
    first = len(eqn.params["pull_jaxpr"].in_avals) - len(eqn.outvars)
    return tuple(Carry(first + i, i) for i in range(len(eqn.outvars)))


# --- memory -----------------------------------------------------------------------------------


class _Failures(ctypes.Structure):
    """Bytes of a tape there was no memory for, and steps without an end, until they are raised.

    And how often either has happened.
    """

    _fields_ = (("nbytes", ctypes.c_int64), ("count", ctypes.c_int64), ("steps", ctypes.c_int64))


_failed = _Failures()


def _raise_noted() -> None:
    """Raise what was noted since the last call, by any thread.

    Raises:
        OutOfMemoryError: a tape took too much memory.
        NotDifferentiableError: a loop had no end.
    """
    nbytes, steps = _failed.nbytes, _failed.steps
    _failed.nbytes = _failed.steps = 0
    if steps:
        raise no_end(steps)
    if nbytes:
        raise OutOfMemoryError(
            f"while_loop: the values of all steps, which the reverse pass keeps, take {nbytes} "
            "bytes, more than half of the machine's memory",
            mend="keep fewer: while_loop(..., checkpoint='log') or checkpoint=1000",
        )


_CHECK = Check(_raise_noted, ctypes.addressof(_failed) + _Failures.count.offset)


@cache
def _most_bytes() -> int:
    """Half of the machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):  # no such names on this system
        return 2**62


def _tape_words(row_bytes: Sequence[int]) -> list[int]:
    """What `@{name}_open` needs to know."""
    return [_most_bytes(), ctypes.addressof(_failed), len(row_bytes), *row_bytes]


# --- native code ------------------------------------------------------------------------------

_OPEN = """
declare ptr @malloc(i64)
declare void @free(ptr)

; Takes memory for tapes of so many rows; the address of each goes to its place among the buffers.
; Words: the most bytes there may be, where failures are noted, the number of tapes, and the bytes
; of a row of each. Null if there is no memory.
define internal ptr @{name}_open(ptr %buffers, ptr %places, ptr %words, i64 %rows) nounwind {{
entry:
  %most = load i64, ptr %words
  %failed.at = getelementptr i64, ptr %words, i64 1
  %failed = load ptr, ptr %failed.at
  %count.at = getelementptr i64, ptr %words, i64 2
  %count = load i64, ptr %count.at
  %sizes = getelementptr i64, ptr %words, i64 3
  br label %sum
sum:
  %s = phi i64 [0, %entry], [%s.next, %add]
  %bytes = phi i64 [64, %entry], [%bytes.next, %add]
  %s.more = icmp slt i64 %s, %count
  br i1 %s.more, label %add, label %ask
add:
  %s.bytes = call i64 @{name}_bytes(ptr %sizes, i64 %s, i64 %rows)
  %bytes.next = add i64 %bytes, %s.bytes
  %s.next = add i64 %s, 1
  br label %sum
ask:
  %fits = icmp sle i64 %bytes, %most
  br i1 %fits, label %take, label %none
take:
  %memory = call ptr @malloc(i64 %bytes)
  %got = icmp ne ptr %memory, null
  br i1 %got, label %begin, label %none
none:
  store i64 %bytes, ptr %failed
  %failures = getelementptr i64, ptr %failed, i64 1
  %others = atomicrmw add ptr %failures, i64 1 monotonic
  ret ptr null
begin:
  %address = ptrtoint ptr %memory to i64
  %address.up = add i64 %address, 63
  %aligned = and i64 %address.up, -64
  br label %next
next:
  %n = phi i64 [0, %begin], [%n.next, %place]
  %at = phi i64 [%aligned, %begin], [%at.next, %place]
  %n.more = icmp slt i64 %n, %count
  br i1 %n.more, label %place, label %done
place:
  %place.at = getelementptr i64, ptr %places, i64 %n
  %place.number = load i64, ptr %place.at
  %entry.at = getelementptr ptr, ptr %buffers, i64 %place.number
  %pointer = inttoptr i64 %at to ptr
  store ptr %pointer, ptr %entry.at
  %n.bytes = call i64 @{name}_bytes(ptr %sizes, i64 %n, i64 %rows)
  %at.next = add i64 %at, %n.bytes
  %n.next = add i64 %n, 1
  br label %next
done:
  ret ptr %memory
}}

; The bytes of a tape, as many as full lines of the cache have.
define internal i64 @{name}_bytes(ptr %sizes, i64 %tape, i64 %rows) nounwind {{
  %size.at = getelementptr i64, ptr %sizes, i64 %tape
  %size = load i64, ptr %size.at
  %exact = mul i64 %size, %rows
  %room = add i64 %exact, 63
  %bytes = and i64 %room, -64
  ret i64 %bytes
}}
"""

_KERNEL = """
; Own parameters: the number of counts, how many rows a step has; what `open` needs;
; the places of the counts, of the numbers of the first rows, and of the tapes.
define void @control_tape_kernel(ptr %buffers, ptr %params) nounwind {
entry:
  %execute = load ptr, ptr %params
  %head.at = getelementptr i64, ptr %params, i64 1
  %head = load i64, ptr %head.at
  %counts.at = getelementptr i64, ptr %params, i64 2
  %counts = load i64, ptr %counts.at
  %each.at = getelementptr i64, ptr %params, i64 3
  %each = load i64, ptr %each.at
  %words = getelementptr i64, ptr %params, i64 4
  %tapes.at = getelementptr i64, ptr %words, i64 2
  %tapes = load i64, ptr %tapes.at
  %words.end = getelementptr i64, ptr %words, i64 3
  %places = getelementptr i64, ptr %words.end, i64 %tapes
  %count.place = load i64, ptr %places
  %count.at = getelementptr ptr, ptr %buffers, i64 %count.place
  %count = load ptr, ptr %count.at
  %first.place.at = getelementptr i64, ptr %places, i64 1
  %first.place = load i64, ptr %first.place.at
  %first.at = getelementptr ptr, ptr %buffers, i64 %first.place
  %first = load ptr, ptr %first.at
  %tape.places = getelementptr i64, ptr %places, i64 2
  br label %sum
sum:
  %i = phi i64 [0, %entry], [%i.next, %add]
  %total = phi i64 [0, %entry], [%total.next, %add]
  %more = icmp slt i64 %i, %counts
  br i1 %more, label %add, label %open
add:
  %first.i = getelementptr i64, ptr %first, i64 %i
  store i64 %total, ptr %first.i
  %count.i.at = getelementptr i32, ptr %count, i64 %i
  %count.i = load i32, ptr %count.i.at
  %steps.any = sext i32 %count.i to i64
  %some = icmp sgt i64 %steps.any, 0
  %steps = select i1 %some, i64 %steps.any, i64 0
  %total.next = add i64 %total, %steps
  %i.next = add i64 %i, 1
  br label %sum
open:
  %rows = mul i64 %total, %each
  %memory = call ptr @tape_kernel_open(ptr %buffers, ptr %tape.places, ptr %words, i64 %rows)
  %got = icmp ne ptr %memory, null
  br i1 %got, label %run, label %done
run:
  %descriptor = getelementptr i64, ptr %head.at, i64 %head
  call void @tape_kernel_body(ptr %buffers, ptr %descriptor, i64 0, i64 0, i64 0, ptr %execute)
  call void @free(ptr %memory)
  br label %done
done:
  ret void
}
"""

_TABLES = """
; Own parameters: the number of cotangents and the bytes of each; what `open` needs; the places of
; the count; of the two copies and the result of each cotangent; of the tapes, of their second rows,
; and of what is their first one.
define void @control_tape_tables(ptr %buffers, ptr %params) nounwind {
entry:
  %execute = load ptr, ptr %params
  %head.at = getelementptr i64, ptr %params, i64 1
  %head = load i64, ptr %head.at
  %cts.at = getelementptr i64, ptr %params, i64 2
  %cts = load i64, ptr %cts.at
  %sizes = getelementptr i64, ptr %params, i64 3
  %words = getelementptr i64, ptr %sizes, i64 %cts
  %tapes.at = getelementptr i64, ptr %words, i64 2
  %tapes = load i64, ptr %tapes.at
  %row.sizes = getelementptr i64, ptr %words, i64 3
  %places = getelementptr i64, ptr %row.sizes, i64 %tapes
  %count.place = load i64, ptr %places
  %count.at = getelementptr ptr, ptr %buffers, i64 %count.place
  %count.pointer = load ptr, ptr %count.at
  %count.narrow = load i32, ptr %count.pointer
  %count = sext i32 %count.narrow to i64
  %moves = getelementptr i64, ptr %places, i64 1
  %moves.words = mul i64 %cts, 3
  %tape.places = getelementptr i64, ptr %moves, i64 %moves.words
  %next.places = getelementptr i64, ptr %tape.places, i64 %tapes
  %start.places = getelementptr i64, ptr %next.places, i64 %tapes
  %step = getelementptr i64, ptr %head.at, i64 %head
  %distance.at = getelementptr i64, ptr %step, i64 -1
  %distance = load i64, ptr %distance.at
  %pull = getelementptr i64, ptr %step, i64 %distance
  %some = icmp sgt i64 %count, 0
  %rows = select i1 %some, i64 %count, i64 1
  %memory = call ptr @tape_tables_open(ptr %buffers, ptr %tape.places, ptr %words, i64 %rows)
  %got = icmp ne ptr %memory, null
  br i1 %got, label %begin, label %done
begin:
  %t = phi i64 [0, %entry], [%t.next, %first]
  %t.more = icmp slt i64 %t, %tapes
  br i1 %t.more, label %first, label %forward
first:
  %row.size.at = getelementptr i64, ptr %row.sizes, i64 %t
  %row.size = load i64, ptr %row.size.at
  %tape.place.at = getelementptr i64, ptr %tape.places, i64 %t
  %tape.place = load i64, ptr %tape.place.at
  %tape.at = getelementptr ptr, ptr %buffers, i64 %tape.place
  %tape = load ptr, ptr %tape.at
  %start.place.at = getelementptr i64, ptr %start.places, i64 %t
  %start.place = load i64, ptr %start.place.at
  %start.at = getelementptr ptr, ptr %buffers, i64 %start.place
  %start = load ptr, ptr %start.at
  call void @llvm.memcpy.p0.p0.i64(ptr %tape, ptr %start, i64 %row.size, i1 false)
  %next.place.at = getelementptr i64, ptr %next.places, i64 %t
  %next.place = load i64, ptr %next.place.at
  %next.at = getelementptr ptr, ptr %buffers, i64 %next.place
  %second = getelementptr i8, ptr %tape, i64 %row.size
  store ptr %second, ptr %next.at
  %t.next = add i64 %t, 1
  br label %begin
forward:
  %f = phi i64 [0, %begin], [%f.next, %walk]
  %f.next = add i64 %f, 1
  %f.more = icmp slt i64 %f.next, %count
  br i1 %f.more, label %walk, label %back
walk:
  call void @tape_tables_body(ptr %buffers, ptr %step, i64 %f, i64 0, i64 0, ptr %execute)
  br label %forward
back:
  %n = phi i64 [0, %forward], [%n.next, %return]
  %parity = and i64 %n, 1
  %n.more = icmp slt i64 %n, %count
  br i1 %n.more, label %return, label %finish
return:
  %n.next = add i64 %n, 1
  %i = sub i64 %count, %n.next
  call void @tape_tables_body(ptr %buffers, ptr %pull, i64 %i, i64 %parity, i64 0, ptr %execute)
  br label %back
finish:
  call void @free(ptr %memory)
  call void @tape_tables_move(ptr %buffers, ptr %moves, ptr %sizes, i64 %cts, i64 %parity)
  br label %done
done:
  ret void
}
"""


# --- the end ----------------------------------------------------------------------------------


def _lower_ended(plan: Planner, eqn: JaxprEqn) -> None:
    (count,) = (plan.dense(plan.operand(v)) for v in eqn.invars)
    plan.call(
        Routine("ended", _ENDED),
        [count],
        [plan.result(eqn.outvars[0])],
        [ctypes.addressof(_failed), eqn.params["limit"], count.size],
        eqn,
        "the loop must have ended by itself",
        checks=(_CHECK,),
    )


_ENDED = """
; Copies counts of steps, and notes the limit if one has reached it. Parameters: where it is noted,
; the limit, the number of counts.
define void @ended(ptr %buffers, ptr %params) nounwind {
entry:
  %from = load ptr, ptr %buffers
  %to.at = getelementptr ptr, ptr %buffers, i64 1
  %to = load ptr, ptr %to.at
  %failed = load ptr, ptr %params
  %limit.at = getelementptr i64, ptr %params, i64 1
  %limit = load i64, ptr %limit.at
  %size.at = getelementptr i64, ptr %params, i64 2
  %size = load i64, ptr %size.at
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %kept]
  %more = icmp slt i64 %i, %size
  br i1 %more, label %copy, label %done
copy:
  %from.i = getelementptr i32, ptr %from, i64 %i
  %count = load i32, ptr %from.i
  %to.i = getelementptr i32, ptr %to, i64 %i
  store i32 %count, ptr %to.i
  %i.next = add i64 %i, 1
  %wide = sext i32 %count to i64
  %reached = icmp sge i64 %wide, %limit
  br i1 %reached, label %note, label %kept
note:
  %failures = getelementptr i64, ptr %failed, i64 1
  %others = atomicrmw add ptr %failures, i64 1 monotonic
  %steps = getelementptr i64, ptr %failed, i64 2
  store i64 %limit, ptr %steps
  br label %kept
kept:
  br label %next
done:
  ret void
}
"""
