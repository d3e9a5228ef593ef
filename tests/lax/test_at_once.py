"""Loops outside of all programs: which are compiled, and that nothing else changes."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import executables
from funcflow.lax import at_once

X = np.linspace(0.1, 0.9, 3, dtype=np.float32)
MOST = 200


@pytest.fixture
def programs(monkeypatch):
    """What was compiled; a loop of more operations than 200 is long."""
    found = []
    monkeypatch.setattr(at_once, "MOST_OPERATIONS", MOST)
    monkeypatch.setattr(executables, "observers", [found.append])
    ff.clear_caches()
    return found


def steps(n):
    return lambda x: lax.fori_loop(0, n, lambda i, x: fnp.sin(x) + 0.1, x)


def until(limit):
    return lambda x: lax.while_loop(lambda x: x[0] < limit, lambda x: x * 1.5, x)


def evaluated(function, *args):
    with ff.disable_jit():
        return function(*args)


def test_short_loops_are_evaluated(programs):
    np.testing.assert_array_equal(steps(5)(X), evaluated(steps(5), X))
    assert programs == []


def test_long_loops_and_those_of_unknown_length_are_compiled(programs):
    expected = evaluated(steps(1000), X), evaluated(until(1e6), X)
    assert programs == []
    np.testing.assert_allclose(steps(1000)(X), expected[0], rtol=1e-5)
    assert programs == ["scan, outside of jit"]
    steps(1000)(X)
    assert len(programs) == 1  # it is known
    np.testing.assert_allclose(until(1e6)(X), expected[1], rtol=1e-5)
    assert programs[1:] == ["while, outside of jit"]


@pytest.mark.parametrize(
    "around, x",
    [
        (lambda f: lambda x: lax.cond(x[0] > 0, f, lambda x: x, x), X),
        (ff.checkpoint, X),
        (lambda f: lambda x: lax.fori_loop(0, 2, lambda i, x: f(x), x), X),
        (ff.vmap, np.stack([X, 2 * X])),
    ],
    ids=["cond", "checkpoint", "scan", "vmap"],
)
def test_loops_inside_of_others_count(around, x, programs):
    np.testing.assert_array_equal(around(steps(2))(x), evaluated(around(steps(2)), x))
    assert programs == []
    expected = evaluated(around(steps(500)), x)
    np.testing.assert_allclose(around(steps(500))(x), expected, rtol=1e-5)
    assert len(programs) == 1


@pytest.mark.parametrize(
    "loop, kinds",
    [(steps(300), ["scan"]), (until(100.0), ["while", "reverse_while"])],
    ids=["scan", "while"],
)
def test_derivatives_of_long_loops_are_compiled(loop, kinds, programs):
    def gradient(x):
        return ff.grad(lambda x: fnp.sum(loop(x)))(x)

    expected = evaluated(gradient, X)
    assert programs == []
    np.testing.assert_allclose(gradient(X), expected, rtol=1e-4)
    assert {p.split(",")[0] for p in programs} == set(kinds)


def test_results_keep_their_types(programs):
    for x in (np.int8(1), 2, 2.0, np.float64(2)):
        results = [lax.fori_loop(0, n, lambda i, x: x * 1, x) for n in (2, 300)]
        assert len({str(ff.typeof(r)) for r in results}) == 1
    assert len(programs) == 4


def test_what_a_long_loop_prints_comes_in_order(programs, capsys):
    lax.fori_loop(0, MOST, lambda i, x: (ff.debug.print("{}", i), x * 2)[1], X)
    assert capsys.readouterr().out.split() == [str(i) for i in range(MOST)]
    assert programs


def test_nans_in_long_loops_are_found(programs):
    def f(x):
        return lax.fori_loop(0, 500, lambda i, x: fnp.log(x), x)

    with ff.debug_nans(), pytest.raises(FloatingPointError, match="iteration"):
        f(X)
