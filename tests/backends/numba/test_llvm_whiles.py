"""Whiles in printed kernels: each lane goes to its own end."""

from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_ir import INDEX, UNIT, Builder, Kernel, Operand
from funcflow.backends.numba.llvm import module_text

f32 = np.dtype(np.float32)


def operand(*strides: Any, written: bool = False) -> Operand:
    return Operand(f32, strides, written)


def halvings(lanes: int) -> Kernel:
    """How often x can be halved before it is at most y, and what is left."""
    build = Builder()
    with build.loop(0, lanes=lanes):
        y = build.load(1, f32)
        start = build.const(0, f32), build.load(0, f32)

        def halve(carry: tuple[Any, ...]) -> list[Any]:
            count, x = carry
            half = build.let("mul", x, build.const(0.5, f32))
            return [build.let("add", count, build.const(1, f32)), half]

        found = build.while_loop(start, lambda carry: build.let("gt", carry[1], y), halve)
        build.store(2, found[0])
        build.store(3, found[1])
    views = operand(UNIT), operand(UNIT), operand(UNIT, written=True), operand(UNIT, written=True)
    return Kernel(1, views, (), build.body)


@pytest.mark.parametrize("lanes", [1, 16])
def test_each_lane_of_a_while_goes_to_its_own_end(compiled: Any, lanes: int) -> None:
    library = compiled(k=halvings(lanes))
    for n in (0, 1, 5, 16, 37):
        x = np.exp2(np.arange(n) % 11).astype(f32)
        y, count, left = np.full(n, 1.5, f32), np.zeros(n, f32), np.zeros(n, f32)
        library.run("k", (n,), [x, y, count, left])
        expected = (np.arange(n) % 11).astype(f32)
        assert np.array_equal(count, expected)
        assert np.array_equal(left, x / np.exp2(expected))


def test_what_all_lanes_count_alike_is_no_vector() -> None:
    build = Builder()
    with build.loop(0, lanes=16):
        x, end, one = build.load(0, f32), build.const(9, INDEX), build.const(1, INDEX)
        _, power = build.while_loop(
            [build.const(0, INDEX), x],
            lambda carry: build.let("lt", carry[0], end),
            lambda carry: [build.let("add", carry[0], one), build.let("mul", carry[1], x)],
        )
        build.store(1, power)
    views = operand(UNIT), operand(UNIT, written=True)
    text = module_text({"k": Kernel(1, views, (), build.body)})
    assert "phi i64" in text
    assert "phi <16 x i64>" not in text
    assert "phi <16 x float>" in text
