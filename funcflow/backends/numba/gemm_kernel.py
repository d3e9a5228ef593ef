"""A product of two matrices in code of our own, for processors that multiply and add in one step.

The way is Goto's. What is multiplied at a time is a *micro-tile* of the result, some rows by some
vectors of columns, whose sums stay in registers: for each step of the depth, a few vectors of B
meet the elements of a column of A, one by one spread over a vector. So that all it reads lies in
one piece, both operands are copied first ("packed"): B a *panel* at a time, as wide as a micro-tile
and `DEPTH` deep, which stays in the first-level cache while all panels of a block of A, from the
second level, pass by.

    for depth in blocks of DEPTH, for rows in blocks of ROWS:
        pack the block of A
        for columns in panels: pack the panel of B
            for rows in micro-tiles: C += A B

Each element of the result is one chain of multiply-adds in the order of the depth. So its bits
depend neither on the processor nor on how the result is cut into tiles.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.numba import runtime

DEPTH = 128
ROWS = 256
# Blocks of so many rows and columns are transposed in registers.
_SQUARE = 8

_REALS = {"float32": "float", "float64": "double"}


class MicroTile(NamedTuple):
    """What is computed in registers: so many rows, and vectors of so many columns (lanes)."""

    dtype: np.dtype[Any]
    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        """The width of a panel of B."""
        return self.vectors * self.lanes

    @property
    def real(self) -> str:
        """LLVM's name of the elements' type."""
        return _REALS[self.dtype.name]

    def workspace(self, m: int, k: int) -> int:
        """The bytes that `multiply` works in, for m rows and a depth of k."""
        rows = -(-min(m, ROWS) // self.rows) * self.rows
        return (rows + self.columns) * min(k, DEPTH) * self.dtype.itemsize


def micro_tile(dtype: np.dtype[Any]) -> MicroTile | None:
    """The micro-tile that suits this processor, or None where BLAS is better.

    With n registers, three vectors of B and one of A leave n - 4 for sums: 8 rows by 3 vectors of
    32, 4 rows by 3 vectors of 16.
    """
    registers = runtime.vector_registers()
    if registers is None or dtype.name not in _REALS:
        return None
    count, nbytes = registers
    return MicroTile(dtype, 8 if count >= 32 else 4, 3, nbytes // dtype.itemsize)


def kernel_text(name: str, tile: MicroTile) -> str:
    """LLVM IR of `{name}_multiply`, and of what it calls, whose names begin likewise.

    `multiply(m, n, k, A, a_row, a_depth, B, b_depth, b_column, C, c_row, workspace)`: C = A B of
    sizes m, n and k. What stands behind a matrix are strides, in elements: from row to row, from
    step to step of the depth, from column to column. Those of C lie together.
    """
    lanes, bits = tile.lanes, 8 * tile.dtype.itemsize
    vector = f"<{lanes} x {tile.real}>"
    return "\n".join(
        [
            *_multiply(name, tile),
            *_dispatch(name, tile),
            *(line for count in _counts(tile) for line in _micro_kernel(name, tile, count)),
            *_pack(name, tile),
            "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)",
            f"declare {vector} @llvm.fma.v{lanes}f{bits}({vector}, {vector}, {vector})",
        ]
    )


def _counts(tile: MicroTile) -> range:
    """How many vectors of columns a micro-kernel may have."""
    return range(1, tile.vectors + 1)


class _Code:
    """The lines of a function, with loops as context managers."""

    def __init__(self, real: str, size: int) -> None:
        self.lines = ["entry:"]
        self.real = real
        self.size = size
        self._block = "entry"
        self._names = 0

    def name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def let(self, right: str) -> str:
        """An instruction; returns the name of its result."""
        name = f"%{self.name()}"
        self.do(f"{name} = {right}")
        return name

    def do(self, instruction: str) -> None:
        self.lines.append(f"  {instruction}")

    def block(self, label: str) -> None:
        """The basic block that begins here."""
        self.lines.append(f"{label}:")
        self._block = label

    def at(self, pointer: str, *offsets: str | int) -> str:
        """The address so many elements on."""
        for offset in offsets:
            pointer = self.let(f"getelementptr {self.real}, ptr {pointer}, i64 {offset}")
        return pointer

    def times(self, x: str | int, y: str | int) -> str:
        return self.let(f"mul i64 {x}, {y}")

    def rest(self, end: str, start: str, most: int) -> str:
        """How much there is from `start` on, at most so much."""
        left = self.let(f"sub i64 {end}, {start}")
        return self.let(f"call i64 @llvm.smin.i64(i64 {left}, i64 {most})")

    def load(self, pointer: str, lanes: int = 1) -> str:
        return self.let(f"load {self.type(lanes)}, ptr {pointer}, align {self.size}")

    def store(self, value: str, pointer: str, lanes: int = 1) -> None:
        self.do(f"store {self.type(lanes)} {value}, ptr {pointer}, align {self.size}")

    def type(self, lanes: int) -> str:
        return self.real if lanes == 1 else f"<{lanes} x {self.real}>"

    @contextmanager
    def loop(
        self,
        end: str | int,
        step: int,
        start: str | int = 0,
        carry: Sequence[str] = (),
        lanes: int = 1,
    ) -> Iterator[tuple[str, list[str], list[str]]]:
        """A loop. Yields its index, what it carries, and a list to put the next values in.

        After the loop the names of what it carries are the last values.
        """
        label = self.name()
        index, before = f"%{label}", self._block
        carried = [f"%{label}.{i}" for i in range(len(carry))]
        following: list[str] = []
        self.do(f"br label %{label}.head")
        self.block(f"{label}.head")
        phis = len(self.lines)
        self.do(f"{index}.more = icmp slt i64 {index}, {end}")
        self.do(f"br i1 {index}.more, label %{label}.body, label %{label}.done")
        self.block(f"{label}.body")
        yield index, carried, following
        self.do(f"{index}.next = add i64 {index}, {step}")
        self.do(f"br label %{label}.head")
        values = [("i64", index, start, f"{index}.next")]
        values += [(self.type(lanes), *x) for x in zip(carried, carry, following, strict=True)]
        self.lines[phis:phis] = [
            f"  {x} = phi {kind} [ {first}, %{before} ], [ {then}, %{self._block} ]"
            for kind, x, first, then in values
        ]
        self.block(f"{label}.done")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        label = self.name()
        self.do(f"br i1 {condition}, label %{label}.then, label %{label}.done")
        self.block(f"{label}.then")
        yield
        self.do(f"br label %{label}.done")
        self.block(f"{label}.done")

    def function(self, name: str, arguments: str) -> list[str]:
        head = f"define internal void @{name}({arguments}) nounwind noinline {{"
        return [head, *self.lines, "  ret void", "}"]


def _code(tile: MicroTile) -> _Code:
    return _Code(tile.real, tile.dtype.itemsize)


def _multiply(name: str, tile: MicroTile) -> list[str]:
    """The loops around micro-kernels."""
    code = _code(tile)
    edge = tile.rows * tile.columns
    code.do(f"%edge = alloca [{edge} x {tile.real}], align 64")
    with code.loop("%k", DEPTH) as (p, _, _):
        depth = code.rest("%k", p, DEPTH)
        first = code.let(f"icmp eq i64 {p}, 0")
        panel = "%workspace"
        block = code.at(panel, code.times(depth, tile.columns))
        b_rows = code.at("%B", code.times(p, "%b_depth"))
        with code.loop("%m", ROWS) as (i0, _, _):
            rows = code.rest("%m", i0, ROWS)
            a = code.at("%A", code.times(p, "%a_depth"), code.times(i0, "%a_row"))
            c_rows = code.at("%C", code.times(i0, "%c_row"))
            with code.loop(rows, tile.rows) as (i, _, _):
                height = code.rest(rows, i, tile.rows)
                source = code.at(a, code.times(i, "%a_row"))
                target = code.at(block, code.times(i, depth))
                code.do(
                    f"call void @{name}_pack(ptr {target}, i64 {tile.rows}, ptr {source}, "
                    f"i64 %a_row, i64 %a_depth, i64 {height}, i64 {depth})"
                )
            with code.loop("%n", tile.columns) as (j, _, _):
                width = code.rest("%n", j, tile.columns)
                source = code.at(b_rows, code.times(j, "%b_column"))
                code.do(
                    f"call void @{name}_pack(ptr {panel}, i64 {tile.columns}, ptr {source}, "
                    f"i64 %b_column, i64 %b_depth, i64 {width}, i64 {depth})"
                )
                c_panel = code.at(c_rows, j)
                with code.loop(rows, tile.rows) as (i, _, _):
                    height = code.rest(rows, i, tile.rows)
                    a_panel = code.at(block, code.times(i, depth))
                    c = code.at(c_panel, code.times(i, "%c_row"))
                    code.do(
                        f"call void @{name}_micro_tile(i64 {height}, i64 {width}, i64 {depth}, "
                        f"ptr {a_panel}, ptr {panel}, ptr {c}, i64 %c_row, i1 {first}, ptr %edge)"
                    )
    return code.function(
        f"{name}_multiply",
        "i64 %m, i64 %n, i64 %k, ptr %A, i64 %a_row, i64 %a_depth, ptr %B, i64 %b_depth, "
        "i64 %b_column, ptr %C, i64 %c_row, ptr %workspace",
    )


def _dispatch(name: str, tile: MicroTile) -> list[str]:
    """`micro_tile`: the micro-kernel of fewest vectors; at an edge of C, in memory of its own."""
    code = _code(tile)

    def run(c: str, c_row: str | int) -> None:
        for count in _counts(tile):
            is_count = code.let(f"icmp eq i64 %count, {count}")
            with code.when(is_count):
                code.do(
                    f"call void @{name}_micro_kernel_{count}(i64 %depth, ptr %A, ptr %B, ptr {c}, "
                    f"i64 {c_row}, i1 %first)"
                )

    def copy(source: str, source_row: str | int, target: str, target_row: str | int) -> None:
        with code.loop("%height", 1) as (i, _, _):
            x, y = (
                code.at(source, code.times(i, source_row)),
                code.at(target, code.times(i, target_row)),
            )
            whole = code.let(f"and i64 %width, -{tile.lanes}")
            for start, end, lanes in ((0, whole, tile.lanes), (whole, "%width", 1)):
                with code.loop(end, lanes, start) as (j, _, _):
                    code.store(code.load(code.at(x, j), lanes), code.at(y, j), lanes)

    up = code.let(f"add i64 %width, {tile.lanes - 1}")
    code.do(f"%count = udiv i64 {up}, {tile.lanes}")
    columns = code.times("%count", tile.lanes)
    is_wide = code.let(f"icmp eq i64 {columns}, %width")
    is_high = code.let(f"icmp eq i64 %height, {tile.rows}")
    is_whole = code.let(f"and i1 {is_wide}, {is_high}")
    is_edge = code.let(f"xor i1 {is_whole}, true")
    with code.when(is_whole):
        run("%C", "%c_row")
    with code.when(is_edge):
        again = code.let("xor i1 %first, true")
        with code.when(again):
            copy("%C", "%c_row", "%edge", tile.columns)
        run("%edge", tile.columns)
        copy("%edge", tile.columns, "%C", "%c_row")
    return code.function(
        f"{name}_micro_tile",
        "i64 %height, i64 %width, i64 %depth, ptr %A, ptr %B, ptr %C, i64 %c_row, i1 %first, "
        "ptr %edge",
    )


def _micro_kernel(name: str, tile: MicroTile, count: int) -> list[str]:
    """C = A B or C += A B of packed panels, for so many vectors of columns."""
    code = _code(tile)
    lanes, kind = tile.lanes, code.type(tile.lanes)
    fma = f"@llvm.fma.v{lanes}f{8 * tile.dtype.itemsize}"

    def places() -> list[str]:
        rows = [code.at("%C", code.times("%c_row", i)) for i in range(tile.rows)]
        return [code.at(row, v * lanes) for row in rows for v in range(count)]

    # the micro-tile below comes next
    for i in range(tile.rows, 2 * tile.rows):
        row = code.at("%C", code.times("%c_row", i))
        for v in range(count):
            code.do(
                f"call void @llvm.prefetch.p0(ptr {code.at(row, v * lanes)}, i32 1, i32 3, i32 1)"
            )
    code.do("br i1 %first, label %start, label %load")
    code.block("load")
    loaded = [code.load(place, lanes) for place in places()]
    code.do("br label %start")
    code.block("start")
    sums = [code.let(f"phi {kind} [ zeroinitializer, %entry ], [ {x}, %load ]") for x in loaded]
    with code.loop("%depth", 1, carry=sums, lanes=lanes) as (p, sums, following):
        a = code.at("%A", code.times(p, tile.rows))
        b = code.at("%B", code.times(p, tile.columns))
        vectors = [code.load(code.at(b, v * lanes), lanes) for v in range(count)]
        for i in range(tile.rows):
            one = code.let(
                f"insertelement {kind} poison, {tile.real} {code.load(code.at(a, i))}, i32 0"
            )
            spread = code.let(
                f"shufflevector {kind} {one}, {kind} poison, <{lanes} x i32> zeroinitializer"
            )
            for v, vector in enumerate(vectors):
                terms = (spread, vector, sums[i * count + v])
                arguments = ", ".join(f"{kind} {term}" for term in terms)
                following.append(code.let(f"call {kind} {fma}({arguments})"))
    for total, place in zip(sums, places(), strict=True):
        code.store(total, place, lanes)
    return code.function(
        f"{name}_micro_kernel_{count}",
        "i64 %depth, ptr %A, ptr %B, ptr %C, i64 %c_row, i1 %first",
    )


def _pack(name: str, tile: MicroTile) -> list[str]:
    """Copies `depth` steps of `lanes` rows of A, or columns of B, into a panel of so many lanes.

    The panel is `width` lanes wide. Lanes of a step lie together; those that are missing are zeros.
    Either `lane` or `step`, the strides of the source, is 1.
    """
    code = _code(tile)
    square = next(n for n in (_SQUARE, 4, 2, 1) if tile.rows % n == tile.columns % n == 0)
    is_together = code.let("icmp eq i64 %lane, 1")
    is_apart = code.let(f"xor i1 {is_together}, true")
    is_whole = code.let("icmp eq i64 %lanes, %width")
    code.do(f"%is_copy = and i1 {is_together}, {is_whole}")
    code.do("br i1 %is_copy, label %copy, label %squares")
    code.block("copy")
    with code.loop("%depth", 1) as (p, _, _):
        x, y = _places_of_step(code, "%source", "%panel", p)
        with code.loop("%width", square) as (i, _, _):
            code.store(code.load(code.at(x, i), square), code.at(y, i), square)
    code.do("ret void")
    code.block("squares")
    with code.loop("%width", square) as (start, _, _):
        source = code.at("%source", code.times(start, "%lane"))
        panel = code.at("%panel", start)
        left = code.let(f"sub i64 %lanes, {start}")
        is_full = code.let(f"icmp sge i64 {left}, {square}")
        is_square = code.let(f"and i1 {is_full}, {is_apart}")
        is_rest = code.let(f"xor i1 {is_square}, true")
        with code.when(is_square):
            _transpose_squares(code, source, panel, square)
        with code.when(is_rest), code.loop("%depth", 1) as (p, _, _):
            x, y = _places_of_step(code, source, panel, p)
            code.store("zeroinitializer", y, square)
            some = code.let(f"call i64 @llvm.smin.i64(i64 {left}, i64 {square})")
            with code.loop(some, 1) as (i, _, _):
                code.store(code.load(code.at(x, code.times(i, "%lane"))), code.at(y, i))
    return code.function(
        f"{name}_pack",
        "ptr %panel, i64 %width, ptr %source, i64 %lane, i64 %step, i64 %lanes, i64 %depth",
    )


def _places_of_step(code: _Code, source: str, panel: str, p: str) -> tuple[str, str]:
    return code.at(source, code.times(p, "%step")), code.at(panel, code.times(p, "%width"))


def _transpose_squares(code: _Code, source: str, panel: str, square: int) -> None:
    """Steps lie together in the source: squares of lanes by steps are transposed."""
    lanes = [code.at(source, code.times("%lane", i)) for i in range(square)]
    whole = code.let(f"and i64 %depth, -{square}")
    with code.loop(whole, square) as (p, _, _):
        target = code.at(panel, code.times(p, "%width"))
        rows = _transposed(code, [code.load(code.at(lane, p), square) for lane in lanes])
        for row in rows:
            code.store(row, target, square)
            target = code.at(target, "%width")
    with code.loop("%depth", 1, whole) as (p, _, _):
        target = code.at(panel, code.times(p, "%width"))
        for i, lane in enumerate(lanes):
            code.store(code.load(code.at(lane, p)), code.at(target, i))


def _transposed(code: _Code, rows: list[str]) -> list[str]:
    """A square's columns: halves change places, then quarters, and so on."""
    size = len(rows)
    kind = code.type(size)
    half = size // 2
    while half:
        result = list(rows)
        for i in range(size):
            if i & half:
                continue
            upper, lower = rows[i], rows[i + half]
            # lanes of `lower` have numbers from `size` on
            left = [lane if not lane & half else size + lane - half for lane in range(size)]
            right = [lane + half if not lane & half else size + lane for lane in range(size)]
            for place, lanes in ((i, left), (i + half, right)):
                mask = ", ".join(f"i32 {lane}" for lane in lanes)
                result[place] = code.let(
                    f"shufflevector {kind} {upper}, {kind} {lower}, <{size} x i32> <{mask}>"
                )
        rows = result
        half //= 2
    return rows
