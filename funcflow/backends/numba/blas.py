"""Products of matrices through BLAS, as routines that may be run in parallel.

The library is that of `blas_library`. From about 100^3 on, oneDNN's `dnnl_sgemm` is faster in
float32, where its wheel is installed, and elsewhere code of our own (`gemm_kernel`):
single-threaded on a Zen 5, OpenBLAS reaches 75 percent of the peak in float64, that code 90.

Threads: a library's own threads would compete with those that run the kernels: both kinds keep
spinning for a while when their work is done, and a product after a kernel then waits for its
processor, for milliseconds. So the library gets one thread, and products are cut into tiles and
stacks into their matrices, which the runner hands to its own threads. The tiles depend on the shape
alone, so a result does not depend on the number of threads.
"""

from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.numba import blas_library, gemm_kernel, onednn
from funcflow.backends.numba.blas_code import LOOPS, gemm_text
from funcflow.backends.numba.blas_library import LETTERS
from funcflow.backends.planner import Planner
from funcflow.backends.program import Routine, Step, View
from funcflow.core.jaxpr import JaxprEqn

# A product of fewer multiply-adds is not worth a second thread (10 us; waking one takes as long),
_PART = 1 << 20
# one of so many is cut into two tiles,
_TWO_TILES = 1 << 21
# and one of fewer is faster in OpenBLAS than in oneDNN, or than in our own kernel, which also needs
# sizes to fill its micro-tiles.
_ONEDNN = 1 << 19
_KERNEL = 1 << 20
_SMALLEST_SIZE = 16
# Tiles are cut no smaller, since each packs its operands anew.
_SMALLEST_TILE = 32
_MOST_TILES = 16
# A stack is divided among no more threads.
_MOST_PARTS = 64


class Gemm(NamedTuple):
    """Products C = A B of stacks of matrices, all in C order; strides count elements.

    Attributes:
        dtype: one of `LETTERS`.
        m, n, k: A has m rows, B has n columns, and k products are summed.
        lda, ldb, ldc: the stride of the matrices' slower axis.
        transposed: whether A and B lie transposed in memory.
        loops: for each axis of the stack, outermost first: its extent, and its strides in A, B, C.
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

    @property
    def tile(self) -> tuple[int, int]:
        """The rows and columns of a part of C that is computed by one call."""
        return _tile(self.m, self.n, self.k, self.count)

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
        m, n = self.tile
        return max(-(-_PART // (m * n * self.k)), -(-self.units // _MOST_PARTS))

    @property
    def params(self) -> tuple[int, ...]:
        """The parameters of the routine, but for the addresses."""
        m, n = self.tile
        padding = ((1, 0, 0, 0),) * (LOOPS - len(self.loops))
        loops = [x for loop in (*padding, *self.loops) for x in loop]
        sizes = (self.m, self.n, self.k, self.lda, self.ldb, self.ldc, *map(int, self.transposed))
        grid = (m, n, -(-self.n // n), self.units // self.count)
        return (*sizes, *grid, self.grain, self.workspace, *loops)

    @property
    def workspace(self) -> int:
        """The bytes that `gemm_kernel` needs for a range of units, in whole cache lines."""
        tile = gemm_kernel.micro_tile(self.dtype)
        return -(-tile.workspace(self.tile[0], self.k) // 64) * 64 if tile else 0

    @property
    def ranges(self) -> int:
        """Into how many ranges the units may be cut; one that begins at i is number i // grain."""
        return -(-self.units // self.grain)


@lru_cache(1024)
def _tile(m: int, n: int, k: int, count: int) -> tuple[int, int]:
    """The tile of each of `count` products of one size."""
    tiles = 1
    # twice as many for each doubling of all three sizes; a stack is split anyway
    wanted = 2 * (m * n * k / _TWO_TILES) ** (1 / 3) / count
    while 2 * tiles <= min(wanted + 0.5, _MOST_TILES):
        # rows first: tiles of few rows lie together in memory
        if m >= 2 * _SMALLEST_TILE and 2 * m >= n:
            m = _half(m)
        elif n >= 2 * _SMALLEST_TILE:
            n = _half(n)
        else:
            break
        tiles *= 2
    return m, n


def _half(n: int) -> int:
    """Half of a tile's edge, in whole vectors."""
    return -(-n // 32) * 16


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
    function, _, convention = routine.name.partition("_")
    writes = (out,)
    if convention == "kernel":
        writes = (out, plan.temporary((gemm.ranges * gemm.workspace,), np.uint8))
    plan.steps.append(
        Step(
            routine,
            reads,
            writes,
            (*routine.addresses, *gemm.params),
            extent=gemm.units,
            grain=gemm.grain,
            eqns=(eqn,),
            checks=(onednn.check,) if convention == "onednn" else (),
            note=f"{function} {gemm.m}x{gemm.n}x{gemm.k} by {convention}{note}",
        )
    )
    return True


def gemm_routine(gemm: Gemm) -> Routine | None:
    """The routine that computes such products, or None where nothing can."""
    m, n = gemm.tile
    work = m * n * gemm.k
    lib = onednn.library() if gemm.dtype == np.float32 and work >= _ONEDNN else None
    if lib is not None:
        onednn.begin_products()
        functions = ("dnnl_sgemm", "omp_get_max_threads", "omp_set_num_threads")
        addresses = tuple(lib.address(function) for function in functions)
        return _routine(gemm.dtype, "onednn", (*addresses, onednn.failure_address()))
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
