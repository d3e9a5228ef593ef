"""Precision, recall, F1 and IoU: how much of what is found is right, of what is right is found.

All have the same arguments, and keep three sums for each class.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.train.metrics.classes import count, decided
from funcflow.train.metrics.metric import DTYPE, Metric, add, elements, ratio, weighted, weights_of

AVERAGES = ("macro", "micro", "weighted", None)


class Found(NamedTuple):
    """The state: for each class the weights of examples that are in it and found, found, in it."""

    right: Array
    found: Array
    present: Array


def precision(
    num_classes: int | None = None, *, average: str | None = "macro", threshold: float = 0.5
) -> Metric[Found]:
    """Of the examples that are taken for a class, the share that is in it.

    Args:
        num_classes: how many classes there are. Predictions and targets are then as for `accuracy`.
            With None, predictions are scores of one class, targets 0 or 1, arrays of one shape.
        average: of several classes, "macro" is the mean over the classes; "weighted" their mean
            with the number of examples in each as weights; "micro" the quotient of the sums over
            all classes; None an array with a number for each class.
        threshold: above it a score of one class says yes. 0.5 suits probabilities, 0 suits logits.

    Returns:
        A metric. A quotient of 0 and 0 counts as 0.

    Raises:
        ArgumentError: there is no such average.

    Example:
        >>> scores, targets = fnp.array([0.9, 0.8, 0.3, 0.6]), fnp.array([1, 0, 1, 1])
        >>> ff.train.metrics.precision()(scores, targets).round(3)
        Array(0.667, dtype=float64)
        >>> predicted, true = fnp.array([0, 2, 2, 1]), fnp.array([0, 1, 2, 1])
        >>> ff.train.metrics.precision(3, average=None)(predicted, true)
        Array([1. , 1. , 0.5], dtype=float64)
    """
    return _retrieval("precision", _precision, num_classes, average, threshold)


def recall(
    num_classes: int | None = None, *, average: str | None = "macro", threshold: float = 0.5
) -> Metric[Found]:
    """Of the examples that are in a class, the share that is taken for it; see `precision`.

    Example:
        >>> scores, targets = fnp.array([0.9, 0.8, 0.3, 0.6]), fnp.array([1, 0, 1, 1])
        >>> ff.train.metrics.recall(threshold=0.5)(scores, targets).round(3)
        Array(0.667, dtype=float64)
    """
    return _retrieval("recall", _recall, num_classes, average, threshold)


def f1_score(
    num_classes: int | None = None, *, average: str | None = "macro", threshold: float = 0.5
) -> Metric[Found]:
    """The harmonic mean of precision and recall, `2 p r / (p + r)`; see `precision`.

    Example:
        >>> predicted, true = fnp.array([0, 2, 2, 1]), fnp.array([0, 1, 2, 1])
        >>> ff.train.metrics.f1_score(3)(predicted, true).round(3)
        Array(0.778, dtype=float64)
    """
    return _retrieval("f1_score", _f1, num_classes, average, threshold)


def iou(
    num_classes: int | None = None, *, average: str | None = "macro", threshold: float = 0.5
) -> Metric[Found]:
    """Intersection over union, the Jaccard index: a measure for segmented images.

    Of the examples that are in a class or taken for it, the share of which both is true; each pixel
    is an example. Arguments are as for `precision`, but "macro" is the mean over those classes that
    occur in predictions or targets, as Keras's `MeanIoU` has it.

    Example:
        >>> logits, mask = fnp.array([[-1.0, 2.0], [3.0, -4.0]]), fnp.array([[0, 1], [1, 1]])
        >>> ff.train.metrics.iou(threshold=0.0)(logits, mask).round(3)
        Array(0.667, dtype=float64)
        >>> predicted, true = fnp.array([[0, 2], [2, 1]]), fnp.array([[0, 1], [2, 1]])
        >>> ff.train.metrics.iou(4)(predicted, true).round(3)
        Array(0.667, dtype=float64)
    """
    return _retrieval("iou", _iou, num_classes, average, threshold, occurring_only=True)


def _precision(state: Found) -> Array:
    return ratio(state.right, state.found, 0)


def _recall(state: Found) -> Array:
    return ratio(state.right, state.present, 0)


def _f1(state: Found) -> Array:
    return ratio(2 * state.right, state.found + state.present, 0)


def _iou(state: Found) -> Array:
    return ratio(state.right, state.found + state.present - state.right, 0)


def _retrieval(
    function: str,
    quotient: Callable[[Found], Array],
    num_classes: int | None,
    average: str | None,
    threshold: float,
    *,
    occurring_only: bool = False,
) -> Metric[Found]:
    """A metric that averages a quotient over all classes, or over those that occur."""
    if average not in AVERAGES:
        raise ArgumentError(
            f"{function}: there is no average {average!r}",
            mend="use 'macro', 'micro', 'weighted' or None",
        )
    shape = () if num_classes is None else (num_classes,)

    def measure(predictions: Any, targets: Any, weights: Any = None) -> Found:
        if num_classes is None:
            return _found_of_one(function, predictions, targets, weights, threshold)
        return _found(function, predictions, targets, weights, num_classes)

    def compute(state: Found) -> Array:
        if num_classes is None or average is None:
            return quotient(state)
        if average == "micro":
            return quotient(Found(*map(fnp.sum, state)))
        counts = state.present
        if average == "macro":
            occurring = state.found + state.present > 0
            counts = (occurring if occurring_only else fnp.ones(shape)).astype(DTYPE)
        return ratio(fnp.sum(quotient(state) * counts), fnp.sum(counts), 0)

    return Metric(
        lambda: Found(*(fnp.zeros(shape, DTYPE) for _ in range(3))), measure, add, compute
    )


def _found_of_one(
    function: str, predictions: Any, targets: Any, weights: Any, threshold: float
) -> Found:
    scores, targets = elements(function, predictions=predictions, targets=targets)
    found, present = scores > threshold, targets != 0
    w = weights_of(function, weights, targets)
    return Found(*(fnp.sum(weighted(x, w)) for x in (found & present, found, present)))


def _found(function: str, predictions: Any, targets: Any, weights: Any, num_classes: int) -> Found:
    predicted, true = decided(function, predictions, targets, num_classes)
    w = weights_of(function, weights, true)
    right = fnp.where(predicted == true, true, -1)
    return Found(*(count(x, w, num_classes) for x in (right, predicted, true)))
