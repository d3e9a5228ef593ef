"""Random loops, branches and lanes in each other: compiled, differentiated and mapped."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_check import check_kernel
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.backend import program_of

SHAPES = {"scalar": (), "vector": (3,), "matrix": (2, 3), "table": (4, 5), "buffer": (100,)}


class Writer:
    """Writes bodies of loops, functions of a dict of arrays and an index, from a seed.

    All numbers are small integers, so compiled and eager agree bit for bit, in any order of sums.
    """

    def __init__(self, seed):
        self.random = random.Random(seed)

    def body(self, depth):
        """A few steps, each of which replaces some of the arrays."""
        steps = [self.step(depth) for _ in range(self.random.randint(1, 4))]

        def run(state, i):
            for step in steps:
                state = {**state, **step(state, i)}
            return state

        return run

    def step(self, depth):
        kinds = [self.mix, self.mix, self.put, self.add, self.read, self.cut, self.row]
        kinds += [self.move, self.patch]
        if depth > 0:
            kinds += [self.branch, self.count, self.repeat, self.sweep, self.lanes]
        return self.random.choice(kinds)(depth)

    def index(self):
        a, b = self.random.randint(-3, 3), self.random.randint(0, 3)
        return lambda s, i: i * b + a + (s["scalar"] > 5).astype("int32")

    def mix(self, depth):
        name = self.random.choice(list(SHAPES))
        other = self.random.choice(["scalar", "vector", "matrix"])
        c = self.random.choice([1, 2, -1])

        def run(s, i):
            x = s[other] if SHAPES[other] == SHAPES[name] else s[other].sum()
            return {name: bounded(s[name] * c + x)}

        return run

    def put(self, depth):
        name, index = self.random.choice(["table", "buffer", "vector"]), self.index()
        mode = self.random.choice(["drop", "clip"])
        return lambda s, i: {name: s[name].at[index(s, i)].set(s["scalar"], mode=mode)}

    def add(self, depth):
        name, index = self.random.choice(["table", "buffer"]), self.index()
        return lambda s, i: {name: s[name].at[index(s, i)].add(s["vector"][0])}

    def read(self, depth):
        name, index = self.random.choice(["table", "buffer", "vector"]), self.index()
        return lambda s, i: {"scalar": bounded(s["scalar"] - s[name][index(s, i)].max())}

    def cut(self, depth):
        index = self.index()

        def run(s, i):
            part = lax.dynamic_slice(s["buffer"], (index(s, i),), (3,))
            return {
                "vector": bounded(part),
                "buffer": lax.dynamic_update_slice(s["buffer"], s["vector"], (i,)),
            }

        return run

    def row(self, depth):
        index = self.index()

        def run(s, i):
            row = s["table"][index(s, i) % 4]
            return {"matrix": bounded(s["matrix"] - row[:3]), "table": s["table"][::-1]}

        return run

    def move(self, depth):
        return lambda s, i: {"vector": fnp.concatenate([s["vector"][1:], s["matrix"].T[0, :1]])}

    def patch(self, depth):
        index = self.index()

        def run(s, i):
            zeros = fnp.zeros(100, s["vector"].dtype)
            part = lax.dynamic_update_slice(zeros, s["vector"], (index(s, i),))
            return {"buffer": s["buffer"] + part}

        return run

    def branch(self, depth):
        bodies = [self.body(depth - 1) for _ in range(self.random.choice([2, 3]))]
        limit = self.random.choice([-3, 0, 3])

        def run(s, i):
            which = (s["scalar"] > limit).astype("int32") + (s["vector"][0] > limit)
            return lax.switch(which, [lambda s, b=b: b(s, i) for b in bodies], s)

        return run

    def count(self, depth):
        body, n = self.body(depth - 1), self.random.choice([1, 3, 70])
        return lambda s, i: lax.fori_loop(0, n, lambda j, s: body(s, j), s)

    def repeat(self, depth):
        body, limit = self.body(depth - 1), self.random.choice([0, 1, 8])

        def run(s, i):
            return lax.while_loop(
                lambda c: (c[0] < 5) & (c[1]["scalar"] < limit),
                lambda c: (c[0] + 1, body(c[1], c[0])),
                (np.int32(0), s),
            )[1]

        return run

    def sweep(self, depth):
        body, reverse = self.body(depth - 1), self.random.random() < 0.5

        def run(s, i):
            def step(c, x):
                c = body({**c, "scalar": x}, i)
                return c, c["scalar"] - 1

            s, found = lax.scan(step, s, s["vector"], reverse=reverse)
            return {**s, "vector": bounded(found)}

        return run

    def lanes(self, depth):
        """Rows that stop, and choose a branch, each for itself."""
        limit, dear = self.random.choice([0, 20]), self.random.random() < 0.5

        def row(r):
            _, r = lax.while_loop(
                lambda c: (c[0] < 9) & (c[1].sum() < limit),
                lambda c: (c[0] + 1, c[1] + c[0]),
                (np.int32(0), r),
            )
            other = (lambda r: fnp.floor(r * r / (1 + abs(r)))) if dear else (lambda r: r - 1)
            return lax.cond(r[0] > 1, other, lambda r: r + 2, r)

        return lambda s, i: {"table": bounded(ff.vmap(row)(s["table"]))}


def bounded(x):
    return fnp.clip(x, -99, 99)


# --- compiled against eager -------------------------------------------------------------------


def check(seed, lanes):
    """A random loop; with `lanes`, mapped over so many."""
    write = Writer(seed)
    body, length = write.body(2), write.random.choice([1, 4, 9])
    rng = np.random.default_rng(seed)
    stack = (lanes,) if lanes else ()
    state = {k: rng.integers(-9, 10, (*stack, *n)).astype("f4") for k, n in SHAPES.items()}

    def function(state):
        return lax.fori_loop(0, length, lambda i, s: body(s, i), state)

    function = ff.vmap(function) if lanes else function
    program = program_of(ff.jit(function).lower(state).jaxpr)
    for step in program.steps:
        if isinstance(step.work, Kernel):
            check_kernel(step.work)
    got, want = ff.jit(function)(state), function(state)
    for name in SHAPES:
        message = f"{name} of check({seed}, {lanes})"
        np.testing.assert_array_equal(got[name], want[name], message)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_loops(seed):
    check(seed, 0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_random_loops_in_lanes(seed):
    check(seed, 4)


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [0, 3, 9])
@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_many_random_loops(seed, lanes):
    check(seed, lanes)


# --- derivatives, mapped and compiled, against those of one row by itself -----------------------

ROWS = 3


def check_derivatives(seed):
    """The derivatives of a random function of arrays, which has loops and branches."""
    write, rng = Writer(seed), np.random.default_rng(seed)
    body = write.body(2)
    whole = write.random.choice(
        [
            lambda s: lax.fori_loop(0, 2, lambda i, s: body(s, i), s),
            lambda s: lax.cond(s["scalar"] > 0, lambda s: body(s, np.int32(1)), dict, s),
        ]
    )

    def f(state):
        return sum((fnp.sin(x * 0.01).sum() for x in whole(state).values()), 0.0)

    def gradient_of_all(states):
        return ff.grad(lambda states: ff.vmap(f)(states).sum())(states)

    def second(states, vs):
        return ff.jvp(gradient_of_all, (states,), (vs,))[1]

    def drawn(draw):
        return {name: draw((ROWS, *shape)) for name, shape in SHAPES.items()}

    states = drawn(lambda shape: rng.integers(-9, 10, shape).astype("f8"))
    vs = drawn(rng.standard_normal)
    rows = [(take(states, i), take(vs, i)) for i in range(ROWS)]
    gradients = [ff.grad(f)(x) for x, _ in rows]
    compare(ff.jit(gradient_of_all)(states), gradients, f"gradient of lanes, {seed}")
    compare(ff.jit(ff.vmap(ff.grad(f)))(states), gradients, f"lanes of gradients, {seed}")
    _, slopes = ff.jit(lambda *xs: ff.jvp(ff.vmap(f), *xs))((states,), (vs,))
    for slope, gradient, (_, v) in zip(slopes, gradients, rows, strict=True):
        along = sum((gradient[name] * v[name]).sum() for name in SHAPES)
        np.testing.assert_allclose(slope, along, 1e-5, 1e-8, err_msg=f"tangents, {seed}")
    seconds = [ff.jvp(ff.grad(f), (x,), (v,))[1] for x, v in rows]
    compare(ff.jit(second)(states, vs), seconds, f"second derivatives, {seed}")


def take(states, i):
    return {name: x[i] for name, x in states.items()}


def compare(got, rows, message):
    for name in SHAPES:
        want = np.stack([row[name] for row in rows])
        np.testing.assert_allclose(got[name], want, 1e-5, 1e-8, err_msg=f"{name}: {message}")


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_derivatives_of_random_loops(seed):
    check_derivatives(seed)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_derivatives_of_many_random_loops(seed):
    check_derivatives(seed)
