"""Precision, recall, F1 and intersection over union against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from funcflow.errors import ArgumentError
from funcflow.train import metrics

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(40, 5)) - [0, 0, 0, 0, 9]  # the last class is never predicted
LABELS = RANDOM.integers(0, 4, 40) + (RANDOM.random(40) < 0.1)
WEIGHTS = RANDOM.random(40)
EXPECTED = {
    "precision": oracle.precision_score,
    "recall": oracle.recall_score,
    "f1_score": oracle.f1_score,
    "iou": oracle.jaccard_score,
}
each = pytest.mark.parametrize("name", EXPECTED)


@each
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_several_classes(name, average):
    expected = EXPECTED[name](
        LABELS, SCORES.argmax(-1), labels=range(5), average=average, sample_weight=WEIGHTS,
        zero_division=0,
    )  # fmt: skip
    metric = getattr(metrics, name)(5, average=average)
    np.testing.assert_allclose(metric(SCORES, LABELS, weights=WEIGHTS), expected, rtol=1e-12)


@each
@pytest.mark.parametrize("threshold", [-0.5, 0.2, 9.0])
def test_one_class(name, threshold):
    scores, targets = SCORES[:, 0], LABELS > 1
    expected = EXPECTED[name](targets, scores > threshold, sample_weight=WEIGHTS, zero_division=0)
    metric = getattr(metrics, name)(threshold=threshold)
    np.testing.assert_allclose(metric(scores, targets, weights=WEIGHTS), expected, rtol=1e-12)


@each
def test_averages_that_there_are_not(name):
    with pytest.raises(ArgumentError, match=f"{name}: there is no average 'mean'"):
        getattr(metrics, name)(3, average="mean")


@pytest.mark.parametrize("shape", [(40,), (2, 4, 5)])
def test_mean_iou_is_that_of_the_classes_that_occur(shape):
    predicted, true = SCORES.argmax(-1), LABELS  # neither has one of the classes 5 and 6
    each = [
        np.sum((predicted == k) & (true == k)) / np.sum((predicted == k) | (true == k))
        for k in range(5)
    ]
    got = metrics.iou(7)(predicted.reshape(shape), true.reshape(shape))
    np.testing.assert_allclose(got, np.mean(each), rtol=1e-12)
    by_class = metrics.iou(7, average=None)(predicted.reshape(shape), true.reshape(shape))
    np.testing.assert_allclose(by_class, [*each, 0, 0], rtol=1e-12)


def test_a_class_that_is_taken_for_another_has_no_overlap():
    assert metrics.iou(3)(np.array([0, 1]), np.array([0, 0])) == 0.25  # of 1/2 and 0
