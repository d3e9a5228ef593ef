"""Printed kernels compute what NumPy does, for all lengths of their loops."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    INDEX,
    PAIRED,
    UNIT,
    Builder,
    Kernel,
    Operand,
    Value,
)
from funcflow.backends.numba.llvm import module_text
from funcflow.core import dtypes

f32 = np.dtype(np.float32)
BOOL = np.dtype(np.bool_)
LENGTHS = (*range(71), 128, 131)


def operand(*strides: Any, dtype: Any = f32, written: bool = False) -> Operand:
    return Operand(np.dtype(dtype), strides, written)


def random(*shape: int, dtype: Any = f32) -> Any:
    rng = np.random.default_rng(len(shape))
    dtype = np.dtype(dtype)
    if dtype.kind in "iub":
        return rng.integers(0, 100, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def by_lanes(merge: Callable[[Any, Any], Any], x: Any, start: Any, lanes: int) -> Any:
    """A reduction of the last axis in the order that the IR documents."""
    acc = np.full((*x.shape[:-1], lanes), start, x.dtype)
    for first in range(0, x.shape[-1], lanes):
        part = x[..., first : first + lanes]
        acc[..., : part.shape[-1]] = merge(acc[..., : part.shape[-1]], part)
    while acc.shape[-1] > 1:
        half = acc.shape[-1] // 2
        acc = merge(acc[..., :half], acc[..., half:])
    return acc[..., 0] if x.shape[-1] else np.full(x.shape[:-1], start, x.dtype)


# --- elementwise ------------------------------------------------------------------------------


def axpy(lanes: int = 32, dtype: Any = f32) -> Kernel:
    build = Builder()
    with build.loop(0, lanes=lanes):
        product = build.let("mul", build.scalar(0, dtype), build.load(0, dtype))
        build.store(2, build.let("add", product, build.load(1, dtype)))
    view = operand(UNIT, dtype=dtype)
    out = operand(UNIT, dtype=dtype, written=True)
    return Kernel(1, (view, view, out), (np.dtype(dtype),), build.body, split=True)


REAL = [d for d in dtypes.ALL if not dtypes.is_complex(d)]


def test_axpy_of_each_dtype_and_length(compiled: Any) -> None:
    library = compiled(**{d.name: axpy(32 if d == f32 else 16, d) for d in REAL})
    for d in REAL:
        for n in LENGTHS:
            x, y, out = random(n, dtype=d), random(n, dtype=d), random(n + 1, dtype=d)
            beyond = out[n]
            a = np.asarray(3).astype(d)
            library.run(d.name, (n,), [x, y, out], (a,))
            assert np.array_equal(out[:n], (a * x + y).astype(d)) and out[n] == beyond, (d, n)


def test_split_runs_a_range(compiled: Any) -> None:
    x = random(100)
    out = np.zeros_like(x)
    compiled(k=axpy()).run("k", (100,), [x, x, out], (f32.type(2),), span=(13, 87))
    expected = np.zeros_like(x)
    expected[13:87] = f32.type(2) * x[13:87] + x[13:87]
    assert np.array_equal(out, expected)


def broadcast_add() -> Kernel:
    """out[i, j] = x[i, j] + column[i] + row[j] + all, with any strides of x and out."""
    build = Builder()
    with build.loop(0), build.loop(1, lanes=16):
        total = build.load(0, f32)
        for number in (1, 2, 3):
            total = build.let("add", total, build.load(number, f32))
        build.store(4, total)
    views = (operand(ANY, ANY), operand(UNIT, FIXED), operand(FIXED, UNIT), operand(FIXED, FIXED))
    return Kernel(2, (*views, operand(ANY, ANY, written=True)), (), build.body)


@pytest.mark.parametrize("shape", [(3, 40), (0, 5), (5, 0), (1, 1), (4, 16)])
def test_strided_and_broadcast_operands(compiled: Any, shape: tuple[int, int]) -> None:
    library = compiled(k=broadcast_add())
    column, row, whole = random(shape[0], 1), random(1, shape[1]), random(1, 1)
    wide = random(2 * shape[0], 3 * shape[1])
    layouts = [wide[::2, ::3], wide[::-2, ::-3], random(*shape[::-1]).T]
    for x in layouts:
        out = np.zeros(shape[::-1], f32).T
        library.run("k", shape, [x, column, row, whole, out])
        assert np.array_equal(out, x + column + row + whole)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_parts_of_complex_numbers(compiled: Any, dtype: str) -> None:
    """Each part is read and written as a vector, without the other."""
    real = np.dtype(f"f{np.dtype(dtype).itemsize // 2}")
    build = Builder()
    with build.loop(0), build.loop(1, lanes=8):
        total = build.let("add", build.load(0, real), build.load(1, real))
        build.store(2, total)
    views = (operand(ANY, PAIRED, dtype=real), operand(ANY, UNIT, dtype=real))
    kernel = Kernel(2, (*views, operand(ANY, PAIRED, dtype=real, written=True)), (), build.body)
    library = compiled(k=kernel)
    (main_loop,) = re.findall(r"\nmain\d+:\n(.*?)\nrest", module_text({"k": kernel}), re.DOTALL)
    assert "masked.load" in main_loop and "gather" not in main_loop
    assert "masked.store" in main_loop and "scatter" not in main_loop
    for n in LENGTHS:
        z, out = (random(3, 2 * n, dtype=real).view(dtype) for _ in range(2))
        x, before = random(3, n, dtype=real), out.copy()
        library.run("k", (3, n), [z.imag, x, out.imag])
        assert np.array_equal(out.imag, z.imag + x)
        assert np.array_equal(out.real, before.real)
        library.run("k", (3, n), [z.real, x, out.real])
        assert np.array_equal(out.real, z.real + x)
        assert np.array_equal(out.imag, z.imag + x)


def test_index_and_uniform_values(compiled: Any) -> None:
    build = Builder()
    with build.loop(0), build.loop(1, lanes=8):
        width = build.let("mul", build.index(0), build.scalar(0, INDEX))
        build.store(0, build.let("add", width, build.index(1)))
    kernel = Kernel(2, (operand(ANY, UNIT, dtype=INDEX, written=True),), (INDEX,), build.body)
    out = np.zeros((5, 29), np.int64)
    compiled(k=kernel).run("k", out.shape, [out], (29,))
    assert np.array_equal(out, np.arange(5 * 29).reshape(5, 29))


def test_kernel_without_axes(compiled: Any) -> None:
    build = Builder()
    build.store(1, build.let("mul", build.load(0, f32), build.const(3, f32)))
    kernel = Kernel(0, (operand(), operand(written=True)), (), build.body)
    x, out = np.array(2, f32), np.zeros((), f32)
    compiled(k=kernel).run("k", (), [x, out])
    assert out == 6


def test_in_place(compiled: Any) -> None:
    x = random(71)
    expected = f32.type(2) * x + x
    compiled(k=axpy()).run("k", (71,), [x, x, x], (f32.type(2),))
    assert np.array_equal(x, expected)


# --- masks and offsets ------------------------------------------------------------------------


def gather(lanes: int, stride: Any, masked: bool = True) -> Kernel:
    """out[i] = x[place[i]] where place[i] >= 0, else 0; for `UNIT`, x[i + place[i]]."""
    build = Builder()
    with build.loop(0, lanes=lanes):
        place = build.load(1, INDEX)
        inside = build.let("ge", place, build.const(0, INDEX)) if masked else None
        build.store(2, build.load(0, f32, offset=place, mask=inside))
    views = (operand(stride), operand(UNIT, dtype=INDEX), operand(UNIT, written=True))
    return Kernel(1, views, (), build.body)


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("stride", [FIXED, UNIT, ANY])
def test_gather_by_offset(compiled: Any, lanes: int, stride: Any) -> None:
    library = compiled(k=gather(lanes, stride))
    for n in LENGTHS:
        x = random(3 * n + 1)[:: 2 if stride is ANY else 1]
        place = np.random.default_rng(n).integers(-n, n, n) if n else np.zeros(0, np.int64)
        own = {FIXED: 0, UNIT: 1, ANY: 2}[stride] * np.arange(n)
        place = np.where(own + place < 3 * n, place, -1)
        out = np.full(n, 7, f32)
        library.run("k", (n,), [x, place, out])
        flat = random(3 * n + 1)
        assert np.array_equal(out, np.where(place >= 0, flat[np.maximum(own + place, 0)], 0))


@pytest.mark.parametrize("lanes", [1, 2, 16])
@pytest.mark.parametrize("stride", [FIXED, UNIT, ANY])
def test_lanes_that_lie_apart(compiled: Any, lanes: int, stride: Any) -> None:
    """In the tail, nothing beyond the end is loaded: there the places lead far away."""
    library = compiled(k=gather(lanes, stride, masked=False))
    for n in LENGTHS:
        x = random(3 * n + 1)[:: 2 if stride is ANY else 1]
        place = np.full(n + 16, 2**40)
        place[:n] = np.random.default_rng(n).integers(0, n, n) if n else 0
        own = {FIXED: 0, UNIT: 1, ANY: 2}[stride] * np.arange(n)
        out = np.full(n, 7, f32)
        library.run("k", (n,), [x, place, out])
        assert np.array_equal(out, random(3 * n + 1)[own + place[:n]])


@pytest.mark.parametrize("lanes", [1, 16])
def test_scatter_by_offset_under_a_mask(compiled: Any, lanes: int) -> None:
    build = Builder()
    with build.loop(0, lanes=lanes):
        place = build.load(1, INDEX)
        inside = build.let("ge", place, build.const(0, INDEX))
        build.store(2, build.load(0, f32), offset=place, mask=inside)
    views = (operand(UNIT), operand(UNIT, dtype=INDEX), operand(FIXED, written=True))
    library = compiled(k=Kernel(1, views, (), build.body))
    for n in LENGTHS:
        x, place = random(n), np.random.default_rng(n).permutation(n) - 3
        out, expected = np.zeros(n + 1, f32), np.zeros(n + 1, f32)
        library.run("k", (n,), [x, place, out])
        expected[place[place >= 0]] = x[place >= 0]
        assert np.array_equal(out, expected)


def padded(lanes: int) -> Kernel:
    """out[i] = x[i - 2] where that exists, else 0; negative where out[i] is not to be written."""
    build = Builder()
    with build.loop(0, lanes=lanes):
        source = build.let("add", build.index(0), build.const(-2, INDEX))
        above = build.let("ge", source, build.const(0, INDEX))
        below = build.let("lt", source, build.scalar(0, INDEX))
        inside = build.let("and", above, below)
        x = build.load(0, f32, offset=build.const(-2, INDEX), mask=inside)
        build.store(1, x, mask=build.load(2, BOOL))
    views = (operand(UNIT), operand(UNIT, written=True), operand(UNIT, dtype=BOOL))
    return Kernel(1, views, (INDEX,), build.body)


@pytest.mark.parametrize("lanes", [1, 16])
def test_masked_loads_and_stores(compiled: Any, lanes: int) -> None:
    library = compiled(k=padded(lanes))
    for n in LENGTHS[4:]:
        x, write = random(n - 4), np.arange(n) % 3 > 0
        out = np.full(n, 7, f32)
        library.run("k", (n,), [x, out, write], (n - 4,))
        assert np.array_equal(out, np.where(write, np.pad(x, 2), 7))


def test_division_in_the_tail_does_not_trap(compiled: Any) -> None:
    build = Builder()
    with build.loop(0, lanes=16):
        build.store(2, build.let("div", build.load(0, np.int64), build.load(1, np.int64)))
    view, out = operand(UNIT, dtype=INDEX), operand(UNIT, dtype=INDEX, written=True)
    x, y, z = np.arange(20) * 10, np.arange(20) + 1, np.zeros(20, np.int64)
    compiled(k=Kernel(1, (view, view, out), (), build.body)).run("k", (19,), [x, y, z])
    assert np.array_equal(z[:19], (x // y)[:19]) and z[19] == 0


# --- reductions -------------------------------------------------------------------------------


def row_reduction(merge: str, dtype: Any, start: Any, lanes: int) -> Kernel:
    build = Builder()
    with build.loop(0):
        first = build.const(start, dtype)
        with build.loop(1, lanes=lanes) as row:
            (acc,) = row.carry(merge, first)
            row.next(build.let(merge, acc, build.load(0, dtype)))
        build.store(1, row.results[0])
    views = (operand(ANY, UNIT, dtype=dtype), operand(UNIT, FIXED, dtype=dtype, written=True))
    return Kernel(2, views, (), build.body)


MERGES: list[tuple[str, Any, Any, Any]] = [
    ("add", np.add, "float32", 0), ("add", np.add, "float16", 0), ("add", np.add, "bfloat16", 0),
    ("add", np.add, "int16", 0), ("mul", np.multiply, "float64", 1),
    ("max", np.maximum, "float32", -np.inf), ("min", np.minimum, "bfloat16", np.inf),
    ("max", np.maximum, "uint8", 0), ("and", np.bitwise_and, "bool", True),
    ("or", np.bitwise_or, "int32", 0), ("xor", np.bitwise_xor, "uint64", 0),
]  # fmt: skip


def test_row_reductions_follow_the_order_of_lanes(compiled: Any) -> None:
    cases = {
        f"{m}_{d}": (f, d, s, row_reduction(m, dtypes.as_dtype(d), s, 16)) for m, f, d, s in MERGES
    }
    library = compiled(**{name: case[-1] for name, case in cases.items()})
    for name, (meaning, dtype, start, _) in cases.items():
        for n in LENGTHS:
            x = random(3, n, dtype=dtypes.as_dtype(dtype))
            out = np.zeros((3, 1), x.dtype)
            library.run(name, x.shape, [x, out])
            assert np.array_equal(out[:, 0], by_lanes(meaning, x, start, 16)), (name, n)


def test_scalar_reduction_runs_in_order(compiled: Any) -> None:
    x, out = random(3, 50), np.zeros((3, 1), f32)
    compiled(k=row_reduction("add", f32, 0, 1)).run("k", x.shape, [x, out])
    assert np.array_equal(out[:, 0], by_lanes(np.add, x, 0, 1))


def argmax_rows(merge: str, dtype: np.dtype[Any], worst: Any) -> Kernel:
    build = Builder()
    with build.loop(0):
        starts = build.const(worst, dtype), build.const(2**63 - 1, INDEX)
        with build.loop(1, lanes=16) as row:
            best, place = row.carry(merge, *starts)
            x = build.load(0, dtype)
            won = build.let("gt" if merge == "argmax" else "lt", x, best)
            first = build.let("eq", place, starts[1])
            if dtypes.is_float(dtype):
                new_nan = build.let("and", build.let("ne", x, x), build.let("eq", best, best))
                won = build.let("or", build.let("or", won, new_nan), first)
            else:
                won = build.let("or", won, first)
            nexts = [(x, best), (build.index(1), place)]
            row.next(*[build.let("select", won, a, b) for a, b in nexts])
        build.store(1, row.results[1])
    views = (operand(ANY, UNIT, dtype=dtype), operand(UNIT, FIXED, dtype=INDEX, written=True))
    return Kernel(2, views, (), build.body)


@pytest.mark.parametrize(
    ("merge", "dtype", "worst"),
    [("argmax", "float32", -np.inf), ("argmin", "bfloat16", np.inf), ("argmax", "int8", -128)],
)
def test_first_extremum_wins_and_nan_before_it(
    compiled: Any, merge: str, dtype: str, worst: Any
) -> None:
    d = dtypes.as_dtype(dtype)
    library = compiled(k=argmax_rows(merge, d, worst))
    rng = np.random.default_rng(0)
    for n in LENGTHS[1:]:
        x = rng.integers(-3, 4, (8, n)).astype(d)
        if dtypes.is_float(d):
            x[::2][rng.random((4, n)) < 0.1] = np.nan
            x[1::2][rng.random((4, n)) < 0.3] = worst
        out = np.zeros((8, 1), np.int64)
        library.run("k", x.shape, [x, out])
        assert np.array_equal(out[:, 0], getattr(np, merge)(x.astype(np.float32), axis=1)), n


def softmax() -> Kernel:
    """Three sweeps over each row, with 2**x in the place of exp."""

    def power(build: Builder, x: Value, best: Value) -> Value:
        whole = build.let("convert", build.let("sub", x, best), dtype=np.int32)
        biased = build.let("add", whole, build.const(127, np.int32))
        shifted = build.let("shift_left", biased, build.const(23, np.int32))
        return build.let("bitcast", shifted, dtype=f32)

    build = Builder()
    with build.loop(0):
        lowest, zero = build.const(-np.inf, f32), build.const(0, f32)
        with build.loop(1, lanes=16) as row:
            (acc,) = row.carry("max", lowest)
            row.next(build.let("max", acc, build.load(0, f32)))
        (best,) = row.results
        with build.loop(1, lanes=16) as row:
            (acc,) = row.carry("add", zero)
            term = power(build, build.load(0, f32), best)
            build.store(1, term)
            row.next(build.let("add", acc, term))
        total = row.results[0]
        with build.loop(1, lanes=16):
            build.store(1, build.let("div", build.load(1, f32), total))
    return Kernel(2, (operand(ANY, UNIT), operand(ANY, UNIT, written=True)), (), build.body)


def test_softmax_in_three_sweeps(compiled: Any) -> None:
    library = compiled(k=softmax())
    for n in LENGTHS[1:]:
        x = np.random.default_rng(n).integers(-20, 20, (3, n)).astype(f32)
        out = np.zeros_like(x)
        library.run("k", x.shape, [x, out])
        terms = np.exp2(x - x.max(1, keepdims=True))
        assert np.array_equal(out, terms / by_lanes(np.add, terms, 0, 16)[:, None]), n


def column_sums(bias: bool = False) -> Kernel:
    build = Builder()
    with build.loop(1, lanes=32):
        zero = build.const(0, f32)
        with build.loop(0) as column:
            (acc,) = column.carry("add", zero)
            x = build.load(0, f32)
            if bias:  # one scalar per row, one vector per block of columns, and the row's number
                x = build.let("mul", x, build.load(2, f32))
                x = build.let("mul", x, build.load(3, f32))
                x = build.let("add", x, build.let("convert", build.index(0), dtype=f32))
            column.next(build.let("add", acc, x))
        build.store(1, column.results[0])
    views = (operand(ANY, UNIT), operand(FIXED, UNIT, written=True))
    more = (operand(UNIT, FIXED), operand(FIXED, UNIT)) if bias else ()
    return Kernel(2, (*views, *more), (), build.body)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_column_sums_carry_vectors(compiled: Any, rows: int) -> None:
    library = compiled(plain=column_sums(), biased=column_sums(bias=True))
    for n in LENGTHS:
        x, out, expected = random(rows, n), np.ones((1, n), f32), np.zeros(n, f32)
        library.run("plain", x.shape, [x, out])
        for row in x:
            expected += row
        assert np.array_equal(out[0], expected)
        a, b = random(rows, 1), random(1, n)
        library.run("biased", x.shape, [x, out, a, b])
        expected = np.zeros(n, f32)
        for k in range(rows):
            expected += x[k] * a[k] * b[0] + f32.type(k)
        assert np.array_equal(out[0], expected)


def ragged_sums(lanes: int) -> Kernel:
    build = Builder()
    with build.loop(0):
        zero = build.const(0, f32)
        with build.loop(1, lanes=lanes) as block:
            (acc,) = block.carry("add", zero)
            block.next(build.let("add", acc, build.load(0, f32)))
        build.store(1, block.results[0])
    views = (operand(ANY, UNIT), operand(UNIT, FIXED, written=True))
    return Kernel(2, views, (), build.body, split=True, ragged=True)


@pytest.mark.parametrize("lanes", [1, 8])
def test_the_last_of_ragged_blocks_is_shorter(compiled: Any, lanes: int) -> None:
    library = compiled(k=ragged_sums(lanes))
    x = random(60)
    for tail in range(1, 20):
        out, blocks = np.zeros((3, 1), f32), x.reshape(3, 20)
        library.run("k", (3, 20), [blocks, out], tail=tail)
        parts = [blocks[0], blocks[1], blocks[2, :tail]]
        assert np.array_equal(out[:, 0], [by_lanes(np.add, part, 0, lanes) for part in parts])


def test_cumulative_sum_by_sequence(compiled: Any) -> None:
    build = Builder()
    with build.loop(0):
        zero = build.const(0, f32)
        with build.loop(1) as row:
            (acc,) = row.carry("sequence", zero)
            total = build.let("add", acc, build.load(0, f32))
            build.store(1, total)
            row.next(total)
    views = (operand(ANY, UNIT), operand(ANY, UNIT, written=True))
    x, out = random(4, 30), np.zeros((4, 30), f32)
    compiled(k=Kernel(2, views, (), build.body)).run("k", x.shape, [x, out])
    assert np.array_equal(out, np.cumsum(x, axis=1))


# --- where code stands ------------------------------------------------------------------------


def test_what_a_loop_does_not_change_stands_before_it(compiled: Any) -> None:
    build = Builder()
    with build.loop(0), build.loop(1, lanes=8):
        scale = build.let("sqrt", build.load(1, f32))
        build.store(2, build.let("mul", build.load(0, f32), scale))
    views = (operand(ANY, UNIT), operand(UNIT, FIXED), operand(ANY, UNIT, written=True))
    kernel = Kernel(2, views, (), build.body)
    text = module_text({"k": kernel})
    assert text.count("call float @llvm.sqrt.f32") == 1
    before, main = text.index("call float @llvm.sqrt.f32"), text.index("\nmain")
    assert before < main
    # a row without elements has no scale: nothing may be read, here from no memory at all
    compiled(k=kernel).run(
        "k",
        (3, 0),
        [
            np.zeros((3, 0), f32),
            np.lib.stride_tricks.as_strided(np.zeros(0, f32), (3, 1), (4, 4)),
            np.zeros((3, 0), f32),
        ],
    )


def test_what_is_written_is_read_again_in_each_iteration(compiled: Any) -> None:
    build = Builder()
    with build.loop(0):
        build.store(
            1,
            build.let("add", build.load(1, f32), build.load(0, f32)),
            offset=build.const(0, INDEX),
        )
    kernel = Kernel(1, (operand(UNIT), operand(FIXED, written=True)), (), build.body)
    x, out = random(20), np.zeros(1, f32)
    compiled(k=kernel).run("k", (20,), [x, out])
    assert out[0] == by_lanes(np.add, x, 0, 1)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("axpy", axpy(4)),
        ("row_max", row_reduction("max", f32, -np.inf, 4)),
        ("gather", gather(4, FIXED)),
    ],
)
def test_texts(golden: Callable[[str, str], None], name: str, kernel: Kernel) -> None:
    golden(f"llvm_{name}.txt", module_text({name: kernel}))


# --- guards -------------------------------------------------------------------------------------


def guarded_roots(lanes: int, strides: tuple[Any, ...]) -> Kernel:
    """sqrt(x) where x > 0, else x; times y."""
    build = Builder()
    with build.loop(0), build.loop(1, lanes=lanes):
        x = build.load(0, f32)
        with build.guard(build.let("gt", x, build.const(0, f32)), x) as rare:
            rare.take(build.let("sqrt", x))
        build.store(2, build.let("mul", rare.results[0], build.load(1, f32)))
    views = operand(*strides), operand(ANY, UNIT), operand(ANY, UNIT, written=True)
    return Kernel(2, views, (), build.body)


@pytest.mark.parametrize("lanes", [1, 16])
@pytest.mark.parametrize("strides", [(ANY, UNIT), (UNIT, FIXED), (FIXED, FIXED)])
def test_guards(compiled: Any, lanes: int, strides: tuple[Any, ...]) -> None:
    library = compiled(k=guarded_roots(lanes, strides))
    for n in (0, 1, 5, 16, 37):
        for x in (random(6, n), abs(random(6, n)), -abs(random(6, n))):  # some, all, none
            x = x if strides[1] else random(6, 1) if strides[0] else random(1, 1)
            y, out = random(6, n), np.zeros((6, n), f32)
            library.run("k", (6, n), [x, y, out])
            with np.errstate(invalid="ignore"):
                assert np.array_equal(out, np.where(x > 0, np.sqrt(x), x) * y)


def test_rare_work_is_skipped_and_stays_in_its_guard() -> None:
    def blocks(strides: tuple[Any, ...]) -> list[str]:
        """The blocks that the guards and the roots are in."""
        found, block = [], ""
        for line in module_text({"k": guarded_roots(16, strides)}).splitlines():
            block = line[:-1] if line.endswith(":") else block
            if "!prof" in line or ("sqrt" in line and "declare" not in line):
                found.append(block.rstrip("0123456789"))
        return found

    # in the main loop and the tail; once for each row, before them; once for all, at the start
    assert blocks((ANY, UNIT)) == ["main", "rare", "tail", "rare"]
    assert blocks((UNIT, FIXED)) == ["before", "rare"]


def test_a_parameter_that_a_guard_loads_is_known_after_it(compiled: Any) -> None:
    build = Builder()
    x, zero = build.scalar(0, f32), build.const(0, f32)
    with build.guard(build.let("lt", x, zero), x) as rare:
        rare.take(build.let("mul", x, build.scalar(1, f32)))
    build.store(0, build.let("add", *rare.results, build.scalar(1, f32)))
    library = compiled(k=Kernel(0, (operand(written=True),), (f32, f32), build.body))
    for x, wanted in ((2, 5), (-2, -3)):
        out = np.zeros((), f32)
        library.run("k", (), [out], (x, 3))
        assert out == wanted


def test_what_a_guard_spreads_over_the_lanes(compiled: Any) -> None:
    # the factor is a scalar of the loop around, spread inside the guard and after it
    build = Builder()
    with build.loop(0):
        factor = build.let("sqrt", build.load(1, f32))
        with build.loop(1, lanes=8):
            x = build.load(0, f32)
            with build.guard(build.let("lt", x, factor), x) as rare:
                place = build.let("convert", build.index(0), dtype=f32)
                rare.take(build.let("mul", build.let("add", x, place), factor))
            build.store(2, build.let("sub", *rare.results, factor))
    views = operand(ANY, UNIT), operand(UNIT, FIXED), operand(ANY, UNIT, written=True)
    library = compiled(k=Kernel(2, views, (), build.body))
    x, y, out = random(5, 21), abs(random(5, 1)), np.zeros((5, 21), f32)
    library.run("k", x.shape, [x, y, out])
    factor, place = np.sqrt(y), np.arange(5, dtype=f32)[:, None]
    assert np.array_equal(out, np.where(x < factor, (x + place) * factor, x) - factor)
