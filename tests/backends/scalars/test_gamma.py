"""Error bounds of lgamma and digamma, and what they are at poles and infinities."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from funcflow.core import rules
from funcflow.lax.special import digamma_p, lgamma_p

Elements = np.ndarray[Any, Any]

DENSITY = pytest.mark.parametrize("density", [2, pytest.param(50, marks=pytest.mark.slow)])


def positive(dtype: Any, density: int) -> Elements:
    """Positive numbers of all exponents, and many where formulas change or results are 0."""
    rng, info = np.random.default_rng(0), np.finfo(dtype)
    exponents = np.arange(info.minexp, info.maxexp - 12, 1 if dtype == np.float32 else 8)
    scale = np.ldexp(1.0, exponents)[:, None]
    spread = (rng.uniform(1, 2, (len(exponents), density)) * scale).ravel()
    near = [center + rng.normal(0, 1, 20) * 10.0 ** -np.arange(20) for center in (1, 1.4616, 2, 3)]
    edges = np.array([0.5, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, info.tiny])
    around = [np.nextafter(edges.astype(dtype), dtype(end)) for end in (0, np.inf)]
    usual = rng.uniform(0, 12, 200 * density)
    return abs(np.concatenate([spread, *near, usual, edges, *around])).astype(dtype)


def negative(dtype: Any, density: int) -> Elements:
    """Negative numbers that are no poles."""
    rng = np.random.default_rng(1)
    usual = -np.concatenate([rng.uniform(0, 30, 200 * density), rng.uniform(0, 1000, 50)])
    poles = -np.arange(1.0, 40).astype(dtype)
    around = [np.nextafter(poles, dtype(end)) for end in (0, -np.inf)]
    tiny = -(10.0 ** -np.arange(1.0, 30))
    return np.concatenate([usual, *around, tiny]).astype(dtype)


def errors(name: str, x: Elements, found: Elements, scale: float) -> Elements:
    """Errors in ulps of the exact result; with a scale of 1, of that at |x| or 1 if greater."""
    function: Callable[[Any], Any] = {
        "lgamma": lambda v: mpmath.re(mpmath.loggamma(v)),
        "digamma": mpmath.digamma,
    }[name]
    with mpmath.workprec(160):
        exact = [function(mpmath.mpf(float(v))) for v in x]
        reflected = [scale * abs(function(mpmath.mpf(abs(float(v))))) for v in x]
        sizes = [float(max(abs(e), r, scale)) for e, r in zip(exact, reflected, strict=True)]
        missed = [float(abs(mpmath.mpf(float(y)) - e)) for y, e in zip(found, exact, strict=True)]
    return np.array(missed) / np.spacing(np.array(sizes).astype(x.dtype)).astype(np.float64)


@DENSITY
@pytest.mark.parametrize("make", [positive, negative])
@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_single_precision(evaluate: Any, name: str, make: Any, density: int) -> None:
    x = make(np.float32, density)
    assert errors(name, x, evaluate(name, x), 0).max() <= 1


@DENSITY
def test_positive_doubles_of_lgamma(evaluate: Any, density: int) -> None:
    x = positive(np.float64, density)
    assert errors("lgamma", x, evaluate("lgamma", x), 0).max() <= 5


@DENSITY
@pytest.mark.parametrize(
    ("name", "make", "bound"),
    [("lgamma", negative, 5), ("digamma", positive, 12), ("digamma", negative, 12)],
)
def test_doubles(evaluate: Any, name: str, make: Any, bound: float, density: int) -> None:
    x = make(np.float64, density)
    assert errors(name, x, evaluate(name, x), 1).max() <= bound


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("primitive", [lgamma_p, digamma_p], ids=lambda p: p.name)
def test_edges(evaluate: Any, primitive: Any, dtype: Any) -> None:
    info = np.finfo(dtype)
    numbers = [0, -0.0, np.inf, -np.inf, np.nan, 1, 2, -1, -2, -3, -40, -1000, info.max, -info.max]
    x = np.array(numbers, dtype)
    found = evaluate(primitive.name, x)
    with np.errstate(all="ignore"):
        wanted = rules.impl[primitive](np, x)
    assert found.dtype == dtype
    if primitive is digamma_p:  # NumPy's and our logarithm differ in the last place
        np.testing.assert_allclose(found, wanted, rtol=4 * info.eps)
    else:
        np.testing.assert_array_equal(found, wanted)


def test_digamma_of_numbers_whose_inverse_is_infinite(evaluate: Any) -> None:
    tiny = np.array([5e-324, -5e-324])
    np.testing.assert_array_equal(evaluate("digamma", tiny), [-np.inf, np.inf])
