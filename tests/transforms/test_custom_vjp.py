"""Reverse rules: they are used, everywhere, and checked."""

from functools import partial

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax


@ff.custom_vjp
def marked(x):
    """A sine whose derivative is told by a factor of ten."""
    return fnp.sin(x)


marked.defvjp(lambda x: (marked(x), {"x": x}), lambda kept, ct: (10 * fnp.cos(kept["x"]) * ct,))

X = np.array([0.3, -0.4, 0.5])
RULE = 10 * np.cos(X)


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f: ff.vmap(ff.grad(f))(X),
        lambda f: ff.grad(lambda x: fnp.sum(f(x)))(X),
        lambda f: ff.vjp(f, X)[1](np.ones(3))[0],
        lambda f: ff.grad(lambda x: fnp.sum(ff.vmap(f)(x)))(X),
        lambda f: ff.jit(ff.vmap(ff.grad(f)))(X),
        lambda f: ff.vmap(ff.grad(ff.jit(f)))(X),
        lambda f: ff.grad(ff.jit(lambda x: fnp.sum(ff.vmap(f)(x))))(X),
        lambda f: ff.grad(lambda x: fnp.sum(ff.checkpoint(f)(x)))(X),
        lambda f: ff.grad(lambda x: fnp.sum(lax.map(f, x)))(X),
        lambda f: ff.vmap(ff.grad(lambda x: lax.map(f, x[None])[0]))(X),
        lambda f: ff.grad(lambda x: fnp.sum(lax.cond(True, f, fnp.cos, x)))(X),
        lambda f: ff.vmap(ff.grad(lambda x: lax.cond(x > -9, f, fnp.cos, x)))(X),
        lambda f: ff.grad(lambda x: fnp.sum(lax.fori_loop(0, 1, lambda _, v: f(v), x)))(X),
        lambda f: np.ones(3) @ ff.jacrev(f)(X),
        lambda f: ff.linear_transpose(ff.linearize(f, X)[1], X)(np.ones(3))[0],
    ],
)
def test_the_rule_is_used(derivative):
    np.testing.assert_allclose(derivative(marked), RULE)


def test_the_rule_is_used_under_pmap():
    with ff.config(num_cpu_devices=3):
        np.testing.assert_allclose(ff.pmap(ff.grad(marked))(X), RULE)
        np.testing.assert_allclose(ff.grad(lambda x: fnp.sum(ff.pmap(marked)(x)))(X), RULE)


def test_the_rule_is_used_for_a_value_that_an_inner_gradient_holds_fixed():
    f = lambda x: ff.grad(lambda y: y * marked(x))(1.0)  # noqa: E731
    np.testing.assert_allclose(ff.grad(f)(0.5), 10 * np.cos(0.5), rtol=1e-6)


def test_higher_orders_differentiate_the_rule():
    np.testing.assert_allclose(ff.grad(ff.grad(marked))(0.5), -10 * np.sin(0.5), rtol=1e-6)
    # forward mode over reverse mode needs a `fwd` that does not call the function itself
    f = ff.custom_vjp(fnp.sin)
    f.defvjp(lambda x: (fnp.sin(x), x), lambda x, ct: (10 * fnp.cos(x) * ct,))
    h = ff.jit(ff.hessian(lambda x: fnp.sum(f(x))))(X)
    np.testing.assert_allclose(h, np.diag(-10 * np.sin(X)))


def test_a_shared_argument_gets_the_sum_over_lanes():
    f = ff.custom_vjp(lambda w, x: w * x)
    f.defvjp(lambda w, x: (f(w, x), (w, x)), lambda kept, ct: (kept[1] * ct, kept[0] * ct))
    total = lambda w, x: fnp.sum(ff.vmap(f, (None, 0))(w, x))  # noqa: E731
    for transform in (lambda g: g, ff.jit):
        w_bar, x_bar = transform(ff.grad(total, (0, 1)))(2.0, X)
        np.testing.assert_allclose(w_bar, X.sum(), rtol=1e-6)
        np.testing.assert_allclose(x_bar, [2, 2, 2])


def test_none_stands_for_zero():
    f = ff.custom_vjp(lambda p, n, y: p["a"] * p["b"] * n * y)
    f.defvjp(
        lambda p, n, y: (f(p, n, y), (p, n)),
        lambda kept, ct: ({"a": ct * kept[0]["b"], "b": None}, None, None),
    )
    p_bar, y_bar = ff.grad(f, (0, 2))({"a": 2.0, "b": 3.0}, 4, 5.0)
    assert (float(p_bar["a"]), float(p_bar["b"]), float(y_bar)) == (3, 0, 0)


