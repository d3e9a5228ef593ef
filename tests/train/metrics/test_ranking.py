"""The area under the ROC curve against its definition and scikit-learn, and the error of bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

import funcflow as ff
from funcflow.errors import ArgumentError, ShapeError
from funcflow.train import metrics


@st.composite
def examples(draw):
    """Scores with many ties, labels of both classes, and weights."""
    seed, size = draw(st.integers(0, 10**6)), draw(st.integers(2, 30))
    random = np.random.default_rng(seed)
    scores = random.integers(0, draw(st.integers(1, 40)), size) / 40
    labels = np.concatenate([[0, 1], random.integers(0, 2, size - 2)])
    return scores, labels, random.integers(1, 4, size) / 2


@given(examples())
def test_the_area_is_the_probability_of_the_right_order(drawn):
    scores, labels, weights = drawn
    positives, negatives = labels == 1, labels == 0
    difference = scores[positives][:, None] - scores[negatives]
    pairs = weights[positives][:, None] * weights[negatives]
    expected = (pairs * ((difference > 0) + (difference == 0) / 2)).sum() / pairs.sum()
    area = metrics.roc_auc(scores, labels, weights)
    np.testing.assert_allclose(area, expected, rtol=1e-12)
    np.testing.assert_allclose(
        area, oracle.roc_auc_score(labels, scores, sample_weight=weights), rtol=1e-12
    )
    np.testing.assert_allclose(ff.jit(metrics.roc_auc)(scores, labels, weights), area)
    np.testing.assert_allclose(metrics.roc_auc(-scores, labels, weights), 1 - area, atol=1e-12)
    np.testing.assert_allclose(metrics.roc_auc(np.exp(scores), labels, weights), area)


@given(examples(), st.integers(1, 100))
def test_the_error_of_bins_is_half_the_share_of_pairs_in_one_bin(drawn, num_bins):
    scores, labels, weights = drawn
    metric = metrics.binned_roc_auc(num_bins)
    state = metric.measure(scores, labels, weights=weights)
    positives, negatives = np.asarray(state.positives), np.asarray(state.negatives)
    together = (positives * negatives).sum() / (positives.sum() * negatives.sum())
    error = metric.compute(state) - metrics.roc_auc(scores, labels, weights)
    assert abs(error) <= together / 2 + 1e-12


def test_bins_between_other_bounds():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 500)
    scores = random.normal(size=500) + labels
    exact = oracle.roc_auc_score(labels, scores)
    got = metrics.binned_roc_auc(200, low=-4, high=5)(scores, labels)
    np.testing.assert_allclose(got, exact, atol=0.01)
    extreme = np.where(labels, np.inf, -np.inf)
    assert metrics.binned_roc_auc(2)(extreme, labels) == 1
    assert metrics.roc_auc(extreme, labels) == 1


def test_where_there_is_no_area():
    scores = np.array([0.1, 0.5, 0.7])
    assert np.isnan(metrics.roc_auc(scores, np.ones(3)))
    assert np.isnan(metrics.roc_auc(scores, 0))
    assert np.isnan(metrics.roc_auc(scores[:0], scores[:0]))
    with_nan = np.array([0.1, np.nan, 0.7, 0.9])
    labels = np.array([0, 1, 1, 0])
    assert np.isnan(metrics.roc_auc(with_nan, labels))
    assert metrics.roc_auc(with_nan, labels, np.array([1, 0, 1, 1])) == 0.5
    assert metrics.binned_roc_auc(10)(with_nan, labels) == 0.5


def test_arguments_that_do_not_fit():
    with pytest.raises(ShapeError, match="roc_auc: scores and labels must have one shape"):
        metrics.roc_auc(np.ones((3, 1)), np.ones(3))
    for arguments in ({"num_bins": 0}, {"low": 1.0}):
        with pytest.raises(ArgumentError, match="binned_roc_auc: "):
            metrics.binned_roc_auc(**arguments)
