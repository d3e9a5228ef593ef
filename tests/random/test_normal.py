import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, random
from funcflow.testing import check_laws

SHAPES = {"()": (), "7": (7,), "3x5": (3, 5), "0": (0,), "200": (200,)}


def p_value(samples: Any, distribution: Any) -> float:
    return stats.kstest(np.asarray(samples, np.float64).ravel(), distribution).pvalue


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_normal(recorded: Any, key: Any, shape: str, dtype: str) -> None:
    recorded.check(f"normal/{shape}/{dtype}", random.normal(key, SHAPES[shape], dtype))


def test_complex_normal(recorded: Any, key: Any) -> None:
    z = random.normal(key, (5,), "complex64")
    np.testing.assert_allclose(z, recorded["close/normal_complex"], rtol=1e-6)
    many = np.asarray(random.normal(key, (20000,), "complex128"))
    assert p_value(many.real * math.sqrt(2), "norm") > 0.01
    assert p_value(many.imag * math.sqrt(2), "norm") > 0.01


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_normal_is_normal(key: Any, dtype: str) -> None:
    assert p_value(random.normal(key, (20000,), dtype), "norm") > 0.01


def test_normal_is_finite(key: Any) -> None:
    assert np.isfinite(random.normal(key, (300000,))).all()


@pytest.mark.parametrize(
    ("name", "draw", "distribution"),
    [
        ("lognormal", lambda k, n: random.lognormal(k, 0.5, n), stats.lognorm(0.5)),
        ("maxwell", random.maxwell, stats.maxwell()),
    ],
)
def test_distributions(recorded: Any, key: Any, name: str, draw: Any, distribution: Any) -> None:
    np.testing.assert_allclose(draw(key, (20,)), recorded[f"close/{name}"], rtol=1e-6)
    assert p_value(draw(key, (20000,)), distribution.cdf) > 0.01


def test_truncated_normal(recorded: Any, key: Any) -> None:
    upper = fnp.array([0.0, 0.5, 3.0])
    found = random.truncated_normal(key, -1.0, upper, (4, 3))
    np.testing.assert_allclose(found, recorded["close/truncated_normal"], rtol=1e-6)
    many = random.truncated_normal(key, -1.0, 0.5, (20000,))
    assert p_value(many, stats.truncnorm(-1.0, 0.5).cdf) > 0.01


def test_truncated_normal_stays_between_its_bounds(key: Any) -> None:
    tight = np.asarray(random.truncated_normal(key, 3.0, 3.001, (5000,)))
    assert tight.min() > np.float32(3.0)
    assert tight.max() < np.float32(3.001)


def test_multivariate_normal(recorded: Any, key: Any) -> None:
    mean, cov = fnp.array([1.0, 2.0]), fnp.array([[2.0, 0.5], [0.5, 1.0]])
    found = random.multivariate_normal(key, mean, cov, (6,))
    np.testing.assert_allclose(found, recorded["close/multivariate_normal"], rtol=1e-5)
    many = np.asarray(random.multivariate_normal(key, mean, cov, (20000,)))
    np.testing.assert_allclose(many.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(many.T), cov, atol=0.05)


@pytest.mark.parametrize("method", ["cholesky", "svd", "eigh"])
def test_multivariate_normal_by_any_factor(method: str, key: Any) -> None:
    cov = fnp.array([[2.0, 0.5], [0.5, 1.0]])
    many = np.asarray(random.multivariate_normal(key, fnp.zeros(2), cov, (20000,), method=method))
    np.testing.assert_allclose(np.cov(many.T), cov, atol=0.05)


def test_multivariate_normal_on_a_line(key: Any) -> None:
    found = random.multivariate_normal(key, fnp.zeros(2), fnp.ones((2, 2)), (5,), method="svd")
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-3)
    assert np.all(found[:, 0] != 0)


def test_multivariate_normal_broadcasts(key: Any) -> None:
    means, cov = fnp.zeros((4, 1, 3)), fnp.stack([fnp.eye(3)] * 5)
    assert random.multivariate_normal(key, means, cov).shape == (4, 5, 3)
    assert random.multivariate_normal(key, fnp.zeros(3, "float64"), fnp.eye(3)).dtype == "float64"


# --- transforms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda k: random.normal(k, (3, 2)),
        lambda k: random.normal(k, (3,), "float64"),
        lambda k: random.normal(k, (2,), "complex64"),
        lambda k: random.truncated_normal(k, -1.0, fnp.array([0.5, 2.0])),
        lambda k: random.maxwell(k, (2,)),
        lambda k: random.multivariate_normal(k, fnp.zeros(2), fnp.eye(2) * 2),
    ],
)
def test_laws_over_keys(draw: Any) -> None:
    check_laws(draw, (random.PRNGKey(1),), order=0)


def test_laws_in_the_parameters(key: Any) -> None:
    sigma = np.array([0.5, 1.5])
    check_laws(lambda s: random.lognormal(key, s, dtype="float64"), (sigma,))
    check_laws(
        lambda low, high: random.truncated_normal(key, low, high, (3,), "float64"),
        (np.array(-1.0), np.array([0.3, 1.0, 2.0])),
        order=1,
    )
    check_laws(
        lambda mean, cov: random.multivariate_normal(key, mean, cov, (3,)),
        (np.array([0.3, 1.0]), np.array([[2.0, 0.3], [0.3, 1.0]])),
        order=1,
        modes=("jit", "vmap", "rev"),
    )


def test_no_gradient_through_keys() -> None:
    grad = ff.grad(lambda s: random.normal(random.key(0)) * s)(2.0)
    assert grad == random.normal(random.key(0))


# --- errors ---------------------------------------------------------------------------------


def test_errors(key: Any) -> None:
    with pytest.raises(errors.DtypeError, match="normal: dtype must be floating or complex"):
        random.normal(key, (), "int32")
    with pytest.raises(errors.ArgumentError, match="multivariate_normal: there is no method 'qr'"):
        random.multivariate_normal(key, fnp.zeros(2), fnp.eye(2), method="qr")
    with pytest.raises(errors.ShapeError, match=r"multivariate_normal: .* got \(2,\) and \(3, 3\)"):
        random.multivariate_normal(key, fnp.zeros(2), fnp.eye(3))
    with pytest.raises(errors.ShapeError, match=r"truncated_normal: .* the shape \(2,\)"):
        random.truncated_normal(key, fnp.zeros(3), 1.0, (2,))
