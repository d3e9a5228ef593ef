"""Vector loops that collect the lanes of a dear guard.

Where few lanes need work that takes long, each vector would do it for one lane or two. So the loop
takes blocks of lanes. First its body runs for all of a block, without the dear work: lanes that
need that only leave their numbers in a list, and store nothing. Then the body runs again for the
lanes in the list, in full vectors whose elements are gathered and scattered. What a lane computes
is the same, whichever lanes it shares a vector with.
"""

from funcflow.backends.loop_ir import Guard, Loop, Store, statements
from funcflow.backends.numba.llvm_loops import Collecting, Loops, first_lanes
from funcflow.backends.numba.llvm_values import lane_numbers

# Lanes of a block; their list has 4 bytes for each, and stays in the cache.
_BLOCK = 1 << 13

_LIST, _COUNT = "%list", "%listed"


def dear_guard(loop: Loop) -> Guard | None:
    """The guard whose lanes a vector loop may collect.

    Lanes that are collected read their operands again, so nothing is stored before the guard; and
    neither values that the loop carries nor loops inside are left for later.
    """
    if loop.reductions or any(isinstance(s, Loop) for s in statements(loop.body)):
        return None
    for s in loop.body:
        if isinstance(s, Store):
            return None
        if isinstance(s, Guard) and s.dear:
            return s
    return None


class CollectingLoop:
    """Prints a vector loop that collects the lanes of a guard."""

    def __init__(self, function: Loops, loop: Loop, guard: Guard) -> None:
        self.f = function
        self.loop = loop
        self.guard = guard
        self.n = next(function.numbers)
        self.level = 2 * len(function.frames)  # around the loop

    def emit(self) -> None:
        f, s, n = self.f, self.loop, self.n
        begin, end = f.bounds(s.axis)
        _reserve(f)
        f.lanes, f.vector_level, f.splats, f.strides = s.lanes, self.level + 2, {}, {}
        f.enter(s.axis, f"%i{n}", end, f"before{n}", f"main{n}")
        f.mask, f.collecting = f"%mask{n}", Collecting(self.guard, f"%base{n}")
        f.region(s.body)
        latch, main = f.blocks[-1], f.levels[-1]
        f.blocks[-1], f.levels[-1] = f"packed{n}", []
        f.frames[-1].index, f.strides = f"%base{n}", {}
        f.frames[-1].pointers.clear()
        f.mask, f.collecting, f.slots = f"%mask{n}.packed", None, f"%slots{n}"
        f.region(s.body)
        last, packed = f.blocks[-1], f.levels[-1]
        first = f.blocks[-2]
        before, _ = f.leave()
        f.lanes, f.vector_level, f.mask, f.slots = 1, 0, "", ""
        f.declares["declare i64 @llvm.smin.i64(i64, i64)"] = None
        f.levels[self.level] += [
            f"  %run{n} = icmp slt i64 {begin}, {end}",
            f"  br i1 %run{n}, label %before{n}, label %exit{n}",
            f"before{n}:",
            *before,
            f"  br label %block{n}",
            f"block{n}:",
            f"  %base{n} = phi i64 [{begin}, %{first}], [%stop{n}, %done{n}]",
            f"  %far{n} = add nsw i64 %base{n}, {_BLOCK}",
            f"  %stop{n} = call i64 @llvm.smin.i64(i64 %far{n}, i64 {end})",
            f"  store i64 0, ptr {_COUNT}, align 8",
            f"  br label %main{n}",
            *self.main_lines(main, latch),
            *self.packed_lines(packed, last),
            f"done{n}:",
            f"  %blocks{n} = icmp slt i64 %stop{n}, {end}",
            f"  br i1 %blocks{n}, label %block{n}, label %exit{n}",
            f"exit{n}:",
        ]
        f.blocks[self.level] = f"exit{n}"

    def main_lines(self, body: list[str], latch: str) -> list[str]:
        """The loop over a block's lanes."""
        n, lanes = self.n, self.loop.lanes
        return [
            f"main{n}:",
            f"  %i{n} = phi i64 [%base{n}, %block{n}], [%i{n}.next, %{latch}]",
            f"  %left{n} = sub nsw i64 %stop{n}, %i{n}",
            *first_lanes(f"%left{n}", lanes, n),
            *body,
            f"  %i{n}.next = add nsw i64 %i{n}, {lanes}",
            f"  %more{n} = icmp slt i64 %i{n}.next, %stop{n}",
            f"  br i1 %more{n}, label %main{n}, label %listed{n}",
        ]

    def packed_lines(self, body: list[str], latch: str) -> list[str]:
        """The loop over the lanes that are in the list."""
        n, lanes = self.n, self.loop.lanes
        numbers, bits = f"<{lanes} x i32>", f"<{lanes} x i1>"
        load = f"@llvm.masked.load.v{lanes}i32.p0"
        self.f.declares[f"declare {numbers} {load}(ptr, i32, {bits}, {numbers})"] = None
        passed = f"ptr %from{n}, i32 4, {bits} %mask{n}.packed, {numbers} zeroinitializer"
        return [
            f"listed{n}:",
            f"  %count{n} = load i64, ptr {_COUNT}, align 8",
            f"  %any{n} = icmp sgt i64 %count{n}, 0",
            f"  br i1 %any{n}, label %packed{n}, label %done{n}",
            f"packed{n}:",
            f"  %p{n} = phi i64 [0, %listed{n}], [%p{n}.next, %{latch}]",
            f"  %rest{n} = sub nsw i64 %count{n}, %p{n}",
            *first_lanes(f"%rest{n}", lanes, f"{n}.packed"),
            f"  %from{n} = getelementptr i32, ptr {_LIST}, i64 %p{n}",
            f"  %numbers{n} = call {numbers} {load}({passed})",
            f"  %slots{n} = zext {numbers} %numbers{n} to <{lanes} x i64>",
            *body,
            f"  %p{n}.next = add nsw i64 %p{n}, {lanes}",
            f"  %again{n} = icmp slt i64 %p{n}.next, %count{n}",
            f"  br i1 %again{n}, label %packed{n}, label %done{n}",
        ]


