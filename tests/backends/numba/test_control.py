"""Loops and branches as native steps, against the reference."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.backends.lower import lower_program
from funcflow.backends.numba import executable, tape
from funcflow.backends.numba.backend import LOWERINGS, CpuBackend, program_of
from funcflow.backends.passes.inline import inline
from funcflow.backends.program import Check, HostCall
from funcflow.backends.straight import arrays
from funcflow.core.executables import compiled

RNG = np.random.default_rng(0)
W = RNG.standard_normal((5, 5)).astype(np.float32)
X = RNG.standard_normal(5).astype(np.float32)


def scan(length, reverse=False):
    xs = np.linspace(-1, 1, 5 * length, dtype=np.float32).reshape(length, 5)

    def f(x):
        return lax.scan(lambda c, z: (fnp.tanh(c @ W) + z, c * 2), x, xs, reverse=reverse)

    return f


def countdown(steps):
    def f(x):
        return lax.while_loop(
            lambda c: c[0] < steps, lambda c: (c[0] + 1, fnp.tanh(c[1] @ W), c[1]), (0, x, x)
        )

    return f


def branches(index):
    def f(x):
        return lax.switch(index, [lambda x: x @ W, fnp.tanh, lambda x: x], x)

    return f


def nested(x):
    def step(c, _):
        c = lax.fori_loop(
            0, 3, lambda i, c: lax.cond(c[0] > 0, lambda c: c @ W, lambda c: -c, c), c
        )
        return c, c[0]

    return lax.scan(step, x, None, length=4)


def two_carries(x):
    """Each becomes the other: neither may be overwritten before it is read."""
    return lax.scan(lambda c, _: ((c[1], c[0] + 1), c), (x, 2 * x), None, length=5)


@pytest.fixture(autouse=True)
def no_kernels(monkeypatch):
    """What would be one kernel becomes a table of steps."""
    monkeypatch.setattr(arrays, "MOST_ELEMENTS", 0)


def test_loops_and_branches_are_tables_here():
    for f in (scan(4), countdown(3), branches(1)):
        program = program_of(ff.jit(f).lower(X).jaxpr)
        assert [s for s in program.steps if "tables of steps" in s.note]


def test_a_table_never_decides_for_lanes():
    """The pass that masks them comes before; where it did not, Python does."""
    x = np.arange(6, dtype=np.float32)
    branching = ff.vmap(lambda x: lax.cond(x > 2, fnp.exp, fnp.sin, x))
    looping = ff.vmap(lambda x: lax.while_loop(lambda c: c < 9, lambda c: c * 2 + 1, x))
    for f in (branching, looping):
        program = lower_program(inline(ff.make_jaxpr(f)(x)), LOWERINGS)
        (host,) = [s for s in program.steps if isinstance(s.work, HostCall)]
        assert host.note.startswith("lanes that decide for themselves have no table")


def is_native(f, *args):
    """Whether all steps of a program are native."""
    closed = ff.jit(f).lower(*args).compile().lowered.jaxpr
    return compiled(closed).table is not None


@pytest.mark.parametrize(
    "f",
    [
        *(scan(n) for n in (0, 1, 2, 7)),
        *(scan(n, reverse=True) for n in (0, 1, 2, 7)),
        *(countdown(n) for n in (0, 1, 2, 7)),
        *map(branches, (-1, 0, 1, 2, 9)),
        nested,
        two_carries,
        ff.grad(lambda x: fnp.sum(scan(6)(x)[1] ** 2)),
        ff.grad(lambda x: fnp.sum(countdown(6)(x)[1])),
        ff.grad(lambda x: fnp.sum(nested(x)[1])),
        ff.vmap(lambda t: lax.while_loop(lambda c: c < 3, lambda c: c * 1.5, t + 0.1)),
    ],
)
def test_equals_the_reference(f):
    x = np.abs(X)
    got = ff.jit(f)(x)
    with ff.config(backend="reference"):
        expected = ff.jit(f)(x)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("f", [scan(7), countdown(3), branches(1), nested])
def test_runs_without_python(f):
    assert is_native(f, X)


def test_a_body_with_a_host_step_is_run_from_python():
    seen = []

    def step(c, _):
        ff.debug.callback(lambda v: seen.append(float(v)), c[0])
        return c + 1, c

    f = ff.jit(lambda x: lax.scan(step, x, None, length=3)[0])
    np.testing.assert_array_equal(f(np.zeros(2, np.float32)), [3, 3])
    assert seen == [0, 1, 2]
    assert not is_native(lambda x: lax.scan(step, x, None, length=3)[0], X)


def test_two_threads_run_one_loop():
    """Each call has carries and an arena of its own."""
    f = ff.jit(lambda x: lax.fori_loop(0, 200, lambda i, c: fnp.tanh(c @ W) + x, x))
    inputs = [X * k for k in range(8)]
    expected = [np.asarray(f(x)) for x in inputs]
    with ThreadPoolExecutor(8) as executor:
        for _ in range(20):
            for a, b in zip(executor.map(f, inputs), expected, strict=True):
                np.testing.assert_array_equal(a, b)


def test_loops_over_nothing_are_native():
    def f(x):
        nothing = x[:0]
        total = lax.fori_loop(0, 3, lambda i, c: c + fnp.sum(nothing * i), 0.0)
        return lax.scan(lambda c, z: (c, z * 2), total, nothing), lax.cond(
            x[0] > 0, lambda y: y, lambda y: y * 2, nothing
        )

    assert is_native(f, X)
    for got, want in zip(ff.tree.leaves(ff.jit(f)(X)), ff.tree.leaves(f(X)), strict=True):
        np.testing.assert_array_equal(got, want)


def test_loops_that_sort_are_native():
    keys = RNG.standard_normal((6, 90)).astype(np.float32)

    def f(x):
        def step(carry, row):
            values, order = lax.sort((row + carry, lax.iota("int32", 90)))
            best, _ = lax.top_k(values[order], 3)
            return fnp.median(values) + best[0], values

        return lax.scan(step, x, keys)

    assert is_native(f, np.float32(0))
    for got, want in zip(ff.jit(f)(np.float32(0)), f(np.float32(0)), strict=True):
        np.testing.assert_array_equal(got, want)


def program(f, *args):
    """The compiled program of a function."""
    return CpuBackend().compile(ff.make_jaxpr(f)(*args)).program


def test_in_a_loop_half_the_work_is_worth_a_thread():
    def body(x):
        return fnp.floor(x * 0.5)

    x = np.ones((8, 40_000), "f4")  # too few rows for blocks of them
    (alone,) = program(body, x).steps
    (loop,) = [
        step.resources[0]
        for step in program(lambda x: lax.fori_loop(0, 3, lambda i, x: body(x), x), x).steps
        if step.resources
    ]
    inside = [step for step in loop.program.steps if step.extent == alone.extent]
    assert [step.grain for step in inside] == [(alone.grain + 1) // 2]
    assert alone.extent >= 2 * alone.grain > 0


def test_a_product_behind_parallel_work_is_cut_sooner():
    def f(x, w):
        y = x @ w
        return y, fnp.floor(x)

    x, w = np.ones((128, 600), "f4"), np.ones((600, 10), "f4")
    (sleeping,) = program(lambda x, w: x @ w, x, w).steps
    assert 1 < sleeping.extent < 2 * sleeping.grain
    steps = program(
        lambda x, w: fnp.floor(fnp.floor(x) @ w @ w.T) @ w, np.ones((600, 600), "f4"), w
    )
    *_, awake = (step for step in steps.steps)
    assert awake.extent >= 2 * awake.grain


def descending(most, rate):
    """A while loop whose steps go back through another one; it takes so many steps."""

    def inner(n, x):
        return fnp.sum(
            lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, fnp.sin(s[1] * W)), (0, x))[1]
        )

    def f(n, x):
        def step(s):
            return s[0] + 1, s[1] - rate * ff.grad(inner, 1)(n, s[1])

        return lax.while_loop(lambda s: s[0] < most, step, (0, x))[1]

    return f


def test_a_step_that_may_fail_leaves_a_while_native():
    program = program_of(ff.jit(descending(3, 0.1)).lower(4, W).jaxpr)
    assert not any(isinstance(step.work, HostCall) for step in program.steps)
    got = ff.jit(descending(3, 0.1))(4, W)
    with ff.config(backend="reference"):
        np.testing.assert_allclose(got, ff.jit(descending(3, 0.1))(4, W), rtol=1e-5)


def test_a_failure_ends_a_while(monkeypatch):
    """The loop would take years, and its first step finds no memory for a tape."""
    monkeypatch.setattr(tape, "_most_bytes", lambda: 1000)
    f = ff.jit(descending(2**31 - 1, 0.2))  # compiled here, with that limit
    with pytest.raises(errors.OutOfMemoryError, match="checkpoint='log'"):
        f(1000, W)


def test_a_failure_of_another_thread_that_ended_a_loop_is_raised_here_too():
    count = ctypes.c_int64(0)
    check = Check(lambda: None, ctypes.addressof(count))

    def run(*_):
        count.value += 1  # and the other thread has raised it already

    with pytest.raises(errors.OutOfMemoryError, match="in this thread or in another one"):
        executable._checked(run, [check])(None, None, None)


# --- in place -----------------------------------------------------------------------------------

N = 6


def random_body(seed):
    """A body that reads and updates parts of what it carries, in random order."""

    def pick(r, items):
        return items[r.integers(len(items))]

    def body(i, carry):
        r = np.random.default_rng(seed)
        values, new = list(carry), list(carry)
        for _ in range(r.integers(2, 9)):
            k, source, op = r.integers(len(new)), pick(r, values), r.integers(9)
            at, x = (i * int(r.integers(1, 5)) + int(r.integers(N))) % N, new[k]
            if op == 0:
                new[k] = lax.dynamic_update_slice(x, source[1:3] * 0.5, (at,))
            elif op == 1:
                new[k] = x.at[at].set(source[int(r.integers(N))])
            elif op == 2:
                new[k] = x.at[at].add(source[at] * 0.25)
            elif op == 3:
                new[k] = lax.dynamic_update_slice(x, source[1:4], (at,))
            elif op == 4:
                new[k] = lax.cond(
                    x[0] > 0, lambda x, y: x.at[1].set(y[0]), lambda x, y: x, x, source
                )
            elif op == 5:
                new[k] = lax.fori_loop(0, 2, lambda j, x: x.at[j].add(x[j - 1] * 0.5), x)
            elif op == 6:
                j = r.integers(len(new))
                new[k], new[j] = new[j], new[k]
            elif op == 7:
                values.append(fnp.sin(source) + x)
            else:
                new[k] = x * 0.5 + source
        return tuple(new), (pick(r, values), pick(r, new))

    return body


def random_loop(seed):
    body, length = random_body(seed), seed % 4

    def steps(carry):
        return lax.while_loop(
            lambda c: c[0] < length, lambda c: (c[0] + 1, *body(c[0], c[1:])[0]), (0, *carry)
        )

    def f(*carry):
        if seed % 3:
            return lax.scan(lambda c, i: body(i, c), carry, fnp.arange(length), reverse=seed % 2)
        return steps(carry)

    return f


@pytest.mark.parametrize("seed", range(24))
def test_random_changes_in_place(seed):
    f = random_loop(seed)
    lanes = [np.random.default_rng(seed).standard_normal((3, N)).astype("f4") for _ in range(3)]
    for g, args in ((f, [x[0] for x in lanes]), (ff.vmap(f), lanes)):
        kept = [x.copy() for x in args]
        got = ff.jit(g)(*args)
        with ff.disable_jit():
            expected = g(*args)
        for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        for x, y in zip(args, kept, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("seed", [1, 2, 3, 7, 9])
def test_gradients_of_random_changes(seed):
    """Their sums change in place too."""
    f = random_loop(seed)
    args = [np.random.default_rng(seed).standard_normal(N).astype("f4") for _ in range(3)]

    def loss(*args):
        return sum(fnp.sum(x**2) for x in ff.tree.leaves(f(*args)))

    got = ff.jit(ff.grad(loss, argnums=(0, 1, 2)))(*args)
    with ff.disable_jit():
        expected = ff.grad(loss, argnums=(0, 1, 2))(*args)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def remember(i, c):
    memory, h = c
    return memory.at[i].set(h), fnp.tanh(h @ W + memory[i - 1])


def looped(steps):
    return lambda memory, h: lax.fori_loop(1, steps, remember, (memory, h))


def waited(memory, h):
    return lax.while_loop(
        lambda c: c[0] < 9, lambda c: (c[0] + 1, *remember(c[0], c[1:])), (0, memory, h)
    )


def chosen(memory, h):
    def step(i, c):
        return lax.cond(c[1][0] > 0, lambda c: remember(i, c), lambda c: c, c)

    return lax.fori_loop(1, 9, step, (memory, h))


def twice(memory, h):
    return lax.fori_loop(0, 3, lambda i, c: looped(4)(*c), (memory, h))


@pytest.mark.parametrize(
    "f", [looped(9), waited, lambda m, x: ff.vmap(looped(9))(m[None], x[None])]
)
def test_no_step_copies_what_changes_in_place(f):
    explanation = ff.jit(f).explain(np.zeros((1000, 5), "f4"), X)
    assert "carried values change in place" in str(explanation)
    assert not [s for body in explanation.inner for s in body.steps if s.is_copy]


@pytest.mark.parametrize("f", [chosen, twice])
def test_no_loop_or_branch_inside_copies_either(f):
    explanation = ff.jit(f).explain(np.zeros((1000, 5), "f4"), X)
    for body in explanation.inner:
        assert [s.result for s in body.steps if s.is_copy and "1000" in s.result] == []


def test_explain_says_what_has_two_copies():
    def step(x, i):
        new = x.at[i].set(1)
        return new, x @ fnp.sort(new)

    text = str(ff.jit(lambda x: lax.scan(step, x, fnp.arange(4))).explain(X))
    assert "not in place, since a step that needs the new value reads the old one" in text
    assert "change in place" not in text


def test_bodies_count_what_changes_in_place_once():
    memory = np.zeros((1000, 5), "f4")
    (body,) = ff.jit(looped(9)).explain(memory, X).inner
    assert memory.nbytes < body.memory.arguments + body.memory.outputs < 2 * memory.nbytes


def test_the_cache_of_a_decoder_changes_in_place():
    decoder = ff.nn.TransformerDecoder(2, 8, num_heads=2, key=ff.random.key(0))
    cache = decoder.init_cache(1, 4096)

    def decode(x):
        def step(carry, _):
            y, cache = decoder(carry[0], cache=carry[1])
            return (y, cache), y

        return lax.scan(step, (x, cache), None, length=3)[1]

    explanation = ff.jit(decode).explain(fnp.ones((1, 1, 8)))
    copied = [s for body in explanation.inner for s in body.steps if s.is_copy]
    assert not [s for s in copied if s.nbytes >= cache[0].seen.key.nbytes]