def test_none_stands_for_the_zeros_of_a_subtree():
    p = {"a": 2.0, "b": (np.ones(3), None, [np.ones(2)])}
    f = ff.custom_vjp(lambda p: p["a"] * fnp.sum(p["b"][0]))
    f.defvjp(lambda p: (f(p), ()), lambda kept, ct: ({"a": ct, "b": None},))
    assert float(ff.grad(f)(p)["a"]) == 1
    f.defvjp(
        lambda p: (f(p), ()), lambda kept, ct: ({"a": None, "b": (7 * p["b"][0], None, None)},)
    )
    p_bar = ff.jit(ff.grad(f))(p)
    assert float(p_bar["a"]) == 0
    np.testing.assert_array_equal(p_bar["b"][0], np.full(3, 7))
    np.testing.assert_array_equal(p_bar["b"][2][0], np.zeros(2))


def test_several_results_of_which_some_are_integers_or_unused():
    f = ff.custom_vjp(lambda x: (x * 2, {"n": 3, "y": x * 3}))
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct[0] * 20 + ct[1]["y"] * 30,))
    assert float(ff.grad(lambda x: f(x)[0])(1.0)) == 20
    assert float(ff.jit(ff.grad(lambda x: f(x)[0] + f(x)[1]["y"]))(1.0)) == 50


def test_arguments_that_are_not_arrays():
    @partial(ff.custom_vjp, nondiff_argnums=(0, 2))
    def apply(f, x, n):
        return f(x) * n

    apply.defvjp(lambda f, x, n: (apply(f, x, n), x), lambda f, n, x, ct: (ct * n * 10,))
    for transform in (lambda f: f, ff.jit):
        assert float(transform(ff.grad(lambda x: apply(fnp.sin, x, 3)))(1.0)) == 30
    np.testing.assert_array_equal(ff.vmap(ff.grad(lambda x: apply(fnp.sin, x, n=3)))(X), [30] * 3)


def test_captured_tracers():
    def outer(a):
        f = ff.custom_vjp(lambda x: x * a)
        f.defvjp(lambda x: (f(x), None), lambda _, ct: (10 * a * ct,))
        return ff.grad(f)(2.0)

    assert float(ff.jit(outer)(3.0)) == 30
    np.testing.assert_array_equal(ff.vmap(outer)(np.arange(3.0)), [0, 10, 20])
    with pytest.raises(errors.UnexpectedTracerError, match="pass the value"):
        ff.grad(outer)(3.0)


def test_there_is_no_forward_mode():
    for transform in (
        lambda f: ff.jvp(f, (X,), (X,)),
        lambda f: ff.jit(lambda x: ff.jvp(f, (x,), (x,)))(X),
        lambda f: ff.jacfwd(f)(X),
        lambda f: ff.linearize(f, X)[1](X),
    ):
        with pytest.raises(errors.NotDifferentiableError, match="reverse rule"):
            transform(marked)


@pytest.mark.parametrize(
    ("fwd", "bwd", "error", "match"),
    [
        (lambda x: x, lambda r, ct: (ct,), errors.TreeStructureError, "fwd rule.*pair"),
        (lambda x: (x, "s"), lambda r, ct: (ct,), errors.LeafTypeError, "residuals"),
        (lambda x: (x, x), lambda r, ct: ct, errors.TreeStructureError, "bwd rule.*tuple"),
        (lambda x: (x, x), lambda r, ct: (ct, ct), errors.TreeStructureError, "2 entries"),
        (lambda x: (x, x), lambda r, ct: ({"a": ct},), errors.TreeStructureError, "structure"),
        (lambda x: (x, x), lambda r, ct: (np.ones(5),), errors.ShapeError, "cotangent f64"),
    ],
)
def test_rules_are_checked(fwd, bwd, error, match):
    f = ff.custom_vjp(lambda x: x)
    with pytest.raises(errors.ArgumentError, match="no rule"):
        f(1.0)
    f.defvjp(fwd, bwd, optimize_remat=True)
    with pytest.raises(error, match=match):
        ff.grad(lambda x: fnp.sum(f(x)))(np.ones(2))


def test_golden_text(golden):
    total = lambda x: fnp.sum(marked(x))  # noqa: E731
    texts = [ff.make_jaxpr(f)(fnp.ones(3)) for f in (marked, ff.grad(total), ff.vmap(marked))]
    golden("transform_custom_vjp.txt", "\n".join(map(str, texts)) + "\n")
