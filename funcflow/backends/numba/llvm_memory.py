"""Loads and stores.

Elements that are side by side in memory are accessed as vectors, others one by one, or through
tiles (`llvm_tiles.py`); instructions that gather and scatter serve where lanes may have to be left
out. What all lanes share is loaded once, as a scalar.

An operand may be read only if the loops around run, so a load moves at most to the code before the
innermost one (see the levels in `llvm_values.py`), and it stays where it is if the kernel writes
the operand.
"""

from typing import Any

import numpy as np

from funcflow.backends.loop_ir import ANY, FIXED, PAIRED, UNIT, Load, Store, Value
from funcflow.backends.numba import llvm_ops as ops
from funcflow.backends.numba.llvm_prefetches import Prefetches
from funcflow.backends.numba.llvm_values import lane_numbers


class Memory(Prefetches):
    """Prints accesses to operands."""

    def address(self, operand: int) -> tuple[str, int]:
        """The pointer to an operand's element at the loops' indices, and its level.

        Inside a vector loop it is the element of the first lane.
        """
        pointer, level = self.buffer(operand), 0
        view = self.kernel.operands[operand]
        for depth, frame in enumerate(self.frames, 1):
            stride = FIXED if frame.axis < 0 else view.strides[frame.axis]
            if stride == FIXED:
                continue
            level = 2 * depth
            if operand not in frame.pointers:
                step = frame.index
                if stride is ANY:
                    size = self.parameter(("stride", operand, frame.axis))
                    step = self.put(level, f"mul i64 {step}, {size}")
                memory = ops.memory_type(view.dtype)
                if stride == PAIRED:
                    memory = f"[2 x {memory}]"
                right = f"getelementptr {memory}, ptr {pointer}, i64 {step}"
                frame.pointers[operand] = self.put(level, right)
            pointer = frame.pointers[operand]
        return pointer, level

    def load(self, s: Load) -> None:
        if self.is_printed(s.out):
            return
        pointer, level = self.address(s.operand)
        # an operand that is written may change from one iteration to the next
        first = 2 * len(self.frames) - (not self.kernel.operands[s.operand].written)
        for value in (s.offset, s.mask):
            if value is not None:
                level = max(level, self.level[value])
        level = max(level, first, 0)
        wide = self.lanes > 1 and (
            self.vector_stride(s.operand) != FIXED or s.offset in self.wide or s.mask in self.wide
        )
        load = self.vector_load if wide else self.scalar_load
        name = load(s, pointer, level)
        found = ops.from_memory(s.out.dtype, self.lanes if wide else 1)
        self.define(s.out, self.use(found, [name], level)[0], level, wide)

    def store(self, s: Store) -> None:
        pointer, _ = self.address(s.operand)
        level = 2 * len(self.frames)
        wide = self.lanes > 1
        value = self.vector(s.value) if wide else self.names[s.value]
        found = ops.to_memory(s.value.dtype, self.lanes)
        (value,) = self.use(found, [value], level)
        (self.vector_store if wide else self.scalar_store)(s, pointer, value, level)

    def scalar_place(self, s: Load | Store, pointer: str, level: int, use: str) -> str:
        dtype = self.kernel.operands[s.operand].dtype
        if s.offset is not None:
            offset = self.names[s.offset]
            right = f"getelementptr {ops.memory_type(dtype)}, ptr {pointer}, i64 {offset}"
            pointer = self.put(level, right)
        if s.mask is not None:
            condition, other = self.names[s.mask], self.nothing(dtype, use)
            pointer = self.put(level, f"select i1 {condition}, ptr {pointer}, ptr {other}")
        return pointer

    def scalar_load(self, s: Load, pointer: str, level: int) -> str:
        pointer = self.scalar_place(s, pointer, level, "zero")
        dtype = s.out.dtype
        return self.put(
            level, f"load {ops.memory_type(dtype)}, ptr {pointer}, align {dtype.itemsize}"
        )

    def scalar_store(self, s: Store, pointer: str, value: str, level: int) -> None:
        pointer = self.scalar_place(s, pointer, level, "sink")
        dtype = s.value.dtype
        memory = ops.memory_type(dtype)
        self.levels[level].append(
            f"  store {memory} {value}, ptr {pointer}, align {dtype.itemsize}"
        )

    def vector_place(self, s: Load | Store, pointer: str, level: int) -> tuple[str, bool]:
        """A pointer to adjacent elements, or a vector of pointers; and whether it is the former."""
        view = self.kernel.operands[s.operand]
        memory = ops.memory_type(view.dtype)
        stride = self.vector_stride(s.operand)
        vector = f"<{self.lanes} x i64>"
        offsets = ""  # of the lanes
        if s.offset is not None and s.offset in self.wide:
            offsets = self.names[s.offset]
        elif s.offset is not None:
            right = f"getelementptr {memory}, ptr {pointer}, i64 {self.names[s.offset]}"
            pointer = self.put(level, right)
        if stride == UNIT and not offsets and not self.slots:
            return pointer, True
        if stride != FIXED or not offsets:
            places = self.lane_offsets(s.operand, stride)
            offsets = self.put(level, f"add {vector} {offsets}, {places}") if offsets else places
        right = f"getelementptr {memory}, ptr {pointer}, {vector} {offsets}"
        return self.put(level, right), False

    def lane_offsets(self, operand: int, stride: Any) -> str:
        """How far the lanes' elements are from the first lane's, from stride to stride."""
        if stride == FIXED:
            return "zeroinitializer"
        lanes = self.slots or lane_numbers("i64", self.lanes)
        if stride == UNIT:
            return lanes
        if stride == PAIRED and not self.slots:
            return lane_numbers("i64", self.lanes, step=2)
        if operand not in self.strides:
            around = self.vector_level - 1
            axis = self.frames[self.vector_level // 2 - 1].axis
            size = "2" if stride == PAIRED else self.parameter(("stride", operand, axis))
            sizes = self.spread("i64", size, around)
            level = self.vector_level if self.slots else around
            self.strides[operand] = self.put(level, f"mul <{self.lanes} x i64> {sizes}, {lanes}")
        return self.strides[operand]

    def lane_mask(self, mask: Value | None, level: int) -> str:
        """Which lanes an access touches; nothing for all."""
        running = self.running(level)
        if mask is None:
            return running
        given = self.vector(mask)
        return self.put(level, f"and <{self.lanes} x i1> {given}, {running}") if running else given

    def paired_place(self, s: Load | Store, pointer: str, level: int) -> str | None:
        """A pointer to pairs of which the first are accessed in all lanes, or None."""
        masked = s.mask is not None or self.running(level)
        wide = s.offset is not None and s.offset in self.wide
        if self.vector_stride(s.operand) != PAIRED or masked or wide:
            return None
        return self.scalar_place(s, pointer, level, "")

    def vector_load(self, s: Load, pointer: str, level: int) -> str:
        if self.runs_across(s):
            return self.tile_load(s, pointer, level)
        pairs = self.paired_place(s, pointer, level)
        if pairs is not None:
            return self.paired_load(s.out.dtype, pairs, level)
        place, adjacent = self.vector_place(s, pointer, level)
        mask = self.lane_mask(s.mask, level)
        dtype = s.out.dtype
        memory = ops.memory_type(dtype, self.lanes)
        if not adjacent and s.mask is None:
            return self.gather(place, dtype, level)
        if adjacent and not mask:
            self.fetch(s, level)
            return self.put(level, f"load {memory}, ptr {place}, align {dtype.itemsize}")
        symbol, args = self.access("load" if adjacent else "gather", dtype, place, mask)
        bits = f"<{self.lanes} x i1>"
        types = f"{args[0].rpartition(' ')[0]}, i32, {bits}, {memory}"
        self.declares[f"declare {memory} {symbol}({types})"] = None
        passed = f"{', '.join(args)}, {memory} zeroinitializer"
        return self.put(level, f"call {memory} {symbol}({passed})")

    def gather(self, place: str, dtype: np.dtype[Any], level: int) -> str:
        """Elements loaded one by one: instructions that gather take five times as long on Zen 5.

        In the tail, lanes that are not in the loop load what the first one does; in a while, those
        that do not go on load nothing.
        """
        pointers = f"<{self.lanes} x ptr>"
        running = self.running(level)
        if running:
            if running == self.mask:
                other = self.put(level, f"extractelement {pointers} {place}, i64 0")
            else:
                other = self.nothing(dtype, "zero")
            same = self.spread("ptr", other, level)
            which = f"<{self.lanes} x i1> {running}"
            place = self.put(level, f"select {which}, {pointers} {place}, {pointers} {same}")
        element, vector = ops.memory_type(dtype), ops.memory_type(dtype, self.lanes)
        values = "poison"
        for lane in range(self.lanes):
            at = self.put(level, f"extractelement {pointers} {place}, i64 {lane}")
            x = self.put(level, f"load {element}, ptr {at}, align {dtype.itemsize}")
            values = self.put(level, f"insertelement {vector} {values}, {element} {x}, i64 {lane}")
        return values

    def paired_load(self, dtype: np.dtype[Any], place: str, level: int) -> str:
        """The first of each pair. What lies beside the last one may not be there to be read."""
        memory = ops.memory_type(dtype, 2 * self.lanes)
        symbol, args = self.access("load", dtype, place, _firsts(self.lanes), 2 * self.lanes)
        types = f"ptr, i32, <{2 * self.lanes} x i1>, {memory}"
        self.declares[f"declare {memory} {symbol}({types})"] = None
        passed = f"{', '.join(args)}, {memory} zeroinitializer"
        pairs = self.put(level, f"call {memory} {symbol}({passed})")
        lanes = f"<{self.lanes} x i32> {lane_numbers('i32', self.lanes, step=2)}"
        return self.put(level, f"shufflevector {memory} {pairs}, {memory} poison, {lanes}")

    def paired_store(self, dtype: np.dtype[Any], place: str, value: str, level: int) -> None:
        """Write the first of each pair."""
        memory, single = (ops.memory_type(dtype, n * self.lanes) for n in (2, 1))
        twice = ", ".join(f"i32 {lane // 2}" for lane in range(2 * self.lanes))
        spread = f"<{2 * self.lanes} x i32> <{twice}>"
        pairs = self.put(level, f"shufflevector {single} {value}, {single} poison, {spread}")
        symbol, args = self.access("store", dtype, place, _firsts(self.lanes), 2 * self.lanes)
        self.declares[f"declare void {symbol}({memory}, ptr, i32, <{2 * self.lanes} x i1>)"] = None
        self.levels[level].append(f"  call void {symbol}({memory} {pairs}, {', '.join(args)})")

    def vector_store(self, s: Store, pointer: str, value: str, level: int) -> None:
        if self.runs_across(s):
            self.tile_store(s, pointer, value, level)
            return
        pairs = self.paired_place(s, pointer, level)
        if pairs is not None:
            self.paired_store(s.value.dtype, pairs, value, level)
            return
        place, adjacent = self.vector_place(s, pointer, level)
        mask = self.lane_mask(s.mask, level)
        dtype = s.value.dtype
        memory = ops.memory_type(dtype, self.lanes)
        out = self.levels[level]
        if adjacent and not mask:
            self.fetch(s, level)
            out.append(f"  store {memory} {value}, ptr {place}, align {dtype.itemsize}")
            return
        symbol, args = self.access("store" if adjacent else "scatter", dtype, place, mask)
        types = f"{memory}, {args[0].rpartition(' ')[0]}, i32, <{self.lanes} x i1>"
        self.declares[f"declare void {symbol}({types})"] = None
        out.append(f"  call void {symbol}({memory} {value}, {', '.join(args)})")

    def access(
        self, name: str, dtype: np.dtype[Any], place: str, mask: str, lanes: int = 0
    ) -> tuple[str, list[str]]:
        """The intrinsic of a masked access, and its arguments: place, alignment, mask."""
        lanes = lanes or self.lanes
        adjacent = name in ("load", "store")
        kind = "p0" if adjacent else f"v{lanes}p0"
        symbol = f"@llvm.masked.{name}.{ops.mangled(ops.memory_type(dtype), lanes)}.{kind}"
        mask = mask or ops.splat("i1", "true", lanes)
        pointer = "ptr" if adjacent else f"<{lanes} x ptr>"
        return symbol, [f"{pointer} {place}", f"i32 {dtype.itemsize}", f"<{lanes} x i1> {mask}"]


def _firsts(lanes: int) -> str:
    """The mask of the first of each of so many pairs."""
    return f"<{', '.join(['i1 true, i1 false'] * lanes)}>"
