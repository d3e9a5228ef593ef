"""Loops that are one kernel: their operands, lanes, threads and memory."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_ir import Kernel, Loop
from funcflow.backends.numba.backend import program_of

RNG = np.random.default_rng(0)


def array(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def step(carry, x):
    """A recurrence of two values, which gives their difference."""
    a, b = carry
    return (a * 0.5 + x, b + a), a - b


def loop_of(function, *args):
    program = program_of(ff.jit(function).lower(*args).jaxpr)
    return next(s for s in program.steps if s.note.endswith("the state in registers"))


def agree(function, *args):
    got, want = ff.jit(function)(*args), function(*args)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)
    assert isinstance(loop_of(function, *args).work, Kernel)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 17])
def test_lengths_and_directions(length, reverse):
    def function(start, xs):
        return lax.scan(step, (start, start), xs, reverse=reverse)

    agree(function, np.float32(1), array(length))
    agree(function, array(3), array(length, 3))
    agree(function, array(100), array(length, 100))


@pytest.mark.parametrize("lanes", [1, 7, 8, 9, 100, 1000])
def test_lanes(lanes):
    agree(lambda x, xs: lax.scan(step, (x, x), xs), array(lanes), array(5, lanes))
    mapped = ff.vmap(lambda x, xs: lax.scan(step, (x, x), xs))
    agree(mapped, array(lanes, 2), array(lanes, 5, 2))


def test_operands_that_are_views():
    xs = array(4, 6, 50)
    agree(lambda x, xs: lax.scan(step, (x, x), xs.transpose(1, 2, 0)), array(50, 4), xs)
    agree(lambda x, xs: lax.scan(step, (x, x), xs[::-1, ::2, 0]), array(3), xs)
    agree(lambda x, xs: lax.scan(step, (x.T, x.T), xs[:, :, :4]), array(4, 6), xs)


def test_scans_that_carry_nothing_run_their_iterations_side_by_side():
    def function(xs):
        return lax.map(lambda x: fnp.sin(x[0]) * x[1], xs)

    xs = array(1000, 2)
    np.testing.assert_allclose(ff.jit(function)(xs), np.sin(xs[:, 0]) * xs[:, 1], rtol=1e-6)
    kernel = loop_of(function, xs).work
    (loop,) = (s for s in kernel.body if isinstance(s, Loop))
    assert kernel.split
    assert loop.lanes > 1


def test_lengths_and_lanes_share_a_kernel():
    def function(x, xs):
        return lax.scan(step, (x, x), xs)

    shapes = [(100, 3), (64, 9), (33, 1)]
    digests = {loop_of(function, array(n), array(t, n)).work.digest for n, t in shapes}
    assert len(digests) == 1


def test_donated_arguments_become_results():
    def function(x):
        return lax.fori_loop(0, 5, lambda i, c: c * 0.5 + i, x)

    x = fnp.asarray(array(1000))
    expected = function(np.array(x))
    np.testing.assert_array_equal(ff.jit(function, donate_argnums=0)(x), expected)
    assert x.is_deleted()


def test_explanations_say_what_became_of_a_loop():
    def small(x):
        return lax.scan(lambda c, _: (c * 2 + 1, None), x, None, length=7)[0]

    text = str(ff.jit(small).explain(np.float32(1)))
    assert "loop: one kernel, with the state in registers" in text

    def sorted_(x):
        return lax.scan(lambda c, _: (fnp.sort(c), None), x, None, length=7)[0]

    text = str(ff.jit(sorted_).explain(array(10)))
    assert "scan: tables of steps, since sort is not done element by element" in text


def test_whiles_and_branches_of_scalars():
    agree(lambda n: lax.while_loop(lambda c: c * c < n, lambda c: c + 1, 0), 1000)
    dear = lambda x: lax.cond(x > 0, lambda x: x / (1 + x * x), lambda x: x / (2 + x * x), x)  # noqa: E731
    agree(dear, np.float32(0.5))
    agree(dear, np.float32(-0.5))


def test_what_has_no_lanes_beside_what_has():
    """Each block of lanes needs what another one has read already, so nothing is overwritten."""

    def function(x, xs, k):
        def both(carry, row):
            x, k = carry
            return (x * 0.5 + row, k + row), row - 1

        xs = xs * 2  # is not needed after the loop, as long as the results beside it
        return lax.scan(both, (x + 1, k * 3), xs)

    whole = np.arange(7, dtype=np.float32)  # sums may leave the loop, and be taken in another order
    agree(function, array(100), whole, np.float32(1))


def test_results_do_not_replace_what_other_lanes_read():
    def function(x, xs):
        (c, k), ys = lax.scan(lambda c, x: ((c[0] + 1, x), x - 1), (x, xs[0]), xs * 2)
        return c, k, ys * 2

    agree(function, array(100), array(5))
