from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws


def p_value(samples: Any, distribution: Any) -> float:
    """Of a chi-square test over about ten ranges of equal probability."""
    values = np.asarray(samples).ravel()
    edges = np.unique(distribution.ppf(np.linspace(0.1, 0.9, 9)))
    observed = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    below = np.concatenate([[0.0], distribution.cdf(edges), [1.0]])
    return stats.chisquare(observed, np.diff(below) * len(values)).pvalue


# --- Poisson --------------------------------------------------------------------------------


def test_poisson(recorded: Any, key: Any) -> None:
    lam = fnp.array([0.0, 0.5, 3.0, 9.9, 10.0, 50.0, 1e4])
    found = np.asarray(random.poisson(key, lam, (20, 7)))
    expected = recorded["close/poisson"]
    assert found.dtype == np.int32
    # near the border of acceptance the last bits of logarithms decide
    assert (found != expected).sum() <= 2


@pytest.mark.parametrize("lam", [0.3, 4.0, 9.9, 10.0, 200.0])
def test_poisson_distribution(key: Any, lam: float) -> None:
    assert p_value(random.poisson(key, lam, (10000,)), stats.poisson(lam)) > 0.005


def test_poisson_edges(key: Any) -> None:
    assert (random.poisson(key, 0.0, (5,)) == 0).all()
    assert random.poisson(key, fnp.ones((2, 3)), dtype="int64").dtype == np.int64
    assert random.poisson(key, 3.0, (0,)).shape == (0,)


# --- binomial -------------------------------------------------------------------------------


def test_binomial(recorded: Any, key: Any) -> None:
    n, p = fnp.array([0.0, 5.0, 20.0, 100.0, 1000.0]), fnp.array([0.1, 0.5, 0.7, 0.9, 0.3])
    found = np.asarray(random.binomial(key, n, p, (20, 5)))
    assert found.dtype == np.float32
    assert (found != recorded["close/binomial"]).sum() <= 2


@pytest.mark.parametrize(("n", "p"), [(5, 0.5), (20, 0.1), (100, 0.9), (1000, 0.3), (40, 0.5)])
def test_binomial_distribution(key: Any, n: int, p: float) -> None:
    assert p_value(random.binomial(key, n, p, (10000,)), stats.binom(n, p)) > 0.005


def test_binomial_edges(key: Any) -> None:
    def one(n: Any, p: Any) -> Any:
        return np.asarray(random.binomial(key, n, p))

    assert one(0, 0.5) == 0
    assert one(10, 0.0) == 0
    assert one(10, 1.0) == 10
    assert np.isnan(one(-1.0, 0.5))
    assert np.isnan(one(5.0, np.nan))
    assert np.isnan(one(5.0, -0.1))
    assert np.isinf(one(np.inf, 0.5))
    assert random.binomial(key, fnp.ones((3, 1)), fnp.full(2, 0.5)).shape == (3, 2)
    assert random.binomial(key, 10, 0.5, dtype="float64").dtype == np.float64


# --- multinomial ----------------------------------------------------------------------------


def test_multinomial(recorded: Any, key: Any) -> None:
    p = fnp.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    np.testing.assert_array_equal(random.multinomial(key, 50.0, p), recorded["close/multinomial"])


def test_multinomial_sums_to_n(key: Any) -> None:
    p = np.array([0.5, 0.2, 0.3])
    counts = np.asarray(random.multinomial(key, 30.0, p, shape=(2000, 3)))
    assert (counts.sum(-1) == 30).all()
    np.testing.assert_allclose(counts.mean(0), 30 * p, atol=0.3)


def test_multinomial_without_probability_left(key: Any) -> None:
    counts = np.asarray(random.multinomial(key, 12.0, fnp.array([0.4, 0.6, 0.0])))
    assert counts[2] == 0
    assert counts.sum() == 12


# --- transforms and errors ------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: random.poisson(k, fnp.array([0.5, 30.0])),
        lambda k: random.binomial(k, 50, fnp.array([0.1, 0.6])),
        lambda k: random.multinomial(k, 9.0, fnp.array([0.1, 0.9])),
    ],
)
def test_laws_over_keys(draw: Any) -> None:
    check_laws(draw, (random.PRNGKey(1),), order=0)


def test_errors(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="poisson: dtype must be an integer dtype"):
        random.poisson(key, 1.0, dtype="float32")
    with pytest.raises(errors.DtypeError, match="binomial: dtype must be floating"):
        random.binomial(key, 4, 0.5, dtype="int32")
    with pytest.raises(errors.DtypeError, match="binomial: p must be real"):
        random.binomial(key, 4, 0.5j)
    with pytest.raises(errors.ShapeError, match=r"poisson: .*\(3,\).* the shape \(2,\)"):
        random.poisson(key, fnp.ones(3), (2,))
