"""Prints vector loops: the code before them, the main loop, the tail, and the merging."""

from typing import Any

import numpy as np

from funcflow.backends.loop_ir import Loop
from funcflow.backends.numba import llvm_ops as ops
from funcflow.backends.numba.llvm_loops import Loops, first_lanes, phis


class VectorLoop:
    """One vector loop."""

    def __init__(self, function: Loops, loop: Loop) -> None:
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
            *phis(carried, types, starts, first, nexts, latch),
            *main,
            f"  %i{n}.next = add nsw i64 %i{n}, {s.lanes}",
            f"  %more{n} = icmp slt i64 %i{n}.next, %cut{n}",
            f"  br i1 %more{n}, label %main{n}, label %rest{n}",
            f"rest{n}:",
            *phis(whole, types, starts, first, nexts, latch),
            f"  %left{n} = sub nsw i64 {end}, %cut{n}",
            f"  %uneven{n} = icmp sgt i64 %left{n}, 0",
            f"  br i1 %uneven{n}, label %tail{n}, label %merge{n}",
            f"tail{n}:",
            *first_lanes(f"%left{n}", s.lanes, n),
            *tail,
            *self.kept(types, whole, lasts),
            f"  br label %merge{n}",
            f"merge{n}:",
        ]
        sums = [f"%lanes{n}.{k}" for k in range(len(values))]
        kept = [f"%kept{n}.{k}" for k in range(len(values))]
        out += phis(sums, types, whole, f"rest{n}", kept, last_block)
        merged = self.merge(sums)
        out += [f"  br label %exit{n}", f"exit{n}:"]
        f.blocks[self.level] = f"exit{n}"
        results = [v for r in s.reductions for v in r.results]
        names = [f.fresh() for _ in results]
        scalars = [ops.register_type(v.dtype) for v in results]
        out += phis(names, scalars, scalar_starts, outside, merged, f"merge{n}")
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
