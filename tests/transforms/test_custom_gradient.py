"""custom_gradient and closure_convert."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors

X = np.array([0.5, -1.0])


@ff.custom_gradient
def product(x, y):
    """A product with a marked gradient."""
    s = fnp.sin(x)
    return s * y, lambda ct: (10 * fnp.cos(x) * y * ct, 10 * s * ct)


def test_the_pullback_is_used():
    expected = 10 * np.cos(X) * 2, 10 * np.sin(X)
    for f in (product, ff.jit(product)):
        np.testing.assert_allclose(ff.vmap(ff.grad(f), (0, None))(X, 2.0), expected[0])
        total = lambda x, y, f=f: fnp.sum(f(x, y))  # noqa: E731
        got = ff.jit(ff.grad(total, (0, 1)))(X, 2 * np.ones(2))
        np.testing.assert_allclose(got[0], expected[0])
        np.testing.assert_allclose(got[1], expected[1])
    np.testing.assert_allclose(product(X, 2.0), 2 * np.sin(X))
    assert product.__name__ == "product"


def test_a_single_argument_and_trees():
    f = ff.custom_gradient(lambda p: (p["a"] * 2, lambda ct: {"a": ct * 30}))
    assert float(ff.grad(f)({"a": 1.0})["a"]) == 30


def test_higher_orders():
    f = ff.custom_gradient(lambda x: (x**2, lambda ct: ct * x**3))
    assert float(ff.grad(ff.grad(f))(2.0)) == 12


def test_closure_convert():
    table = np.arange(2.0)

    def outer(a):
        f, values = ff.closure_convert(lambda x: a * x + table, X)
        assert len(values) == (1 if isinstance(a, ff.Array) else 0)
        return fnp.sum(f(X, *values))

    np.testing.assert_allclose(outer(3.0), 3 * X.sum() + 1)
    for transform in (ff.grad, lambda f: ff.jit(ff.grad(f))):
        np.testing.assert_allclose(transform(outer)(fnp.float64(3)), X.sum())


def test_closure_convert_makes_a_rule_possible():
    def integrate(f, x):
        g, values = ff.closure_convert(f, x)
        return _integrate(g, x, *values)

    _integrate = ff.custom_vjp(lambda g, x, *values: g(x, *values), nondiff_argnums=(0,))
    _integrate.defvjp(
        lambda g, x, *values: (g(x, *values), (x, values)),
        lambda g, kept, ct: (0 * kept[0], *(7 * ct for _ in kept[1])),
    )
    assert float(ff.grad(lambda a: integrate(lambda x: a * x, 2.0))(3.0)) == 7


def test_errors():
    with pytest.raises(errors.FuncflowError):
        ff.custom_gradient(3)
    with pytest.raises(errors.TreeStructureError, match="bwd rule"):
        ff.grad(ff.custom_gradient(lambda x, y: (x, lambda ct: ct)))(1.0, 2.0)
