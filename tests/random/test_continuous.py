from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws

A = np.array([0.05, 0.5, 1.0, 3.7, 100.0], np.float32)

# name: (draw(key, shape), the distribution of one element)
STANDARD: dict[str, Any] = {
    "exponential": (random.exponential, stats.expon()),
    "gumbel": (random.gumbel, stats.gumbel_r()),
    "laplace": (random.laplace, stats.laplace()),
    "logistic": (random.logistic, stats.logistic()),
    "cauchy": (random.cauchy, stats.cauchy()),
    "weibull_min": (
        lambda k, n: random.weibull_min(k, 2.0, 1.5, n),
        stats.weibull_min(1.5, scale=2.0),
    ),
    "gumbel_high": (lambda k, n: random.gumbel(k, n, mode="high"), stats.gumbel_r()),
    "gumbel_highest": (lambda k, n: random.gumbel(k, n, mode="highest"), stats.gumbel_r()),
}
# name: (draw(key, shape, parameters), the parameters recorded with, distribution(parameters))
SHAPED: dict[str, Any] = {
    "pareto": (lambda k, n, b: random.pareto(k, b, n), A, stats.pareto),
    "rayleigh": (lambda k, n, s: random.rayleigh(k, s, n), A, lambda s: stats.rayleigh(scale=s)),
    "wald": (
        lambda k, n, m: random.wald(k, m, n),
        A,
        lambda m: stats.invgauss(m, scale=1.0),
    ),
}


def p_value(samples: Any, distribution: Any) -> float:
    return stats.kstest(np.asarray(samples, np.float64).ravel(), distribution.cdf).pvalue


@pytest.mark.parametrize("name", STANDARD)
def test_standard(recorded: Any, key: Any, name: str) -> None:
    draw, distribution = STANDARD[name]
    np.testing.assert_allclose(draw(key, (20,)), recorded[f"close/{name}"], rtol=1e-5)
    assert p_value(draw(key, (20000,)), distribution) > 0.01


@pytest.mark.parametrize("name", SHAPED)
def test_shaped(recorded: Any, key: Any, name: str) -> None:
    draw, parameters, distribution = SHAPED[name]
    found = draw(key, (4, 5), parameters)
    np.testing.assert_allclose(found, recorded[f"close/{name}"], rtol=2e-4)
    assert p_value(draw(key, (20000,), 1.7), distribution(1.7)) > 0.01


def test_triangular(recorded: Any, key: Any) -> None:
    found = random.triangular(key, 0.0, 1.0, fnp.array([2.0, 4.0]), (6, 2))
    np.testing.assert_allclose(found, recorded["close/triangular"], rtol=1e-6)
    many = random.triangular(key, -1.0, 0.0, 3.0, (20000,))
    assert p_value(many, stats.triang(0.25, loc=-1.0, scale=4.0)) > 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["exponential", "gumbel", "laplace", "logistic", "cauchy"])
def test_dtypes_and_finiteness(key: Any, name: str, dtype: str) -> None:
    found = getattr(random, name)(key, (3000,), dtype)
    assert found.dtype == fnp.zeros((), dtype).dtype
    assert np.isfinite(np.asarray(found).astype(float)).all()


def test_high_gumbel_modes_reach_further(key: Any) -> None:
    low, high = (np.asarray(random.gumbel(key, (10,), mode=m)) for m in ("low", "highest"))
    assert low.shape == high.shape
    assert random.gumbel(key, (2,), "float64", mode="highest").dtype == np.float64


def test_shapes_default_to_the_parameters(key: Any) -> None:
    assert random.pareto(key, A).shape == random.rayleigh(key, A).shape == (5,)
    assert random.triangular(key, 0.0, A[:2], fnp.full((3, 1), 200.0)).shape == (3, 2)


@pytest.mark.parametrize("name", STANDARD)
def test_laws_over_keys(name: str) -> None:
    check_laws(lambda k: STANDARD[name][0](k, (3,)), (random.PRNGKey(1),), order=0)


def test_laws_in_the_parameters(key: Any) -> None:
    b = np.array([0.7, 2.3])
    check_laws(lambda b: random.pareto(key, b, dtype="float64"), (b,))
    check_laws(lambda s: random.rayleigh(key, s, dtype="float64"), (b,))
    check_laws(lambda s, c: random.weibull_min(key, s, c, (2,), "float64"), (b, b + 1))
    check_laws(lambda m: random.wald(key, m, dtype="float64"), (b,), order=1)
    check_laws(
        lambda left, mode, right: random.triangular(key, left, mode, right, (4,), "float64"),
        (np.array(-1.0), np.array(0.2), np.array(3.0)),
        order=1,
    )


def test_errors(key: Any) -> None:
    with pytest.raises(errors.ArgumentError, match="gumbel: there is no mode 'fast'"):
        random.gumbel(key, mode="fast")
    for name in ("exponential", "gumbel", "laplace", "logistic", "cauchy"):
        with pytest.raises(errors.DtypeError, match=f"{name}: dtype must be floating, got int32"):
            getattr(random, name)(key, (), "int32")
        with pytest.raises(errors.ShapeError, match=f"{name}: "):
            getattr(random, name)(key, (-2,))
    with pytest.raises(errors.ShapeError, match=r"pareto: .*\(5,\).* the shape \(2,\)"):
        random.pareto(key, A, (2,))
