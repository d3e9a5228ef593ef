"""Reductions over windows: short ones equal the reference implementation bit for bit."""

import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.pooling import LOWERINGS
from funcflow.backends.program import HostCall
from funcflow.core import rules
from funcflow.lax.window import (
    reduce_window_max_p,
    reduce_window_min_p,
    reduce_window_sum_p,
    window_winners_p,
)
from funcflow.lax.window_shapes import Window

REDUCTIONS = [reduce_window_max_p, reduce_window_min_p, reduce_window_sum_p]
DTYPES: list[Any] = ["f4", "f8", "i4", "u1", "i8", "f2", ml_dtypes.bfloat16, "?"]


def random_window(pick: random.Random, shape: tuple[int, ...]) -> Window:
    """Windows of which there is at least one."""
    while True:
        window = _random_window(pick, len(shape))
        if 0 not in window.shape(shape):
            return window


def _random_window(pick: random.Random, rank: int) -> Window:
    def each(share: float, *choices: int) -> tuple[int, ...]:
        return tuple(pick.choice(choices) if pick.random() < share else 1 for _ in range(rank))

    kind = pick.random()
    pads = [(pick.randint(-1, 2), pick.randint(-1, 2)) for _ in range(rank)]
    return Window(
        each(0.6, 2, 3),
        each(0.6, 2, 3),
        tuple(p if kind < 0.5 and pick.random() < 0.5 else (0, 0) for p in pads),
        each(0.3 if kind < 0.3 else 0.0, 2, 3),
        each(0.3 if 0.2 < kind < 0.7 else 0.0, 2),
    )


def random_array(pick: random.Random, dtype: Any) -> np.ndarray:
    shape = [pick.randint(4, 7) for _ in range(pick.choice([1, 2, 3, 4]))]
    shape[-1] = pick.choice([4, 16, 33])
    rng = np.random.default_rng(pick.randrange(1 << 30))
    x = rng.integers(-3, 4, shape).astype(dtype)  # with equal elements
    if np.dtype(dtype).kind in "fV" and pick.random() < 0.7:
        x = np.where(rng.random(shape) < 0.5, x, rng.standard_normal(shape)).astype(dtype)
        x[rng.random(shape) < 0.1] = pick.choice([np.nan, -0.0, np.inf, -np.inf])
    return x


def run(lowering: Any, primitive: Any, x: np.ndarray, **params: Any) -> tuple[Any, np.ndarray]:
    program = lowering.lowered(lambda x: primitive.bind(x, **params), (x,), LOWERINGS)
    (got,) = lowering.run(program, x)
    return program, got


def check(lowering: Any, primitive: Any, x: np.ndarray, **params: Any) -> None:
    program, got = run(lowering, primitive, x, **params)
    with np.errstate(invalid="ignore"):  # of comparisons with NaN
        want = rules.impl[primitive](np, x, **params)
    assert got.dtype == want.dtype
    assert not any(isinstance(step.work, HostCall) for step in program.steps)
    if got.dtype.kind in "fV":
        got, want = got.astype(np.float64), want.astype(np.float64)
        nan = np.isnan(got)
        np.testing.assert_array_equal(np.signbit(got[~nan]), np.signbit(want[~nan]))
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("primitive", "dtype"),
    # truth values have no sum
    [(p, t) for p in REDUCTIONS for t in DTYPES if t != "?" or p is not reduce_window_sum_p],
    ids=str,
)
def test_random_reductions(lowering: Any, primitive: Any, dtype: Any) -> None:
    pick = random.Random(f"{primitive} {dtype}")
    for _ in range(4):
        x = random_array(pick, dtype)
        check(lowering, primitive, x, **random_window(pick, x.shape)._asdict())


@pytest.mark.parametrize("dtype", DTYPES[:-1], ids=str)
@pytest.mark.parametrize("select", ["max", "min"])
def test_random_winners(lowering: Any, select: str, dtype: Any) -> None:
    pick = random.Random(f"{select} {dtype}")
    for _ in range(4):
        x = random_array(pick, dtype)
        window = random_window(pick, x.shape)
        check(lowering, window_winners_p, x, select=select, batch_dims=0, **window._asdict())


