"""Forward rules: they are used, everywhere, and checked."""

from functools import partial

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax


@ff.custom_jvp
def marked(x):
    """A sine whose derivative is told by a factor of ten."""
    return fnp.sin(x)


@marked.defjvp
def _marked_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return marked(x), 10 * fnp.cos(x) * t


X = np.array([0.3, -0.4, 0.5])
RULE = 10 * np.cos(X)


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f: ff.vmap(ff.grad(f))(X),
        lambda f: ff.grad(lambda x: fnp.sum(f(x)))(X),
        lambda f: ff.jvp(f, (X,), (np.ones(3),))[1],
        lambda f: ff.linearize(f, X)[1](np.ones(3)),
        lambda f: ff.grad(lambda x: fnp.sum(ff.vmap(f)(x)))(X),
        lambda f: ff.jvp(ff.vmap(f), (X,), (np.ones(3),))[1],
        lambda f: ff.jit(ff.vmap(ff.grad(f)))(X),
        lambda f: ff.vmap(ff.grad(ff.jit(f)))(X),
        lambda f: ff.grad(ff.jit(lambda x: fnp.sum(ff.vmap(f)(x))))(X),
        lambda f: ff.grad(lambda x: fnp.sum(ff.checkpoint(f)(x)))(X),
        lambda f: ff.grad(lambda x: fnp.sum(lax.map(f, x)))(X),
        lambda f: ff.grad(lambda x: fnp.sum(lax.cond(True, f, fnp.cos, x)))(X),
        lambda f: ff.vmap(ff.grad(lambda x: lax.cond(x > -9, f, fnp.cos, x)))(X),
        lambda f: ff.grad(lambda x: fnp.sum(lax.fori_loop(0, 1, lambda _, v: f(v), x)))(X),
        lambda f: ff.jacfwd(f)(X) @ np.ones(3),
        lambda f: np.ones(3) @ ff.jacrev(f)(X),
    ],
)
def test_the_rule_is_used(derivative):
    np.testing.assert_allclose(derivative(marked), RULE)


def test_the_rule_is_used_under_pmap():
    with ff.config(num_cpu_devices=3):
        np.testing.assert_allclose(ff.pmap(ff.grad(marked))(X), RULE)
        np.testing.assert_allclose(ff.grad(lambda x: fnp.sum(ff.pmap(marked)(x)))(X), RULE)


def test_the_rule_is_used_for_a_value_that_an_inner_gradient_holds_fixed():
    for outer in (ff.grad, ff.jit, lambda f: ff.grad(ff.jit(f))):
        f = lambda x: ff.grad(lambda y: y * marked(x))(1.0)  # noqa: E731
        expected = np.sin(0.5) if outer is ff.jit else 10 * np.cos(0.5)
        np.testing.assert_allclose(outer(f)(0.5), expected, rtol=1e-6)


def test_higher_orders_differentiate_the_rule():
    np.testing.assert_allclose(ff.grad(ff.grad(marked))(0.5), -10 * np.sin(0.5), rtol=1e-6)
    np.testing.assert_allclose(ff.jacfwd(ff.jacfwd(marked))(0.5), -10 * np.sin(0.5), rtol=1e-6)


def test_rules_one_per_argument():
    f = ff.custom_jvp(lambda x, y, z: x * y + z)
    f.defjvps(lambda t, out, x, y, z: 100 * t * y, None, lambda t, out, x, y, z: t * out)
    np.testing.assert_array_equal(ff.grad(f, (0, 1, 2))(2.0, 3.0, 4.0), [300, 0, 10])


def test_pytrees():
    f = ff.custom_jvp(lambda p, x: {"y": p["w"] * x, "n": 3})

    @f.defjvp
    def rule(primals, tangents):
        (p, x), (dp, dx) = primals, tangents
        return f(p, x), {"y": dp["w"] * x + 5 * p["w"] * dx, "n": 0}

    out, tangent = ff.jvp(f, ({"w": 2.0}, 3.0), ({"w": 1.0}, 1.0))
    assert float(out["y"]) == 6 and float(tangent["y"]) == 13
    assert tangent["n"].dtype == ff.float0
    assert float(ff.grad(lambda x: f({"w": 2.0}, x)["y"])(3.0)) == 10


