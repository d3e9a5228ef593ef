from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from funcflow.lax.fused import fma, horner
from funcflow.testing import check_laws


def operands(dtype: Any) -> list[Any]:
    """Half of them such that the product and the third operand almost cancel."""
    rng = np.random.default_rng(0)
    scale = 1.0 if dtype == np.float16 else 4.0
    a, b, c = (rng.standard_normal(2000) * np.exp(scale * rng.standard_normal(2000)) for _ in "abc")
    a, b, c = a.astype(dtype), b.astype(dtype), c.astype(dtype)
    c[::2] = -(a * b)[::2]
    return [a, b, c]


def test_double_precision_is_rounded_once() -> None:
    a, b, c = operands(np.float64)
    exact = [
        float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(fma(a, b, c), exact)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_floats_are_rounded_once(dtype: Any) -> None:
    a, b, c = operands(dtype)
    exact = a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)
    np.testing.assert_array_equal(fma(a, b, c), exact.astype(dtype))


def test_bfloat16_is_rounded_twice() -> None:
    a, b, c = operands(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(np.asarray(fma(a, b, c)), a * b + c)


def test_infinities_and_overflow() -> None:
    inf, big = np.inf, 1e308
    a = np.array([inf, 1.0, big, np.nan, 0.0, -0.0])
    b = np.array([2.0, 1.0, big, 1.0, inf, 1.0])
    c = np.array([1.0, inf, 1.0, 1.0, 1.0, -0.0])
    np.testing.assert_array_equal(fma(a, b, c), [inf, inf, inf, np.nan, np.nan, -0.0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_horner(dtype: Any) -> None:
    x = np.linspace(-1, 1, 101).astype(dtype)
    polynomials = (0.3, -1.2, 0.7, 2.5), (1.0, 2.0, 3.0, 4.0)
    for coefficients, found in zip(polynomials, horner(np, x, *polynomials), strict=True):
        total = np.full(x.shape, coefficients[0], dtype)
        for c in coefficients[1:]:
            total = np.asarray(fma(total, x, np.asarray(c, dtype)))
        np.testing.assert_array_equal(found, total)


def test_laws() -> None:
    a, b, c = (x[1:6] for x in operands(np.float64))
    check_laws(fma, (a, b[:, None], c))
