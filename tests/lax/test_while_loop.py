"""while_loop against Python loops, its laws, and its reverse mode."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, lax
from funcflow.core.rewrite import dce
from funcflow.testing import check_grads, check_laws

F = np.float32
C = F(0.5)
W = F(0.7)
V = np.array([0.3, 0.6, 0.9], F)


def times(n, f, init):
    """`f` applied `n` times (an array) to a tree of arrays."""
    state = lax.while_loop(
        lambda s: lax.gt(s[0], np.int32(0)),
        lambda s: (lax.sub(s[0], np.int32(1)), f(s[1])),
        (n, init),
    )
    return state[1]


def unrolled(n, f, init):
    for _ in range(int(n)):
        init = f(init)
    return init


def simple(loop, n, w, c):
    return loop(n, lambda c: lax.sin(lax.mul(w, c)), c)


def linear(loop, n, w, c):
    return loop(n, lambda c: lax.mul(w, c), c)


def trees(loop, n, w, c):
    def step(s):
        return {"a": lax.mul(s["a"], s["b"][0]), "b": (lax.sin(lax.add(s["b"][0], w)), None)}

    return loop(n, step, {"a": c, "b": (w, None)})


def shifting(loop, n, w, c):
    """A tangent needs two steps to reach the whole carry."""
    zero = np.zeros((), F)
    return loop(n, lambda s: (lax.mul(w, w), s[0], lax.add(s[1], s[2])), (zero, zero, c))


def passed_on(loop, n, w, c):
    return loop(n, lambda s: (lax.mul(s[0], lax.sin(s[1])), s[1]), (c, w))


def nested(loop, n, w, c):
    return loop(n, lambda c: loop(n, lambda d: lax.sin(lax.add(lax.mul(d, w), c)), c), c)


def with_scan(loop, n, w, c):
    def step(c):
        c, ys = lax.scan(lambda d, x: (lax.sin(lax.mul(d, x)), lax.mul(d, w)), c, V)
        return lax.add(c, lax.reduce_sum(ys, (0,)))

    return loop(n, step, c)


def with_cond(loop, n, w, c):
    def step(c):
        return lax.cond(
            lax.gt(c, F(0.4)), lambda c: lax.mul(w, c), lambda c: lax.exp(lax.mul(c, w)), c
        )

    return loop(n, step, c)


def with_checkpoint(loop, n, w, c):
    return loop(n, ff.checkpoint(lambda c: lax.sin(lax.sin(lax.mul(w, c)))), c)


def with_jit(loop, n, w, c):
    return loop(n, ff.jit(lambda c: lax.sin(lax.mul(w, c))), c)


def with_custom_jvp(loop, n, w, c):
    @ff.custom_jvp
    def square(x):
        return lax.mul(x, x)

    square.defjvp(lambda p, t: (square(p[0]), lax.mul(lax.mul(2, p[0]), t[0])))
    return loop(n, lambda c: square(lax.add(w, c)), c)


N = np.int32(3)
BODIES = {
    "simple": (simple, [N, W, C]),
    "linear": (linear, [N, W, C]),
    "vector": (simple, [N, V, V]),
    "trees": (trees, [N, W, C]),
    "shifting": (shifting, [N, W, C]),
    "passed_on": (passed_on, [N, W, C]),
    "nested": (nested, [np.int32(2), W, C]),
    "with_scan": (with_scan, [np.int32(2), W, C]),
    "with_cond": (with_cond, [N, W, C]),
    "with_checkpoint": (with_checkpoint, [np.int32(2), W, C]),
    "with_jit": (with_jit, [N, W, C]),
    "with_custom_jvp": (with_custom_jvp, [np.int32(2), W, C]),
    "no_steps": (simple, [np.int32(0), W, C]),
    "one_step": (simple, [np.int32(1), W, C]),
    "complex": (simple, [N, np.complex64(0.6 + 0.2j), np.complex64(0.3 - 0.1j)]),
    "bfloat16": (simple, [np.int32(2), np.asarray(0.75, "bfloat16"), np.asarray(0.5, "bfloat16")]),
}


@pytest.mark.parametrize("name", BODIES)
def test_laws(name):
    f, args = BODIES[name]
    check_laws(lambda *xs: f(times, *xs), args)


@pytest.mark.parametrize("name", BODIES)
def test_value_and_gradient_are_those_of_the_python_loop(name):
    f, (n, *args) = BODIES[name]

    def pulled(loop):
        out, f_vjp = ff.vjp(lambda *xs: ff.tree.leaves(f(loop, n, *xs)), *args)
        return [*out, *f_vjp([np.full(y.shape, 0.7, y.dtype) for y in out])]

    for a, b in zip(pulled(times), pulled(unrolled), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        tolerance = 2e-2 if a.dtype == np.dtype("bfloat16") else 1e-5
        a, b = (np.asarray(x).astype("complex128") for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 7, 8, 9, 33, 100])
def test_gradient_for_any_number_of_steps(steps):
    """The checkpoints of the reverse pass are kept right for every number of steps."""

    def f(loop, w, c):
        return loop(np.int32(steps), lambda c: lax.sin(lax.add(lax.mul(w, c), w)), c)

    got = ff.grad(lambda *xs: f(times, *xs), argnums=(0, 1))(np.float64(0.7), np.float64(0.5))
    expected = ff.grad(lambda *xs: f(unrolled, *xs), argnums=(0, 1))(
        np.float64(0.7), np.float64(0.5)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_second_order(steps):
    check_grads(
        lambda *xs: simple(times, np.int32(steps), *xs), [np.float64(0.7), np.float64(0.5)], 2
    )


def test_lanes_with_different_numbers_of_steps():
    counts = np.array([0, 3, 1, 6], np.int32)
    cs = np.array([0.2, 0.4, 0.6, 0.8])
    w = np.float64(0.7)
    f = ff.vmap(lambda n, w, c: simple(times, n, w, c), in_axes=(0, None, 0))
    expected = [simple(unrolled, n, w, c) for n, c in zip(counts, cs, strict=True)]
    np.testing.assert_allclose(f(counts, w, cs), [np.asarray(x) for x in expected])
    check_grads(lambda w, cs: f(counts, w, cs), [w, cs], 2)
    got = ff.vmap(ff.grad(lambda n, c: simple(times, n, w, c), argnums=1))(counts, cs)
    expected = [
        ff.grad(lambda c, n=n: simple(unrolled, n, w, c))(c)
        for n, c in zip(counts, cs, strict=True)
    ]
    np.testing.assert_allclose(got, [np.asarray(x) for x in expected])


def test_lanes_that_have_stopped_do_not_spoil_gradients():
    """The body would divide by zero in a lane that has stopped."""

    def f(n, c):
        body = lambda s: (lax.sub(s[0], F(1)), lax.add(s[1], lax.div(s[1], s[0])))  # noqa: E731
        return lax.while_loop(lambda s: lax.gt(s[0], F(0)), body, (n, c))[1]

    counts, cs = np.array([1, 3], F), np.array([0.5, 0.7], F)
    got = ff.vmap(ff.grad(f, argnums=1))(counts, cs)
    np.testing.assert_allclose(got, [2, 2 * 1.5 * 4 / 3], rtol=1e-6)


def test_the_condition_may_depend_on_what_is_differentiated():
    """Newton's method for a square root, until it is exact enough."""

    def sqrt(a):
        def far(x):
            return lax.gt(lax.abs(lax.sub(lax.mul(x, x), a)), np.float64(1e-12))

        return lax.while_loop(far, lambda x: lax.mul(np.float64(0.5), lax.add(x, lax.div(a, x))), a)

    a = np.float64(2.0)
    np.testing.assert_allclose(sqrt(a), np.sqrt(2.0))
    np.testing.assert_allclose(ff.grad(sqrt)(a), 0.5 / np.sqrt(2.0))
    np.testing.assert_allclose(ff.grad(ff.grad(sqrt))(a), -0.25 * 2.0**-1.5)
    many = np.array([0.5, 2.0, 100.0])
    np.testing.assert_allclose(ff.vmap(ff.grad(sqrt))(many), 0.5 / np.sqrt(many))
    check_laws(sqrt, [a])


