"""The short way for eager operations gives what the general way gives."""

import threading
import timeit
import warnings

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core.array import WeakArray
from funcflow.core.eager import fast_binary, fast_unary, keeps_dtype, operators, reduce_now
from funcflow.errors import NaNError, ShapeError


class Taken(Exception):
    """Raised by a general function, to see that it is asked."""


def general(*args):
    raise Taken


@fast_unary(np.sin, "f")
def sine(x):
    """The sine."""
    return general(x)


@fast_binary(np.add, "fi")
def plus(x, y):
    """The sum."""
    return general(x, y)


FLOATS = fnp.array([1.0, 2.0])


def test_the_short_way_is_taken():
    assert sine(FLOATS).tolist() == np.sin(np.float32([1, 2])).tolist()
    assert plus(FLOATS, FLOATS).tolist() == [2, 4]
    assert plus(FLOATS, 1).dtype == "float32"
    assert plus(fnp.arange(2), 1).tolist() == [1, 2]
    assert plus(1.5, FLOATS).tolist() == [2.5, 3.5]
    assert sine(FLOATS[0]).shape == ()


@pytest.mark.parametrize(
    "call",
    [
        lambda: sine(fnp.arange(2)),
        lambda: sine(2.0),
        lambda: sine(np.ones(2)),
        lambda: sine(fnp.ones(2, "bfloat16")),
        lambda: sine(WeakArray(np.ones(2, "float32"))),
        lambda: ff.jit(sine)(FLOATS),
        lambda: ff.vmap(sine)(FLOATS),
        lambda: ff.grad(sine)(1.0),
        lambda: plus(FLOATS, fnp.arange(2)),
        lambda: plus(fnp.arange(2), 1.5),
        lambda: plus(FLOATS, 1j),
        lambda: plus(FLOATS, np.ones(2, "float32")),
        lambda: plus(1.0, fnp.arange(2)),
        lambda: plus(1.0, 2.0),
        lambda: plus(np.ones(2), FLOATS),
        lambda: plus(FLOATS, fnp.ones(3)),
        lambda: plus(fnp.ones(2, "int8"), 300),
        lambda: plus(fnp.ones(2, bool), fnp.ones(2, bool)),
    ],
)
def test_the_general_way_is_taken(call):
    with pytest.raises(Taken):
        call()


def test_debug_nans_takes_the_general_way():
    with pytest.raises(NaNError, match="log"), ff.debug_nans():
        fnp.log(fnp.array([-1.0]))


def test_names_and_docstrings_are_kept():
    assert (sine.__name__, sine.__doc__) == ("sine", "The sine.")
    assert plus.__doc__ == "The sum."


def test_operators_defer():
    asked = []

    def defer(function):
        def operator(x, y):
            asked.append((x, y))
            return NotImplemented

        return operator

    forward, reflected = operators(plus, defer)
    assert forward(FLOATS, FLOATS).tolist() == [2, 4]
    assert reflected(FLOATS, 1.5).tolist() == [2.5, 3.5]
    assert forward(FLOATS, "text") is NotImplemented
    assert reflected(FLOATS, "text") is NotImplemented
    assert len(asked) == 2


def test_reflected_operands_are_in_order():
    assert (1 - FLOATS).tolist() == [0, -1]
    assert (2 / FLOATS).tolist() == [2, 1]
    assert (2.0**FLOATS).tolist() == [2, 4]


def test_reductions():
    assert reduce_now(np.add.reduce, FLOATS, None, False, "f").tolist() == 3
    assert reduce_now(np.add.reduce, FLOATS, 0, True, "f").tolist() == [3]
    assert reduce_now(np.add.reduce, FLOATS, 1, False, "f") is None
    assert reduce_now(np.add.reduce, fnp.arange(2), None, False, "f") is None
    assert reduce_now(np.add.reduce, fnp.ones(2, "float16"), None, False, "f") is None
    assert reduce_now(np.add.reduce, np.ones(2), None, False, "f") is None


def test_python_scalars_that_keep_the_dtype():
    assert keeps_dtype(FLOATS, 1) and keeps_dtype(FLOATS, 1.5) and not keeps_dtype(FLOATS, 1j)
    assert keeps_dtype(fnp.arange(2), 1) and not keeps_dtype(fnp.arange(2), 1.5)
    assert not keeps_dtype(FLOATS, True)
    assert not keeps_dtype(FLOATS, np.float32(1))
    assert not keeps_dtype(WeakArray(np.ones(2)), 1.0)


def test_no_warnings_in_any_thread():
    def work():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            results.append(fnp.log(-FLOATS) + 1 / (FLOATS - 1) + fnp.sum(FLOATS * np.inf))

    results = []
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3


def test_numpys_settings_are_left_alone():
    before = np.geterr()
    fnp.log(-FLOATS)
    assert np.geterr() == before


def test_errors_come_from_the_general_way():
    with pytest.raises(ShapeError, match="do not broadcast"):
        fnp.add(fnp.ones(2), fnp.ones(3))


@pytest.mark.parametrize("operation", ["x + y", "xp.sin(x)", "x[2]", "xp.sum(x)"])
def test_overhead(operation):
    def best(xp):
        x, y = xp.ones(10, "float32"), xp.ones(10, "float32")
        timer = timeit.Timer(operation, globals={"xp": xp, "x": x, "y": y})
        return min(timer.repeat(20, 500)) / 500

    # the aim is one microsecond; machines that run tests may be busy
    assert best(fnp) - best(np) < 5e-6
