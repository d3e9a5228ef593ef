"""Prints kernels of the loop IR as one module of LLVM IR, with explicit vectors.

No pass of LLVM's optimiser runs on the text, only its code generator, so the text is in its final
form: what does not change in a loop stands before it, and values that are equal in all lanes are
scalars, spread over the lanes once.

A vector loop is printed twice: the main loop takes whole vectors; then the tail takes what is left,
once, under a mask. It stores nothing in the other lanes, whatever is loaded there, and reductions
keep their old values. Elements side by side (stride `UNIT`) are loaded as vectors, others one by
one, or in tiles where a loop inside walks along them (`llvm_tiles.py`).

Each kernel becomes `void name(char** buffers, const int64_t* params, int64_t lo, int64_t hi)`:
`buffers` holds one pointer per operand, `params` what `Kernel.parameters` lists, and a kernel with
`split` runs over `[lo, hi)` of axis 0.

Where code stands is explained in `llvm_values.py`, how memory is accessed in `llvm_memory.py`, and
which instructions operations become in `llvm_ops.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import (
    Guard,
    Kernel,
    Let,
    Load,
    Loop,
    Reduction,
    Statement,
    Store,
    Value,
    While,
    statements,
)
from funcflow.backends.numba import llvm_ops as ops
from funcflow.backends.numba.llvm_memory import Memory
from funcflow.backends.numba.llvm_values import Frame, lane_numbers

# The axis of a loop that runs over none.
_NO_AXIS = -1

# Tells the code generator which blocks to move out of the way, and to take registers from.
_RARE = '!0 = !{!"branch_weights", i32 1, i32 2000}'


def module_text(kernels: Mapping[str, Kernel]) -> str:
    """A module of LLVM IR with one function per kernel.

    Args:
        kernels: legal kernels of `MACHINE_OPS`, by the names of their functions.

    Returns:
        The text, which names no target.

    Raises:
        KeyError: a kernel has an operation that is not in `MACHINE_OPS`, or not on these dtypes.
    """
    declares: dict[str, None] = {}
    functions = [_Function(kernel, declares).text(name) for name, kernel in kernels.items()]
    return "\n".join([*declares, "", *functions])


class _Function(Memory):
    """Prints one kernel."""

    def text(self, name: str) -> str:
        """The function."""
        self.region(self.kernel.body)
        signature = f"void @{name}(ptr %buffers, ptr %params, i64 %lo, i64 %hi)"
        lines = [f"define {signature} nounwind {{", "entry:", *self.places, *self.levels[0]]
        return "\n".join([*lines, "  ret void", "}", ""])

    def region(self, body: tuple[Statement, ...]) -> None:
        for s in body:
            if type(s) is Let:
                self.let(s)
            elif type(s) is Load:
                self.load(s)
            elif type(s) is Store:
                self.store(s)
            elif type(s) is Guard:
                self.guard(s)
            elif type(s) is While:
                self.while_loop(s)
            elif type(s) is Loop:
                if s.lanes > 1:
                    _VectorLoop(self, s).emit()
                else:
                    self.scalar_loop(s)

    # --- guards ---------------------------------------------------------------------------------

    def guard(self, s: Guard) -> None:
        """A branch around the body: in a vector loop if the mask holds in no lane."""
        if all(map(self.is_printed, s.results)):
            return
        self.free_values(s.body)
        level = max(self.lowest, *[self.level.get(v, 0) for v in _dependencies(s)])
        if any(isinstance(inner, While) for inner in statements(s.body)):
            level = 2 * len(self.frames)  # where a loop inside begins
        n, before = next(self.numbers), self.blocks[level]
        values, rare, wide = self.rare_code(s, level, f"rare{n}")
        last, self.blocks[level] = self.blocks[level], f"join{n}"
        others = [self.vector(v) if wide else self.names[v] for v in s.others]
        types = [ops.register_type(v.dtype, self.lanes if wide else 1) for v in s.results]
        condition = self.names[s.mask]
        if s.mask in self.wide:
            mask = f"<{self.lanes} x i1> {condition}"
            condition = self.any_lane(mask, level)
            chosen = [f"%chosen{n}.{k}" for k in range(len(values))]
            for name, t, value, other in zip(chosen, types, values, others, strict=True):
                rare.append(f"  {name} = select {mask}, {t} {value}, {t} {other}")
            values = chosen
        self.declares[_RARE] = None
        self.levels[level] += [
            f"  br i1 {condition}, label %rare{n}, label %join{n}, !prof !0",
            f"rare{n}:",
            *rare,
            f"  br label %join{n}",
            f"join{n}:",
        ]
        for result, t, value, other in zip(s.results, types, values, others, strict=True):
            name = self.put(level, f"phi {t} [{other}, %{before}], [{value}, %{last}]")
            self.define(result, name, level, wide)

    def rare_code(self, s: Guard, level: int, block: str) -> tuple[list[str], list[str], bool]:
        """The values that a guard's body computes, its code, and whether the values are vectors."""
        around, splats, lowest = self.levels[level], self.splats, self.lowest
        # what is spread over the lanes inside is unknown after the guard
        self.splats, self.lowest = dict(splats), level
        self.blocks[level], self.levels[level] = block, []
        self.region(s.body)
        wide = not self.wide.isdisjoint((s.mask, *s.values, *s.others))
        values = [self.vector(v) if wide else self.names[v] for v in s.values]
        code, self.levels[level] = self.levels[level], around
        self.splats, self.lowest = splats, lowest
        return values, code, wide

    def free_values(self, body: tuple[Statement, ...]) -> None:
        """What has no arguments: it costs nothing, and later code shares parameters that it loads.

        So it stands before a guard that has it.
        """
        for s in statements(body):
            if isinstance(s, Let) and not s.args:
                self.let(s)

    def any_lane(self, mask: str, level: int) -> str:
        """Whether a mask holds in any lane."""
        vector = f"<{self.lanes} x i1>"
        symbol = f"@llvm.vector.reduce.or.v{self.lanes}i1"
        self.declares[f"declare i1 {symbol}({vector})"] = None
        return self.put(level, f"call i1 {symbol}({mask})")

    # --- loops ----------------------------------------------------------------------------------

    def bounds(self, axis: int) -> tuple[str, str]:
        """Where a loop over an axis begins and ends."""
        if self.kernel.split and axis == 0:
            return "%lo", "%hi"
        extent = self.parameter(("extent", axis))
        if self.kernel.ragged and axis == 1:
            depth = next(d for d, frame in enumerate(self.frames, 1) if frame.axis == 0)
            blocks, tail = self.parameter(("extent", 0)), self.parameter(("tail",))
            after = self.put(2 * depth, f"add i64 {self.frames[depth - 1].index}, 1")
            last = self.put(2 * depth, f"icmp eq i64 {after}, {blocks}")
            extent = self.put(2 * depth, f"select i1 {last}, i64 {tail}, i64 {extent}")
        return "0", extent

    def enter(self, axis: int, index: str, end: str, before: str, body: str) -> None:
        self.levels += [[], []]
        self.blocks += [before, body]
        self.frames.append(Frame(axis, index, end))

    def leave(self) -> tuple[list[str], list[str]]:
        """The code before the loop, and its body."""
        self.frames.pop()
        body, before = self.levels.pop(), self.levels.pop()
        del self.blocks[-2:]
        return before, body

    def carried(self, r: Reduction) -> list[tuple[str, str]]:
        """The type and a name for each value that a reduction carries, in the lanes around."""
        return [(ops.register_type(v.dtype, self.lanes), self.fresh()) for v in r.inside]

    def current(self, values: tuple[Value, ...]) -> list[str]:
        return [self.vector(v) if self.lanes > 1 else self.names[v] for v in values]

    def scalar_loop(self, s: Loop) -> None:
        n, level, wide = next(self.numbers), 2 * len(self.frames), self.lanes > 1
        begin, end = self.bounds(s.axis)
        index, body_label, exit_label = f"%i{n}", f"body{n}", f"exit{n}"
        starts = [self.current(r.starts) for r in s.reductions]
        carried = [self.carried(r) for r in s.reductions]
        self.enter(s.axis, index, end, f"before{n}", body_label)
        for r, items in zip(s.reductions, carried, strict=True):
            for value, (_, name) in zip(r.inside, items, strict=True):
                self.define(value, name, level + 2, wide)
        self.region(s.body)
        nexts = [self.current(r.nexts) for r in s.reductions]
        outside, first, latch = self.blocks[level:]
        before, body = self.leave()
        out = self.levels[level]
        out += [
            f"  %run{n} = icmp slt i64 {begin}, {end}",
            f"  br i1 %run{n}, label %before{n}, label %{exit_label}",
            f"before{n}:",
            *before,
            f"  br label %{body_label}",
            f"{body_label}:",
            f"  {index} = phi i64 [{begin}, %{first}], [{index}.next, %{latch}]",
        ]
        for r, items in enumerate(carried):
            for k, (t, name) in enumerate(items):
                out.append(
                    f"  {name} = phi {t} [{starts[r][k]}, %{first}], [{nexts[r][k]}, %{latch}]"
                )
        out += [
            *body,
            f"  {index}.next = add nsw i64 {index}, 1",
            f"  %more{n} = icmp slt i64 {index}.next, {end}",
            f"  br i1 %more{n}, label %{body_label}, label %{exit_label}",
            f"{exit_label}:",
        ]
        self.blocks[level] = exit_label
        for r, reduction in enumerate(s.reductions):
            for k, value in enumerate(reduction.results):
                t = carried[r][k][0]
                arms = f"[{starts[r][k]}, %{outside}], [{nexts[r][k]}, %{latch}]"
                self.define(value, self.put(level, f"phi {t} {arms}"), level, wide)

    def while_loop(self, s: While) -> None:
        """A loop that, in a vector loop, goes on while any lane does."""
        n, level = next(self.numbers), 2 * len(self.frames)
        same = self.uniform(s) if self.lanes > 1 else {*s.inside}
        wide = [v not in same for v in s.inside]
        starts = [self.in_lanes(v, w) for v, w in zip(s.starts, wide, strict=True)]
        types = [
            ops.register_type(v.dtype, self.lanes if w else 1)
            for v, w in zip(s.inside, wide, strict=True)
        ]
        names = [self.fresh() for _ in s.inside]
        self.enter(_NO_AXIS, "", "", f"before{n}", f"test{n}")
        for value, name, w in zip(s.inside, names, wide, strict=True):
            self.define(value, name, level + 2, w)
        self.region(s.test)
        condition, stays = self.names[s.goes_on], ""
        if s.goes_on in self.wide:
            stays = f"<{self.lanes} x i1> {condition}"
            going = condition
            if self.mask:
                going = self.put(level + 2, f"and <{self.lanes} x i1> {condition}, {self.mask}")
            condition = self.any_lane(f"<{self.lanes} x i1> {going}", level + 2)
        self.levels[-1] += [f"  br i1 {condition}, label %body{n}, label %exit{n}", f"body{n}:"]
        self.blocks[-1] = f"body{n}"
        self.region(s.body)
        nexts = [self.in_lanes(v, w) for v, w in zip(s.nexts, wide, strict=True)]
        if stays:
            nexts = [
                self.put(level + 2, f"select {stays}, {t} {new}, {t} {old}")
                for t, new, old in zip(types, nexts, names, strict=True)
            ]
        _, first, latch = self.blocks[level:]
        before, body = self.leave()
        self.levels[level] += [
            f"  br label %before{n}",
            f"before{n}:",
            *before,
            f"  br label %test{n}",
            f"test{n}:",
            *_phis(names, types, starts, first, nexts, latch),
            *body,
            f"  br label %test{n}",
            f"exit{n}:",
        ]
        self.blocks[level] = f"exit{n}"
        for value, name, w in zip(s.results, names, wide, strict=True):
            self.define(value, name, level, w)

    def in_lanes(self, value: Value, wide: bool) -> str:
        """A value as it is carried."""
        return self.vector(value) if wide else self.names[value]

    def uniform(self, s: While) -> set[Value]:
        """What a while carries that is the same in all lanes, if its end is, too."""
        same = {v for v, start in zip(s.inside, s.starts, strict=True) if start not in self.wide}
        while True:
            wide = self.wide | {v for v in s.inside if v not in same}
            for inner in (*s.test, *s.body):
                if isinstance(inner, Let):
                    if not wide.isdisjoint(inner.args) or inner.op == "index":
                        wide.add(inner.out)
                elif isinstance(inner, Load):
                    wide.add(inner.out)
                elif isinstance(inner, Guard | While):
                    wide.update(inner.results)
            pairs = zip(s.inside, s.nexts, strict=True)
            left = {v for v, new in pairs if v in same and new not in wide}
            if s.goes_on in wide:
                return set()
            if left == same:
                return same
            same = left


