"""The state of a kernel that is being printed: its levels of code, values and parameters.

Code is written in *levels*: level 0 is the function's entry, 2k the body of the k-th loop around,
and 2k - 1 the code before that loop, which runs only if the loop does. A value is computed at the
highest level of its arguments, so what does not change in a loop stands before it.

In a vector loop, values that differ from lane to lane are vectors (`wide`). All others stay
scalars, and are spread over the lanes once, where a vector is wanted.

Guards divide the code of a level into basic blocks. A guard stands at the highest level of what it
depends on, with all of its body: rare work is not hoisted out of it.
"""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import Kernel, Let, Value
from funcflow.backends.numba import llvm_ops as ops
from funcflow.core import dtypes


def lane_numbers(element: str, lanes: int, step: int = 1) -> str:
    """The constant 0, 1, 2, ..., or one of larger steps."""
    return "<" + ", ".join([f"{element} {step * lane}" for lane in range(lanes)]) + ">"


@dataclass(slots=True)
class Frame:
    """A loop around the code being printed."""

    axis: int
    index: str
    end: str
    # operands whose addresses depend on this loop -> pointers at the indices so far
    pointers: dict[int, str] = field(default_factory=dict)


class Values:
    """Prints operations, and keeps what names the values have."""

    def __init__(self, kernel: Kernel, declares: dict[str, None]) -> None:
        self.kernel = kernel
        self.declares = declares
        self.numbers = count()
        self.levels: list[list[str]] = [[]]
        self.frames: list[Frame] = []
        self.blocks = ["entry"]  # the basic block that the code of each level has come to
        self.lowest = 0  # what is computed moves no lower: the level of the guard around
        self.entry: dict[Any, str] = {}  # parameters and pointers that were loaded
        self.places: list[str] = []  # local memory, which only the entry block can have for free
        self.names: dict[Value, str] = {}
        self.level: dict[Value, int] = {}
        self.constants: dict[Value, str] = {}  # those of `names` that are literals
        # of the vector loop around, if there is one
        self.lanes = 1
        self.vector_level = 0
        self.wide: set[Value] = set()  # the values that are vectors
        self.splats: dict[Value, str] = {}
        self.strides: dict[int, str] = {}  # operand -> offsets of its lanes' elements
        self.mask = ""  # the lanes that are left, in the tail
        self.going: list[tuple[int, str]] = []  # those that go on, in whiles, and from which level
        self.slots = ""  # where collected lanes are, counted from the index of the loop

    # --- values ---------------------------------------------------------------------------------

    def fresh(self) -> str:
        return f"%v{next(self.numbers)}"

    def put(self, level: int, right: str) -> str:
        """An instruction at a level; returns the name of its result."""
        name = self.fresh()
        self.levels[level].append(f"  {name} = {right}")
        return name

    def define(self, value: Value, name: str, level: int, wide: bool) -> None:
        self.names[value] = name
        self.level[value] = level
        if wide:
            self.wide.add(value)
        elif level >= self.vector_level and value in self.splats:
            del self.splats[value]

    def is_printed(self, value: Value) -> bool:
        """Whether the tail can use what was printed for the main loop."""
        return bool(self.mask) and self.level.get(value, self.vector_level) < self.vector_level

    def let(self, s: Let) -> None:
        op, out = s.op, s.out
        if self.is_printed(out):
            return
        if op == "const":
            self.constants[out] = ops.literal(out.dtype, s.params["value"])
            return self.define(out, self.constants[out], 0, False)
        if op == "scalar":
            return self.define(out, self.scalar(s.params["number"], out.dtype), 0, False)
        if op == "index":
            return self.index(out, s.params["axis"])
        args, level = s.args, self.lowest
        for arg in args:
            if self.level[arg] > level:
                level = self.level[arg]
        wide = not self.wide.isdisjoint(args)
        names = [self.vector(a) for a in args] if wide else [self.names[a] for a in args]
        if wide and op in ("div", "rem") and not dtypes.is_float(out.dtype):
            names[1] = self.safe_divisor(names[1], out.dtype, max(level, self.vector_level))
        found = ops.instruction(
            op, out.dtype, tuple([a.dtype for a in args]), self.lanes if wide else 1
        )
        self.define(out, self.use(found, names, level)[0], level, wide)

    def use(self, found: ops.Instruction, args: list[str], level: int) -> list[str]:
        """Instructions at a level; returns the names of the results."""
        if not found.text:
            return args[:1]
        name = self.fresh()
        self.levels[level].append(found.text.format(*args, r=name))
        for line in found.declares:
            self.declares[line] = None
        return [name + suffix for suffix in found.suffixes]

    def vector(self, value: Value) -> str:
        """A value as a vector: a scalar is spread over the lanes."""
        if value in self.wide:
            return self.names[value]
        if value not in self.splats:
            element = ops.register_type(value.dtype)
            if value in self.constants:
                self.splats[value] = ops.splat(element, self.constants[value], self.lanes)
            else:
                level = max(self.level[value], self.vector_level - 1)
                self.splats[value] = self.spread(element, self.names[value], level)
        return self.splats[value]

    def spread(self, element: str, name: str, level: int) -> str:
        lanes = self.lanes
        vector = f"<{lanes} x {element}>"
        one = self.put(level, f"insertelement {vector} poison, {element} {name}, i64 0")
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.put(level, f"shufflevector {vector} {one}, {vector} poison, {zeros}")

    def running(self, level: int) -> str:
        """The lanes for which code at a level runs; nothing for all."""
        going = [name for first, name in self.going if first <= level]
        return going[-1] if going else self.mask

    def safe_divisor(self, name: str, dtype: np.dtype[Any], level: int) -> str:
        """A divisor that is 1 in lanes that do not run: there 0 was loaded, which traps."""
        running = self.running(level)
        if not running:
            return name
        t = ops.register_type(dtype, self.lanes)
        ones = ops.splat(ops.register_type(dtype), "1", self.lanes)
        condition = f"<{self.lanes} x i1> {running}"
        return self.put(level, f"select {condition}, {t} {name}, {t} {ones}")

    def index(self, out: Value, axis: int) -> None:
        depth = next(d for d, frame in enumerate(self.frames, 1) if frame.axis == axis)
        name, wide = self.frames[depth - 1].index, self.lanes > 1 and 2 * depth == self.vector_level
        if wide:
            spread = self.spread("i64", name, 2 * depth)
            lanes = self.slots or lane_numbers("i64", self.lanes)
            name = self.put(2 * depth, f"add <{self.lanes} x i64> {spread}, {lanes}")
        self.define(out, name, 2 * depth, wide)

    # --- parameters -----------------------------------------------------------------------------

    def parameter(self, key: Any) -> str:
        """An int64 parameter of the call."""
        if key not in self.entry:
            place = self.kernel.parameters[key]
            pointer = self.put(0, f"getelementptr i64, ptr %params, i64 {place}")
            self.entry[key] = self.put(0, f"load i64, ptr {pointer}, align 8")
        return self.entry[key]

    def scalar(self, number: int, dtype: np.dtype[Any]) -> str:
        """A scalar parameter, from the lowest bytes of its place."""
        key = ("value", number)
        if key not in self.entry:
            name = self.parameter(("scalar", number))
            memory = ops.memory_type(dtype)
            if dtype.itemsize < 8:
                name = self.put(0, f"trunc i64 {name} to i{8 * dtype.itemsize}")
            if not memory.startswith("i"):
                name = self.put(0, f"bitcast i{8 * dtype.itemsize} {name} to {memory}")
            (self.entry[key],) = self.use(ops.from_memory(dtype, 1), [name], 0)
        return self.entry[key]

    def buffer(self, operand: int) -> str:
        """The pointer to the first element of an operand."""
        key = ("buffer", operand)
        if key not in self.entry:
            pointer = self.put(0, f"getelementptr ptr, ptr %buffers, i64 {operand}")
            self.entry[key] = self.put(0, f"load ptr, ptr {pointer}, align 8")
        return self.entry[key]

    def nothing(self, dtype: np.dtype[Any], use: str) -> str:
        """A place that masked scalar accesses go to instead: one that is 0, one to write to."""
        key = (use, dtype)
        if key not in self.entry:
            memory = ops.memory_type(dtype)
            name = self.entry[key] = self.fresh()
            self.places.append(f"  {name} = alloca {memory}, align 8")
            self.places.append(f"  store {memory} zeroinitializer, ptr {name}, align 8")
        return self.entry[key]
