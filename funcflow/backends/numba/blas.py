"""Products of matrices through BLAS, as routines that may be run in parallel.

Which library: NumPy's own OpenBLAS, whose C interface takes 64-bit sizes; where NumPy came without
it, SciPy's pointers to whatever BLAS it was built with, in Fortran's convention with 32-bit sizes.
From about 100^3 on, oneDNN's `dnnl_sgemm` is faster in float32, where its wheel is installed, and
elsewhere code of our own (`gemm_kernel`): single-threaded on a Zen 5, OpenBLAS reaches 75 percent
of the peak in float64, that code 90.

Threads: a library's own threads would compete with those that run the kernels: both kinds keep
spinning for a while when their work is done, and a product after a kernel then waits for its
processor, for milliseconds. So the library gets one thread, and products are cut into tiles and
stacks into their matrices, which the runner hands to its own threads. The tiles depend on the shape
alone, so a result does not depend on the number of threads.

OpenBLAS's number of threads is global to the process. A routine sets it to 1 while it runs, and the
last one that leaves puts the old number back, so NumPy outside keeps its threads.
"""

import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from funcflow.backends.numba import gemm_kernel, onednn
from funcflow.backends.planner import Planner
from funcflow.backends.program import Routine, Step, View
from funcflow.core.jaxpr import JaxprEqn

# BLAS names its functions by the dtype.
LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}

# How many loops over stacks of matrices a routine has.
LOOPS = 4

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


@dataclass(frozen=True)
class Library:
    """Addresses of a BLAS.

    Attributes:
        convention: "cblas" (C order, 64-bit sizes) or "fortran" (Fortran order, 32-bit sizes).
        gemm: `?gemm`, by letter.
        threads: where the number of threads is read and set, and the state of the limit (`_Limit`);
            zeros where there is no such thing.
    """

    convention: str
    gemm: dict[str, int]
    threads: tuple[int, int, int] = (0, 0, 0)


class _Limit(ctypes.Structure):
    """Shared by all routines: a lock, how many of them run, and the number of threads outside."""

    _fields_ = (("lock", ctypes.c_int64), ("running", ctypes.c_int64), ("outside", ctypes.c_int64))


_limit = _Limit()


def _forget_other_threads() -> None:
    """A child of fork has none of the threads whose routines were running."""
    if _limit.running:
        outside = _limit.outside
        ctypes.memset(ctypes.byref(_limit), 0, ctypes.sizeof(_limit))
        found = library()
        if found is not None and found.threads[1]:
            ctypes.CFUNCTYPE(None, ctypes.c_int)(found.threads[1])(outside)
    _limit.lock = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@cache
def library() -> Library | None:
    """The BLAS of this process, or None."""
    return numpy_library() or scipy_library()


def numpy_library() -> Library | None:
    """The OpenBLAS that NumPy's wheels bring along."""
    for path in _bundled_libraries():
        try:
            lib = ctypes.CDLL(str(path))
            gemm = {c: _address(getattr(lib, f"scipy_cblas_{c}gemm64_")) for c in "sdcz"}
            threads = (
                _address(lib.scipy_openblas_get_num_threads64_),
                _address(lib.scipy_openblas_set_num_threads64_),
                ctypes.addressof(_limit),
            )
        except (OSError, AttributeError):
            continue
        return Library("cblas", gemm, threads)
    return None


