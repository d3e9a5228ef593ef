"""Prints kernels of the loop IR as one module of LLVM IR, with explicit vectors.

No pass of LLVM's optimiser runs on the text, only its code generator, so the text is in its final
form: what does not change in a loop stands before it, and values that are equal in all lanes are
scalars, spread over the lanes once.

A vector loop is printed twice: the main loop takes whole vectors; then the tail takes what is left,
once, under a mask. It stores nothing in the other lanes, whatever is loaded there, and reductions
keep their old values. With a dear guard it has another form (`llvm_collecting.py`). Elements side
by side (stride `UNIT`) are loaded as vectors, others one by one, or in tiles where a loop inside
walks along them (`llvm_tiles.py`).

Each kernel becomes `void name(char** buffers, const int64_t* params, int64_t lo, int64_t hi)`:
`buffers` holds one pointer per operand, `params` what `Kernel.parameters` lists, and a kernel with
`split` runs over `[lo, hi)` of axis 0.

Where code stands is explained in `llvm_values.py`, how memory is accessed in `llvm_memory.py` and
asked for ahead in `llvm_prefetches.py`, which instructions operations become in `llvm_ops.py`, and
which divisions become products in `llvm_quotients.py`.
"""

from collections.abc import Iterator, Mapping

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
from funcflow.backends.numba.llvm_collecting import CollectingLoop, collect, dear_guard
from funcflow.backends.numba.llvm_loops import RARE, phis
from funcflow.backends.numba.llvm_quotients import Quotients
from funcflow.backends.numba.llvm_vector_loops import VectorLoop

# The axis of a loop that runs over none.
_NO_AXIS = -1


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


class _Function(Quotients):
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
                self.loop(s)

    def loop(self, s: Loop) -> None:
        guard = dear_guard(s)
        if s.lanes == 1:
            self.scalar_loop(s)
        elif guard is not None:
            CollectingLoop(self, s, guard).emit()
        else:
            VectorLoop(self, s).emit()

    # --- guards ---------------------------------------------------------------------------------

    def guard(self, s: Guard) -> None:
        """A branch around the body: in a vector loop if the mask holds in no lane."""
        if all(map(self.is_printed, s.results)):
            return
        self.free_values(s.body)
        if self.collecting and s is self.collecting.guard and s.mask in self.wide:
            collect(self, s, self.collecting.base)
            return
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
        self.declares[RARE] = None
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

    # --- loops ----------------------------------------------------------------------------------

    def carried(self, r: Reduction) -> list[tuple[str, str]]:
        """The type and a name for each value that a reduction carries, in the lanes around."""
        return [(ops.register_type(v.dtype, self.lanes), self.fresh()) for v in r.inside]

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
            going, running = condition, self.running(level + 2)
            if running:
                going = self.put(level + 2, f"and <{self.lanes} x i1> {condition}, {running}")
            condition = self.any_lane(f"<{self.lanes} x i1> {going}", level + 2)
            self.going.append((level + 2, going))
        self.levels[-1] += [f"  br i1 {condition}, label %body{n}, label %exit{n}", f"body{n}:"]
        self.blocks[-1] = f"body{n}"
        self.region(s.body)
        nexts = [self.in_lanes(v, w) for v, w in zip(s.nexts, wide, strict=True)]
        if stays:
            self.going.pop()
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
            *phis(names, types, starts, first, nexts, latch),
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


def _dependencies(s: Guard) -> Iterator[Value]:
    """The values that a guard uses, and those of its body."""
    yield from (s.mask, *s.values, *s.others)
    for inner in s.body:
        if isinstance(inner, Guard):
            yield from _dependencies(inner)
        elif isinstance(inner, Let):
            yield from inner.args
