"""Vector loops that collect the lanes of dear guards, against loops that do not."""

from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import (
    ANY,
    FIXED,
    INDEX,
    PAIRED,
    UNIT,
    Builder,
    Kernel,
    Loop,
    Operand,
    Value,
)
from funcflow.backends.numba.llvm import module_text
from funcflow.backends.numba.llvm_collecting import dear_guard

f32 = np.dtype(np.float32)
LENGTHS = (0, 1, 15, 16, 37, 8192, 8209, 20000)  # blocks have 8192 lanes


def operand(stride: Any, dtype: Any = f32, written: bool = False) -> Operand:
    return Operand(np.dtype(dtype), (stride,), written)


def power(build: Builder, x: Value, n: Value) -> Value:
    """1 * x * ... * x."""

    def times(carry: tuple[Value, ...]) -> list[Value]:
        return [
            build.let("add", carry[0], build.const(1, f32)),
            build.let("mul", carry[1], x),
        ]

    start = build.const(0, f32), build.const(1, f32)
    return build.while_loop(start, lambda carry: build.let("lt", carry[0], n), times)[1]


def powers(
    strides: tuple[Any, Any, Any] = (UNIT, UNIT, UNIT), lanes: int = 16, dear: bool = True
) -> Kernel:
    """`x ** n` where the first operand, n, is more than 2, else `-x`."""
    build = Builder()
    with build.loop(0, lanes=lanes):
        n, x = build.load(0, f32), build.load(1, f32)
        mask = build.let("gt", n, build.const(2, f32))
        with build.guard(mask, build.let("neg", x), dear=dear) as guard:
            guard.take(power(build, x, n))
        build.store(2, guard.results[0])
    views = operand(strides[0]), operand(strides[1]), operand(strides[2], written=True)
    return Kernel(1, views, (), build.body, split=True)


def expected(n: np.ndarray, x: np.ndarray) -> np.ndarray:
    out = np.ones_like(x)
    for k in range(int(n.max(initial=0))):
        out = np.where(k < n, out * x, out)
    return np.where(n > 2, out, -x)


SHARES = {"none": 0.0, "few": 0.02, "half": 0.5, "all": 1.0}


def inputs(length: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(length)
    n = np.where(rng.random(length) < share, rng.integers(3, 9, length), 1).astype(f32)
    x = rng.choice(np.array([1.25, -0.5, 0.0, np.nan, np.inf], f32), length)
    return n, x


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("lanes", [2, 16, 64])
def test_lanes_are_collected(compiled: Any, share: str, lanes: int) -> None:
    kernel = powers(lanes=lanes)
    check_kernel(kernel)
    library = compiled(k=kernel)
    for length in LENGTHS:
        n, x = inputs(length, SHARES[share])
        out = np.full(length + 1, 7, f32)
        library.run("k", (length,), [n, x, out])
        np.testing.assert_array_equal(out[:-1], expected(n, x))
        assert out[-1] == 7


def test_a_range_is_run_apart(compiled: Any) -> None:
    library = compiled(k=powers())
    n, x = inputs(1000, 0.3)
    out = np.full(1000, 7, f32)
    library.run("k", (1000,), [n, x, out], span=(33, 700))
    np.testing.assert_array_equal(out[33:700], expected(n, x)[33:700])
    assert (out[:33] == 7).all() and (out[700:] == 7).all()


def test_results_take_the_place_of_operands(compiled: Any) -> None:
    """A lane that is collected reads what it would have read at first."""
    library = compiled(k=powers())
    for share in SHARES.values():
        n, x = inputs(9000, share)
        want = expected(n, x)
        library.run("k", (9000,), [n, x, x])
        np.testing.assert_array_equal(x, want)


@pytest.mark.parametrize("strides", [(ANY, PAIRED, UNIT), (UNIT, ANY, ANY), (PAIRED, UNIT, PAIRED)])
def test_elements_are_gathered_and_scattered(compiled: Any, strides: Any) -> None:
    library = compiled(k=powers(strides))
    steps = [{UNIT: 1, PAIRED: 2, ANY: 3}[s] for s in strides]
    n, x = inputs(501, 0.3)
    arrays = [np.full(501 * step, 7, f32)[::step] for step in steps]
    arrays[0][...], arrays[1][...] = n, x
    library.run("k", (501,), arrays)
    np.testing.assert_array_equal(arrays[2], expected(n, x))
    whole = arrays[2].base
    assert whole is not None
    rest = np.delete(whole, np.s_[:: steps[2]])
    assert (rest == 7).all()


def test_positions_and_what_all_lanes_share(compiled: Any) -> None:
    """The index of a collected lane is its own; offsets and masks of accesses are, too."""
    build = Builder()
    with build.loop(0, lanes=16):
        i, shared = build.index(0), build.load(1, f32)
        odd = build.let("ne", build.let("and", i, build.const(1, INDEX)), build.const(0, INDEX))
        x = build.load(0, f32, offset=i, mask=odd)  # elements 0, 2, 4, ... of the odd lanes
        with build.guard(odd, shared, dear=True) as guard:
            guard.take(
                build.let("add", power(build, x, shared), build.let("convert", i, dtype=f32))
            )
        after = build.while_loop(
            guard.results,
            lambda carry: build.let("lt", carry[0], build.const(5, f32)),
            lambda carry: [build.let("add", carry[0], build.const(2, f32))],
        )
        build.store(2, after[0])
        build.store(3, guard.results[0], mask=build.let("not", odd))
    views = (
        operand(UNIT),
        operand(FIXED),
        operand(UNIT, written=True),
        operand(UNIT, written=True),
    )
    kernel = Kernel(1, views, (), build.body)
    check_kernel(kernel)
    library = compiled(k=kernel)
    length = 75
    x = np.random.default_rng(0).uniform(-1, 1, 2 * length).astype(f32)
    out, others, at = np.full(length, 7, f32), np.full(length, 7, f32), np.arange(length)
    library.run("k", (length,), [x, np.full(1, 3, f32), out, others])
    cubes = x[::2] * x[::2] * x[::2]
    guarded = np.where(at % 2 == 1, cubes + at.astype(f32), f32.type(3))
    want = guarded.copy()
    while (want < 5).any():
        want = np.where(want < 5, want + f32.type(2), want)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(others, np.where(at % 2 == 1, f32.type(7), f32.type(3)))


def test_only_dear_guards_are_collected() -> None:
    assert "compressstore" in module_text({"k": powers()})
    assert "compressstore" not in module_text({"k": powers(dear=False)})
    assert "compressstore" not in module_text({"k": powers(lanes=1)})


def test_what_keeps_lanes_from_being_collected() -> None:
    """A store in front of the guard, which may be to an operand; carried values; loops inside."""

    def loop(stores: bool = False, carries: bool = False, nests: bool = False) -> Loop:
        build = Builder()
        with build.loop(0, lanes=16) as loop:
            x = build.load(0, f32)
            total = loop.carry("add", build.const(0, f32)) if carries else ()
            if stores:
                build.store(1, x)
            with build.guard(build.let("gt", x, x), x, dear=True) as guard:
                guard.take(x)
            if nests:
                with build.loop(1):
                    build.store(1, guard.results[0])
            if carries:
                loop.next(*total)
        (found,) = build.body
        assert isinstance(found, Loop)
        return found

    assert dear_guard(loop()) is not None
    assert dear_guard(loop(stores=True)) is None
    assert dear_guard(loop(carries=True)) is None
    assert dear_guard(loop(nests=True)) is None
