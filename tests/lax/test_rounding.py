"""Rounding, and the neighbours of floating-point numbers."""

import numpy as np
import pytest
from hypothesis import given, settings

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

HALVES = np.array([0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, -0.3], "f4")


def test_halves_go_away_from_zero():
    got = np.asarray(lax.round(HALVES))
    np.testing.assert_array_equal(got, [1, -1, 2, 3, -3, 0, -0.0])
    assert np.signbit(got[-1])


def test_halves_go_to_the_even_neighbour():
    got = lax.round(HALVES, lax.RoundingMethod.TO_NEAREST_EVEN)
    np.testing.assert_array_equal(got, [0, -0.0, 2, 2, -2, 0, -0.0])


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("floor", np.floor),
        ("ceil", np.ceil),
        ("round", lambda x: np.where(np.isfinite(x), np.trunc(x + np.copysign(0.5, x)), x)),
    ],
)
@settings(max_examples=30, deadline=None)
@given(x=st.arrays(st.dtypes("f")))
def test_rounding_values(agrees, name, reference, x):
    agrees(getattr(lax, name), reference, x)


@pytest.mark.parametrize("name", ["floor", "ceil", "round"])
def test_what_is_not_finite_stays(name):
    x = np.array([np.inf, -np.inf, np.nan, 1e30], "f4")
    np.testing.assert_array_equal(getattr(lax, name)(x), x)


@settings(max_examples=30, deadline=None)
@given(x=st.arrays(st.dtypes("f"), special=True))
def test_is_finite(agrees, x):
    agrees(lax.is_finite, np.isfinite, x, dtype=bool)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bfloat16"])
def test_nextafter(dtype):
    dtype = lax.convert_element_type(0, dtype).dtype
    one, two = np.ones((), dtype), np.array(2, dtype)
    above = lax.nextafter(one, two)
    assert above.dtype == dtype
    step = {"float16": 2**-10, "bfloat16": 2**-7, "float32": 2**-23, "float64": 2**-52}[dtype.name]
    assert float(above) == 1 + step
    assert float(lax.nextafter(one, one)) == 1
    assert float(lax.nextafter(np.zeros((), dtype), one)) > 0


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "is_finite"])
def test_laws(name):
    check_laws(getattr(lax, name), (np.array([0.3, -1.7, 2.2], "f4"),))
    check_laws(getattr(lax, name), (np.zeros((0, 2), "f4"),))


def test_laws_of_nextafter():
    check_laws(lax.nextafter, (np.array([[0.3, -1.7]], "f4"), np.array([[1.0], [-2.0]], "f4")))


@pytest.mark.parametrize("name", ["floor", "ceil", "round"])
def test_derivative_is_zero(name):
    assert float(ff.grad(lambda x: lax.mul(getattr(lax, name)(x), x))(1.75)) in (1.0, 2.0)


def test_integers_are_refused():
    for name in ("floor", "ceil", "round", "is_finite"):
        with pytest.raises(ff.errors.DtypeError, match=f"{name}: takes floating dtypes"):
            getattr(lax, name)(np.arange(3))