class _VectorLoop:
    """Prints a vector loop: the code before it, the main loop, the tail, and the merging."""

    def __init__(self, function: _Function, loop: Loop) -> None:
        self.f = function
        self.loop = loop
        self.n = next(function.numbers)
        self.level = 2 * len(function.frames)  # around the loop

    def emit(self) -> None:
        f, s, n = self.f, self.loop, self.n
        begin, end = f.bounds(s.axis)
        values = [v for r in s.reductions for v in r.starts]
        scalar_starts = [f.names[v] for v in values]
        f.lanes, f.vector_level, f.splats, f.strides = s.lanes, self.level + 2, {}, {}
        f.enter(s.axis, f"%i{n}", end, f"before{n}", f"main{n}")
        types = [ops.register_type(v.dtype, s.lanes) for v in values]
        starts = [f.vector(v) for v in values]
        carried = [f.fresh() for _ in values]
        nexts, latch, main = self.copy(f"main{n}", carried)
        whole = [f"%whole{n}.{k}" for k in range(len(values))]
        f.frames[-1].index = f"%cut{n}"
        f.mask = f"%mask{n}"
        lasts, last_block, tail = self.copy(f"tail{n}", whole)
        outside, first, _ = f.blocks[self.level :]
        before, _ = f.leave()
        f.lanes, f.vector_level, f.mask = 1, 0, ""
        out = f.levels[self.level]
        out += [
            f"  %run{n} = icmp slt i64 {begin}, {end}",
            f"  br i1 %run{n}, label %before{n}, label %exit{n}",
            f"before{n}:",
            *before,
            f"  %length{n} = sub nsw i64 {end}, {begin}",
            f"  %full{n} = and i64 %length{n}, {-s.lanes}",
            f"  %cut{n} = add nsw i64 {begin}, %full{n}",
            f"  %any{n} = icmp slt i64 {begin}, %cut{n}",
            f"  br i1 %any{n}, label %main{n}, label %rest{n}",
            f"main{n}:",
            f"  %i{n} = phi i64 [{begin}, %{first}], [%i{n}.next, %{latch}]",
            *_phis(carried, types, starts, first, nexts, latch),
            *main,
            f"  %i{n}.next = add nsw i64 %i{n}, {s.lanes}",
            f"  %more{n} = icmp slt i64 %i{n}.next, %cut{n}",
            f"  br i1 %more{n}, label %main{n}, label %rest{n}",
            f"rest{n}:",
            *_phis(whole, types, starts, first, nexts, latch),
            f"  %left{n} = sub nsw i64 {end}, %cut{n}",
            f"  %uneven{n} = icmp sgt i64 %left{n}, 0",
            f"  br i1 %uneven{n}, label %tail{n}, label %merge{n}",
            f"tail{n}:",
            *self.mask_lines(),
            *tail,
            *self.kept(types, whole, lasts),
            f"  br label %merge{n}",
            f"merge{n}:",
        ]
        sums = [f"%lanes{n}.{k}" for k in range(len(values))]
        kept = [f"%kept{n}.{k}" for k in range(len(values))]
        out += _phis(sums, types, whole, f"rest{n}", kept, last_block)
        merged = self.merge(sums)
        out += [f"  br label %exit{n}", f"exit{n}:"]
        f.blocks[self.level] = f"exit{n}"
        results = [v for r in s.reductions for v in r.results]
        names = [f.fresh() for _ in results]
        scalars = [ops.register_type(v.dtype) for v in results]
        out += _phis(names, scalars, scalar_starts, outside, merged, f"merge{n}")
        for value, name in zip(results, names, strict=True):
            f.define(value, name, self.level, False)

    def copy(self, block: str, carried: list[str]) -> tuple[list[str], str, list[str]]:
        """The body: the next values of what is carried, the block it ends in, and its code."""
        f, s = self.f, self.loop
        f.blocks[-1], f.levels[-1] = block, []
        f.frames[-1].pointers.clear()
        inside = [v for r in s.reductions for v in r.inside]
        for value, name in zip(inside, carried, strict=True):
            f.define(value, name, self.level + 2, True)
        f.region(s.body)
        nexts = [name for r in s.reductions for name in f.current(r.nexts)]
        return nexts, f.blocks[-1], f.levels[-1]

    def mask_lines(self) -> list[str]:
        """The lanes of the tail that are in the loop."""
        n, lanes = self.n, self.loop.lanes
        t = f"<{lanes} x i32>"
        return [
            f"  %short{n} = trunc i64 %left{n} to i32",
            f"  %one{n} = insertelement {t} poison, i32 %short{n}, i64 0",
            f"  %lefts{n} = shufflevector {t} %one{n}, {t} poison, {t} zeroinitializer",
            f"  %mask{n} = icmp ugt {t} %lefts{n}, {lane_numbers('i32', lanes)}",
        ]

    def kept(self, types: list[str], olds: list[str], news: list[str]) -> list[str]:
        """What is carried out of the tail: lanes beyond the end keep what they had."""
        mask = f"<{self.loop.lanes} x i1> %mask{self.n}"
        return [
            f"  %kept{self.n}.{k} = select {mask}, {t} {new}, {t} {old}"
            for k, (t, old, new) in enumerate(zip(types, olds, news, strict=True))
        ]

    def merge(self, vectors: list[str]) -> list[str]:
        """Merges the upper half of the lanes into the lower until one is left."""
        merged: list[str] = []
        for r in self.loop.reductions:
            names = vectors[len(merged) : len(merged) + len(r.starts)]
            types = tuple([v.dtype for v in r.starts])
            lanes = self.loop.lanes
            while lanes > 1:
                lanes //= 2
                parts = [
                    self.half(name, dtype, lanes, upper)
                    for upper in (False, True)
                    for name, dtype in zip(names, types, strict=True)
                ]
                names = self.f.use(ops.merging(r.merge, types, lanes), parts, self.level)
            merged += names
        return merged

    def half(self, name: str, dtype: np.dtype[Any], lanes: int, upper: bool) -> str:
        """The lower or upper half of a vector of twice the lanes."""
        t = ops.register_type(dtype, 2 * lanes)
        if lanes == 1:
            return self.f.put(self.level, f"extractelement {t} {name}, i64 {int(upper)}")
        first = lanes if upper else 0
        places = ", ".join([f"i32 {first + k}" for k in range(lanes)])
        which = f"<{lanes} x i32> <{places}>"
        return self.f.put(self.level, f"shufflevector {t} {name}, {t} poison, {which}")


def _phis(
    names: list[str], types: list[str], xs: list[str], from_x: str, ys: list[str], from_y: str
) -> list[str]:
    return [
        f"  {name} = phi {t} [{x}, %{from_x}], [{y}, %{from_y}]"
        for name, t, x, y in zip(names, types, xs, ys, strict=True)
    ]


def _dependencies(s: Guard) -> Iterator[Value]:
    """The values that a guard uses, and those of its body."""
    yield from (s.mask, *s.values, *s.others)
    for inner in s.body:
        if isinstance(inner, Guard):
            yield from _dependencies(inner)
        elif isinstance(inner, Let):
            yield from inner.args
