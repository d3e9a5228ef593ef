import math
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


def near_halves(dtype: Any) -> list[Any]:
    """Products halfway between two floats, and something little, if anything, to add to them."""
    rng, digits = np.random.default_rng(1), np.finfo(dtype).nmant + 1
    # (2^j + 1) m has one digit too many if m has the others, and the last of it is 1
    shifts = rng.integers(1, 4, 4000)
    a = (2**shifts + 1).astype(dtype)
    b = (rng.integers(2 ** (digits - 2), 2 ** (digits - 1), 4000) | 1).astype(dtype)
    c = np.ldexp(rng.integers(-2, 3, 4000).astype(dtype), -rng.integers(0, 40, 4000))
    return [a * rng.choice([-1, 1], 4000).astype(dtype), b, (c * c * c).astype(dtype)]


def extremes(dtype: Any) -> list[Any]:
    """Random bits without NaNs and infinities: all exponents; products of tiny numbers."""
    rng, width = np.random.default_rng(2), np.dtype(dtype).itemsize
    rows = np.frombuffer(rng.bytes(3 * 3000 * width), dtype).reshape(3, 3000).copy()
    rows[~np.isfinite(rows)] = 1
    rows[1, ::2] = np.finfo(dtype).tiny / rows[0, ::2]
    rows[2, ::3] = np.finfo(dtype).smallest_subnormal
    rows[:, :2] = np.finfo(dtype).max
    rows[2, 0] *= -1
    return list(np.where(np.isfinite(rows), rows, 1))


def rounded(exact: Fraction, dtype: Any) -> float:
    """The float nearest to a fraction: of two, the one with the even last digit."""
    info = np.finfo(dtype)
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** (max(exponent, info.minexp) - info.nmant)
    nearest = round(exact / unit) * unit  # `round` is to even
    if abs(nearest) > float(info.max):
        return math.inf if exact > 0 else -math.inf
    return float(nearest)


@pytest.mark.parametrize("make", [operands, near_halves, extremes])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_rounding(make: Any, dtype: Any) -> None:
    a, b, c = make(dtype)
    exact = [
        Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        for x, y, z in zip(a, b, c, strict=True)
    ]
    np.testing.assert_array_equal(fma(a, b, c), [rounded(x, dtype) for x in exact])


def test_known_double_rounding() -> None:
    a, b, c = np.float32(-3), np.float32(-1.8446746e19), np.float32(-0.5)
    assert np.asarray(fma(a, b, c)) == np.float32(5.5340237e19)
    # halfway between two doubles, and below them
    one = 1 + 2.0**-52
    assert np.asarray(fma(1.5, one, 2.0**-200)) == 1.5 + 2.0**-51
    assert np.asarray(fma(1.5, one, -(2.0**-200))) == 1.5 + 2.0**-52


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
