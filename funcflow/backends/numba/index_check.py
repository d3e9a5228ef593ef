"""Checks of indices as native steps: they copy the indices and count what is out of bounds."""

import ctypes

from funcflow.backends.planner import Planner
from funcflow.backends.program import Routine
from funcflow.core.jaxpr import JaxprEqn
from funcflow.lax.index_check import check_index_p, sightings

# Parameters: where to count, the number of indices, and two ranges, of which an index must be in
# one: that from 0 on, given by its end, and that of negative indices.
_TEXT = """
define void @check_i{bits}(ptr %buffers, ptr %params) nounwind {{
entry:
  %from = load ptr, ptr %buffers
  %to.at = getelementptr ptr, ptr %buffers, i64 1
  %to = load ptr, ptr %to.at
  %sightings = load ptr, ptr %params
  %size.at = getelementptr i64, ptr %params, i64 1
  %size = load i64, ptr %size.at
  %last.at = getelementptr i64, ptr %params, i64 2
  %last = load i64, ptr %last.at
  %low.at = getelementptr i64, ptr %params, i64 3
  %low = load i64, ptr %low.at
  %high.at = getelementptr i64, ptr %params, i64 4
  %high = load i64, ptr %high.at
  br label %next
next:
  %i = phi i64 [0, %entry], [%i.next, %copy]
  %outside = phi i1 [false, %entry], [%outside.next, %copy]
  %more = icmp slt i64 %i, %size
  br i1 %more, label %copy, label %done
copy:
  %from.i = getelementptr i{bits}, ptr %from, i64 %i
  %index = load i{bits}, ptr %from.i
  %to.i = getelementptr i{bits}, ptr %to, i64 %i
  store i{bits} %index, ptr %to.i
  %place = {widened}
  %first.ok = icmp sge i64 %place, 0
  %last.ok = icmp sle i64 %place, %last
  %low.ok = icmp sge i64 %place, %low
  %high.ok = icmp sle i64 %place, %high
  %positive = and i1 %first.ok, %last.ok
  %negative = and i1 %low.ok, %high.ok
  %inside = or i1 %positive, %negative
  %bad = xor i1 %inside, true
  %outside.next = or i1 %outside, %bad
  %i.next = add i64 %i, 1
  br label %next
done:
  br i1 %outside, label %count, label %end
count:
  %before = atomicrmw add ptr %sightings, i64 1 monotonic
  br label %end
end:
  ret void
}}
"""

_WIDENED = {32: "sext i32 %index to i64", 64: "add i64 %index, 0"}


def _lower(plan: Planner, eqn: JaxprEqn) -> None:
    (indices,) = eqn.invars
    dtype = indices.aval.dtype
    if dtype.name not in ("int32", "int64"):
        plan.host(eqn, f"check_index of {dtype.name}")
        return
    params, bits = eqn.params, 8 * dtype.itemsize
    extent, size = params["extent"], params["size"]
    negative = (-extent, -size) if params["from_end"] else (0, -1)
    routine = Routine(
        f"check_i{bits}",
        _TEXT.format(bits=bits, widened=_WIDENED[bits]),
        (ctypes.addressof(sightings) + ctypes.sizeof(ctypes.c_int64),),
    )
    view = plan.dense(plan.operand(indices))
    words = (view.size, extent - size, *negative)
    plan.call(routine, [view], [plan.result(eqn.outvars[0])], words, eqn, "checks indices")


LOWERINGS = {check_index_p: _lower}
