"""Products of matrices through BLAS, as routines that may be run in parallel.

The library is that of `blas_library`. From about 100^3 on, oneDNN's `dnnl_sgemm` is faster in
float32, where its wheel is installed, and elsewhere code of our own (`gemm_kernel`):
single-threaded on a Zen 5, OpenBLAS reaches 75 percent of the peak in float64, that code 90.

Threads: a library's own threads would compete with those that run the kernels: both kinds keep
spinning for a while when their work is done, and a product after a kernel then waits for its
processor, for milliseconds. So the library gets one thread, and products are cut into tiles and
stacks into their matrices, which the runner hands to its own threads. The tiles depend on the shape
and on how many processors the machine has, so a result does not depend on the number of threads.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.numba import blas_library, gemm_kernel, onednn, signals
from funcflow.backends.numba.blas_code import LOOPS, gemm_text
from funcflow.backends.numba.blas_library import LETTERS
from funcflow.backends.planner import Planner
from funcflow.backends.program import Footprint, Routine, Step, View, dense_view
from funcflow.core.jaxpr import JaxprEqn

# A product of fewer multiply-adds is not worth a second thread (10 us; waking one takes as long),
_PART = 1 << 20
# one of so many is cut into two tiles, for threads that are awake, and one of so many into four,
_TWO_TILES, _FOUR_TILES = 1 << 19, 1 << 24
# and one of fewer is faster in OpenBLAS than in oneDNN, or than in our own kernel, which also needs
# sizes to fill its micro-tiles.
_ONEDNN = 1 << 19
_KERNEL = 1 << 20
_SMALLEST_SIZE = 16
# Tiles are cut no smaller, since each packs its operands anew.
_SMALLEST_TILE = 32
_MOST_TILES = 16
# No more tiles than give each processor as many: in two, a product of 1024x1024x1024 takes 0.9 of
# the time that it takes in eight, one of 100x400x3200 0.8.
_PROCESSORS = os.cpu_count() or 1
# Their edges are multiples of these; of fewer rows only where that makes them more even.
_ROWS, _COLUMNS, _FEWEST_ROWS = 16, 16, 4
# If the last tiles lack more than that, threads wait for each other.
_UNEVEN = 1 / 10
# The elements of B that each part of a few rows of C may read anew: they stay in a cache (1 MB).
_LARGEST_PACKED = 1 << 18
# oneDNN takes longer to bring a larger B that lies transposed into order than to multiply so many
# rows of A by it. With exchanged factors, what is large lies in order, and to transpose the result
# takes little. For 1024x1024 that is 0.65 of the time for 16 or 32 rows, 0.8 for 64, and 1 for 8.
_ROWS_FOR_EXCHANGE = range(12, 65)
# A stack is divided among no more threads.
MOST_PARTS = 64


class Gemm(NamedTuple):
    """Products C = A B of stacks of matrices, all in C order; strides count elements.

    Attributes:
        dtype: one of `LETTERS`.
        m, n, k: A has m rows, B has n columns, and k products are summed.
        lda, ldb, ldc: the stride of the matrices' slower axis.
        transposed: whether A and B lie transposed in memory.
        loops: for each axis of the stack, outermost first: its extent, and its strides in A, B, C.
        rows: where the parts must be whole rows of C, how many.
    """

    dtype: np.dtype[Any]
    m: int
    n: int
    k: int
    lda: int
    ldb: int
    ldc: int
    transposed: tuple[bool, bool] = (False, False)
    loops: tuple[tuple[int, int, int, int], ...] = ()
    rows: int | None = None

    @property
    def tile(self) -> tuple[int, int]:
        """The rows and columns of a part of C that is computed by one call."""
        if self.rows is not None:
            return self.rows, self.n
        return _tile(self.m, self.n, self.k, self.count, _PROCESSORS)

    @property
    def count(self) -> int:
        """How many matrices there are."""
        return prod(loop[0] for loop in self.loops)

    @property
    def units(self) -> int:
        """How many calls compute all tiles of all matrices; ranges of them may be run apart."""
        m, n = self.tile
        return self.count * -(-self.m // m) * -(-self.n // n)

    @property
    def grain(self) -> int:
        """How many units are worth a thread."""
        if self.rows is not None:
            return 1
        m, n = self.tile
        return max(-(-_PART // (m * n * self.k)), -(-self.units // MOST_PARTS))

    @property
    def params(self) -> tuple[int, ...]:
        """The parameters of the routine, but for the addresses."""
        m, n = self.tile
        padding = ((1, 0, 0, 0),) * (LOOPS - len(self.loops))
        loops = [x for loop in (*padding, *self.loops) for x in loop]
        sizes = (self.m, self.n, self.k, self.lda, self.ldb, self.ldc, *map(int, self.transposed))
        grid = (m, n, -(-self.n // n), self.units // self.count)
        return (*sizes, *grid, self.range_units, self.workspace, *loops)

    @property
    def workspace(self) -> int:
        """The bytes that `gemm_kernel` needs for a range of units, in whole cache lines."""
        tile = gemm_kernel.micro_tile(self.dtype)
        return -(-tile.workspace(self.tile[0], self.k) // 64) * 64 if tile else 0

    @property
    def range_units(self) -> int:
        """A range of units that begins at i is number i // range_units: no two have one number.

        Of few units each may be a range, since threads that are awake take fewer than a grain.
        """
        return 1 if self.units <= MOST_PARTS else self.grain

    @property
    def ranges(self) -> int:
        """Into how many ranges the units may be cut."""
        return -(-self.units // self.range_units)


@lru_cache(1024)
def _tile(m: int, n: int, k: int, count: int, processors: int) -> tuple[int, int]:
    """The tile of each of `count` products of one size."""
    rows, columns, tiles = m, n, 1

    def missing(size: tuple[int, int]) -> float:
        """How much the last tiles of such a size lack, in relation to the result's size."""
        return -(-m // size[0]) * size[0] * -(-n // size[1]) * size[1] / (m * n) - 1

    # twice as many for each doubling of all three sizes; a stack is split anyway
    work = m * n * k
    wanted = max(4 * (work / _FOUR_TILES) ** (1 / 3), 2 if work >= _TWO_TILES else 1) / count
    while count * tiles % processors and 2 * tiles <= min(wanted + 0.5, _MOST_TILES):
        halves = []
        if rows >= 2 * _SMALLEST_TILE:
            halves.append((_half(rows, _ROWS), columns))
        if columns >= 2 * _SMALLEST_TILE:
            halves.append((rows, _half(columns, _COLUMNS)))
        if 2 * rows < columns:  # else rows first: tiles of few rows lie together in memory
            halves.reverse()
        if rows >= 2 * _SMALLEST_TILE:
            halves.append((_half(rows, _FEWEST_ROWS), columns))
        if not halves:
            break
        rows, columns = min(halves, key=lambda size: missing(size) > _UNEVEN)
        tiles *= 2
    return rows, columns


def _half(size: int, unit: int) -> int:
    """Half of a tile's edge, in whole units."""
    return -(-size // (2 * unit)) * unit


def prefers_exchange(gemm: Gemm) -> bool:
    """Whether a product takes longer than that of the exchanged factors, and a transpose of it.

    So it is with the cotangent of what a dense layer reads, for a batch that is not large.
    """
    if gemm.loops or gemm.transposed != (False, True) or gemm.dtype != np.float32:
        return False
    large = gemm.n * gemm.k > _LARGEST_PACKED and gemm.n >= 2 * gemm.m
    return large and gemm.m in _ROWS_FOR_EXCHANGE and onednn.library() is not None


def append_gemm(
    plan: Planner, gemm: Gemm, reads: tuple[View, View], out: View, eqn: JaxprEqn, note: str = ""
) -> bool:
    """Append the step that computes `out`, unless no library can: then the result is False.

    Args:
        plan: the program to be.
        gemm: the product.
        reads: A and B.
        out: C.
        eqn: what is lowered.
        note: what `explain` says of it, behind the routine.
    """
    routine = gemm_routine(gemm)
    if routine is None:
        return False
    plan.steps.append(_step(gemm, routine, reads, out, eqn, note))
    return True


def _step(
    gemm: Gemm, routine: Routine, reads: tuple[View, View], out: View, eqn: JaxprEqn, note: str
) -> Step:
    """The step that runs a routine for a product."""
    function, _, convention = routine.name.partition("_")
    writes = (out,)
    if convention == "kernel":
        writes = (out, dense_view("temporary", (gemm.ranges * gemm.workspace,), np.uint8))
    return Step(
        routine,
        reads,
        writes,
        (*routine.addresses, *gemm.params),
        extent=gemm.units,
        grain=gemm.grain,
        eqns=(eqn,),
        checks=(onednn.CHECK,) if convention == "onednn" else (),
        note=f"{function} {gemm.m}x{gemm.n}x{gemm.k} by {convention}{note}",
        by_rows=_by_rows(gemm, reads, out, eqn, note),
    )


def _by_rows(
    gemm: Gemm, reads: tuple[View, View], out: View, eqn: JaxprEqn, note: str
) -> Callable[[int], Step] | None:
    """What makes the step that computes so many rows of C with each index, where that pays.

    Each part reads and packs all of B, which must not cost much.
    """
    if gemm.loops or gemm.transposed[0] or gemm.n * gemm.k > _LARGEST_PACKED:
        return None

    def make(rows: int) -> Step:
        parts = gemm._replace(rows=rows)
        routine = gemm_routine(parts)
        assert routine is not None, "what multiplies all rows multiplies some"
        step = _step(parts, routine, reads, out, eqn, note)
        a, c = (
            Footprint(rows * pitch, 0, (rows - 1) * pitch + width - 1)
            for pitch, width in ((gemm.lda, gemm.k), (gemm.ldc, gemm.n))
        )
        b = Footprint(0, 0, reads[1].size - 1)
        workspace = [Footprint(parts.workspace, 0, parts.workspace - 1)] * (len(step.writes) - 1)
        return replace(step, footprints=(a, b, c, *workspace))

    return make


def gemm_routine(gemm: Gemm) -> Routine | None:
    """The routine that computes such products, or None where nothing can."""
    m, n = gemm.tile
    work = m * n * gemm.k if gemm.rows else gemm.m * gemm.n * gemm.k
    lib = onednn.library() if gemm.dtype == np.float32 and work >= _ONEDNN else None
    if lib is not None:
        onednn.begin_products()
        functions = ("dnnl_sgemm", "omp_get_max_threads", "omp_set_num_threads")
        addresses = tuple(lib.address(function) for function in functions)
        state = onednn.failure_address()
        return _routine(gemm.dtype, "onednn", (*addresses, state, signals.mask_address()))
    if work >= _KERNEL and min(m, n, gemm.k) >= _SMALLEST_SIZE and gemm.workspace:
        return _routine(gemm.dtype, "kernel", ())
    found = blas_library.library()
    if found is None or (found.convention == "fortran" and _exceeds_int32(gemm)):
        return None
    address = found.gemm[LETTERS[gemm.dtype.name]]
    return _routine(gemm.dtype, found.convention, (address, *found.threads))


def _exceeds_int32(gemm: Gemm) -> bool:
    return max(gemm.m, gemm.n, gemm.k, gemm.lda, gemm.ldb, gemm.ldc) > np.iinfo(np.int32).max


@cache
def _routine(dtype: np.dtype[Any], convention: str, addresses: tuple[int, ...]) -> Routine:
    name = f"{LETTERS[dtype.name]}gemm_{convention}"
    return Routine(name, gemm_text(name, dtype, convention), addresses, split=True)
