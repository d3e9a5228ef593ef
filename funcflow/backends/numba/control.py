"""Loops and branches as native steps: a body is a table of steps of its own, run again and again.

A loop over a small state is a kernel (`families/recurrences.py`). Other bodies become tables
(`tables.py`): slices of inputs and of stacked outputs advance by a stride; what is carried changes
in place where it can (`passes/carries.py`), or is handed on between two copies of itself. Nothing
is unrolled, and nothing of Python runs between iterations. A body with host steps is left to a
host call, which runs it from Python.

A scan whose body treats the rows of a batch apart runs in parallel, all iterations for a block of
rows after the other (`passes/row_blocks`).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from funcflow.backends.families import recurrences
from funcflow.backends.numba import tables
from funcflow.backends.numba.tables import Body, Slot
from funcflow.backends.passes.carries import Carry, carries_in_place
from funcflow.backends.passes.lanes import decide_apart
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import Check, View
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.cond import cond_p
from funcflow.lax.scan import scan_p
from funcflow.lax.while_binding import while_p


def lowerings(
    compile_body: Callable[[ClosedJaxpr, tuple[Carry, ...]], Body],
    compile_blocks: Callable[[ClosedJaxpr, tuple[Carry, ...], int], Body | None],
    compile_branches: Callable[[tuple[ClosedJaxpr, ...]], Sequence[Body]],
) -> Mapping[Primitive, Lowering]:
    """The lowerings of control flow, with what compiles bodies.

    Args:
        compile_body: compiles a body that carries values.
        compile_blocks: compiles that of a scan to run for blocks of rows, given the length too.
            None if that cannot be, or is not worth it.
        compile_branches: compiles those of a `cond`.
    """

    def scanned(eqn: JaxprEqn) -> Sequence[Body]:
        jaxpr, carries = eqn.params["jaxpr"], _carries(eqn)
        blocks = compile_blocks(jaxpr, carries, eqn.params["length"])
        return [blocks or compile_body(jaxpr, carries)]

    def repeated(eqn: JaxprEqn) -> Sequence[Body]:
        condition, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
        return [compile_body(condition, ()), compile_body(body, _carries(eqn))]

    def lowered(
        lower: Callable[..., None],
        compiled: Callable[[JaxprEqn], Sequence[Body]],
        kernel: Callable[[Planner, JaxprEqn], str | None],
    ) -> Lowering:
        def lowering(plan: Planner, eqn: JaxprEqn) -> None:
            reason = kernel(plan, eqn)
            if reason is None:
                return
            if decide_apart(eqn):
                plan.host(eqn, f"lanes that decide for themselves have no table; {reason}")
                return
            note = f"{eqn.primitive.name}: tables of steps, since {reason}"
            bodies = compiled(eqn)
            if any(body.table is None for body in bodies):
                plan.host(eqn, f"the body of {eqn.primitive.name} has host steps")
            elif eqn.primitive is while_p and not all(map(_is_counted, tables.checks(bodies))):
                # a failure must end the loop, whose condition may hold for ever behind it
                plan.host(eqn, "Python may fail in the body of while")
            else:
                lower(plan, eqn, note, *bodies)

        return lowering

    return {
        scan_p: lowered(_lower_scan, scanned, recurrences.lower_scan),
        while_p: lowered(
            _lower_while,
            repeated,
            recurrences.lower_straight,
        ),
        cond_p: lowered(
            _lower_cond,
            lambda eqn: compile_branches(eqn.params["branches"]),
            recurrences.lower_straight,
        ),
    }


def _carries(eqn: JaxprEqn) -> tuple[Carry, ...]:
    """Which arguments of a loop's body are which of its results in the iteration before."""
    params = eqn.params
    scan = eqn.primitive is scan_p
    first = params["num_consts" if scan else "body_nconsts"]
    count = params["num_carry"] if scan else len(eqn.outvars)
    return tuple(Carry(first + i, i) for i in range(count))


# --- scan -----------------------------------------------------------------------------------


