"""Loops and branches under `vmap`, each lane with a condition of its own, against a Python loop."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

RNG = np.random.default_rng(0)
LANES = [0, 1, 2, 7, 9, 40]


def repeated(x, n):
    """Each lane has a number of steps of its own."""
    return lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] * 0.5 + 1), (0, x))


def doubled(x):
    """How often a lane doubles is up to its value."""
    return lax.while_loop(lambda x: fnp.sum(x) < 8, lambda x: x * 2, x)


def branched(i, x):
    branches = [fnp.sin, lambda x: x * x + 1, lambda x: fnp.sqrt(fnp.abs(x)) - x]
    return lax.switch(i, branches, x)


def nested(x, n):
    def step(c):
        i, x = c
        x = lax.cond(x.sum() > 1, lambda x: x * 0.5, lambda x: fnp.exp(x) - 0.5, x)
        x = lax.fori_loop(0, i, lambda _, x: x + 0.25, x)
        return i + 1, x

    return lax.while_loop(lambda c: c[0] < n, step, (0, x))[1]


def stack(results):
    return [np.stack(column) for column in zip(*map(ff.tree.leaves, results), strict=True)]


def check(function, *args, rtol=1e-6):
    """`vmap` eagerly and compiled, against a Python loop over the lanes."""
    mapped = ff.vmap(function)
    eager, compiled = mapped(*args), ff.jit(mapped)(*args)
    for x, y in zip(ff.tree.leaves(eager), ff.tree.leaves(compiled), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)
    lanes = len(args[0])
    if lanes:
        expected = stack([function(*[x[i] for x in args]) for i in range(lanes)])
        for x, y in zip(ff.tree.leaves(eager), expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol)


def numbers(*shape):
    return RNG.uniform(0.1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("lanes", LANES)
def test_lanes(lanes):
    steps = RNG.integers(0, 6, lanes)
    check(repeated, numbers(lanes), steps)
    check(repeated, numbers(lanes, 3), steps)
    check(doubled, numbers(lanes, 3))
    check(branched, RNG.integers(-1, 4, lanes), numbers(lanes, 2))
    check(nested, numbers(lanes, 2), steps)


def test_lanes_of_lanes():
    x, steps = numbers(4, 5, 2), RNG.integers(0, 4, (4, 5))
    expected = [[nested(x[i, j], steps[i, j]) for j in range(5)] for i in range(4)]
    mapped = ff.vmap(ff.vmap(nested))
    for function in (mapped, ff.jit(mapped)):
        np.testing.assert_allclose(function(x, steps), expected, rtol=1e-6)
    swapped = ff.vmap(ff.vmap(nested), in_axes=1, out_axes=1)(x, steps)
    np.testing.assert_allclose(swapped, expected, rtol=1e-6)


def test_the_index_may_be_mapped_and_the_operand_not():
    index, x = np.array([0, 2, 1, 0]), numbers(3)
    got = ff.vmap(branched, in_axes=(0, None))(index, x)
    np.testing.assert_allclose(got, [branched(i, x) for i in index], rtol=1e-6)
    got = ff.vmap(lambda n: repeated(x, n))(index)
    np.testing.assert_allclose(got[1], [repeated(x, n)[1] for n in index], rtol=1e-6)


@pytest.mark.parametrize("function", [lambda x, n: repeated(x, n)[1], nested])
@pytest.mark.parametrize("compiled", [False, True])
def test_derivatives_and_lanes_in_either_order(function, compiled):
    x, steps = numbers(6), RNG.integers(0, 5, 6)

    def total(x, steps):
        return fnp.sum(ff.vmap(function)(x, steps))

    def tangents(x, steps):
        return ff.jvp(lambda x: ff.vmap(function)(x, steps), (x,), (fnp.ones_like(x),))[1]

    ways = [ff.vmap(ff.grad(function)), ff.grad(total), tangents]
    ways = [ff.jit(way) if compiled else way for way in ways]
    expected = [ff.grad(function)(a, n) for a, n in zip(x, steps, strict=True)]
    for way in ways:
        np.testing.assert_allclose(way(x, steps), expected, rtol=1e-5)


def test_second_order_in_lanes():
    x, steps = numbers(4).astype(np.float64), np.array([0, 1, 2, 3])
    second = ff.grad(ff.grad(lambda x, n: nested(x, n)))
    expected = [second(a, n) for a, n in zip(x, steps, strict=True)]
    np.testing.assert_allclose(ff.jit(ff.vmap(second))(x, steps), expected, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16", "complex64"])
def test_carries_of_all_dtypes(dtype):
    x = fnp.asarray(RNG.integers(0, 2, (9, 2)), dtype)

    def function(x, n):
        return lax.while_loop(
            lambda c: c[0] < n, lambda c: (c[0] + 1, fnp.where(c[1] == 0, c[1], c[1])[::-1]), (0, x)
        )[1]

    steps = np.arange(9) % 4
    got = ff.jit(ff.vmap(function))(x, steps)
    assert got.dtype == x.dtype
    expected = [np.asarray(function(a, n)) for a, n in zip(x, steps, strict=True)]
    np.testing.assert_array_equal(np.asarray(got), np.stack(expected))


def test_callbacks_in_lanes_run():
    seen = []

    def function(x):
        def step(c):
            ff.debug.callback(lambda v: seen.append(float(v)), c)
            return c + 1

        return lax.while_loop(lambda c: c < 3, step, x)

    x = np.array([1.0, 2.0, 5.0])
    np.testing.assert_array_equal(ff.vmap(function)(x), [3, 3, 5])
    assert {1.0, 2.0} <= {*seen}


def long(x):
    return lax.fori_loop(0, 300, lambda i, x: x + 0.01 * (2 - x * x), x)


def short(x):
    return lax.fori_loop(0, 3, lambda i, x: x + 0.01 * (3 - x * x), x)


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("lanes", [1, 33, 40_001])
def test_branches_that_differ_much_in_length(share, lanes):
    """Compiled code runs the lanes of the long branch together, in as many threads as there are."""
    x, dear = numbers(lanes), RNG.random(lanes) < share
    x[::7] = np.nan

    def lane(dear, x):
        return lax.cond(dear, long, short, x)

    got = ff.jit(ff.vmap(lane))(dear, x)
    expected = np.where(dear, ff.vmap(long)(x), ff.vmap(short)(x))
    np.testing.assert_array_equal(got, expected)


def test_a_long_branch_among_others():
    i, x = RNG.integers(0, 4, 1001), numbers(1001, 3)
    branches = [short, lambda x: x[::-1], long, lambda x: fnp.sqrt(x)]
    lane = ff.vmap(lambda i, x: lax.switch(i, branches, x) + x)
    np.testing.assert_allclose(ff.jit(lane)(i, x), lane(i, x), rtol=1e-6)
    last = ff.vmap(lambda i, x: lax.cond(i == 3, short, long, x))
    np.testing.assert_array_equal(ff.jit(last)(i, x), last(i, x))


def test_a_long_branch_in_a_scan_and_its_derivative():
    x, dear = numbers(50), RNG.random(50) < 0.2
    x[3] = 0  # the other branch's derivative is not finite there
    dear[3] = True

    def lane(dear, x):
        def step(x, _):
            return lax.cond(dear, long, lambda x: fnp.sqrt(short(x)), x), None

        return lax.scan(step, x, None, length=3)[0]

    for way in (
        lane,
        ff.grad(lane, argnums=1),
        lambda d, x: ff.jvp(lambda x: lane(d, x), [x], [x]),
    ):
        mapped = ff.vmap(way)
        eager, compiled = ff.tree.leaves(mapped(dear, x)), ff.tree.leaves(ff.jit(mapped)(dear, x))
        for a, b in zip(eager, compiled, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-5)
