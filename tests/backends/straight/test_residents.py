"""Arrays that stay in memory while a loop reads and changes parts of them."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.backend import program_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal(100).astype(np.float32)
ROWS = RNG.standard_normal((100, 3)).astype(np.float32)
CONSTANT = fnp.asarray(X)
PLACES = RNG.integers(-100, 100, 50)  # some twice, some from the end


def loop_of(function, *args):
    program = program_of(ff.jit(function).lower(*args).jaxpr)
    (step,) = [
        s
        for s in program.steps
        if any(e.primitive.name in ("scan", "while") for e in s.eqns)
        and not s.note.startswith("copy")
    ]
    return step


def over_places(body):
    return lambda x: lax.scan(body, x, PLACES)


LOOPS = {
    "set": (lambda b, i: (b.at[i].set(b[i - 1] * 0.5), b[i]), X),
    "add": (lambda b, i: (b.at[i].add(b[i] * 0.5), None), X),
    "multiply": (lambda b, i: (b.at[i].multiply(1.5), None), X),
    "min, max": (lambda b, i: (b.at[i].min(0.5).at[i - 1].max(-0.5), None), X),
    "rows": (lambda b, i: (b.at[i].set(b[i - 1] * 0.5 + b[i, ::-1]), b[i]), ROWS),
    "several": (lambda b, i: (b.at[i + np.arange(3)].add(b[:3]), b[i + np.arange(2)]), X),
    "outside": (
        lambda b, i: (
            b.at[2 * i].set(1.0, mode="drop"),
            b.at[2 * i].get(mode="fill", fill_value=7),
        ),
        X,
    ),
    "clipped": (lambda b, i: (b.at[2 * i].set(1.0, mode="clip"), None), X),
    "slices": (
        lambda b, i: (
            lax.dynamic_update_slice(b, lax.dynamic_slice(b, (i + 3,), (5,)) * 2, (i,)),
            None,
        ),
        X,
    ),
    "a column": (lambda b, i: (b.at[i].add(b[:, 1][i]), b.T[2][i]), ROWS),
    "reversed": (lambda b, i: (b.at[i].add(b[::-1][i]), None), X),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops_change_what_they_carry_in_place(name):
    body, x = LOOPS[name]
    function = over_places(body)
    got, want = ff.jit(function)(x), function(x)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(loop_of(function, x).work, Kernel)


def test_two_arrays_and_a_constant():
    function = over_places(
        lambda c, i: (
            (c[0].at[i].set(c[1][i]), c[1].at[i - 1].add(c[0][i] * CONSTANT[i])),
            c[0][i],
        )
    )
    start = (X, 2 * X)
    got, want = ff.jit(function)(start), function(start)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(loop_of(function, start).work, Kernel)


def test_while_and_loops_inside_of_loops():
    def grow(x):
        return lax.while_loop(
            lambda c: (c[0] < 99) & (c[1][c[0]] < 2.5),
            lambda c: (c[0] + 1, c[1].at[c[0] + 1].add(c[1][c[0]] * 0.5)),
            (0, x),
        )

    def nested(x):
        def row(i, b):
            def column(c):
                return c[0] + 1, c[1].at[c[0] + i].multiply(0.5)

            return lax.while_loop(lambda c: c[0] < 5, column, (0, b))[1]

        return lax.fori_loop(0, 90, row, x)

    for function in (grow, nested):
        got, want = ff.jit(function)(X), function(X)
        for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
            np.testing.assert_array_equal(a, b)
        assert isinstance(loop_of(function, X).work, Kernel)


def test_the_argument_stays_as_it_was():
    x, function = fnp.asarray(X), ff.jit(over_places(LOOPS["set"][0]))
    function(x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(function(x)[0], function(x)[0])


def test_other_lengths_have_the_same_kernel():
    def function(x):
        return lax.fori_loop(1, x.shape[0] - 1, lambda i, u: u.at[i].set(u[i - 1] + u[i + 1]), x)

    kernels = {loop_of(function, X[:n]).work.digest for n in (70, 81, 100)}
    assert len(kernels) == 1


GRADIENTS = {
    "read": lambda x: lax.fori_loop(0, 100, lambda i, s: s * 0.9 + fnp.sin(x[i]), 0.0),
    "read twice": lambda x: lax.fori_loop(0, 99, lambda i, s: s * x[i] + x[i + 1], 1.0),
    "read slices": lambda x: lax.fori_loop(
        0, 90, lambda i, s: s * 0.5 + lax.dynamic_slice(x, (i,), (3,)).sum(), 0.0
    ),
    "change": lambda x: lax.fori_loop(
        1, 100, lambda i, b: b.at[i].set(b[i - 1] * 0.9 + fnp.sin(b[i])), x
    )[-1],
    "change twice": lambda x: lax.fori_loop(
        1, 99, lambda i, b: b.at[i].set(b[i - 1] * 0.9).at[i + 1].multiply(x[i]), x
    ).sum(),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name):
    x, gradient = X.astype(np.float64), ff.grad(GRADIENTS[name])
    np.testing.assert_allclose(ff.jit(gradient)(x), gradient(x), rtol=1e-12)


@pytest.mark.parametrize("name", ["read", "read twice", "read slices", "change"])
def test_reverse_loops_touch_what_they_add_to(name):
    program = program_of(ff.jit(ff.grad(GRADIENTS[name])).lower(X.astype(np.float64)).jaxpr)
    assert all(isinstance(step.work, Kernel) for step in program.steps)


def test_sums_with_slices_of_an_array_that_is_changed():
    def body(c, i):
        part = lax.dynamic_update_slice(fnp.zeros(100), c[i][None] * 2, (i - 1,))
        return c.at[i - 2].set(7.0) + part, c[i + 1]

    function = over_places(body)
    got, want = ff.jit(function)(X), function(X)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert isinstance(loop_of(function, X).work, Kernel)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda c, i: ((c[1], c[0].at[i].set(1.0)), None), "replaced by another one"),
        (lambda c, i: ((c[0][::-1] * 0.5, c[1]), None), "mul takes an array that is in memory"),
        (lambda c, i: (c, c[0][::-1]), "too many elements"),
    ],
)
def test_refused(body, reason):
    function = over_places(body)
    start = (X, 2 * X)
    step = loop_of(function, start)
    got, want = ff.jit(function)(start), function(start)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not isinstance(step.work, Kernel)
    assert reason in step.note


def test_what_is_read_after_it_was_changed_is_refused():
    def body(b, i):
        changed = b.at[i].set(1.0)
        place = (changed[0] > 0).astype(int)
        return changed, b[place]

    function = over_places(body)
    got, want = ff.jit(function)(X), function(X)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "read after it was changed" in loop_of(function, X).note


@pytest.mark.parametrize("shape", [(1, 100), (100,)])
def test_sums_with_slices_of_repeated_rows(shape):
    """Zeros but for a slice, in a sum that repeats them along the rows of what is carried."""

    def body(i, a):
        place, one = (0, i)[-len(shape) :], fnp.ones([1] * len(shape))
        part = lax.dynamic_update_slice(fnp.zeros(shape), one, place)
        return a + part

    def function(x):
        return lax.fori_loop(0, 5, body, x)

    x = np.ones((3, 100), np.float32)
    np.testing.assert_array_equal(ff.jit(function)(x), function(x))


def test_lanes_that_are_no_loop_around():
    """The rows of a matrix that stays in memory go to ends of their own."""

    def body(i, a):
        a = a.at[:, i].add(1)
        row = lambda r: lax.while_loop(lambda r: r.sum() < 5, lambda r: r * 2 + 1, r)  # noqa: E731
        return ff.vmap(row)(a)

    def function(x):
        return lax.fori_loop(0, 4, body, x)

    x = np.outer([0, 1, 3], [0, 1, 2, 3]).astype(np.float32)
    np.testing.assert_array_equal(ff.jit(function)(x), function(x))


def test_changes_of_several_arrays_that_wait_for_each_other():
    """What needs one change may read what another one changes."""

    def body(c, i):
        a, b = c
        a_new = a.at[i].set(b[i] + 1)
        b_new = b.at[i].set(a[i] - 1)
        return (a_new.at[0].add(b[a_new[i].astype(int) % 5]), b_new.at[1].add(a[2])), a_new[3]

    function = over_places(body)
    start = (X, 2 * X)
    got, want = ff.jit(function)(start), function(start)
    for a, b in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "read",
    [
        lambda zeros, c, i: zeros[i, 3:7],
        lambda zeros, c, i: zeros.reshape(-1)[i],
        lambda zeros, c, i: zeros.T[::-1][i, 0],
        lambda zeros, c, i: zeros[fnp.stack([i, i + 1]), 0],
        lambda zeros, c, i: zeros.at[i, 0].set(c)[i, :2],
        lambda zeros, c, i: lax.dynamic_update_slice(zeros, c.reshape(1, 1), (i, 0))[i, :2],
        lambda zeros, c, i: lax.dynamic_update_slice(zeros, c.reshape(1, 1), (i, 0)).T[:2, i],
    ],
    ids=["slice", "reshape", "transpose, rev", "gather", "scatter", "update", "update, transpose"],
)
def test_large_zeros_may_be_read_and_changed(read):
    def f(c):
        return lax.fori_loop(
            0, 5, lambda i, c: c + fnp.sum(read(fnp.zeros((34, 34)), c, i)), fnp.float32(c)
        )

    with ff.disable_jit():
        expected = f(2.0)
    np.testing.assert_array_equal(ff.jit(f)(2.0), expected)


def test_a_small_table_is_read_and_changed_where_an_array_in_memory_says():
    places = fnp.arange(100) % 3

    def f(table):
        def step(table, i):
            j = places[5]  # a part of what is in memory, at a fixed place
            return table.at[j].add(table[j] + places[i]), None

        return lax.scan(step, table, np.arange(7))[0]

    table = np.float32([1, 2, 3])
    with ff.disable_jit():
        expected = f(table)
    np.testing.assert_array_equal(ff.jit(f)(table), expected)