def _lower_scan(plan: Planner, eqn: JaxprEqn, note: str, body: Body) -> None:
    params = eqn.params
    length, carries = params["length"], _carries(eqn)
    split = params["num_consts"], params["num_consts"] + len(carries)
    starts = eqn.invars[split[0] : split[1]]
    consts, xs = (
        [plan.dense(plan.operand(v)) for v in part]
        for part in (eqn.invars[: split[0]], eqn.invars[split[1] :])
    )
    carried = tables.carried(plan, eqn, body, starts, carries)
    ys = [plan.result(v) for v in eqn.outvars[len(carries) :]]
    slots = [
        *map(Slot.fixed, consts),
        *(place.before for place in carried),
        *(Slot(x, x, _row(x)) for x in xs),
        *(place.after for place in carried),
        *(Slot(y, y, _row(y)) for y in ys),
        *tables.private(plan, body),
    ]
    step = -1 if params["reverse"] else 1
    first = length - 1 if params["reverse"] else 0
    blocks = body.program.blocks
    if blocks > 1:
        note = f"{note}; {blocks} blocks of rows run in parallel"
    routine = tables.routine_of_blocks("scan", _SCAN, blocks)
    note, words = note + tables.note_of(carried), (length, first, step)
    tables.call(plan, eqn, note, routine, [body], [slots], ys, words, blocks=blocks)
    for even, odd, result in carried:
        if even is not odd:
            plan.copy(odd if length % 2 else even, result, (eqn,))


def _row(view: View) -> int:
    return view.strides[0] * view.dtype.itemsize


def _is_counted(check: Check) -> bool:
    return check.count_at is not None


# --- while ----------------------------------------------------------------------------------


def _lower_while(plan: Planner, eqn: JaxprEqn, note: str, condition: Body, body: Body) -> None:
    params = eqn.params
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    consts = [plan.dense(plan.operand(v)) for v in eqn.invars[:second]]
    carried = tables.carried(plan, eqn, body, eqn.invars[second:], _carries(eqn))
    goes_on = plan.temporary((), np.bool_)
    slots = [
        [
            *map(Slot.fixed, consts[:first]),
            *(place.before for place in carried),
            Slot.fixed(goes_on),
            *tables.private(plan, condition),
        ],
        [
            *map(Slot.fixed, consts[first:]),
            *(place.before for place in carried),
            *(place.after for place in carried),
            *tables.private(plan, body),
        ],
    ]
    # the other values end in one copy or the other: the routine puts them where the results are
    moved = [place for place in carried if not place.in_place]
    sizes = [place.result.buffer.nbytes for place in moved]
    failures = [c.count_at for c in tables.checks([condition, body]) if c.count_at is not None]
    tables.call(
        plan,
        eqn,
        note + tables.note_of(carried),
        tables.routine("while", _WHILE),
        [condition, body],
        slots,
        [place.result for place in carried],
        (len(failures), *failures, len(moved), *sizes),
        [goes_on, *(view for place in moved for view in place)],
    )


# --- cond -----------------------------------------------------------------------------------


def _lower_cond(plan: Planner, eqn: JaxprEqn, note: str, *branches: Body) -> None:
    results = [plan.result(v) for v in eqn.outvars]
    changed = {
        carry.argument: results[carry.result] for carry in carries_in_place(branches[0].program)
    }
    index = plan.dense(plan.operand(eqn.invars[0]))
    operands: list[View] = []
    for number, v in enumerate(eqn.invars[1:]):
        if number in changed:
            plan.store(v, changed[number], eqn)
            operands.append(changed[number])
        else:
            operands.append(plan.dense(plan.operand(v)))
    slots = [
        [*map(Slot.fixed, operands), *map(Slot.fixed, results), *tables.private(plan, branch)]
        for branch in branches
    ]
    tables.call(
        plan,
        eqn,
        note,
        tables.routine("cond", _COND),
        branches,
        slots,
        results,
        (),
        [index],
    )


# --- native code --------------------------------------------------------------------------------


_SCAN = """
; Own parameters: the length, the first index, the step from index to index. Blocks of rows from
; %lo to %hi go through all iterations.
define void @control_scan(ptr %buffers, ptr %params, i64 %lo, i64 %hi) nounwind {
entry:
  %execute = load ptr, ptr %params
  %head.at = getelementptr i64, ptr %params, i64 1
  %head = load i64, ptr %head.at
  %length.at = getelementptr i64, ptr %params, i64 2
  %length = load i64, ptr %length.at
  %first.at = getelementptr i64, ptr %params, i64 3
  %first = load i64, ptr %first.at
  %step.at = getelementptr i64, ptr %params, i64 4
  %step = load i64, ptr %step.at
  %descriptor = getelementptr i64, ptr %head.at, i64 %head
  br label %block
block:
  %b = phi i64 [%lo, %entry], [%b.next, %block.end]
  %b.more = icmp slt i64 %b, %hi
  br i1 %b.more, label %next, label %done
next:
  %n = phi i64 [0, %block], [%n.next, %iterate]
  %i = phi i64 [%first, %block], [%i.next, %iterate]
  %more = icmp slt i64 %n, %length
  br i1 %more, label %iterate, label %block.end
iterate:
  %parity = and i64 %n, 1
  call void @scan_body(ptr %buffers, ptr %descriptor, i64 %i, i64 %parity, i64 %b, ptr %execute)
  %n.next = add i64 %n, 1
  %i.next = add i64 %i, %step
  br label %next
block.end:
  %b.next = add i64 %b, 1
  br label %block
done:
  ret void
}
"""

