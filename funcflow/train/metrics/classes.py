"""How often classes are found.

Predictions are scores of the classes along the last axis, (..., classes), of which the largest
decides, or integers, the classes themselves. Targets are integers, (...), or one-hot vectors.
"""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.losses.arguments import at_labels, class_labels
from funcflow.numpy.promotion import as_array
from funcflow.train.metrics.averages import Average, average
from funcflow.train.metrics.metric import DTYPE, Metric, add, elements, weights_of


def accuracy() -> Metric[Average]:
    """The share of examples whose class is predicted.

    Predictions are scores (..., classes), of which the largest decides, the first of equal ones; or
    integers (...). Targets are integers (...), or one-hot vectors (..., classes). For scores of one
    class there is `binary_accuracy`.

    Example:
        >>> scores = fnp.array([[0.1, 0.9], [0.8, 0.2]])
        >>> ff.train.metrics.accuracy()(scores, fnp.array([1, 1]))
        Array(0.5, dtype=float64)
    """

    def correct(predictions: Any, targets: Any) -> Array:
        predicted, true = decided("accuracy", predictions, targets)
        return predicted == true

    return average(correct, "accuracy")


def binary_accuracy(threshold: float = 0.5) -> Metric[Average]:
    """The share of elements for which `scores > threshold` is what the target says, 0 or 1.

    Args:
        threshold: 0.5 suits probabilities, 0 suits logits.

    Example:
        >>> logits, targets = fnp.array([-2.0, 3.0, 0.5]), fnp.array([0, 1, 0])
        >>> ff.train.metrics.binary_accuracy(threshold=0.0)(logits, targets).round(3)
        Array(0.667, dtype=float64)
    """

    def correct(scores: Any, targets: Any) -> Array:
        scores, targets = elements("binary_accuracy", scores=scores, targets=targets)
        return (scores > threshold) == (targets != 0)

    return average(correct, "binary_accuracy")


def top_k_accuracy(k: int = 5) -> Metric[Average]:
    """The share of examples whose class is among the `k` with the largest scores.

    That is, less than `k` classes have a larger score, or NaN. Scores are (..., classes), targets
    integers (...) or one-hot vectors.

    Raises:
        ArgumentError: `k` is not positive.

    Example:
        >>> scores = fnp.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])
        >>> ff.train.metrics.top_k_accuracy(2)(scores, fnp.array([1, 2]))
        Array(0.5, dtype=float64)
    """
    if k < 1:
        raise ArgumentError(f"top_k_accuracy: k={k} must be positive", mend="use k=1 or more")

    def correct(scores: Any, targets: Any) -> Array:
        scores = class_scores("top_k_accuracy", scores)
        own = at_labels(scores, class_targets("top_k_accuracy", targets, scores))
        return fnp.sum(~(scores <= own[..., None]), -1) < k

    return average(correct, "top_k_accuracy")


def confusion_matrix(num_classes: int) -> Metric[Array]:
    """How often each class (row) is taken for each class (column): (num_classes, num_classes).

    The state is the matrix itself, of the weights of the examples. Predictions and targets are as
    for `accuracy`.

    Example:
        >>> predicted, true = fnp.array([0, 1, 1, 0]), fnp.array([0, 1, 0, 0])
        >>> ff.train.metrics.confusion_matrix(2)(predicted, true)
        Array([[2., 1.],
               [0., 1.]], dtype=float64)
    """

    def measure(predictions: Any, targets: Any, weights: Any = None) -> Array:
        predicted, true = decided("confusion_matrix", predictions, targets, num_classes)
        w = weights_of("confusion_matrix", weights, true)
        place = true * num_classes + predicted
        inside = (predicted >= 0) & (predicted < num_classes) & (true >= 0) & (true < num_classes)
        return count(fnp.where(inside, place, -1), w, num_classes**2).reshape(num_classes, -1)

    return Metric(lambda: fnp.zeros((num_classes, num_classes), DTYPE), measure, add, lambda s: s)


def count(classes: Array, weights: Array, num_classes: int) -> Array:
    """The sum of the weights in each class; what is no class counts nowhere."""
    places = fnp.where(classes < 0, num_classes, classes)
    return fnp.zeros(num_classes, DTYPE).at[places.ravel()].add(weights.ravel(), mode="drop")


# --- predictions and targets ----------------------------------------------------------------------


def decided(
    function: str, predictions: Any, targets: Any, num_classes: int | None = None
) -> tuple[Array, Array]:
    """The predicted classes and the true ones, as integers of one shape.

    Raises:
        DtypeError: classes are no integers.
        OutOfBoundsError: a class whose value is known is none of `num_classes`.
        ShapeError: the shapes do not fit together.
    """
    predictions = as_array(function, predictions)
    if predictions.dtype.kind in "iu":
        predicted = predictions
        predicted = class_labels(function, predicted, predicted.shape, num_classes)
        return predicted, class_labels(function, targets, predicted.shape, num_classes)
    scores = class_scores(function, predictions)
    if num_classes not in (None, scores.shape[-1]):
        raise ShapeError(
            f"{function}: the last axis of the predictions must be that of {num_classes} classes, "
            f"got {scores.aval}",
            mend="move the classes to the last axis, or change num_classes",
        )
    return fnp.argmax(scores, -1), class_targets(function, targets, scores)


def class_scores(function: str, predictions: Any) -> Array:
    """Predictions as scores of at least two classes along the last axis."""
    scores = as_array(function, predictions)
    if not scores.ndim or scores.shape[-1] < 2:
        raise ShapeError(
            f"{function}: takes scores of the classes along the last axis, got {scores.aval}",
            mend="scores of one class are for binary_accuracy, or for metrics of two classes; "
            "predicted classes are integers",
        )
    return scores


def class_targets(function: str, targets: Any, scores: Array) -> Array:
    """Integers, also for one-hot vectors."""
    targets = as_array(function, targets)
    if targets.shape == scores.shape:
        return fnp.argmax(targets, -1)
    return class_labels(function, targets, scores.shape[:-1], scores.shape[-1])
