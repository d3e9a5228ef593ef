"""Bars of loops: native code counts steps in the records of `lax/progress_bar`.

So a loop with a bar is as native as one without. Where a bar begins and ends Python is called, once
for each loop.
"""

import numpy as np

from funcflow.backends.planner import Planner
from funcflow.backends.program import Routine
from funcflow.core.jaxpr import JaxprEqn
from funcflow.lax import progress_bar
from funcflow.lax.progress import progress_p

# `Run.advance`: the first buffers are the bar's number and the steps that were done, of each lane
# if there are lanes; the result is how many may come next. Parameters: the address of the records,
# the number of lanes, and which buffer the result is. The thread that shows bars reads and writes
# the records at the same time.
_TEXT = f"""
define void @progress_advance(ptr %buffers, ptr %params) {{
entry:
  %records = load ptr, ptr %params
  %lanes.at = getelementptr i64, ptr %params, i64 1
  %lanes = load i64, ptr %lanes.at
  %place.at = getelementptr i64, ptr %params, i64 2
  %place = load i64, ptr %place.at
  %number.at = load ptr, ptr %buffers
  %number.narrow = load i32, ptr %number.at
  %number = sext i32 %number.narrow to i64
  %row = urem i64 %number, {progress_bar.MAX_RUNS}
  %record = getelementptr [{progress_bar.WORDS} x i64], ptr %records, i64 %row
  %owner.at = getelementptr i64, ptr %record, i64 {progress_bar.NUMBER}
  %owner = load atomic i64, ptr %owner.at monotonic, align 8
  %known = icmp eq i64 %owner, %number
  br i1 %known, label %find, label %answer
find:
  %steps.place = getelementptr ptr, ptr %buffers, i64 1
  %steps.at = load ptr, ptr %steps.place
  br label %lane
lane:
  %i = phi i64 [0, %find], [%i.next, %compare]
  %steps = phi i64 [0, %find], [%farthest, %compare]
  %more = icmp slt i64 %i, %lanes
  br i1 %more, label %compare, label %count
compare:
  %own.at = getelementptr i64, ptr %steps.at, i64 %i
  %own = load i64, ptr %own.at
  %farthest = call i64 @llvm.smax.i64(i64 %own, i64 %steps)
  %i.next = add i64 %i, 1
  br label %lane
count:
  %done.at = getelementptr i64, ptr %record, i64 {progress_bar.DONE}
  %before = atomicrmw add ptr %done.at, i64 %steps monotonic
  %next.at = getelementptr i64, ptr %record, i64 {progress_bar.NEXT}
  %next = load i64, ptr %next.at
  %grown = mul i64 %next, {progress_bar.GROWTH}
  %limit.at = getelementptr i64, ptr %record, i64 {progress_bar.LIMIT}
  %limit = load atomic i64, ptr %limit.at monotonic, align 8
  %following = call i64 @llvm.smin.i64(i64 %grown, i64 %limit)
  store i64 %following, ptr %next.at
  br label %answer
answer:
  %may = phi i64 [{progress_bar.LONGEST}, %entry], [%following, %count]
  %may.narrow = trunc i64 %may to i32
  %result.place = getelementptr ptr, ptr %buffers, i64 %place
  %result.at = load ptr, ptr %result.place
  store i32 %may.narrow, ptr %result.at
  ret void
}}

declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
"""


def _lower(plan: Planner, eqn: JaxprEqn) -> None:
    event = eqn.params["event"]
    if eqn.params["silent"]:
        longest = plan.constant(np.asarray(np.int32(progress_bar.LONGEST)))
        for v in eqn.outvars:
            plan.copy(longest, plan.result(v), (eqn,), "of a bar that is not shown")
    elif event == "advance":
        number, steps, *watched = (plan.operand(v) for v in eqn.invars)
        reads = [number, plan.dense(steps), *watched]
        writes = [plan.result(v) for v in eqn.outvars]
        routine = Routine("progress_advance", _TEXT, (progress_bar.RECORDS.ctypes.data,))
        plan.call(routine, reads, writes, (steps.size, len(reads)), eqn, "counts steps for a bar")
    else:
        plan.host(eqn, f"Python {event}s the bar")


LOWERINGS = {progress_p: _lower}
