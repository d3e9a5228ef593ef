from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws

A = np.array([0.05, 0.5, 1.0, 3.7, 100.0], np.float32)

RECORDED: dict[str, Any] = {
    "gamma": lambda k: random.gamma(k, A, (20, 5)),
    "loggamma": lambda k: random.loggamma(k, A, (20, 5)),
    "gamma0": lambda k: random.gamma(k, 2.5),
    "beta": lambda k: random.beta(k, A, 2.0, (6, 5)),
    "dirichlet": lambda k: random.dirichlet(k, A, (4,)),
    "chisquare": lambda k: random.chisquare(k, A, (4, 5)),
    "f": lambda k: random.f(k, A[None] + 1, fnp.full((1, 1), 5.0), (4, 5)),
    "t": lambda k: random.t(k, A, (4, 5)),
    "generalized_normal": lambda k: random.generalized_normal(k, 1.5, (20,)),
    "ball": lambda k: random.ball(k, 3, 2.0, (6,)),
}
DISTRIBUTIONS: dict[str, Any] = {
    "gamma": (lambda k, n: random.gamma(k, 2.5, n), stats.gamma(2.5)),
    "small gamma": (lambda k, n: random.gamma(k, 0.3, n), stats.gamma(0.3)),
    "loggamma": (lambda k, n: random.loggamma(k, 0.3, n), stats.loggamma(0.3)),
    "beta": (lambda k, n: random.beta(k, 0.5, 2.0, n), stats.beta(0.5, 2.0)),
    "chisquare": (lambda k, n: random.chisquare(k, 3.0, n), stats.chi2(3.0)),
    "f": (lambda k, n: random.f(k, 3.0, 5.0, n), stats.f(3.0, 5.0)),
    "t": (lambda k, n: random.t(k, 3.0, n), stats.t(3.0)),
    "generalized_normal": (
        lambda k, n: random.generalized_normal(k, 1.5, n),
        stats.gennorm(1.5),
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded(recorded: Any, key: Any, name: str) -> None:
    np.testing.assert_allclose(RECORDED[name](key), recorded[f"close/{name}"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_distributions(name: str, seed: int) -> None:
    draw, distribution = DISTRIBUTIONS[name]
    samples = np.asarray(draw(random.key(seed), (20000,)), np.float64)
    assert stats.kstest(samples, distribution.cdf).pvalue > 0.005


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_dtypes(key: Any, dtype: str) -> None:
    samples = random.gamma(key, 3.0, (4000,), dtype)
    assert samples.dtype == fnp.zeros((), dtype).dtype
    assert abs(np.asarray(samples).astype(float).mean() - 3.0) < 0.15


def test_dirichlet_is_a_distribution_with_the_right_mean(key: Any) -> None:
    alpha = np.array([0.5, 1.0, 2.5])
    samples = np.asarray(random.dirichlet(key, alpha, (20000,)))
    np.testing.assert_allclose(samples.sum(-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(samples.mean(0), alpha / alpha.sum(), atol=0.01)


def test_tiny_parameters_underflow_only_in_linear_space(key: Any) -> None:
    assert (random.gamma(key, 1e-4, (10,)) == 0).any()
    assert fnp.isfinite(random.loggamma(key, 1e-4, (10,))).all()
    assert fnp.isfinite(random.dirichlet(key, fnp.full(3, 1e-4), (10,))).all()


def test_ball_is_inside(key: Any) -> None:
    for p in (1.0, 2.0, 4.0):
        points = np.asarray(random.ball(key, 3, p, (5000,)))
        radius = (abs(points) ** p).sum(-1) ** (1 / p)
        assert radius.max() <= 1
        # the volume within a radius r is r^3
        assert stats.kstest(radius**3, "uniform").pvalue > 0.005


def test_shapes(key: Any) -> None:
    assert random.gamma(key, A).shape == (5,)
    assert random.gamma(key, 1.0, (2, 3)).shape == (2, 3)
    assert random.gamma(key, 1.0, (0, 3)).shape == (0, 3)
    assert random.dirichlet(key, fnp.ones((4, 1, 3)), (4, 2)).shape == (4, 2, 3)
    assert random.beta(key, A, A[:, None]).shape == (5, 5)


# --- transforms -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gamma", "loggamma", "beta", "dirichlet", "t", "ball"])
def test_laws_over_keys(name: str) -> None:
    check_laws(RECORDED[name], (random.PRNGKey(1),), order=0)


@pytest.mark.parametrize("name", ["gamma", "loggamma"])
def test_laws_over_parameters(key: Any, name: str) -> None:
    check_laws(lambda a: getattr(random, name)(key, a, (2, 5)), (A,), order=0)


def test_gradient_of_the_mean(key: Any) -> None:
    def mean(a: Any) -> Any:
        return random.gamma(key, a, (20000,), "float64").mean()

    for a in (0.3, 2.0, 50.0):
        assert abs(ff.grad(mean)(a) - 1.0) < 0.05


def test_gradients_of_means_of_what_is_made_of_gammas(key: Any) -> None:
    def beta_mean(a: Any) -> Any:
        return random.beta(key, a, 2.0, (20000,), "float64").mean()

    assert abs(ff.grad(beta_mean)(3.0) - 2.0 / 25.0) < 0.005

    def dirichlet_mean(alpha: Any) -> Any:
        return random.dirichlet(key, alpha, (20000,), "float64").mean(0)[0]

    gradient = ff.grad(dirichlet_mean)(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(gradient, [5 / 36, -1 / 36, -1 / 36], atol=0.005)


def test_gradients_are_finite(key: Any) -> None:
    a = fnp.array([1e-5, 1e-3, 0.1, 1.0, 10.0, 1e4, 1e6])
    for function in (random.gamma, random.loggamma, random.chisquare, random.t):
        gradient = ff.grad(lambda a, f=function: f(key, a).sum())(a)
        overflown = fnp.isinf(function(key, a))  # t variates with few degrees of freedom
        assert (fnp.isfinite(gradient) | overflown).all()


# --- errors ---------------------------------------------------------------------------------


def test_negative_parameters_give_nan(key: Any) -> None:
    assert fnp.isnan(random.gamma(key, fnp.array([-1.0, -0.5]))).all()
    assert fnp.isnan(random.loggamma(key, fnp.nan))


def test_errors(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="gamma: dtype must be floating, got int32"):
        random.gamma(key, 1.0, dtype="int32")
    with pytest.raises(errors.ShapeError, match=r"loggamma: .*\(5,\).* the shape \(2,\)"):
        random.loggamma(key, A, (2,))
    with pytest.raises(errors.ShapeError, match="dirichlet: alpha must have an axis"):
        random.dirichlet(key, 1.0)
    with pytest.raises(errors.ShapeError, match=r"ball: .*negative"):
        random.ball(key, -1)