def _bundled_libraries() -> Iterator[Path]:
    """Wheels keep their libraries beside the package, on macOS inside it."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        yield from sorted(folder.glob("*openblas*"))


def scipy_library() -> Library | None:
    """The BLAS that SciPy was built with, through the pointers it offers to Cython code."""
    try:
        import scipy.linalg.cython_blas
    except ImportError:
        return None
    capsules = vars(scipy.linalg)["cython_blas"].__pyx_capi__
    return Library("fortran", {c: _capsule_pointer(capsules[f"{c}gemm"]) for c in "sdcz"})


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _capsule_pointer(capsule: Any) -> int:
    api = ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", api)
    )
    return pointer(capsule, name(capsule)) or 0


# --- calls -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gemm:
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
        m, n, tiles = self.m, self.n, 1
        # twice as many for each doubling of all three sizes; a stack is split anyway
        wanted = 2 * (self.m * self.n * self.k / _TWO_TILES) ** (1 / 3) / self.count
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


def _half(n: int) -> int:
    """Half of a tile's edge, in whole vectors."""
    return -(-n // 32) * 16


# `state` is what native code shares with Python: that of `_Limit`, or where oneDNN's failures go.
_ADDRESSES = ("gemm", "get", "set", "state")
_SIZES = ("m", "n", "k", "lda", "ldb", "ldc", "transposed_a", "transposed_b")
_FIELDS = (*_SIZES, "tile_m", "tile_n", "grid_n", "grid", "grain", "range_bytes")


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
        functions = ("dnnl_sgemm", "omp_get_max_threads", "omp_set_num_threads")
        addresses = tuple(lib.address(function) for function in functions)
        return _routine(gemm.dtype, "onednn", (*addresses, onednn.failure_address()))
    if work >= _KERNEL and min(m, n, gemm.k) >= _SMALLEST_SIZE and gemm.workspace:
        return _routine(gemm.dtype, "kernel", ())
    found = library()
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


# --- the routine's code ----------------------------------------------------------------------


def gemm_text(name: str, dtype: np.dtype[Any], convention: str) -> str:
    """LLVM IR of a routine: a loop over units, which are tiles of C, matrix after matrix.

    Args:
        name: of the function.
        dtype: of the matrices.
        convention: how the function whose address comes first is called: "cblas", "fortran" or
            "onednn"; or "kernel", which needs none.
    """
    letter = LETTERS[dtype.name]
    setup, lines = _CALLS[convention](name, letter)
    fields = _FIELDS if convention == "kernel" else (*_ADDRESSES, *_FIELDS)
    callee = []
    if convention == "kernel":
        tile = gemm_kernel.micro_tile(dtype)
        assert tile is not None, "or there would be no workspace"
        enter, leave, callee = [], [], [gemm_kernel.kernel_text(name, tile)]
    elif convention == "onednn":  # whose number of threads belongs to the calling thread
        enter = [
            "  %get.function = inttoptr i64 %get to ptr",
            "  %set.function = inttoptr i64 %set to ptr",
            "  %threads = call i32 %get.function()",
            "  call void %set.function(i32 1)",
        ]
        leave = ["  call void %set.function(i32 %threads)"]
        callee = [onednn.note_text(name)]
    else:
        enter = [f"  call void @{name}_enter(i64 %get, i64 %set, i64 %state)"]
        leave = [f"  call void @{name}_leave(i64 %set, i64 %state)"]
        callee = [_LIMITS.replace("NAME", name)]
    body = [
        f"define void @{name}(ptr %buffers, ptr %params, i64 %lo, i64 %hi) {{",
        "entry:",
        *(line for i, field in enumerate(fields) for line in _param(field, i)),
        *(
            line
            for i in range(4 * LOOPS)
            for line in _param(f"{'eabc'[i % 4]}{i // 4}", len(fields) + i)
        ),
        *(line for i, buffer in enumerate("ABC") for line in _loaded(buffer, "ptr", "buffers", i)),
        *setup,
        "  %some = icmp slt i64 %lo, %hi",
        "  br i1 %some, label %start, label %done",
        "start:",
        *enter,
        "  br label %loop",
        "loop:",
        "  %unit = phi i64 [ %lo, %start ], [ %next, %loop ]",
        "  %place = urem i64 %unit, %grid",
        "  %q = udiv i64 %unit, %grid",
        "  %tile_row = udiv i64 %place, %grid_n",
        "  %tile_column = urem i64 %place, %grid_n",
        "  %i = mul i64 %tile_row, %tile_m",
        "  %j = mul i64 %tile_column, %tile_n",
        "  %rows_left = sub i64 %m, %i",
        "  %columns_left = sub i64 %n, %j",
        "  %rows = call i64 @llvm.smin.i64(i64 %tile_m, i64 %rows_left)",
        "  %columns = call i64 @llvm.smin.i64(i64 %tile_n, i64 %columns_left)",
        "  %is_ta = icmp ne i64 %transposed_a, 0",
        "  %is_tb = icmp ne i64 %transposed_b, 0",
        "  %step_a = select i1 %is_ta, i64 1, i64 %lda",
        "  %step_b = select i1 %is_tb, i64 %ldb, i64 1",
        "  %at_a = mul i64 %i, %step_a",
        "  %at_b = mul i64 %j, %step_b",
        "  %row_c = mul i64 %i, %ldc",
        "  %at_c = add i64 %row_c, %j",
        *_offsets(letter),
        *lines,
        "  %next = add i64 %unit, 1",
        "  %more = icmp slt i64 %next, %hi",
        "  br i1 %more, label %loop, label %leave",
        "leave:",
        *leave,
        "  br label %done",
        "done:",
        "  ret void",
        "}",
        "declare i64 @llvm.smin.i64(i64, i64)",
    ]
    return "\n".join([*body, *callee])


def _param(field: str, place: int) -> list[str]:
    return _loaded(field, "i64", "params", place)


def _loaded(name: str, kind: str, base: str, place: int) -> list[str]:
    return [
        f"  %{name}.at = getelementptr i64, ptr %{base}, i64 {place}",
        f"  %{name} = load {kind}, ptr %{name}.at",
    ]


def _offsets(letter: str) -> Iterator[str]:
    """Pointers %pA, %pB, %pC of a unit: the indices of the loops are the digits of %q."""
    q = "%q"
    sums = {x: f"%at_{x}" for x in "abc"}
    for loop in reversed(range(LOOPS)):
        yield f"  %i{loop} = urem i64 {q}, %e{loop}"
        yield f"  %q{loop} = udiv i64 {q}, %e{loop}"
        q = f"%q{loop}"
        for x in "abc":
            yield f"  %{x}{loop}.off = mul i64 %i{loop}, %{x}{loop}"
            yield f"  %{x}{loop}.sum = add i64 {sums[x]}, %{x}{loop}.off"
            sums[x] = f"%{x}{loop}.sum"
    for x in "abc":
        array = x.upper()
        yield f"  %p{array} = getelementptr {_ELEMENTS[letter]}, ptr %{array}, i64 {sums[x]}"


_REALS = {"s": "float", "d": "double", "c": "float", "z": "double"}
_ELEMENTS = {
    "s": "float",
    "d": "double",
    "c": "{ float, float }",
    "z": "{ double, double }",
}


def _numbers(letter: str) -> list[str]:
    """%one and %zero in memory."""
    element = _ELEMENTS[letter]
    real = _REALS[letter]
    one = f"{{ {real} 1.0, {real} 0.0 }}" if letter in "cz" else "1.0"
    return [
        f"  %one = alloca {element}",
        f"  store {element} {one}, ptr %one",
        f"  %zero = alloca {element}",
        f"  store {element} zeroinitializer, ptr %zero",
    ]


def _cblas_call(name: str, letter: str) -> tuple[list[str], list[str]]:
    """CblasRowMajor is 101, CblasNoTrans 111, CblasTrans 112; complex factors go by address."""
    if letter in "cz":
        one, zero, setup = "ptr %one", "ptr %zero", _numbers(letter)
    else:
        one, zero, setup = f"{_REALS[letter]} 1.0", f"{_REALS[letter]} 0.0", []
    return ["  %function = inttoptr i64 %gemm to ptr", *setup], [
        "  %ta = select i1 %is_ta, i32 112, i32 111",
        "  %tb = select i1 %is_tb, i32 112, i32 111",
        "  call void %function(i32 101, i32 %ta, i32 %tb, i64 %rows, i64 %columns, i64 %k, "
        f"{one}, ptr %pA, i64 %lda, ptr %pB, i64 %ldb, {zero}, ptr %pC, i64 %ldc)",
    ]


def _onednn_call(name: str, letter: str) -> tuple[list[str], list[str]]:
    """Call oneDNN, which takes what Fortran's interface takes, by value and in C order."""
    real = _REALS[letter]
    return ["  %function = inttoptr i64 %gemm to ptr"], [
        f"  %ta = select i1 %is_ta, i8 {ord('T')}, i8 {ord('N')}",
        f"  %tb = select i1 %is_tb, i8 {ord('T')}, i8 {ord('N')}",
        "  %status = call i32 %function(i8 signext %ta, i8 signext %tb, i64 %rows, i64 %columns, "
        f"i64 %k, {real} 1.0, ptr %pA, i64 %lda, ptr %pB, i64 %ldb, {real} 0.0, ptr %pC, i64 %ldc)",
        f"  call void @{name}_note(i32 %status, i64 %state)",
    ]


def _fortran_call(name: str, letter: str) -> tuple[list[str], list[str]]:
    """Everything by address. What is C = A B in C order is C' = B' A' in Fortran's order."""
    sizes = ("rows", "columns", "k", "lda", "ldb", "ldc")
    setup = [
        "  %function = inttoptr i64 %gemm to ptr",
        *_numbers(letter),
        *(f"  %{x}.box = alloca i32" for x in sizes),
        "  %ta.box = alloca i8",
        "  %tb.box = alloca i8",
    ]
    stores = [
        line
        for x in sizes
        for line in (
            f"  %{x}.short = trunc i64 %{x} to i32",
            f"  store i32 %{x}.short, ptr %{x}.box",
        )
    ]
    return setup, [
        *stores,
        f"  %ta = select i1 %is_ta, i8 {ord('T')}, i8 {ord('N')}",
        f"  %tb = select i1 %is_tb, i8 {ord('T')}, i8 {ord('N')}",
        "  store i8 %ta, ptr %ta.box",
        "  store i8 %tb, ptr %tb.box",
        "  call void %function(ptr %tb.box, ptr %ta.box, ptr %columns.box, ptr %rows.box, "
        "ptr %k.box, ptr %one, ptr %pB, ptr %ldb.box, ptr %pA, ptr %lda.box, ptr %zero, ptr %pC, "
        "ptr %ldc.box)",
    ]


def _kernel_call(name: str, letter: str) -> tuple[list[str], list[str]]:
    """Call `gemm_kernel`, whose workspace is a part of the last buffer."""
    return [
        *_loaded("workspaces", "ptr", "buffers", 3),
        "  %range = udiv i64 %lo, %grain",
        "  %range.at = mul i64 %range, %range_bytes",
        "  %workspace = getelementptr i8, ptr %workspaces, i64 %range.at",
    ], [
        "  %depth_a = select i1 %is_ta, i64 %lda, i64 1",
        "  %depth_b = select i1 %is_tb, i64 1, i64 %ldb",
        f"  call void @{name}_multiply(i64 %rows, i64 %columns, i64 %k, ptr %pA, i64 %step_a, "
        "i64 %depth_a, ptr %pB, i64 %depth_b, i64 %step_b, ptr %pC, i64 %ldc, ptr %workspace)",
    ]


_CALLS = {
    "cblas": _cblas_call,
    "fortran": _fortran_call,
    "onednn": _onednn_call,
    "kernel": _kernel_call,
}

# The limit to one thread. The lock is held for some nanoseconds, so waiting for it is a plain loop.
_LIMITS = """
define internal void @NAME_enter(i64 %get, i64 %set, i64 %limit) {
entry:
  %state = inttoptr i64 %limit to ptr
  %limited = icmp ne i64 %limit, 0
  br i1 %limited, label %acquire, label %done
acquire:
  %held = atomicrmw xchg ptr %state, i64 1 acquire
  %free = icmp eq i64 %held, 0
  br i1 %free, label %critical, label %acquire
critical:
  %running.at = getelementptr i64, ptr %state, i64 1
  %running = load i64, ptr %running.at
  %more = add i64 %running, 1
  store i64 %more, ptr %running.at
  %first = icmp eq i64 %running, 0
  br i1 %first, label %save, label %release
save:
  %get.function = inttoptr i64 %get to ptr
  %now = call i32 %get.function()
  %outside = sext i32 %now to i64
  %outside.at = getelementptr i64, ptr %state, i64 2
  store i64 %outside, ptr %outside.at
  %set.function = inttoptr i64 %set to ptr
  call void %set.function(i32 1)
  br label %release
release:
  store atomic i64 0, ptr %state release, align 8
  br label %done
done:
  ret void
}
define internal void @NAME_leave(i64 %set, i64 %limit) {
entry:
  %state = inttoptr i64 %limit to ptr
  %limited = icmp ne i64 %limit, 0
  br i1 %limited, label %acquire, label %done
acquire:
  %held = atomicrmw xchg ptr %state, i64 1 acquire
  %free = icmp eq i64 %held, 0
  br i1 %free, label %critical, label %acquire
critical:
  %running.at = getelementptr i64, ptr %state, i64 1
  %running = load i64, ptr %running.at
  %fewer = sub i64 %running, 1
  store i64 %fewer, ptr %running.at
  %last = icmp eq i64 %fewer, 0
  br i1 %last, label %restore, label %release
restore:
  %outside.at = getelementptr i64, ptr %state, i64 2
  %outside = load i64, ptr %outside.at
  %number = trunc i64 %outside to i32
  %set.function = inttoptr i64 %set to ptr
  call void %set.function(i32 %number)
  br label %release
release:
  store atomic i64 0, ptr %state release, align 8
  br label %done
done:
  ret void
}
"""