def test_condition_with_closed_over_tracers():
    def f(limit, w, c):
        return lax.while_loop(lambda c: lax.lt(c, limit), lambda c: lax.add(c, w), c)

    check_laws(f, [F(2.05), W, C])


def test_carries_of_all_kinds():
    def f(flag, i, c):
        def body(s):
            flag, i, c, none = s
            return (
                lax.bitwise_not(flag),
                lax.sub(i, np.int8(1)),
                lax.select_n(flag, c, lax.sin(c)),
                none,
            )

        return lax.while_loop(lambda s: lax.gt(s[1], np.int8(0)), body, (flag, i, c, None))

    flag, i, c, none = f(np.bool_(True), np.int8(3), C)
    assert (flag.dtype, i.dtype, none) == (np.bool_, np.int8, None)
    assert not flag.item() and i.item() == 0
    np.testing.assert_allclose(c, np.sin(np.sin(C)), rtol=1e-6)
    check_laws(f, [np.bool_(True), np.int8(3), C])


def test_a_weak_initial_value_takes_the_type_of_the_body():
    out = lax.while_loop(lambda c: lax.lt(c, 10), lambda c: lax.mul(c, 2), 3)
    assert out.item() == 12 and out.dtype == np.int32 and out.weak_type
    strong = lambda c: lax.convert_element_type(lax.mul(c, 2), np.float64)  # noqa: E731
    assert lax.while_loop(lambda c: lax.lt(c, 10), strong, 3.0).dtype == np.float64


