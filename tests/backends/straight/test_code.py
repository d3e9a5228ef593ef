"""Jaxprs as straight code on elements: against eager evaluation, and what is refused."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.backend import program_of

RNG = np.random.default_rng(0)


def array(*shape, dtype="float32"):
    return (RNG.standard_normal(shape) * 2).astype(dtype)


def loops_of(function, *args):
    """The steps that loops and branches have become, in order."""
    program = program_of(ff.jit(function).lower(*args).jaxpr)
    names = {"scan", "while", "cond"}
    return [s for s in program.steps if any(e.primitive.name in names for e in s.eqns)]


def agree(function, *args, exact=True):
    """Compiled, a function gives what it gives eagerly, and its loop is one kernel."""
    got, want = ff.jit(function)(*args), function(*args)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if exact:
            np.testing.assert_array_equal(x, y)
        else:
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    kernels = [s for s in loops_of(function, *args) if not s.note.startswith("copy")]
    assert kernels and all(isinstance(s.work, Kernel) for s in kernels), [s.note for s in kernels]


def refused(function, *args):
    """Why a loop is no kernel."""
    (step,) = [s for s in loops_of(function, *args) if not s.note.startswith("copy")]
    assert not isinstance(step.work, Kernel)
    got, want = ff.jit(function)(*args), function(*args)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-4, atol=1e-4)
    return step.note


def iterated(body, length=5):
    """A scan that carries one array."""
    return lambda x: lax.scan(lambda c, _: (body(c), c), x, None, length=length)


MOVES = {
    "reshape": lambda c: c.reshape(3, 2).reshape(2, 3) + 1,
    "transpose": lambda c: c.T.reshape(3, 2).T * 0.5,
    "slice": lambda c: fnp.concatenate([c[:, 1:], c[:, :1]], axis=1),
    "strides": lambda c: c[::-1, ::2].sum() + c,
    "rev": lambda c: c[::-1, ::-1] - 1,
    "broadcast": lambda c: c * 0.5 + c[0] - c[:, :1],
    "stack": lambda c: fnp.stack([c[1], c[0]]),
    "split": lambda c: fnp.concatenate(fnp.split(c, 3, axis=1)[::-1], axis=1),
    "pad": lambda c: lax.pad(c, np.float32(7), [(0, 0, 0), (1, -1, 0)]),
    "pad inside": lambda c: lax.pad(c, np.float32(7), [(-1, 0, 1), (0, 0, 0)]),
    "iota": lambda c: c + lax.broadcasted_iota("float32", (2, 3), 1),
    "select": lambda c: fnp.where(c > 0, c * 0.5, c[::-1]),
    "argmax": lambda c: c - fnp.argmax(c, axis=1)[:, None] + fnp.argmin(c),
    "maximum": lambda c: c - fnp.max(c, axis=0),
    "integers": lambda c: c + (fnp.floor(c).astype(int) % 3).astype("float32"),
    "nested scan": lambda c: lax.scan(lambda s, r: (s + r, s), c[0], c)[1],
    "nested count": lambda c: lax.fori_loop(0, 100, lambda i, s: s * 0.5 + i, c),
    "nested reverse": lambda c: lax.scan(lambda s, r: (s * r, s), c[0], c, reverse=True)[1],
    "nested while": lambda c: lax.while_loop(lambda s: s.max() < 4, lambda s: s + 0.5, c),
    "quick cond": lambda c: lax.cond(c[0, 0] > 0, lambda c: c - 1, lambda c: c + 1, c),
    "switch": lambda c: lax.switch(
        (c[0, 0] > 0).astype(int) + (c[1, 1] > 0),
        [lambda c: fnp.sqrt(abs(c)), lambda c: c[::-1] / (1 + c * c), lambda c: -c],
        c,
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_bodies(name):
    agree(iterated(MOVES[name]), array(2, 3))


@pytest.mark.parametrize("lanes", [1, 7, 8, 33])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["reshape", "stack", "pad", "argmax", "nested count", "switch"])
def test_bodies_in_lanes(name, axis, lanes):
    def function(x):
        return ff.vmap(iterated(MOVES[name]), in_axes=axis)(x)

    shape = [2, 3]
    shape.insert(axis, lanes)
    agree(function, array(*shape))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    x = fnp.asarray(array(3), dtype=dtype)
    agree(iterated(lambda c: fnp.where(c > 0, c[::-1], c)), x)
    if dtype != "bool":
        agree(iterated(lambda c: c * c + c), x)


def test_products_and_sums():
    w = array(3, 3) / 4
    agree(iterated(lambda c: c @ w + c.sum()), array(2, 3), exact=False)
    agree(ff.vmap(iterated(lambda c: w @ c)), array(40, 3), exact=False)
    agree(iterated(lambda c: c @ c), (array(3, 3) * 3).astype(int))
    agree(iterated(lambda c: (c @ c.T) / 8), fnp.asarray(array(3, 3), "bfloat16"), exact=False)


def test_random_numbers():
    def walk(key):
        def step(carry, _):
            key, place = carry
            key, this = ff.random.split(key)
            return (key, place + ff.random.normal(this, (2,))), place

        return lax.scan(step, (key, fnp.zeros(2)), None, length=20)[1]

    agree(walk, ff.random.key(0), exact=False)


def test_special_values_stay():
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40], np.float32)
    agree(iterated(lambda c: fnp.maximum(c[::-1], c) + 0.0), values)


def test_lanes_have_ends_and_branches_of_their_own():
    def lane(x, n):
        def step(c):
            y = lax.cond(c[1] > 1, lambda y: y / (1 + y * y), lambda y: y * 1.5 + 0.1, c[1])
            return c[0] + 1, y

        return lax.while_loop(lambda c: c[0] < n, step, (0, x))

    x, n = array(100), RNG.integers(0, 40, 100)
    agree(ff.vmap(lane), x, n)
    one_by_one = [lane(a, b)[1] for a, b in zip(x, n, strict=True)]
    np.testing.assert_array_equal(ff.jit(ff.vmap(lane))(x, n)[1], one_by_one)


def test_lanes_are_collected_for_a_branch_that_takes_long():
    def lane(length):
        def long(x):
            return lax.fori_loop(0, length, lambda i, x: x + 0.01 * (2 - x * x), x)

        return ff.vmap(lambda d, x: lax.cond(d, long, lambda x: x + 0.25, x))

    dear, x = RNG.random(100) < 0.1, array(100)
    for length, collected in ((400, 1), (10, 0)):
        agree(lane(length), dear, x)
        (step,) = loops_of(lane(length), dear, x)
        assert step.work.text.count(", dear") == collected


def test_a_branch_that_no_lane_takes_is_not_seen_in_gradients():
    def lane(x):
        return lax.cond(x > 0, fnp.log, lambda x: x * 3, x)

    x = np.array([-1.0, 0.0, 2.0] * 10)
    for gradient in (ff.vmap(ff.grad(lane)), ff.grad(lambda x: ff.vmap(lane)(x).sum())):
        got = ff.jit(gradient)(x)
        np.testing.assert_array_equal(got, [3.0, 3.0, 0.5] * 10)


def test_more_elements_than_registers_are_refused():
    w = array(20, 20) / 10
    note = refused(iterated(lambda c: fnp.tanh(c @ w)), array(4, 20))
    assert "an iteration takes or gives too many elements" in note


def test_more_operations_than_a_kernel_should_have_are_refused():
    def body(c):
        for _ in range(50):
            c = c[::-1] * 0.5 + 1
        return c

    assert "more than 2000 operations" in refused(iterated(body), array(30))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda c: c - c.sum(), "reduces the lanes"),
        (lambda c: c[::-1] * 0.5, "rev reverses the lanes"),
        (lambda c: fnp.sort(c), "sort is not done element by element"),
    ],
)
def test_what_crosses_the_lanes_is_refused(body, reason):
    note = refused(iterated(body), array(100))
    assert reason in note


def test_effects_are_refused(capfd):
    def body(c):
        ff.debug.print("{}", c[0])
        return c + 1

    ff.jit(iterated(body, 2))(np.zeros(3, np.float32))
    assert capfd.readouterr().out.split() == ["0.0", "1.0"]


@pytest.mark.parametrize("n", [7, 100])
def test_positions_in_lanes(n):
    positions = lambda x: lax.iota("float32", n)  # noqa: E731
    agree(iterated(lambda c: c * 0.5 + positions(c)), array(n))
    for pred in (True, False):
        agree(lambda x, p=pred: lax.cond(p, positions, lambda x: x / (1 + x * x), x), array(n))
