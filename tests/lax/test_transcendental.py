"""Exponentials, logarithms, powers, trigonometric and hyperbolic functions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

# name: reference, and the interval of real arguments
FUNCTIONS = {
    "exp": (np.exp, -8, 8),
    "exp2": (lambda x: np.exp(x * np.log(2)), -8, 8),
    "expm1": (np.expm1, -8, 8),
    "log": (np.log, 0.125, 8),
    "log1p": (np.log1p, -0.75, 8),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), -8, 8),
    "sin": (np.sin, -8, 8),
    "cos": (np.cos, -8, 8),
    "tan": (np.tan, -1.25, 1.25),
    "asin": (np.arcsin, -0.875, 0.875),
    "acos": (np.arccos, -0.875, 0.875),
    "atan": (np.arctan, -8, 8),
    "sinh": (np.sinh, -8, 8),
    "cosh": (np.cosh, -8, 8),
    "tanh": (np.tanh, -4, 4),
    "asinh": (np.arcsinh, -8, 8),
    "acosh": (np.arccosh, 1.25, 8),
    "atanh": (np.arctanh, -0.875, 0.875),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_unary_values(agrees, name, data):
    reference, low, high = FUNCTIONS[name]
    x = data.draw(st.arrays(st.dtypes("fc"), min_value=low, max_value=high))
    agrees(getattr(lax, name), reference, x)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@settings(max_examples=3, deadline=None)
@given(data=draws())
def test_unary_laws(name, dtype, data):
    _, low, high = FUNCTIONS[name]
    x = data.draw(st.arrays(dtype, min_value=low, max_value=high, smooth=True))
    check_laws(getattr(lax, name), (x,))


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "pow", "atan2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_laws_in_half_precision(name, dtype):
    x = lax.convert_element_type(np.array([0.5, 1.25, 2.0]), dtype)
    args = (x, x) if name in ("pow", "atan2") else (x,)
    check_laws(getattr(lax, name), args, order=1)


SPECIAL = [-np.inf, -1.0, -0.0, 0.0, 1.0, np.inf, np.nan]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("exp", [0, math.exp(-1), 1, 1, math.e, np.inf, np.nan]),
        ("log", [np.nan, np.nan, -np.inf, -np.inf, 0, np.inf, np.nan]),
        ("log1p", [np.nan, -np.inf, -0.0, 0, math.log(2), np.inf, np.nan]),
        ("logistic", [0, 1 / (1 + math.e), 0.5, 0.5, 1 / (1 + math.exp(-1)), 1, np.nan]),
        ("atan", [-math.pi / 2, -math.pi / 4, -0.0, 0, math.pi / 4, math.pi / 2, np.nan]),
        ("tanh", [-1, math.tanh(-1), -0.0, 0, math.tanh(1), 1, np.nan]),
        ("atanh", [np.nan, -np.inf, -0.0, 0, np.inf, np.nan, np.nan]),
        ("acosh", [np.nan, np.nan, np.nan, np.nan, 0, np.inf, np.nan]),
    ],
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_special_values(name, expected, dtype):
    got = getattr(lax, name)(lax.convert_element_type(np.array(SPECIAL), dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(np.asarray(got).astype(float), expected, rtol=1e-2)


@settings(max_examples=50, deadline=None)
@given(data=draws())
def test_pow_values(agrees, data):
    dtype = data.draw(st.dtypes("fc"))
    shape_x, shape_y = data.draw(st.broadcastable_shapes())
    x = data.draw(st.arrays(dtype, shape_x, min_value=0.125, max_value=4))
    y = data.draw(st.arrays(dtype, shape_y, min_value=-4, max_value=4))
    agrees(lax.pow, np.power, x, y)


@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_pow_with_integer_exponents(agrees, data):
    x = data.draw(st.arrays(st.dtypes("fc"), (4,)))
    y = data.draw(st.arrays(st.dtypes("iu"), (4,), min_value=0, max_value=3))
    agrees(lax.pow, lambda x, y: x ** y.astype(float), x, y)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@settings(max_examples=5, deadline=None)
@given(data=draws())
def test_pow_laws(dtype, data):
    shapes = data.draw(st.broadcastable_shapes(max_dims=2))
    x, y = (
        data.draw(st.arrays(dtype, s, min_value=0.25, max_value=3, smooth=True)) for s in shapes
    )
    check_laws(lax.pow, (x, y))
    check_laws(lambda x: lax.pow(x, 2.5), (x,))
    check_laws(lambda y: lax.pow(1.5, y), (y,))


def test_pow_laws_with_integer_exponents():
    check_laws(lax.pow, (np.array([0.5, 1.5, -2.0], "f4"), np.array([3, 0, 2], "i4")))


def test_pow_of_a_number_and_integers():
    got = lax.pow(2.0, np.array([1, 2, 3]))
    np.testing.assert_array_equal(got, np.array([2, 4, 8], "f4"))
    assert got.dtype == "float32"


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize(
    ("x", "y", "by_x", "by_y"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 2.0, 0.0, 0.0),
        (0.0, 0.5, np.inf, 0.0),
        (-2.0, 3.0, 12.0, np.nan),
    ],
)
def test_pow_derivatives_at_the_edge(x, y, by_x, by_y, jitted):
    wrap = ff.jit if jitted else lambda f: f
    np.testing.assert_array_equal(wrap(ff.grad(lax.pow, 0))(x, y), by_x)
    np.testing.assert_array_equal(wrap(ff.grad(lax.pow, 1))(x, y), by_y)
    np.testing.assert_array_equal(wrap(ff.grad(lambda x: lax.pow(x, y)))(x), by_x)


@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_atan2_values(agrees, data):
    dtype = data.draw(st.dtypes("f"))
    shapes = data.draw(st.broadcastable_shapes())
    x, y = (data.draw(st.arrays(dtype, s, special=True)) for s in shapes)
    agrees(lax.atan2, np.arctan2, x, y)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@settings(max_examples=5, deadline=None)
@given(data=draws())
def test_atan2_laws(dtype, data):
    shapes = data.draw(st.broadcastable_shapes(max_dims=2))
    x, y = (
        data.draw(st.arrays(dtype, s, min_value=0.25, max_value=3, smooth=True)) for s in shapes
    )
    check_laws(lax.atan2, (x, y))


def test_atan2_of_complex_numbers_continues_the_real_one():
    x, y = np.array([1.0, -1.0, 0.5]), np.array([2.0, 0.25, 1.0])
    got = lax.atan2(x.astype("c16"), y.astype("c16"))
    np.testing.assert_allclose(got, np.arctan2(x, y), atol=1e-14)


def test_derivative_of_atan2_at_the_origin_is_zero():
    assert float(ff.grad(lax.atan2, 0)(0.0, 0.0)) == 0
    assert float(ff.grad(lax.atan2, 1)(0.0, 0.0)) == 0


@pytest.mark.parametrize("name", ["log", "log1p", "asin", "acos", "acosh", "atanh"])
def test_where_masks_infinite_derivatives(name):
    """The branch that is not taken has no share in the gradient, whatever its derivative."""
    edge = {"log": 0.0, "log1p": -1.0}.get(name, 1.0)

    def f(x):
        return lax.select(lax.eq(x, edge), lax.mul(x, 3.0), getattr(lax, name)(x))

    assert float(ff.grad(f)(edge)) == 3
    assert float(ff.jit(ff.grad(f))(edge)) == 3
    assert float(ff.jvp(f, (edge,), (1.0,))[1]) == 3
    assert float(ff.grad(ff.grad(f))(edge)) == 0


def test_overflow_behind_where_leaves_the_gradient_finite():
    def f(x):
        return lax.select(lax.lt(x, 10.0), lax.exp(x), lax.mul(x, 2.0))

    assert float(ff.grad(f)(1000.0)) == 2


def test_entropy_has_a_finite_gradient_at_zero():
    def entropy(p):
        terms = lax.select(lax.gt(p, 0.0), lax.neg(lax.mul(p, lax.log(p))), lax.mul(p, 0.0))
        return lax.reduce_sum(terms, (0,))

    np.testing.assert_allclose(ff.grad(entropy)(np.array([0.0, 1.0], "f4")), [0, -1])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_integers_are_refused(name):
    with pytest.raises(ff.errors.DtypeError, match=f"{name}: takes floating, complex dtypes"):
        getattr(lax, name)(np.arange(3))


def test_pow_refuses_integer_bases_and_mixed_dtypes():
    with pytest.raises(ff.errors.DtypeError, match="pow: takes floating, complex"):
        lax.pow(np.arange(3), np.arange(3))
    with pytest.raises(ff.errors.DtypeError, match="pow: takes arguments of one dtype"):
        lax.pow(np.ones(3, "f4"), np.ones(3, "f8"))


def test_logistic_of_float16_beyond_the_overflow_of_exp():
    x = np.array([-10.5, -12, -14.3, -16, -20], np.float16)
    expected = (1 / (1 + np.exp(-x.astype(np.float64)))).astype(np.float16)
    np.testing.assert_allclose(lax.logistic(x), expected, rtol=0, atol=6e-8)
    np.testing.assert_array_equal(ff.jit(lax.logistic)(x), lax.logistic(x))