def test_winners_of_a_batch(lowering: Any) -> None:
    """Indices do not count the batch's axes."""
    x = random_array(random.Random(0), "f4")[None].repeat(3, 0)
    window = random_window(random.Random(1), x.shape[1:]).insert_axis(0)
    check(lowering, window_winners_p, x, select="max", batch_dims=1, **window._asdict())


def pool(size: int, stride: int, padding: Any = ((0, 0),) * 4) -> dict[str, Any]:
    ones = (1, 1, 1, 1)
    return Window((1, size, size, 1), (1, stride, stride, 1), padding, ones, ones)._asdict()


def test_large_windows_are_reduced_axis_by_axis(lowering: Any) -> None:
    x = np.random.default_rng(0).integers(0, 9, (2, 14, 15, 16)).astype(np.float32)
    for primitive in REDUCTIONS:
        program, got = run(lowering, primitive, x, **pool(10, 2))
        assert [s.note for s in program.steps] == ["windows of 1x1x10x1", "windows of 1x10x1x1"]
        np.testing.assert_array_equal(got, rules.impl[primitive](np, x, **pool(10, 2)))


def test_large_windows_of_half_floats_are_rounded_once(lowering: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 14, 15, 16)).astype(np.float16)
    program, got = run(lowering, reduce_window_sum_p, x, **pool(10, 2))
    assert program.steps[0].writes[0].dtype == np.float32
    want = rules.impl[reduce_window_sum_p](np, x, **pool(10, 2))
    np.testing.assert_allclose(got.astype("f4"), want.astype("f4"), rtol=2e-3, atol=1e-3)


def test_one_kernel_serves_all_shapes(lowering: Any) -> None:
    texts = set()
    for shape in ((2, 8, 8, 16), (3, 9, 12, 7)):
        x = np.ones(shape, np.float32)
        program, _ = run(lowering, reduce_window_max_p, x, **pool(2, 2))
        (step,) = program.steps
        assert isinstance(step.work, Kernel)
        texts.add(step.work.text)
    assert len(texts) == 1


@pytest.mark.parametrize("padding", [((0, 0),) * 4, ((0, 0), (1, 1), (1, 1), (0, 0))])
@pytest.mark.parametrize("kind", ["max", "sum"])
def test_gradients_of_pooling(lowering: Any, kind: str, padding: Any) -> None:
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 16)).astype(np.float32)
    primitive = {"max": reduce_window_max_p, "sum": reduce_window_sum_p}[kind]
    gradient = ff.grad(lambda x: (primitive.bind(x, **pool(3, 2, padding)) ** 2).sum())
    program = lowering.lowered(gradient, (x,), LOWERINGS)
    assert sum(isinstance(s.work, Kernel) and "windows" in s.note for s in program.steps) == 2
    np.testing.assert_allclose(lowering.run(program, x)[0], gradient(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("primitive", "x", "params", "reason"),
    [
        (reduce_window_sum_p, np.ones((0, 3, 3, 1), np.float32), pool(2, 1), "no windows"),
        (reduce_window_sum_p, np.ones((1, 1, 1, 1), np.float32), pool(2, 1), "no windows"),
        (reduce_window_sum_p, np.ones((1, 3, 3, 1), np.complex64), pool(2, 1), "complex numbers"),
        (
            reduce_window_max_p,
            np.ones((1, 70, 70, 1), np.float32),
            pool(65, 1),
            "a window of 65 elements",
        ),
        (
            window_winners_p,
            np.ones((1, 9, 9, 1), np.float32),
            {**pool(9, 1), "select": "max", "batch_dims": 0},
            "a window of 81 elements",
        ),
        (
            window_winners_p,
            np.ones((1, 3, 3, 1), np.bool_),
            {**pool(2, 1), "select": "max", "batch_dims": 0},
            "the place of a maximum of truth values",
        ),
    ],
)
def test_what_is_left_to_python(
    lowering: Any, primitive: Any, x: Any, params: Any, reason: str
) -> None:
    program = lowering.lowered(lambda x: primitive.bind(x, **params), (x,), LOWERINGS)
    assert [step.note for step in program.steps] == [reason]
    (got,) = lowering.run(program, x)
    np.testing.assert_array_equal(got, rules.impl[primitive](np, x, **params))