_WHILE = """
; Own parameters: how many counts of failures there are, where these are; the number of carried
; values, their sizes in bytes; the places of the condition's result and, for each carried value, of
; its two copies and of the result. A failure, of any thread, ends the loop.
define void @control_while(ptr %buffers, ptr %params) nounwind {
entry:
  %execute = load ptr, ptr %params
  %head.at = getelementptr i64, ptr %params, i64 1
  %head = load i64, ptr %head.at
  %counts.at = getelementptr i64, ptr %params, i64 2
  %counts = load i64, ptr %counts.at
  %counts.places = getelementptr i64, ptr %params, i64 3
  %before = call i64 @while_failures(ptr %counts.places, i64 %counts)
  %count.at = getelementptr i64, ptr %counts.places, i64 %counts
  %count = load i64, ptr %count.at
  %sizes = getelementptr i64, ptr %count.at, i64 1
  %goes.place.at = getelementptr i64, ptr %sizes, i64 %count
  %goes.place = load i64, ptr %goes.place.at
  %goes.at = getelementptr ptr, ptr %buffers, i64 %goes.place
  %goes = load ptr, ptr %goes.at
  %moves = getelementptr i64, ptr %goes.place.at, i64 1
  %condition = getelementptr i64, ptr %head.at, i64 %head
  %distance.at = getelementptr i64, ptr %condition, i64 -1
  %distance = load i64, ptr %distance.at
  %body = getelementptr i64, ptr %condition, i64 %distance
  br label %next
next:
  %n = phi i64 [0, %entry], [%n.next, %iterate]
  %parity = and i64 %n, 1
  call void @while_body(ptr %buffers, ptr %condition, i64 0, i64 %parity, i64 0, ptr %execute)
  %answer = load i8, ptr %goes
  %goes.on = icmp ne i8 %answer, 0
  %now = call i64 @while_failures(ptr %counts.places, i64 %counts)
  %sound = icmp eq i64 %now, %before
  %more = and i1 %goes.on, %sound
  br i1 %more, label %iterate, label %finish
iterate:
  call void @while_body(ptr %buffers, ptr %body, i64 0, i64 %parity, i64 0, ptr %execute)
  %n.next = add i64 %n, 1
  br label %next
finish:
  call void @while_move(ptr %buffers, ptr %moves, ptr %sizes, i64 %count, i64 %parity)
  ret void
}

; How many failures there were.
define internal i64 @while_failures(ptr %places, i64 %size) nounwind {
entry:
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %add]
  %sum = phi i64 [0, %entry], [%sum.next, %add]
  %more = icmp slt i64 %i, %size
  br i1 %more, label %add, label %done
add:
  %place.at = getelementptr ptr, ptr %places, i64 %i
  %place = load ptr, ptr %place.at
  %count = load atomic i64, ptr %place monotonic, align 8
  %sum.next = add i64 %sum, %count
  %i.next = add i64 %i, 1
  br label %next
done:
  ret i64 %sum
}
"""

_COND = """
; Own parameter: the place of the index of the branch.
define void @control_cond(ptr %buffers, ptr %params) nounwind {
  %execute = load ptr, ptr %params
  %head.at = getelementptr i64, ptr %params, i64 1
  %head = load i64, ptr %head.at
  %place.at = getelementptr i64, ptr %params, i64 2
  %place = load i64, ptr %place.at
  %index.at = getelementptr ptr, ptr %buffers, i64 %place
  %index.pointer = load ptr, ptr %index.at
  %index.narrow = load i32, ptr %index.pointer
  %index = sext i32 %index.narrow to i64
  %distances = getelementptr i64, ptr %params, i64 3
  %distance.at = getelementptr i64, ptr %distances, i64 %index
  %distance = load i64, ptr %distance.at
  %first = getelementptr i64, ptr %head.at, i64 %head
  %descriptor = getelementptr i64, ptr %first, i64 %distance
  call void @cond_body(ptr %buffers, ptr %descriptor, i64 0, i64 0, i64 0, ptr %execute)
  ret void
}
"""
