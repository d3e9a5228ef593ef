"""The way back through while loops: its tape, its checkpoints, lanes, and loops without an end."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.lax import while_reverse
from funcflow.testing import check_grads

W, C = np.float64(0.7), np.float64(0.5)
FORMS = [None, "log", 1, 2, 3, 50]


def loop(n, w, c, checkpoint=None):
    """A state of a counter, a number and a vector, of which each depends on the other."""

    def step(state):
        i, x, v = state
        return i + 1, fnp.sin(w * x + v[0]), v * x + w

    start = 0, c, fnp.stack([c, w, c * w])
    _, x, v = lax.while_loop(lambda s: s[0] < n, step, start, checkpoint=checkpoint)
    return x + v[1]


def unrolled(n, w, c):
    x, v = c, fnp.stack([c, w, c * w])
    for _ in range(n):
        x, v = fnp.sin(w * x + v[0]), v * x + w
    return x + v[1]


def close(got, expected):
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("checkpoint", FORMS)
@pytest.mark.parametrize("steps", [0, 1, 2, 5, 33])
def test_all_forms_give_the_gradient_of_the_python_loop(steps, checkpoint):
    def f(w, c):
        return loop(steps, w, c, checkpoint)

    expected = ff.grad(lambda w, c: unrolled(steps, w, c), (0, 1))(W, C)
    close(ff.grad(f, (0, 1))(W, C), expected)
    close(ff.jit(ff.grad(f, (0, 1)))(W, C), expected)


@pytest.mark.parametrize("checkpoint", [None, "log", 4])
def test_second_order(checkpoint):
    check_grads(lambda w, c: loop(4, w, c, checkpoint), [W, C], 2)
    hessian = ff.hessian(lambda w: unrolled(4, w, C))(W)
    f = ff.grad(lambda w: loop(4, w, C, checkpoint))
    close(ff.jacfwd(f)(W), hessian)
    close(ff.jacrev(f)(W), hessian)
    close(ff.jit(ff.jacfwd(f))(W), hessian)
    close(ff.jit(ff.jacrev(f))(W), hessian)


@pytest.mark.parametrize("checkpoint", [None, "log", 2])
def test_lanes_with_numbers_of_steps_of_their_own(checkpoint):
    counts, cs = np.array([0, 5, 1, 12, 3]), np.linspace(0.1, 0.9, 5)

    def f(n, w, c):
        return loop(n, w, c, checkpoint)

    each = [
        ff.grad(lambda w, c, n=n: unrolled(n, w, c), (0, 1))(W, c)
        for n, c in zip(counts, cs, strict=True)
    ]
    by_w, by_c = (np.stack([np.asarray(g[i]) for g in each]) for i in range(2))
    grad_of_lane = ff.vmap(ff.grad(f, (1, 2)), (0, None, 0))
    close(grad_of_lane(counts, W, cs), (by_w, by_c))
    close(ff.jit(grad_of_lane)(counts, W, cs), (by_w, by_c))
    grad_of_all = ff.grad(lambda w, cs: fnp.sum(ff.vmap(f, (0, None, 0))(counts, w, cs)), (0, 1))
    close(grad_of_all(W, cs), (by_w.sum(), by_c))
    close(ff.jit(grad_of_all)(W, cs), (by_w.sum(), by_c))


def test_lanes_of_lanes():
    counts, cs = np.array([[0, 5, 1], [2, 7, 3]]), np.linspace(0.1, 0.9, 6).reshape(2, 3)
    mapped = ff.vmap(ff.vmap(ff.grad(loop, 2), (0, None, 0)), (0, None, 0))
    expected = [
        [
            np.asarray(ff.grad(lambda c, n=n: unrolled(n, W, c))(c))
            for n, c in zip(*row, strict=True)
        ]
        for row in zip(counts, cs, strict=True)
    ]
    close(mapped(counts, W, cs), np.array(expected))
    close(ff.jit(mapped)(counts, W, cs), np.array(expected))


def test_lanes_that_take_equally_many_steps():
    cs = np.linspace(0.1, 0.9, 9)
    mapped = ff.vmap(ff.grad(lambda w, c: loop(6, w, c), (0, 1)), (None, 0))
    each = [ff.grad(lambda w, c: unrolled(6, w, c), (0, 1))(W, c) for c in cs]
    expected = tuple(np.stack([np.asarray(g[i]) for g in each]) for i in range(2))
    close(mapped(W, cs), expected)
    close(ff.jit(mapped)(W, cs), expected)


def test_large_weights_shared_by_lanes():
    """What is too large for a copy in each lane has one cotangent, from all lanes together."""
    weights = np.linspace(-0.4, 0.4, 81).reshape(9, 9)
    xs, counts = np.linspace(-1, 1, 36).reshape(4, 9), np.array([0, 3, 1, 6])

    def f(weights, n, x):
        step = lambda s: (s[0] + 1, fnp.tanh(s[1] @ weights))  # noqa: E731
        return fnp.sum(lax.while_loop(lambda s: s[0] < n, step, (0, x))[1])

    def total(weights):
        return fnp.sum(ff.vmap(f, (None, 0, 0))(weights, counts, xs))

    def expected(weights):
        out = 0.0
        for n, x in zip(counts, xs, strict=True):
            for _ in range(n):
                x = fnp.tanh(x @ weights)
            out = out + fnp.sum(x)
        return out

    close(ff.grad(total)(weights), ff.grad(expected)(weights))
    close(ff.jit(ff.grad(total))(weights), ff.grad(expected)(weights))


def test_weights_that_lanes_share_inside_of_other_lanes():
    """The inner lanes have one cotangent of the weights together, whatever the outer ones have."""
    weights = np.linspace(-0.4, 0.4, 2 * 81).reshape(2, 9, 9)
    xs, counts = np.linspace(-1, 1, 54).reshape(2, 3, 9), np.array([[0, 3, 1], [2, 5, 1]])

    def f(weights, n, x):
        step = lambda s: (s[0] + 1, fnp.tanh(s[1] @ weights))  # noqa: E731
        return fnp.sum(lax.while_loop(lambda s: s[0] < n, step, (0, x))[1])

    def total(weights, repeat):
        return fnp.sum(ff.vmap(ff.vmap(repeat, (None, 0, 0)), (0, 0, 0))(weights, counts, xs))

    def masked(weights, n, x):
        """The same in a scan, which all transforms treat otherwise."""
        step = lambda x, i: (fnp.where(i < n, fnp.tanh(x @ weights), x), None)  # noqa: E731
        return fnp.sum(lax.scan(step, x, np.arange(5))[0])

    expected = ff.grad(lambda w: total(w, masked))(weights)
    close(ff.grad(lambda w: total(w, f))(weights), expected)
    close(ff.jit(ff.grad(lambda w: total(w, f)))(weights), expected)


def test_a_body_that_is_infinite_where_a_lane_has_stopped():
    """The body divides by zero in a lane that has stopped, and its cotangent is not asked for."""

    def f(n, w, c):
        step = lambda s: (s[0] - 1, s[1] + w * s[1] / s[0])  # noqa: E731
        return lax.while_loop(lambda s: s[0] > 0, step, (n, c))[1]

    counts, cs = np.array([1.0, 3.0]), np.array([0.5, 0.7])
    for mapped in (
        ff.grad(lambda w: fnp.sum(ff.vmap(f, (0, None, 0))(counts, w, cs))),
        lambda w: fnp.sum(ff.vmap(ff.grad(f, 1), (0, None, 0))(counts, w, cs)),
    ):
        slope = 0.5 + 0.7 * ((1 + W / 3) * (1 + W / 2) + (1 + W / 3) * (1 + W) / 2)
        slope += 0.7 * (1 + W / 2) * (1 + W) / 3
        close(mapped(W), slope)
        close(ff.jit(mapped)(W), slope)


def test_loops_in_loops():
    def f(w, c):
        def step(state):
            i, c = state
            inner = lambda s: (s[0] + 1, fnp.sin(w * s[1]) + c)  # noqa: E731
            return i + 1, lax.while_loop(lambda s: s[0] <= i, inner, (0, c))[1]

        return lax.while_loop(lambda s: s[0] < 3, step, (0, c))[1]

    def python(w, c):
        for i in range(3):
            x = c
            for _ in range(i + 1):
                x = fnp.sin(w * x) + c
            c = x
        return c

    expected = ff.grad(python, (0, 1))(W, C)
    close(ff.grad(f, (0, 1))(W, C), expected)
    close(ff.jit(ff.grad(f, (0, 1)))(W, C), expected)


def test_a_gradient_in_a_loop():
    def f(w):
        def step(state):
            i, c = state
            return i + 1, c - 0.1 * ff.grad(lambda c: loop(i + 1, w, c))(c)

        return lax.while_loop(lambda s: s[0] < 3, step, (0, C))[1]

    c = C
    for i in range(3):
        c = c - 0.1 * ff.grad(lambda c, i=i: unrolled(i + 1, W, c))(c)
    close(ff.jit(f)(W), c)
    close(f(W), c)


def test_bounds_that_are_traced():
    def f(n, w, checkpoint=None):
        return lax.fori_loop(0, n, lambda i, c: fnp.sin(w * c + i), C, checkpoint=checkpoint)

    def python(w):
        c = C
        for i in range(5):
            c = fnp.sin(w * c + i)
        return c

    for checkpoint in (None, "log", 3):
        g = ff.jit(ff.grad(lambda n, w, k=checkpoint: f(n, w, k), 1))
        close(g(5, W), ff.grad(python)(W))


def test_a_linear_function_is_transposed():
    def f(x):
        return lax.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, W * s[1]), (0, x))[1]

    for g in (f, ff.jit(f)):
        close(ff.linear_transpose(g, C)(C)[0], W**4 * C)


def test_idle_parts_of_the_carry_are_not_on_the_tape():
    jaxpr = ff.make_jaxpr(ff.grad(lambda c: loop(4, W, c)))(C)
    (eqn,) = [e for e in jaxpr.jaxpr.eqns if e.primitive is while_reverse.reverse_while_p]
    shapes = [a.shape for a in eqn.params["step_jaxpr"].out_avals]
    assert sorted(shapes) == [(), (3,)]  # the counter is gone


# --- loops without an end -------------------------------------------------------------------------


@pytest.mark.parametrize("checkpoint", [None, "log"])
@pytest.mark.parametrize("wrap", [lambda f: f, ff.jit])
def test_a_loop_without_an_end(monkeypatch, wrap, checkpoint):
    monkeypatch.setattr(while_reverse, "MOST_STEPS", 100)

    def f(limit, c):
        go = lambda c: c < limit  # noqa: E731
        return lax.while_loop(go, lambda c: 0.5 * c, c, checkpoint=checkpoint)

    message = r"no end after 100 steps(.|\n)*mend: see whether the condition"
    with pytest.raises(errors.NotDifferentiableError, match=message):
        wrap(ff.grad(f, 1))(1.0, 0.5)
    mapped = ff.vmap(ff.grad(f, 1), (0, None))
    with pytest.raises(errors.NotDifferentiableError, match=message):
        wrap(mapped)(np.array([0.1, 1.0]), 0.5)
    close(wrap(mapped)(np.array([0.1, 0.2]), np.float64(0.5)), np.ones(2))


@pytest.mark.slow
def test_a_loop_of_more_steps_than_can_be_counted():
    f = ff.jit(ff.grad(lambda c: lax.while_loop(lambda c: c < 1, lambda c: 0.5 * c, c)))
    with pytest.raises(errors.NotDifferentiableError, match="no end after 2147483647 steps"):
        f(0.5)


@pytest.mark.parametrize("checkpoint", [0, -1, True, "sqrt", 2.5])
def test_checkpoints_of_no_kind(checkpoint):
    with pytest.raises(errors.ArgumentError, match=r"while_loop: checkpoint=.*neither 'log'"):
        lax.while_loop(lambda c: c < 1, lambda c: c + 1, 0, checkpoint=checkpoint)
