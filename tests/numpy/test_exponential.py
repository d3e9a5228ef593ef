"""Exponentials and logarithms."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.testing import check_laws

FUNCTIONS = ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p"]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_values(agrees, name, dtype):
    x = np.array([0.25, 0.5, 1, 2, 5]).astype(dtype)
    if dtype.startswith("complex"):
        x = x + np.array(0.5j, dtype)
    agrees(lambda xp, x: getattr(xp, name)(x), x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(agrees, name):
    x = np.array([0, -0.0, np.inf, -np.inf, np.nan, -2], "float32")
    agrees(lambda xp, x: getattr(xp, name)(x), x)
    agrees(lambda xp, x: getattr(xp, name)(x), x[:0])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_laws(name):
    check_laws(getattr(fnp, name), (fnp.array([0.4, 1.7, 3.0]),))
    check_laws(getattr(fnp, name), (fnp.array([0.4 + 1j, 1.7 - 0.5j]),))


def test_integers_become_floats():
    assert fnp.exp(fnp.arange(3)).dtype == "float32"
    assert fnp.log(fnp.arange(3, dtype="int64")).dtype == "float64"
    assert fnp.exp(True).dtype == "float32"


def test_logarithms_of_complex_zero():
    for function in (fnp.log2, fnp.log10, ff.jit(fnp.log10)):
        assert function(fnp.zeros((), complex)).item() == complex(-np.inf, 0)


@pytest.mark.parametrize("name", ["logaddexp", "logaddexp2"])
def test_logaddexp(agrees, name):
    x = np.array([-1e4, 1e4, 0, 3, -np.inf, np.inf, np.inf, np.nan, -np.inf], "float32")
    y = np.array([1e4, 1e4, 0, -2, -np.inf, np.inf, -np.inf, 1, 5], "float32")
    agrees(lambda xp, x, y: getattr(xp, name)(x, y), x, y)
    check_laws(getattr(fnp, name), (fnp.array([0.5, 2.0]), fnp.array([[1.5], [-0.7]])))


def test_derivatives_of_logaddexp_where_its_arguments_are_equal():
    f = fnp.logaddexp
    assert ff.grad(f, argnums=(0, 1))(2.0, 2.0) == (0.5, 0.5)
    second = ff.hessian(f, argnums=(0, 1))(2.0, 2.0)
    np.testing.assert_allclose(second, [[0.25, -0.25], [-0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize(("x", "y"), [(-np.inf, -np.inf), (np.inf, np.inf), (-np.inf, 1.0)])
def test_derivatives_of_logaddexp_at_infinity_are_finite(x, y):
    assert sum(ff.grad(fnp.logaddexp, argnums=(0, 1))(x, y)) == 1


def test_complex_logaddexp():
    x, y = fnp.array([1 + 2j, 80 + 3j]), fnp.array([0.5 - 1j, 79 - 3j])
    expected = np.log(np.exp(np.asarray(x, "c16")) + np.exp(np.asarray(y, "c16")))
    np.testing.assert_allclose(fnp.logaddexp(x, y), expected, rtol=1e-5)
    check_laws(fnp.logaddexp, (x[:1], y[:1]))