def test_inside_other_loops_under_other_transforms():
    def f(n, w, c):
        def step(c, x):
            c = simple(times, n, lax.mul(w, x), c)
            return c, ff.grad(lambda z: simple(times, n, z, c))(w)

        return lax.scan(step, c, V)

    check_laws(f, [np.int32(2), W, C])


def test_a_loop_that_never_looks_at_its_carry():
    f = lambda x: lax.while_loop(lambda _: lax.lt(1, 0), lax.sin, x)  # noqa: E731
    assert ff.grad(f)(C).item() == 1
    np.testing.assert_array_equal(
        ff.linear_transpose(lambda x: lax.while_loop(lambda _: lax.lt(1, 0), lambda x: x, x), C)(C)[
            0
        ],
        C,
    )


def test_results_that_nobody_uses_are_not_computed():
    """What is carried for these alone goes with them; what decides about the end stays."""

    def f(n, x):
        def body(s):
            i, a, b, c = s
            return i + 1, a * b, b + 1.0, lax.sin(c)

        return lax.while_loop(lambda s: s[0] < n, body, (0, x, x, x))[1]

    jaxpr = ff.make_jaxpr(f)(3, C)
    (eqn,) = dce(jaxpr.jaxpr).eqns
    assert len(eqn.outvars) == 3
    assert "sin" not in str(eqn.params["body_jaxpr"])
    assert ff.jit(f)(3, C) == f(3, C) == C * C * (C + 1) * (C + 2)
    untouched = ff.make_jaxpr(lambda n, x: times(n, lambda c: lax.mul(x, c), C))(N, C).jaxpr
    assert len(dce(untouched).eqns[-1].outvars) == len(untouched.eqns[-1].outvars)


def test_linear_transpose_needs_a_known_end():
    def f(x):
        return lax.while_loop(lambda x: lax.lt(x, F(1)), lambda x: lax.add(x, x), x)

    with pytest.raises(
        errors.NotDifferentiableError, match="number of steps depends on a linear input"
    ):
        ff.linear_transpose(f, C)(C)


def test_prints_once_per_step_and_not_again_in_reverse(capsys):
    def f(c):
        def body(s):
            i, c = s
            ff.debug.print("{}", i)
            return lax.add(i, 1), lax.sin(c)

        return lax.while_loop(lambda s: lax.lt(s[0], 4), body, (0, c))[1]

    for transformed in (
        f,
        ff.jit(f),
        ff.grad(f),
        ff.jit(ff.grad(f)),
        lambda c: ff.linearize(f, c)[1](c),
    ):
        transformed(C)
        assert capsys.readouterr().out.split() == ["0", "1", "2", "3"]


def test_prints_of_inner_loops_are_silent_in_reverse_as_well(capsys):
    def f(c):
        def body(s):
            i, c = s
            c = lax.scan(lambda c, x: (lax.mul(c, x), ff.debug.print("{}", x)), c, V)[0]
            return lax.add(i, 1), lax.cond(
                lax.gt(i, 0), lambda: (ff.debug.print("b"), c)[1], lambda: c
            )

        return lax.while_loop(lambda s: lax.lt(s[0], 2), body, (0, c))[1]

    f(C)
    expected = capsys.readouterr().out
    ff.grad(f)(C)
    assert capsys.readouterr().out == expected
    assert len(expected.split()) == 7 and expected.split()[-1] == "b"


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: lax.while_loop(1, lambda x: x, 0), errors.ArgumentError, "must be functions"),
        (
            lambda: lax.while_loop(lambda x: x, lambda x: x, 0),
            errors.ShapeError,
            "boolean scalar.*i32",
        ),
        (
            lambda: lax.while_loop(lambda x: lax.lt(x, x), lambda x: x, V),
            errors.ShapeError,
            "boolean scalar.*3",
        ),
        (lambda: lax.while_loop(lambda x: None, lambda x: x, 0), errors.ShapeError, "nothing"),
        (
            lambda: lax.while_loop(lambda x: True, lambda x: x, "a"),
            errors.LeafTypeError,
            "neither an array",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
