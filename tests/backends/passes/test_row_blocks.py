"""Which bodies of loops can be run for blocks of rows apart, and that these compute the same."""

from functools import partial

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.numba import threads
from funcflow.backends.numba.backend import CpuBackend
from funcflow.backends.passes.row_blocks import block_of
from funcflow.backends.straight import arrays

RNG = np.random.default_rng(0)
ROWS, WIDTH, LENGTH = 40, 96, 60
SQUARE = (RNG.standard_normal((WIDTH, WIDTH)) / 10).astype(np.float32)
TABLE = RNG.standard_normal((ROWS, WIDTH)).astype(np.float32)
STATE = RNG.standard_normal((ROWS, WIDTH)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch):
    """What would be one kernel becomes a table of steps."""
    monkeypatch.setattr(arrays, "MOST_ELEMENTS", 0)


def normalised(c):
    return (c - fnp.mean(c, 1, keepdims=True)) / (1 + fnp.std(c, 1, keepdims=True))


APART = {
    "elementwise": lambda c, x: fnp.tanh(c) + x,
    "product": lambda c, x: fnp.tanh(c @ SQUARE) + x,
    "product with a transposed matrix": lambda c, x: fnp.tanh(c @ SQUARE.T) + x,
    "sums of rows": lambda c, x: normalised(c) + x,
    "halves of rows": lambda c, x: fnp.concatenate([c[:, 1::2], c[:, ::2] * 0.5], 1) + x,
    "rows backwards": lambda c, x: c[:, ::-1] * 0.5 + x,
    "all rows of a constant": lambda c, x: fnp.tanh(c + TABLE[::-1] + TABLE[3]) + x,
    "a number for each row": lambda c, x: c * fnp.arange(ROWS, dtype="f4")[:, None] / ROWS + x,
}
MIXED = {
    "backwards": lambda c, x: c[::-1] * 0.5 + x,
    "shifted": lambda c, x: fnp.roll(c, 1, 0) * 0.5 + x,
    "one row for all": lambda c, x: fnp.tanh(c + c[:1]) + x,
    "sum over rows": lambda c, x: fnp.tanh(c - fnp.mean(c, 0)) + x,
    "sum of all": lambda c, x: fnp.tanh(c / (1 + fnp.sum(c * c))) + x,
    "product from the left": lambda c, x: fnp.tanh(SQUARE[:ROWS, :ROWS] @ c) + x,
    "product of itself": lambda c, x: fnp.tanh(c @ (c.T @ c) / 1000) + x,
    "in another order": lambda c, x: fnp.reshape(c.T, c.shape) * 0.5 + x,
    "gathered": lambda c, x: c[fnp.argsort(c[:, 0])] * 0.5 + x,
    "running sums": lambda c, x: fnp.cumsum(c, 0) / ROWS + x,
}


def loop(body, rows=ROWS, length=LENGTH, reverse=False):
    """A scan that stacks what it carries, over numbers for each iteration."""

    def f(c):
        xs = fnp.linspace(-1, 1, length, dtype="float32")
        return lax.scan(lambda c, x: (body(c, x), c), c, xs, reverse=reverse)

    return partial(f, STATE[:rows])


def blocks(f, *args):
    """Into how many blocks of rows the bodies of a function's loops are cut."""
    program = CpuBackend().compile(ff.jit(f).lower(*args).jaxpr).program
    return [step.resources[0].program.blocks for step in program.steps if step.resources]


def check(f, *args):
    got = ff.jit(f)(*args)
    with ff.config(backend="reference"):
        expected = ff.jit(f)(*args)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", APART)
def test_rows_apart(name, reverse):
    f = loop(APART[name], reverse=reverse)
    assert blocks(f) == [3]
    check(f)


@pytest.mark.parametrize("name", MIXED)
def test_rows_mixed(name):
    f = loop(MIXED[name])
    assert 3 not in blocks(f)
    check(f)


def test_forwards_and_backwards_of_a_recurrent_layer():
    xs = RNG.standard_normal((LENGTH, ROWS, WIDTH)).astype(np.float32)

    def loss(w, xs):
        def cell(carry, x):
            state, memory = carry
            keep, new = fnp.split(x + state @ w, 2, 1)
            memory = ff.nn.sigmoid(keep) * memory + fnp.tanh(new)
            return (fnp.tanh(fnp.concatenate([memory, -memory], 1)), memory), None

        carry = (STATE, STATE[:, : WIDTH // 2])
        (state, _), _ = lax.scan(cell, carry, xs)
        return fnp.sum(state**2)

    gradient = ff.grad(loss, argnums=(0, 1))
    assert blocks(gradient, SQUARE, xs) == [3, 3]
    check(gradient, SQUARE, xs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    wide = RNG.standard_normal((64, 256)).astype(dtype)
    square = (RNG.standard_normal((256, 256)) / 16).astype(dtype)

    @ff.jit
    def f(c):
        return lax.fori_loop(0, LENGTH, lambda i, c: fnp.tanh(c @ square), c)

    with threads.limit(1):
        alone = np.asarray(f(wide))
    with threads.limit(2):
        np.testing.assert_array_equal(f(wide), alone)


def test_carries_of_different_rows_stay_together():
    def f(c, d):
        return lax.fori_loop(0, LENGTH, lambda i, s: (fnp.tanh(s[0]), fnp.sin(s[1])), (c, d))

    assert blocks(f, STATE, STATE[:32]) == [1]
    check(f, STATE, STATE[:32])


def test_what_is_no_work_for_threads_is_not_cut():
    assert blocks(loop(APART["elementwise"], length=4)) == [1]
    assert blocks(loop(APART["elementwise"], rows=16)) == [1]


def test_large_matrices_are_read_by_all_rows_at_once():
    """Each block of rows would read them anew, from beyond the caches."""
    large = np.zeros((1024, 1024), np.float32)
    f = partial(lax.fori_loop, 0, LENGTH, lambda i, c: c @ large)
    assert blocks(f, np.zeros((ROWS, 1024), np.float32)) == [1]


@pytest.mark.parametrize(
    ("rows", "block"), [(1, 16), (16, 16), (17, 16), (256, 16), (257, 32), (1000, 64)]
)
def test_size_of_a_block(rows, block):
    assert block_of(rows) == block
