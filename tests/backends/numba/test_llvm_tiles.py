"""Reads and writes across the vector loop go through tiles, and come out as NumPy has them."""

from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_ir import ANY, UNIT, Builder, Kernel, Operand
from funcflow.backends.numba.llvm import module_text
from funcflow.core import dtypes

F32 = np.dtype(np.float32)
REAL = [d for d in dtypes.ALL if not dtypes.is_complex(d)]
SHAPES = [(n, m) for n in (0, 1, 15, 16, 17, 64, 70) for m in (0, 1, 7, 8, 16, 33, 64, 65, 131)]


def transpose(dtype: Any = F32, lanes: int = 16, *, written_across: bool = False) -> Kernel:
    """Element (i, j) is moved from x[i, j] to y[j, i]; i runs along the lanes."""
    build = Builder()
    with build.loop(0, lanes=lanes), build.loop(1):
        build.store(1, build.load(0, dtype))
    across, along = (ANY, UNIT), (UNIT, ANY)
    source, target = (along, across) if written_across else (across, along)
    operands = (Operand(dtype, source), Operand(dtype, target, written=True))
    return Kernel(2, operands, (), build.body, split=True)


def inside(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array with memory around it that nothing may touch; all of it are numbers."""
    rng = np.random.default_rng(0)
    around = rng.integers(0, 100, (shape[0] + 1, shape[1] + 3)).astype(dtype)
    return around, around[: shape[0], : shape[1]]


@pytest.mark.parametrize("written_across", [False, True])
@pytest.mark.parametrize("lanes", [2, 8, 16, 64])
def test_each_dtype_and_shape(compiled: Any, lanes: int, written_across: bool) -> None:
    library = compiled(**{d.name: transpose(d, lanes, written_across=written_across) for d in REAL})
    for d in REAL:
        for n, m in SHAPES:
            _, x = inside((m, n) if written_across else (n, m), d)
            memory, y = inside(x.shape[::-1], d)
            expected = memory.copy()
            expected[: y.shape[0], : y.shape[1]] = x.T
            operands = [x.T, y] if written_across else [x, y.T]
            library.run(d.name, (n, m), operands)
            assert np.array_equal(memory, expected), (d, n, m)


def test_a_scan_of_rows_in_place(compiled: Any) -> None:
    """What is read in tiles may be overwritten in tiles."""
    build = Builder()
    with build.loop(0, lanes=16):
        start = build.const(0, F32)
        with build.loop(1) as row:
            (before,) = row.carry("sequence", start)
            now = build.let("add", before, build.load(0, F32))
            build.store(1, now)
            row.next(now)
    rows = Operand(F32, (ANY, UNIT))
    kernel = Kernel(2, (rows, Operand(F32, (ANY, UNIT), written=True)), (), build.body, split=True)
    library = compiled(scan=kernel)
    for n, m in SHAPES:
        x = np.arange(n * m, dtype=F32).reshape(n, m) % 7
        expected = np.cumsum(x, 1)
        library.run("scan", (n, m), [x, x])
        assert np.array_equal(x, expected), (n, m)


def calls_of_transpose(kernel: Kernel) -> int:
    return module_text({"kernel": kernel}).count("call void @transpose")


def test_what_goes_through_tiles() -> None:
    assert calls_of_transpose(transpose()) == 2  # in the main loop and in the tail
    assert calls_of_transpose(transpose(written_across=True)) == 2


def test_what_is_read_and_written_does_not() -> None:
    build = Builder()
    with build.loop(0, lanes=16), build.loop(1):
        x = build.load(0, F32)
        build.store(0, build.let("add", x, x))
    kernel = Kernel(2, (Operand(F32, (ANY, UNIT), written=True),), (), build.body)
    assert calls_of_transpose(kernel) == 0


def test_masked_accesses_do_not() -> None:
    build = Builder()
    with build.loop(0, lanes=16), build.loop(1):
        x = build.load(0, F32)
        positive = build.let("gt", x, build.const(0, F32))
        build.store(2, build.load(1, F32, mask=positive))
    across, along = Operand(F32, (ANY, UNIT)), Operand(F32, (UNIT, ANY), written=True)
    assert calls_of_transpose(Kernel(2, (across, across, along), (), build.body)) == 2
