"""Subnormal numbers: exact as a rule, zeros on request, in all threads, and in no other code."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.numba import subnormals, threads

if not subnormals.BITS:
    pytest.skip("this processor has no such mode", allow_module_level=True)

SMALLEST = {"float32": np.float32(1.2e-38), "float64": np.float64(2.3e-308)}


@pytest.mark.parametrize("dtype", SMALLEST)
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_results_are_flushed_in_all_threads(dtype, size):
    f, x = ff.jit(lambda x: x / 4), np.full(size, SMALLEST[dtype])
    exact = x / 4
    assert exact.all()
    with threads.limit(2):
        np.testing.assert_array_equal(f(x), exact)
        with ff.config(flush_denormals=True):
            assert not np.asarray(f(x)).any()
            np.testing.assert_array_equal(x / 4, exact)  # NumPy computes as before
        np.testing.assert_array_equal(f(x), exact)


def test_operands_are_flushed():
    f, x = ff.jit(lambda x: x * 2.0**20), np.float32(1e-40)
    assert f(x) == x * np.float32(2**20)
    with ff.config(flush_denormals=True):
        assert f(x) == 0


def test_loops_and_products():
    weights = np.eye(80, dtype="float32") * np.float32(0.5)

    def f(n, x):
        step = lambda x, _: (fnp.tanh(x @ weights), None)  # noqa: E731
        x = lax.scan(step, x, None, length=100)[0]
        return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] @ weights), (0, x))[1]

    x, g = np.ones((4, 80), "float32"), ff.jit(f)
    exact = g(40, x)
    assert 0 < np.abs(exact).max() < 1e-38
    with ff.config(flush_denormals=True):
        assert not np.asarray(g(40, x)).any()


def test_loops_that_python_runs():
    def f(x):
        def step(x, _):
            ff.debug.callback(lambda x: None, x)
            return x / 4, None

        return lax.scan(step, x, None, length=3)[0]

    x = SMALLEST["float32"]
    assert ff.jit(f)(x) == x / 64
    with ff.config(flush_denormals=True):
        assert ff.jit(f)(x) == 0


def test_an_error_leaves_the_mode_as_it_was():
    def fails(x):
        raise ValueError

    f = ff.jit(lambda x: ff.pure_callback(fails, ff.ShapeDtypeStruct((), "float32"), x / 4))
    with ff.config(flush_denormals=True), pytest.raises(ff.errors.CallbackError):
        f(np.float32(1))
    assert np.float32(1e-40) * np.float32(1) != 0
