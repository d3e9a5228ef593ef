"""User kernels as native steps: no way through Python, one compilation for all shapes, failures."""

import ctypes
import itertools
import threading
from typing import Any

import numba
import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax
from funcflow.backends.numba.backend import CpuBackend
from funcflow.backends.numba.executable import Executable
from funcflow.backends.numba.user_kernels import CHECK, lane_loop, source
from funcflow.backends.program import HostCall, Routine
from funcflow.lax.user_kernel import UserKernel

F64 = np.dtype("float64")


@numba.njit
def reciprocal(x, out):
    for i in range(x.size):
        out[i] = 1.0 / x[i]  # raises for 0, as Python does


kernel = ff.numba_kernel(reciprocal, out=lambda x: x)


def compiled(function: Any, *args: Any) -> Executable:
    """The program of a function on the CPU."""
    return CpuBackend().compile(ff.make_jaxpr(function)(*args))


def test_the_source_of_the_loop():
    text = source(((F64, 1), (F64, 0), (F64, 2)), inputs=2, lane_axes=1, read_only=True)
    assert text == (
        "def lanes(buffers_at, params_at):\n"
        "    buffers = carray(pointer(buffers_at), 3, int64)\n"
        "    params = carray(pointer(params_at), 7, int64)\n"
        "    for lane0 in range(params[0]):\n"
        "        function(\n"
        "            read_only(carray(pointer(buffers[0] + lane0 * params[2]), (params[1], ), "
        "type0)),\n"
        "            carray(pointer(buffers[1] + lane0 * params[3]), (), type1)[()],\n"
        "            carray(pointer(buffers[2] + lane0 * params[6]), (params[4], params[5], ), "
        "type2),\n"
        "        )\n"
    )


def test_a_program_with_a_kernel_is_native_throughout():
    x = np.arange(1.0, 5)
    program = compiled(lambda x: kernel(x * 2) + 1, x).program
    assert not [step for step in program.steps if isinstance(step.work, HostCall)]
    (step,) = [step for step in program.steps if isinstance(step.work, Routine)]
    assert step.checks == (CHECK,) and step.resources


def test_a_new_shape_compiles_nothing():
    f = ff.jit(kernel)
    f(np.ones(3))
    before = lane_loop.cache_info().misses
    for n in (1, 4, 7):
        np.testing.assert_array_equal(f(np.full(n, 2.0)), np.full(n, 0.5))
    assert lane_loop.cache_info().misses == before


def test_lanes_that_are_repeated_are_not_copied():
    @numba.njit
    def add(x, y, out):
        out[:] = x + y

    f = ff.numba_kernel(add, out=lambda x, y: x)
    x, y = np.arange(12.0).reshape(4, 3), np.ones(3)
    run = compiled(ff.vmap(f, (0, None)), x, y)
    assert len(run.program.steps) == 1
    np.testing.assert_array_equal(run(x, y)[0], x + 1)


def test_a_failure_is_raised_once_and_leaves_no_trace():
    run = compiled(kernel, np.ones(2))
    for _ in range(3):
        with pytest.raises(errors.CallbackError, match="ZeroDivisionError"):
            run(np.zeros(2))
        np.testing.assert_array_equal(run(np.ones(2))[0], np.ones(2))
    CHECK.raise_noted()


def test_a_failure_belongs_to_the_thread_that_called():
    run = compiled(kernel, np.ones(100))
    found: dict[bool, set[str]] = {True: set(), False: set()}

    def work(fails: bool) -> None:
        x = np.ones(100)
        x[-1] = not fails
        for _ in range(200):
            try:
                run(x)
                found[fails].add("value")
            except errors.CallbackError:
                found[fails].add("error")

    threads = [threading.Thread(target=work, args=(i % 2 == 0,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {True: {"error"}, False: {"value"}}


def test_loops_with_kernels_are_native_and_fail_all_the_same():
    def program(x, ys):
        return lax.scan(lambda c, y: (kernel(c) + y, c), x, ys)

    run = compiled(program, np.ones(2), np.ones((3, 2)))
    assert run.table is not None
    np.testing.assert_allclose(run(np.ones(2), np.ones((3, 2)))[0], [5 / 3] * 2)
    with pytest.raises(errors.CallbackError, match="reciprocal raised ZeroDivisionError"):
        run(np.ones(2), -np.ones((3, 2)))


def test_a_failure_ends_a_loop_that_would_go_on_for_ever():
    run = compiled(
        lambda x: lax.while_loop(lambda x: x[0] > -2, lambda x: kernel(x), x), np.ones(2)
    )
    with pytest.raises(errors.CallbackError):
        run(np.zeros(2))


def test_a_failure_stops_the_program_before_the_next_host_step():
    seen = []

    def program(x):
        y = kernel(x)
        ff.debug.callback(seen.append, y)
        return y

    run = compiled(program, np.ones(2))
    with pytest.raises(errors.CallbackError):
        run(np.zeros(2))
    assert not seen


calls = itertools.count()
next_call = ctypes.CFUNCTYPE(ctypes.c_int64)(lambda: next(calls))


@numba.njit
def fails_once(x, out):
    if next_call() == 0:
        raise ValueError("once")
    out[:] = x


def test_a_failure_that_does_not_come_again_is_one_all_the_same():
    run = compiled(ff.numba_kernel(fails_once, out=lambda x: x), np.ones(2))
    with pytest.raises(errors.CallbackError, match="an exception, but none when called again"):
        run(np.ones(2))
    assert next(calls) == 2
    np.testing.assert_array_equal(run(np.ones(2))[0], np.ones(2))


def test_an_interrupt_in_the_second_run_is_not_swallowed(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    run = compiled(kernel, np.ones(2))
    monkeypatch.setattr(UserKernel, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(np.zeros(2))


def check_in_python(x):
    if x[0] < 0:
        raise ValueError("a negative number")


@numba.njit
def checked(x, out):
    with numba.objmode():
        check_in_python(x)
    out[:] = x


def test_a_kernel_that_calls_python_is_a_host_step():
    run = compiled(ff.numba_kernel(checked, out=lambda x: x), np.ones(2))
    (step,) = run.program.steps
    assert step.note == "the numba kernel checked calls Python (numba.objmode)"
    np.testing.assert_array_equal(run(np.ones(2))[0], np.ones(2))
    with pytest.raises(errors.CallbackError, match="raised ValueError: a negative number"):
        run(-np.ones(2))
