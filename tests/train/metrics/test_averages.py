"""Averages and R2 against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as oracle

import funcflow.numpy as fnp
from funcflow.errors import ShapeError
from funcflow.train import metrics

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(2, 30))
WEIGHTS = RANDOM.random(30)


@pytest.mark.parametrize("name", ["mean_squared_error", "mean_absolute_error", "r2_score"])
def test_agreement_with_scikit_learn(name):
    metric, expected = getattr(metrics, name)(), getattr(oracle, name)
    np.testing.assert_allclose(metric(X, Y), expected(Y, X), rtol=1e-12)
    got = metric(X, Y, weights=WEIGHTS)
    np.testing.assert_allclose(got, expected(Y, X, sample_weight=WEIGHTS), rtol=1e-12)
    with pytest.raises(ShapeError, match="must have one shape"):
        metric(X[:, None], Y)


def test_mean():
    np.testing.assert_allclose(metrics.mean()(X, weights=WEIGHTS), np.average(X, weights=WEIGHTS))
    assert metrics.mean()(fnp.array([True, False])) == 0.5


def test_r2_of_targets_far_from_zero():
    far = Y + 1e8
    metric, state = metrics.r2_score(), metrics.r2_score().empty()
    for i in range(0, 30, 10):
        state = metric.update(state, X[i : i + 10] + 1e8, far[i : i + 10])
    np.testing.assert_allclose(metric.compute(state), oracle.r2_score(Y, X), rtol=1e-6)
    assert fnp.isnan(metric(X, 1.0))
