"""LLVM IR of the routines for products of matrices, by who multiplies the matrices.

A routine gets a range of units, which are tiles of the results. It computes where each lies, and
calls a function of a library for it, or a kernel of our own.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from funcflow.backends.numba import gemm_kernel, onednn, signals
from funcflow.backends.numba.blas_library import LETTERS

# How many loops over stacks of matrices a routine has.
LOOPS = 4

# The parameters of a routine. `state` is what native code shares with Python: that of the limit of
# OpenBLAS's threads, or where oneDNN's failures go; oneDNN has `mask` besides, see `signals`.
_ADDRESSES = ("gemm", "get", "set", "state")
_SIZES = ("m", "n", "k", "lda", "ldb", "ldc", "transposed_a", "transposed_b")
_FIELDS = (*_SIZES, "tile_m", "tile_n", "grid_n", "grid", "grain", "range_bytes")


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
    addresses = {"kernel": (), "onednn": (*_ADDRESSES, "mask")}.get(convention, _ADDRESSES)
    fields = (*addresses, *_FIELDS)
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
            *signals.HOLD,
        ]
        leave = [*signals.RELEASE, "  call void %set.function(i32 %threads)"]
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
    return ["  %function = inttoptr i64 %gemm to ptr", *signals.ENTRY], [
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
