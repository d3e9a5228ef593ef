"""Accesses that run across the vector loop, in tiles.

In a transpose the lanes of a read lie as many lines of memory apart, while a loop inside the vector
loop walks along each of them. Gathering the lanes anew in each of its iterations would fetch all
those lines for one element of each. So runs of some lines are read at a time, transposed in
registers, and kept in local memory, from which the next iterations take whole vectors. What is
written across the lanes goes the same way backwards.

A block of size x size elements is transposed by shuffling like cards: rows k and k + size / 2 are
interleaved and become rows 2k and 2k + 1. Done log2(size) times, each element's row and column have
changed places.
"""

from functools import cache, cached_property
from string import Template
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import ANY, UNIT, Load, Store, statements
from funcflow.backends.numba import llvm_ops as ops
from funcflow.backends.numba.llvm_values import Values

_LINE = 64  # bytes of a line of the cache
_LONGEST = 16  # rows that fit into registers
_LINES = 4  # read in a run: memory is faster if they lie together


class Tiles(Values):
    """Prints accesses that go through tiles."""

    def vector_stride(self, operand: int) -> Any:
        """The kind of an operand's stride along the axis of the vector loop."""
        axis = self.frames[self.vector_level // 2 - 1].axis
        return self.kernel.operands[operand].strides[axis]

    def runs_across(self, s: Load | Store) -> bool:
        """Whether the innermost loop walks along memory, and the vector loop around it does not.

        A tile is read ahead, and written late, so the operand must not be both read and written.
        """
        axis = self.frames[-1].axis
        return (
            axis >= 0  # a while walks along nothing
            and self.kernel.operands[s.operand].strides[axis] == UNIT
            and self.vector_stride(s.operand) is ANY
            and s.offset is None
            and s.mask is None
            and s.operand not in self.changing
        )

    @cached_property
    def changing(self) -> set[int]:
        """The operands that are both loaded and stored."""
        loaded, stored = (
            {s.operand for s in statements(self.kernel.body) if isinstance(s, kind)}
            for kind in (Load, Store)
        )
        return loaded & stored

    def tile_load(self, s: Load, pointer: str, level: int) -> str:
        """The lanes' elements, from a tile that is filled whenever it is used up."""
        dtype, frame = s.out.dtype, self.frames[-1]
        phase, row = self.tile_row(s.operand, level)
        left = self.put(level, f"sub i64 {frame.end}, {frame.index}")
        count = self.put(level, f"call i64 @llvm.smin.i64(i64 {left}, i64 {_length(dtype)})")
        due = self.put(level, f"icmp eq i64 {phase}, 0")
        source, tile = f"ptr {pointer}, i64 {self.lane_stride(s.operand)}", self.tile(s.operand)
        sizes = f"i64 {self.lanes_left(level)}, i64 {count}"
        self.transpose(due, f"{source}, {tile}, {sizes}", dtype, level)
        memory = ops.memory_type(dtype, self.lanes)
        return self.put(level, f"load {memory}, ptr {row}, align {dtype.itemsize}")

    def tile_store(self, s: Store, pointer: str, value: str, level: int) -> None:
        """Puts the lanes' elements into a tile, written when it is full, or when the loop ends."""
        dtype, frame = s.value.dtype, self.frames[-1]
        phase, row = self.tile_row(s.operand, level)
        memory = ops.memory_type(dtype, self.lanes)
        self.levels[level].append(f"  store {memory} {value}, ptr {row}, align {dtype.itemsize}")
        full = self.put(level, f"icmp eq i64 {phase}, {_length(dtype) - 1}")
        count = self.put(level, f"add i64 {phase}, 1")
        after = self.put(level, f"add i64 {frame.index}, 1")
        last = self.put(level, f"icmp eq i64 {after}, {frame.end}")
        due = self.put(level, f"or i1 {full}, {last}")
        back = self.put(level, f"sub i64 0, {phase}")
        first = self.put(
            level, f"getelementptr {ops.memory_type(dtype)}, ptr {pointer}, i64 {back}"
        )
        target, tile = f"ptr {first}, i64 {self.lane_stride(s.operand)}", self.tile(s.operand)
        sizes = f"i64 {count}, i64 {self.lanes_left(level)}"
        self.transpose(due, f"{tile}, {target}, {sizes}", dtype, level)

    def tile(self, operand: int) -> str:
        """The tile of an operand, and how far its rows are apart."""
        key = ("tile", operand, self.lanes)
        if key not in self.entry:
            dtype = self.kernel.operands[operand].dtype
            name = self.entry[key] = self.fresh()
            row = ops.vector(ops.memory_type(dtype), self.lanes)
            self.places.append(f"  {name} = alloca [{_length(dtype)} x {row}], align {_LINE}")
        return f"ptr {self.entry[key]}, i64 {self.lanes}"

    def tile_row(self, operand: int, level: int) -> tuple[str, str]:
        """The number of the tile's row for this iteration, and a pointer to it."""
        dtype, index = self.kernel.operands[operand].dtype, self.frames[-1].index
        phase = self.put(level, f"and i64 {index}, {_length(dtype) - 1}")
        start = self.put(level, f"mul i64 {phase}, {self.lanes}")
        tile = self.tile(operand).partition(",")[0]
        row = self.put(level, f"getelementptr {ops.memory_type(dtype)}, {tile}, i64 {start}")
        return phase, row

    def lane_stride(self, operand: int) -> str:
        """How far the elements of neighbouring lanes are apart."""
        axis = self.frames[self.vector_level // 2 - 1].axis
        return self.parameter(("stride", operand, axis))

    def lanes_left(self, level: int) -> str:
        """How many lanes have elements."""
        if not self.mask:
            return str(self.lanes)
        frame = self.frames[self.vector_level // 2 - 1]
        return self.put(level, f"sub i64 {frame.end}, {frame.index}")

    def transpose(self, due: str, arguments: str, dtype: np.dtype[Any], level: int) -> None:
        """A call of the function that transposes, if it is due."""
        n = next(self.numbers)
        self.declares["declare i64 @llvm.smin.i64(i64, i64)"] = None
        self.declares[_definition(dtype.itemsize)] = None
        self.levels[level] += [
            f"  br i1 {due}, label %tile{n}, label %after{n}",
            f"tile{n}:",
            f"  call void {_symbol(dtype.itemsize)}({arguments})",
            f"  br label %after{n}",
            f"after{n}:",
        ]
        self.blocks[level] = f"after{n}"


def _length(dtype: np.dtype[Any]) -> int:
    """How many iterations a tile serves."""
    return _LINES * _size(dtype)


def _size(dtype: np.dtype[Any]) -> int:
    """How long the edge of a block is: what uses up a line, or as many rows as registers hold."""
    return min(_LONGEST, _LINE // dtype.itemsize)


# --- the function that transposes ---------------------------------------------------------------


def _symbol(itemsize: int) -> str:
    """The function that transposes elements of that many bytes."""
    return f"@transpose{8 * itemsize}"


@cache
def _definition(itemsize: int) -> str:
    """The function `void transpose(from, pitch, to, step, rows, columns)`.

    It stores the element of row r and column c of `from`, whose rows lie `pitch` elements apart, in
    row c and column r of `to`, whose rows lie `step` apart. Whole blocks go through registers, the
    elements of others are moved one by one.
    """
    size = _size(np.dtype(f"u{itemsize}"))
    element = f"i{8 * itemsize}"
    return _FUNCTION.substitute(
        symbol=_symbol(itemsize),
        size=size,
        element=element,
        itemsize=itemsize,
        block="\n".join(_block(element, itemsize, size)),
    )


def _block(element: str, itemsize: int, size: int) -> list[str]:
    """The instructions that transpose one block."""
    vector = ops.vector(element, size)
    lines = []
    for k in range(size):
        lines += [
            f"  %in{k}.way = mul i64 %pitch, {k}",
            f"  %in{k} = getelementptr {element}, ptr %source, i64 %in{k}.way",
            f"  %x0.{k} = load {vector}, ptr %in{k}, align {itemsize}",
        ]
    stages = size.bit_length() - 1
    for stage in range(stages):
        for k in range(size):
            first = size // 2 * (k % 2)  # the lower halves of two rows, or the upper ones
            places = [i + size * odd for i in range(first, first + size // 2) for odd in (0, 1)]
            which = ", ".join([f"i32 {place}" for place in places])
            pair = (f"{vector} %x{stage}.{k // 2 + other}" for other in (0, size // 2))
            lines.append(
                f"  %x{stage + 1}.{k} = shufflevector {', '.join(pair)}, <{size} x i32> <{which}>"
            )
    for k in range(size):
        lines += [
            f"  %out{k}.way = mul i64 %step, {k}",
            f"  %out{k} = getelementptr {element}, ptr %target, i64 %out{k}.way",
            f"  store {vector} %x{stages}.{k}, ptr %out{k}, align {itemsize}",
        ]
    return lines


_FUNCTION = Template("""
define internal void $symbol(ptr %from, i64 %pitch, ptr %to, i64 %step, i64 %rows,
                             i64 %columns) nounwind {
entry:
  br label %row
row:
  %r = phi i64 [0, %entry], [%r.next, %row.end]
  %r.next = add i64 %r, $size
  %r.whole = icmp sle i64 %r.next, %rows
  %r.left = sub i64 %rows, %r
  %height = call i64 @llvm.smin.i64(i64 %r.left, i64 $size)
  %r.way = mul i64 %r, %pitch
  br label %column
column:
  %c = phi i64 [0, %row], [%c.next, %column.end]
  %c.next = add i64 %c, $size
  %c.whole = icmp sle i64 %c.next, %columns
  %source.way = add i64 %r.way, %c
  %source = getelementptr $element, ptr %from, i64 %source.way
  %c.way = mul i64 %c, %step
  %target.way = add i64 %c.way, %r
  %target = getelementptr $element, ptr %to, i64 %target.way
  %whole = and i1 %r.whole, %c.whole
  br i1 %whole, label %block, label %edge
block:
$block
  br label %column.end
edge:
  %c.left = sub i64 %columns, %c
  %width = call i64 @llvm.smin.i64(i64 %c.left, i64 $size)
  br label %edge.row
edge.row:
  %k = phi i64 [0, %edge], [%k.next, %edge.row.end]
  %k.way = mul i64 %k, %pitch
  br label %edge.column
edge.column:
  %m = phi i64 [0, %edge.row], [%m.next, %edge.column]
  %from.way = add i64 %k.way, %m
  %from.at = getelementptr $element, ptr %source, i64 %from.way
  %x = load $element, ptr %from.at, align $itemsize
  %m.way = mul i64 %m, %step
  %to.way = add i64 %m.way, %k
  %to.at = getelementptr $element, ptr %target, i64 %to.way
  store $element %x, ptr %to.at, align $itemsize
  %m.next = add i64 %m, 1
  %m.more = icmp slt i64 %m.next, %width
  br i1 %m.more, label %edge.column, label %edge.row.end
edge.row.end:
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, %height
  br i1 %k.more, label %edge.row, label %column.end
column.end:
  %c.more = icmp slt i64 %c.next, %columns
  br i1 %c.more, label %column, label %row.end
row.end:
  %r.more = icmp slt i64 %r.next, %rows
  br i1 %r.more, label %row, label %done
done:
  ret void
}
""")