def test_integers_have_zero_tangents_of_their_dtype():
    seen = []
    f = ff.custom_jvp(lambda x, n: x * n)

    @f.defjvp
    def rule(primals, tangents):
        seen.append(tangents[1])
        return f(*primals), tangents[0] * primals[1] + primals[0] * tangents[1]

    assert float(ff.grad(f)(2.0, 3)) == 3
    assert seen[0].dtype == np.int32 and int(seen[0]) == 0


def test_arguments_that_are_not_arrays():
    @partial(ff.custom_jvp, nondiff_argnums=(0, 2))
    def apply(f, x, n=2):
        return f(x) * n

    @apply.defjvp
    def rule(f, n, primals, tangents):
        return apply(f, *primals, n), 10 * n * tangents[0]

    for transform in (lambda f: f, ff.jit):
        g = transform(lambda x: apply(fnp.sin, x, 3))
        np.testing.assert_allclose(g(0.5), 3 * np.sin(0.5), rtol=1e-6)
        assert float(transform(ff.grad(g))(0.5)) == 30
    assert float(ff.grad(lambda x: apply(fnp.sin, x))(0.5)) == 20
    assert float(ff.grad(lambda x: apply(f=fnp.sin, n=4, x=x))(0.5)) == 40


def test_methods():
    class Scaled:
        def __init__(self, scale):
            self.scale = scale

        @partial(ff.custom_jvp, nondiff_argnums=(0,))
        def __call__(self, x):
            return self.scale * x

        @__call__.defjvp
        def rule(self, primals, tangents):
            return self(*primals), 7 * tangents[0]

    assert float(Scaled(2.0)(3.0)) == 6 and float(ff.grad(Scaled(2.0))(3.0)) == 7


def test_captured_tracers():
    def outer(a):
        f = ff.custom_jvp(lambda x: x * a)
        f.defjvp(lambda primals, tangents: (f(*primals), 10 * a * tangents[0]))
        return ff.grad(f)(2.0)

    assert float(ff.jit(outer)(3.0)) == 30
    np.testing.assert_array_equal(ff.vmap(outer)(np.arange(3.0)), [0, 10, 20])
    with pytest.raises(errors.UnexpectedTracerError, match="pass the value"):
        ff.grad(outer)(3.0)


def test_the_function_is_computed_only_where_it_is_needed(count):
    jaxpr = ff.make_jaxpr(marked)(X)
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == ["custom_jvp_call"]
    assert count(ff.make_jaxpr(ff.vmap(ff.grad(marked)))(X), "custom_jvp_call") == 1


@pytest.mark.parametrize(
    ("rule", "error", "match"),
    [
        (None, errors.ArgumentError, "no rule"),
        (lambda p, t: p[0], errors.TreeStructureError, "pair"),
        (lambda p, t: (p[0], (t[0],)), errors.TreeStructureError, "structure"),
        (lambda p, t: (p[0], np.ones(5)), errors.ShapeError, "tangent f64"),
        (lambda p, t: (t[0], t[0]), errors.NotDifferentiableError, "from its tangent"),
    ],
)
def test_rules_are_checked(rule, error, match):
    f = ff.custom_jvp(lambda x: x)
    if rule is not None:
        f.defjvp(rule)
    with pytest.raises(error, match=match):
        ff.grad(lambda x: fnp.sum(f(x)))(np.ones(2))


def test_keyword_only_arguments_are_refused():
    def f(x, *, k):
        return x * k

    g = ff.custom_jvp(f)
    g.defjvp(lambda p, t: (p[0], t[0]))
    with pytest.raises(errors.ArgumentError, match=r"\['k'\]"):
        g(1.0, k=2)


def test_golden_text(golden):
    texts = [ff.make_jaxpr(f)(fnp.ones(3)) for f in (marked, ff.vmap(marked))]
    texts.append(ff.make_jaxpr(lambda x: ff.jvp(marked, (x,), (x,)))(fnp.ones(3)))
    golden("transform_custom_jvp.txt", "\n".join(map(str, texts)) + "\n")
