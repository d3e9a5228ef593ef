"""Vector loops ask for lines of memory ahead of their first loads and stores.

Processors guess well what is read next, but they do so while a loop reads: one that computes for
long, or sweeps a row several times, leaves memory idle in between. What is written must be fetched,
too, and a loop waits for that where many stores follow each other.
"""

from typing import Any

from funcflow.backends.loop_ir import ANY, Kernel, Load, Store
from funcflow.backends.numba import llvm_ops as ops
from funcflow.backends.numba.llvm_tiles import Tiles

_LINE = 64  # bytes
_AHEAD = 2048  # bytes from an access to the lines that are asked for


class Prefetches(Tiles):
    """Prints what asks for memory.

    Attributes:
        fetched: the operands that are asked for.
        ahead: indices of what is asked for, by what they depend on.
    """

    def __init__(self, kernel: Kernel, declares: dict[str, None]) -> None:
        super().__init__(kernel, declares)
        self.fetched: set[int] = set()
        self.ahead: dict[Any, str] = {}

    def fetch(self, s: Load | Store, level: int) -> None:
        """Ask for lines ahead of an access, in the first sweep over an operand."""
        operand, writes = self.kernel.operands[s.operand], isinstance(s, Store)
        nbytes = self.lanes * operand.dtype.itemsize
        if s.operand in self.fetched or s.offset is not None or nbytes < _LINE:
            return
        if writes == operand.written and self.goes_on(s.operand):
            self.fetched.add(s.operand)
            self.declares["declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"] = None
            place = self.place_ahead(s.operand, level)
            for start in range(0, nbytes, _LINE):
                line = self.put(level, f"getelementptr i8, ptr {place}, i64 {start}")
                # for a read or a write, into the first level of the cache for data
                passed = f"ptr {line}, i32 {int(writes)}, i32 3, i32 1"
                self.levels[level].append(f"  call void @llvm.prefetch.p0({passed})")

    def goes_on(self, operand: int) -> bool:
        """Whether the vector loop is the innermost, and the loop around takes other rows."""
        if 2 * len(self.frames) != self.vector_level:
            return False
        around = [frame.axis for frame in self.frames[-2:-1]]
        return all(a >= 0 and self.kernel.operands[operand].strides[a] is ANY for a in around)

    def place_ahead(self, operand: int, level: int) -> str:
        """The elements that are asked for, but none beyond the last that the loops reach.

        Those may be another thread's, and each would wait for the other.
        """
        dtype, frame = self.kernel.operands[operand].dtype, self.frames[-1]
        row = len(self.frames) > 1
        key = ("ahead", frame.index, dtype.itemsize, operand if row else None)
        if key not in self.ahead:
            self.declares["declare i64 @llvm.smin.i64(i64, i64)"] = None
            last = self.last_of_rows(operand, level - 1) if row else frame.end
            last = self.put(level - 1, f"sub i64 {last}, {self.lanes}")
            far = self.put(level, f"add nsw i64 {frame.index}, {_AHEAD // dtype.itemsize}")
            self.ahead[key] = self.put(level, f"call i64 @llvm.smin.i64(i64 {far}, i64 {last})")
        start = self.frames[-2].pointers[operand] if row else self.buffer(operand)
        memory = ops.memory_type(dtype)
        return self.put(level, f"getelementptr {memory}, ptr {start}, i64 {self.ahead[key]}")

    def last_of_rows(self, operand: int, level: int) -> str:
        """Where what lies in one piece ends, from the row's start: this row, or all that follow."""
        frame, around = self.frames[-1], self.frames[-2]
        stride = self.parameter(("stride", operand, around.axis))
        rows = self.put(level, f"sub i64 {around.end}, {around.index}")
        rest = self.put(level, f"mul i64 {rows}, {stride}")
        dense = self.put(level, f"icmp eq i64 {stride}, {frame.end}")
        return self.put(level, f"select i1 {dense}, i64 {rest}, i64 {frame.end}")