def _reserve(f: Loops) -> None:
    """Memory for the list and its length, the same for all loops of the function."""
    if _LIST not in f.entry:
        f.entry[_LIST] = _LIST
        f.places.append(f"  {_LIST} = alloca [{_BLOCK} x i32], align 64")
        f.places.append(f"  {_COUNT} = alloca i64, align 8")


def collect(f: Loops, guard: Guard, base: str) -> None:
    """In the place of a guard: lanes that need its work are listed, and leave the vector.

    The list counts them from `base`. What is stored behind the guard is stored for other lanes.
    """
    n, level, lanes = next(f.numbers), 2 * len(f.frames), f.lanes
    numbers, bits = f"<{lanes} x i32>", f"<{lanes} x i1>"
    needed = f.put(level, f"and {bits} {f.names[guard.mask]}, {f.mask}")
    any_needed = f.any_lane(f"{bits} {needed}", level)
    store = f"@llvm.masked.compressstore.v{lanes}i32"
    total = f"@llvm.vector.reduce.add.v{lanes}i32"
    f.declares[f"declare void {store}({numbers}, ptr, {bits})"] = None
    f.declares[f"declare i32 {total}({numbers})"] = None
    f.levels[level] += [
        f"  br i1 {any_needed}, label %list{n}, label %after{n}",
        f"list{n}:",
        f"  %way{n} = sub nsw i64 {f.frames[-1].index}, {base}",
        f"  %first{n} = trunc i64 %way{n} to i32",
        f"  %one{n} = insertelement {numbers} poison, i32 %first{n}, i64 0",
        f"  %firsts{n} = shufflevector {numbers} %one{n}, {numbers} poison, "
        f"{numbers} zeroinitializer",
        f"  %numbers{n} = add {numbers} %firsts{n}, {lane_numbers('i32', lanes)}",
        f"  %count{n} = load i64, ptr {_COUNT}, align 8",
        f"  %to{n} = getelementptr i32, ptr {_LIST}, i64 %count{n}",
        f"  call void {store}({numbers} %numbers{n}, ptr align 4 %to{n}, {bits} {needed})",
        f"  %ones{n} = zext {bits} {needed} to {numbers}",
        f"  %new{n} = call i32 {total}({numbers} %ones{n})",
        f"  %more{n} = zext i32 %new{n} to i64",
        f"  %sum{n} = add nsw i64 %count{n}, %more{n}",
        f"  store i64 %sum{n}, ptr {_COUNT}, align 8",
        f"  br label %after{n}",
        f"after{n}:",
    ]
    f.blocks[level] = f"after{n}"
    f.mask = f.put(level, f"xor {bits} {f.mask}, {needed}")
    for result, other in zip(guard.results, guard.others, strict=True):
        f.define(result, f.vector(other), level, True)
