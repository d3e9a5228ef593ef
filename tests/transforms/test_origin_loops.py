"""The iteration of a loop in which a NaN comes to be."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.executables import compiled
from funcflow.core.jaxpr import JaxprEqn
from funcflow.transforms import origin_loops
from funcflow.transforms.origin import origin_in
from funcflow.transforms.whereabouts import Element, Origin


def found(function, *args, result=0, index=()):
    """The origin of a NaN in a result of a flat function."""
    args = [np.asarray(x) for x in args]
    closed = ff.make_jaxpr(function)(*args)
    return origin_in(closed, args, Element(result, index))


def frames(function, *args, **place):
    origin = found(function, *args, **place)
    assert isinstance(origin, Origin) and isinstance(origin.eqn, JaxprEqn)
    return [frame.number for frame in origin.context]


N = 1000


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bad", [0, 1, 30, 31, 32, 500, N - 2, N - 1])
def test_every_iteration_is_found(reverse, bad):
    xs = np.ones(N, np.float32)
    xs[bad] = -1

    def f(xs):
        return lax.scan(lambda c, x: (c + fnp.sqrt(x), c), 0.0, xs, reverse=reverse)

    assert frames(f, xs) == [bad]
    if 0 < bad < N - 1:  # the stacked carries are NaN from the next one on
        last = 0 if reverse else N - 1
        assert frames(f, xs, result=1, index=(last,)) == [bad]


def test_a_nan_that_moves_through_the_carry():
    def step(c, i):
        c = fnp.roll(c, 1)
        return c.at[0].set(fnp.where(i == 217, fnp.sqrt(-c[0] - 1), c[0])), None

    def f(c):
        return lax.scan(step, c, fnp.arange(N))[0]

    c = f(fnp.zeros(5))
    index = tuple(map(int, np.argwhere(np.isnan(c))[0]))
    assert frames(f, np.zeros(5, np.float32), index=index) == [217]


def test_a_nan_that_moves_from_one_value_to_another():
    def step(c, i):
        a, b = c
        return (fnp.where(i == 700, fnp.log(-1.0 - b * b), a), fnp.where(i == 800, a, b)), None

    def f(a, b):
        return lax.scan(step, (a, b), fnp.arange(N))[0]

    assert frames(f, np.float32(1), np.float32(1), result=1) == [700]


def test_a_nan_that_comes_in():
    def f(c, xs, w):
        return lax.scan(lambda c, x: (c * w + x, c), c, xs)

    one, xs = np.float32(1), np.ones(N, np.float32)
    bad = xs.copy()
    bad[5] = np.nan
    assert found(f, np.float32(np.nan), xs, one) == Element(0, ())
    assert found(f, one, bad, one) == Element(1, (5,))
    assert found(f, one, xs, np.float32(np.nan), result=1, index=(7,)) == Element(2, ())


def test_a_sentinel_in_the_carry_is_not_to_blame():
    def f(best, xs):
        return lax.scan(lambda c, x: ((c[0], fnp.sqrt(x)), None), (best, 0.0), xs)[0]

    xs = np.linspace(1, -1, N, dtype=np.float32)
    assert frames(f, np.float32(np.nan), xs, result=1) == [N // 2]


@pytest.mark.parametrize("count", [3, 100, 1000])
def test_while_loops(count):
    def f(x):
        def step(s):
            i, x = s
            return i + 1, fnp.where(i == count // 2, fnp.log(-x), x)

        return lax.while_loop(lambda s: s[0] < count, step, (0, x))[1]

    assert frames(f, np.float32(1)) == [count // 2]


def test_loops_in_pieces_count_as_one():
    x = np.arange(40, dtype=np.float32)
    ways = [{"checkpoint": 7}, {"checkpoint": 8}, {"progress": "p"}]
    ways += [{"progress": "p", "checkpoint": 3}, {"progress": "p", "checkpoint": 4}]
    for way in ways:
        for reverse in (False, True):

            def f(xs, way=way, reverse=reverse):
                def step(c, x):
                    return c + fnp.where(x == 38, fnp.log(38 - x) * 0, 0), fnp.log(20.5 - x)

                return lax.scan(step, 0.0, xs, reverse=reverse, **way)

            assert frames(f, x, result=1, index=(21,)) == [21]
            assert frames(f, x) == [38]
            assert frames(ff.grad(lambda x, f=f: f(x)[0]), x, index=(38,)) == [38]


def test_long_loops_are_run_in_pieces(monkeypatch):
    calls = []

    def counted(closed):
        run = compiled(closed)
        return lambda *args: calls.append(1) or run(*args)

    def f(x):
        def step(i, x):
            return fnp.where(i == 71_234, fnp.sqrt(x - 5), x)

        return lax.fori_loop(0, 100_000, step, x)

    monkeypatch.setattr(origin_loops, "compiled", counted)
    assert frames(f, np.float32(1)) == [71_234]
    assert len(calls) < 1000
