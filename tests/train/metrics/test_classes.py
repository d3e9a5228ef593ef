"""Accuracies and the confusion matrix against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as oracle

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError, OutOfBoundsError, ShapeError
from funcflow.train import metrics

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(40, 5))
LABELS = RANDOM.integers(0, 5, 40)
PREDICTED = SCORES.argmax(-1)
WEIGHTS = RANDOM.random(40)


@pytest.mark.parametrize("targets", [LABELS, np.eye(5)[LABELS]], ids=["integers", "one-hot"])
def test_accuracy(targets):
    expected = oracle.accuracy_score(LABELS, PREDICTED, sample_weight=WEIGHTS)
    got = metrics.accuracy()(SCORES, targets, weights=WEIGHTS)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_accuracy_of_predicted_classes_and_of_sequences():
    expected = oracle.accuracy_score(LABELS, PREDICTED)
    np.testing.assert_allclose(metrics.accuracy()(PREDICTED, LABELS), expected)
    got = metrics.accuracy()(SCORES.reshape(8, 5, 5), LABELS.reshape(8, 5))
    np.testing.assert_allclose(got, expected)


def test_binary_accuracy():
    logits, targets = SCORES[:, 0], LABELS > 2
    expected = oracle.accuracy_score(targets, logits > 0.3, sample_weight=WEIGHTS)
    got = metrics.binary_accuracy(0.3)(logits, targets, weights=WEIGHTS)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_accuracy(k):
    expected = oracle.top_k_accuracy_score(LABELS, SCORES, k=k, sample_weight=WEIGHTS)
    got = metrics.top_k_accuracy(k)(SCORES, LABELS, weights=WEIGHTS)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    one_hot = metrics.top_k_accuracy(k)(SCORES, np.eye(5)[LABELS], weights=WEIGHTS)
    np.testing.assert_array_equal(one_hot, got)
    assert metrics.top_k_accuracy(5)(SCORES, LABELS) == 1


def test_nan_is_no_hit():
    scores = np.array([[np.nan, 1.0, 2.0], [np.nan, 1.0, 2.0]])
    assert metrics.top_k_accuracy(1)(scores, np.array([0, 2])) == 0
    assert metrics.top_k_accuracy(2)(scores, np.array([0, 2])) == 0.5


def test_confusion_matrix():
    expected = oracle.confusion_matrix(LABELS, PREDICTED, sample_weight=WEIGHTS)
    for predictions in (SCORES, PREDICTED):
        got = metrics.confusion_matrix(5)(predictions, LABELS, weights=WEIGHTS)
        np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_classes_out_of_range():
    metric = metrics.confusion_matrix(5)
    wrong = np.where(np.arange(40) == 3, 5, LABELS)
    with pytest.raises(OutOfBoundsError, match=r"confusion_matrix: label 5 at index \(3,\)"):
        metric(PREDICTED, wrong)
    with pytest.raises(OutOfBoundsError, match=r"accuracy: label 5 at index \(3,\)"):
        metrics.accuracy()(SCORES, wrong)
    for label in (5, -1, 10**6):  # what is no class counts nowhere
        assert ff.jit(metric)(PREDICTED, np.where(np.arange(40) == 3, label, LABELS)).sum() == 39


def test_arguments_that_do_not_fit():
    with pytest.raises(ShapeError, match="scores of one class are for binary_accuracy"):
        metrics.accuracy()(fnp.ones((3, 1)), fnp.ones((3, 1)))
    with pytest.raises(ShapeError, match=r"accuracy: labels must have shape \(40,\)"):
        metrics.accuracy()(SCORES, LABELS[:, None])
    with pytest.raises(DtypeError, match="accuracy: labels must be integers"):
        metrics.accuracy()(SCORES, LABELS * 1.0)
    with pytest.raises(ShapeError, match="must be that of 4 classes"):
        metrics.confusion_matrix(4)(SCORES, LABELS)
    with pytest.raises(ArgumentError, match="k=0 must be positive"):
        metrics.top_k_accuracy(0)
