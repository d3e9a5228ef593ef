"""Gradients behind `where`: finite where the mathematics says so, NaN where it cannot be known."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

TRANSFORMS = {
    "eager": lambda f: f,
    "jit": ff.jit,
    "jit twice": lambda f: ff.jit(ff.jit(f)),
    "vmap of jit": lambda f: lambda x: ff.vmap(ff.jit(f), in_axes=0)(x[None])[0],
    "checkpoint": ff.checkpoint,
}
X = np.array([0.0, 0.5, 2.0, -1.0], "f4")


def entropy(x):
    return fnp.where(x > 0, x * fnp.log(x), 0.0)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_branch_not_taken_has_no_share(transform):
    f = transform(entropy)
    expected = [0, np.log(0.5) + 1, np.log(2) + 1, 0]
    gradient = ff.grad(lambda x: f(x).sum())(X)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    second = ff.grad(lambda x: ff.grad(lambda x: f(x).sum())(x).sum())(X)
    np.testing.assert_allclose(second, [0, 2, 0.5, 0], rtol=1e-6)
    tangent = ff.jvp(f, (X,), (np.ones_like(X),))[1]
    np.testing.assert_allclose(tangent, expected, rtol=1e-6)


@pytest.mark.parametrize("cases", [2, 3])
def test_select_n_by_an_integer(cases):
    which = np.array([0, 1, cases - 1], "i4")
    branches = [lambda x: x, lambda x: 2 * x, fnp.sqrt][: cases - 1] + [lambda x: 3 * x + 1 / x * 0]

    def f(x):
        return lax.select_n(which, *(branch(x) for branch in branches)).sum()

    gradient = ff.grad(f)(np.array([0.0, 4.0, 4.0], "f4"))
    assert np.isfinite(gradient).all()


def test_a_factor_that_is_broadcast():
    """The cotangent of a scalar is a sum over lanes, in which no NaN may come in."""

    def f(scale, y):
        return fnp.where(y > 0, scale * fnp.log(y), 0.0).sum()

    assert float(ff.grad(f)(2.0, np.array([0.0, 3.0], "f4"))) == pytest.approx(np.log(3))


def test_rearranged_between_the_product_and_the_selection():
    def f(x):
        rows = (x * fnp.log(x)).reshape(2, 2).T
        return fnp.where(X.reshape(2, 2).T > 0, rows, 0.0).sum()

    np.testing.assert_allclose(ff.grad(f)(X), [0, np.log(0.5) + 1, np.log(2) + 1, 0], rtol=1e-6)


def test_one_choice_for_a_whole_sum():
    def f(x):
        return fnp.where(x.sum() > 0, fnp.sqrt(x).sum(), 0.0)

    np.testing.assert_array_equal(ff.grad(f)(np.zeros(2, "f4")), [0, 0])


def test_one_choice_for_a_loop():
    def f(x):
        looped = lax.scan(lambda c, _: (fnp.sqrt(c), None), x, None, length=2)[0]
        return fnp.where(x > 0, looped, 0.0)

    assert float(ff.grad(f)(0.0)) == 0
    assert float(ff.grad(f)(1.0)) == pytest.approx(0.25)


def test_nested_selections():
    def f(x):
        inner = fnp.where(x < 1, fnp.sqrt(x), 1 / (x - 1))
        return fnp.where(x > 0, inner, x)

    np.testing.assert_allclose(
        ff.vmap(ff.grad(f))(np.array([0.0, 0.25, 1.0, 2.0], "f4")), [1, 1, -np.inf, -1]
    )


def test_zero_by_underflow_is_no_mask():
    """1 / (1 + inf) is 0, but not because a branch was not taken: the NaN must be seen."""
    assert np.isnan(ff.grad(lambda x: fnp.log1p(fnp.exp(x)))(100.0))
    assert np.isnan(ff.grad(lambda x: fnp.where(x > 0, fnp.log1p(fnp.exp(x)), x))(100.0))


def test_without_selection_nothing_is_added():
    text = str(ff.make_jaxpr(ff.grad(lambda x: fnp.sin(x) * x))(1.0))
    assert "select_n" not in text
