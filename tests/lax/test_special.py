"""The error function and the gamma function with their kin."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

FUNCTIONS = {
    "erf": (np.vectorize(math.erf, otypes="d"), -4, 4),
    "erfc": (np.vectorize(math.erfc, otypes="d"), -4, 4),
    "erf_inv": (np.vectorize(lambda y: float(mpmath.erfinv(y)), otypes="d"), -0.875, 0.875),
    "lgamma": (np.vectorize(math.lgamma, otypes="d"), 0.125, 8),
    "digamma": (np.vectorize(lambda x: float(mpmath.digamma(x)), otypes="d"), 0.125, 8),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=20, deadline=None)
@given(data=draws())
def test_values(agrees, name, data):
    reference, low, high = FUNCTIONS[name]
    x = data.draw(st.arrays(st.dtypes("f"), min_value=low, max_value=high))
    # near their zeros lgamma and digamma are only as precise as their dtype is near 1
    got = getattr(lax, name)
    if name in ("lgamma", "digamma"):
        agrees(
            lambda x: lax.add(got(x), lax.convert_element_type(4, x.dtype)),
            lambda x: reference(x) + 4,
            x,
        )
    else:
        agrees(got, reference, x)


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=3, deadline=None)
@given(data=draws())
def test_laws(name, data):
    _, low, high = FUNCTIONS[name]
    check_laws(
        getattr(lax, name),
        (data.draw(st.arrays("float32", min_value=low, max_value=high, smooth=True)),),
    )


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_laws_in_half_precision(name, dtype):
    x = lax.convert_element_type(np.array([0.25, 0.5, 0.75]), dtype)
    check_laws(getattr(lax, name), (x,), order=1)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("erf", [-np.inf, -0.0, np.inf, np.nan], [-1, -0.0, 1, np.nan]),
        ("erfc", [-np.inf, 0, np.inf, np.nan, 9], [2, 1, 0, np.nan, 4.1370317e-37]),
        ("erf_inv", [-1, 0, 1, 2, -2, np.nan], [-np.inf, 0, np.inf, np.nan, np.nan, np.nan]),
        ("lgamma", [0, -1, 1, 2, np.inf, -np.inf], [np.inf, np.inf, 0, 0, np.inf, np.inf]),
        ("lgamma", [-0.5, 1e10, np.nan], [1.2655121, 2.2025852e11, np.nan]),
        ("digamma", [0, -0.0, -1, np.inf, -np.inf], [np.nan, np.nan, np.nan, np.inf, np.nan]),
        ("digamma", [-0.5, 1e10, np.nan], [0.03648998, 23.025851, np.nan]),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(name, x, expected, dtype):
    got = getattr(lax, name)(np.array(x, dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_erf_inv_inverts_erf():
    x = np.linspace(-3, 3, 50)
    np.testing.assert_allclose(lax.erf_inv(lax.erf(x)), x, rtol=1e-10)


def test_polygamma():
    orders = np.array([0.0, 1.0, 2.0, 3.0])
    x = np.array([[0.5], [3.25], [-0.5]])
    expected = [[float(mpmath.psi(int(m), v)) for m in orders] for v in x[:, 0]]
    np.testing.assert_allclose(lax.polygamma(orders, x), expected, rtol=1e-12)


def test_polygamma_laws():
    x = np.array([0.75, 1.5, 4.0], "f4")
    check_laws(lambda x: lax.polygamma(2.0, x), (x,))
    check_laws(lambda x: lax.polygamma(np.array([1, 2, 3], x.dtype), x), (x,))


def test_third_derivative_of_lgamma():
    third = ff.grad(ff.grad(ff.grad(lax.lgamma)))
    np.testing.assert_allclose(third(2.5), float(mpmath.psi(2, 2.5)), rtol=1e-5)


def test_integers_and_complex_numbers_are_refused():
    for name in FUNCTIONS:
        for x in (np.arange(3), np.ones(3, "c8")):
            with pytest.raises(ff.errors.DtypeError, match=f"{name}: takes floating dtypes"):
                getattr(lax, name)(x)
