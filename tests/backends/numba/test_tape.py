"""Tapes as native steps, kernels and tables, against the reference; and what can fail."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.backends.numba import tape
from funcflow.backends.numba.backend import program_of
from funcflow.backends.program import HostCall

RNG = np.random.default_rng(0)
SMALL, LARGE = (RNG.standard_normal((n, n)) / n for n in (3, 30))


def loop(n, weights, x):
    step = lambda s: (s[0] + 1, fnp.tanh(s[1] @ weights) + 0.1 * s[1])  # noqa: E731
    return fnp.sum(lax.while_loop(lambda s: s[0] < n, step, (0, x))[1])


def steps_of(function, *args):
    program = program_of(ff.jit(function).lower(*args).jaxpr)
    assert not any(isinstance(step.work, HostCall) for step in program.steps)
    return [s for s in program.steps if s.note.startswith("tape")]


def agree(function, *args):
    got = ff.jit(function)(*args)
    with ff.config(backend="reference"):
        expected = ff.jit(function)(*args)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10, atol=1e-12)


CASES = {
    "kernel": (SMALL, "one kernel, with the state in registers"),
    "tables": (LARGE, "tables of steps, since"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("steps", [-1, 0, 1, 2, 3, 50])
def test_numbers_of_steps(name, steps):
    weights, note = CASES[name]
    x = RNG.standard_normal(len(weights))
    gradient = ff.grad(loop, (1, 2))
    agree(gradient, steps, weights, x)
    (step,) = steps_of(gradient, steps, weights, x)
    assert note in step.note


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lanes", [1, 2, 9, 300])
def test_lanes(name, lanes):
    weights, _ = CASES[name]
    counts = RNG.integers(-1, 12, lanes)
    xs = RNG.standard_normal((lanes, len(weights)))
    for axes in ((0, None, 0), (None, None, 0)):
        n = counts if axes[0] == 0 else 5
        mapped = ff.vmap(loop, axes)
        agree(ff.vmap(ff.grad(loop, (1, 2)), axes), n, weights, xs)
        agree(ff.grad(lambda w, x, m=mapped, n=n: fnp.sum(m(n, w, x)), (0, 1)), weights, xs)


def test_a_start_that_is_part_of_an_array():
    def f(n, xs):
        return loop(n, LARGE, xs[1]) + loop(n, SMALL, xs[2, 3:6])

    agree(ff.grad(f, 1), 3, RNG.standard_normal((4, 30)))


def test_lanes_are_kernels():
    counts, xs = RNG.integers(0, 9, 40), RNG.standard_normal((40, 3))
    for mapped, axes in (
        (ff.grad(loop, (1, 2)), (0, None, 0)),
        (ff.grad(loop, 2), (None, None, 0)),
    ):
        n = counts if axes[0] == 0 else 5
        (step,) = steps_of(ff.vmap(mapped, axes), n, SMALL, xs)
        assert "one kernel" in step.note
    total = ff.grad(lambda w: fnp.sum(ff.vmap(loop, (0, None, 0))(counts, w, xs)))
    (step,) = steps_of(total, SMALL)
    assert "one kernel" in step.note


def test_threads_do_not_matter():
    from funcflow.backends.numba import threads

    counts, xs = RNG.integers(0, 400, 500), RNG.standard_normal((500, 3))
    f = ff.jit(ff.vmap(ff.grad(loop, (1, 2)), (0, None, 0)))
    expected = ff.tree.map(np.asarray, f(counts, SMALL, xs))
    with threads.limit(1):
        for x, y in zip(f(counts, SMALL, xs), expected, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(dtype):
    def f(n, x, y):
        step = lambda s: (s[0] + 1, s[1] * s[2].astype(dtype), s[2] * s[2] + s[1])  # noqa: E731
        out = lax.while_loop(lambda s: s[0] < n, step, (0, x, y))
        return fnp.sum(out[1]).astype("float64") + fnp.sum(out[2]).astype("float64")

    x, y = np.asarray([0.5, 0.25], dtype), np.asarray([0.5, 0.75])
    gradient = ff.grad(f, (1, 2))
    with ff.config(backend="reference"):
        expected = ff.jit(gradient)(4, x, y)
    for got, other in zip(ff.jit(gradient)(4, x, y), expected, strict=True):
        np.testing.assert_allclose(got, other, rtol=2e-2 if dtype == "float16" else 1e-6)


def test_bodies_with_host_steps_are_run_by_python():
    def f(n, x):
        def step(s):
            half = ff.pure_callback(lambda x: x / 2, ff.ShapeDtypeStruct((), "float64"), 1.0)
            return s[0] + 1, s[1] * half

        return lax.while_loop(lambda s: s[0] < n, step, (0, x))[1]

    assert float(ff.jit(ff.grad(f, 1))(3, np.float64(1))) == 1 / 8


@pytest.mark.parametrize("name", CASES)
def test_a_tape_that_is_too_long(monkeypatch, name):
    weights, _ = CASES[name]
    monkeypatch.setattr(tape, "_most_bytes", lambda: 10_000)
    f = ff.jit(ff.grad(lambda x: loop(1000, weights, x)))
    with pytest.raises(
        errors.OutOfMemoryError, match=r"half of the machine(.|\n)*checkpoint='log'"
    ):
        f(np.ones(len(weights)))
    kept = ff.jit(ff.grad(lambda x: loop(2, weights, x)))  # the failure is not remembered
    agree(kept, np.ones(len(weights)))


def test_the_memory_is_given_back():
    resource = pytest.importorskip("resource")  # not on Windows
    f = ff.jit(ff.grad(loop, 2))
    x = np.ones(3)
    f(1_000_000, SMALL, x)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(8):
        f(1_000_000, SMALL, x)
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
    )  # kB; a tape has 24 MB


def test_several_threads_at_once():
    f = ff.jit(ff.grad(loop, 2))
    xs = RNG.standard_normal((8, 3))
    expected = [np.asarray(f(100 + i, SMALL, x)) for i, x in enumerate(xs)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            found = pool.map(lambda i: np.asarray(f(100 + i, SMALL, xs[i])), range(8))
            for x, y in zip(found, expected, strict=True):
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("seed", range(12))
def test_random_loops(seed):
    """Bodies of random operations on numbers and vectors, in lanes and not."""
    rng = np.random.default_rng(seed)
    ops = [
        *(lambda a, b: a * b, lambda a, b: fnp.sin(a) + b, lambda a, b: a - 0.3 * b),
        *(lambda a, b: fnp.tanh(a * b), lambda a, b: fnp.where(a > b, a, b * 0.5)),
        *(lambda a, b: a / (1 + b * b), lambda a, b: fnp.cumsum(a + b, -1) * 0.2),
        *(lambda a, b: a[::-1] + b, lambda a, b: fnp.sum(a) * b),
    ]
    chosen = rng.integers(0, len(ops), 5)
    which = rng.integers(0, 3, (5, 3))

    def f(n, w, x):
        def step(s):
            i, *values = s
            values = [*values, w]
            for op, (a, b, to) in zip(chosen, which, strict=True):
                values[to % 2] = ops[op](values[a], values[b])
            return i + 1, *(0.9 * v for v in values[:2])

        out = lax.while_loop(lambda s: s[0] < n, step, (0, x, x * w))
        return fnp.sum(out[1] * out[2])

    w, x = rng.standard_normal((2, 3))
    agree(ff.grad(f, (1, 2)), 7, w, x)
    agree(ff.jacfwd(ff.grad(f, (1, 2)), (1, 2)), 4, w, x)
    counts, xs = rng.integers(0, 9, 10), rng.standard_normal((10, 3))
    agree(ff.vmap(ff.grad(f, (1, 2)), (0, None, 0)), counts, w, xs)
    agree(ff.grad(lambda w: fnp.sum(ff.vmap(f, (0, None, 0))(counts, w, xs))), w)


def test_sums_over_parts_of_an_array_change_in_place():
    """A table of which each step reads a row: no step back touches all of it."""
    w, table = np.eye(200), np.random.default_rng(0).standard_normal((3000, 200))

    def f(table):
        def step(s):
            return s[0] + 1, fnp.tanh(s[1] @ w + table[7 * s[0]])

        return fnp.sum(lax.while_loop(lambda s: s[0] < 5, step, (0, fnp.ones(200, "f8")))[1])

    agree(ff.grad(f), table)
    explanation = ff.jit(ff.grad(f)).explain(table)
    assert "carried values change in place" in str(explanation)
    for body in explanation.inner:
        assert not [s for s in body.steps if s.is_copy and "3000" in s.result]
