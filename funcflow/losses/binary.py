"""Losses of decisions between two classes, elementwise.

Logits (or scores) and labels have one shape and are never broadcast; either may be one number.
"""

from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.losses.arguments import pairs


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> Array:
    """The cross entropy of labels and the probabilities `sigmoid(logits)`.

    `-labels * log(p) - (1 - labels) * log(1 - p)`, computed from the logits, so that neither it nor
    its gradient, `p - labels`, loses digits or overflows.

    Args:
        logits: an array of any shape; integers become floats.
        labels: probabilities of the same shape, 0 and 1 first of all, or one number.

    Returns:
        An array of that shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> logits, labels = fnp.array([0.0, 1000.0, 1000.0]), fnp.array([1.0, 1.0, 0.0])
        >>> ff.losses.sigmoid_binary_cross_entropy(logits, labels)
        Array([6.931472e-01, 0.000000e+00, 1.000000e+03], dtype=float32)
    """
    logits, labels = pairs("sigmoid_binary_cross_entropy", logits=logits, labels=labels)
    return _cross_entropy(logits, labels)


def _cross_entropy(logits: Array, labels: Array) -> Array:
    return labels * fnp.logaddexp(-logits, 0) + (1 - labels) * fnp.logaddexp(logits, 0)


def sigmoid_focal_loss(logits: Any, labels: Any, alpha: Any = None, gamma: Any = 2.0) -> Array:
    """The binary cross entropy, with less weight on what is classified well.

    It is multiplied by `(1 - p)**gamma`, where p is the probability of the label. T. Lin et al.,
    "Focal Loss for Dense Object Detection" (2017).

    Args:
        logits: an array of any shape; integers become floats.
        labels: probabilities of the same shape, 0 and 1 first of all, or one number.
        alpha: the weight of label 1, that of label 0 being `1 - alpha`; None or a negative number
            for no weights.
        gamma: how much to look away from what is classified well; 0 not at all.

    Returns:
        An array of that shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> ff.losses.sigmoid_focal_loss(fnp.array([3.0, -3.0]), 1.0).round(4)
        Array([1.0000e-04, 2.7663e+00], dtype=float32)
    """
    logits, labels = pairs("sigmoid_focal_loss", logits=logits, labels=labels)
    # 1 - p without a difference of nearly equal numbers; raised a little where it underflows,
    # since the power of 0 would have no derivative
    missed = (1 - labels) * lax.logistic(logits) + labels * lax.logistic(-logits)
    missed = fnp.maximum(missed, float(fnp.finfo(logits.dtype).tiny))
    loss = fnp.power(missed, gamma) * _cross_entropy(logits, labels)
    if alpha is None:
        return loss
    weights = alpha * labels + (1 - alpha) * (1 - labels)
    return fnp.where(fnp.asarray(alpha) >= 0, weights, 1) * loss


def hinge_loss(predictor_outputs: Any, targets: Any) -> Array:
    """`max(0, 1 - predictor_outputs * targets)`, the loss of support vector machines.

    Args:
        predictor_outputs: scores of any shape, of which the sign is the decision.
        targets: -1 or 1 for each score, an array of the same shape.

    Returns:
        An array of that shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> ff.losses.hinge_loss(fnp.array([2.0, 0.5, -1.0]), fnp.array([1, 1, 1]))
        Array([0. , 0.5, 2. ], dtype=float32)
    """
    scores, targets = pairs("hinge_loss", predictor_outputs=predictor_outputs, targets=targets)
    return fnp.maximum(0, 1 - scores * targets)


def perceptron_loss(predictor_outputs: Any, targets: Any) -> Array:
    """`max(0, -predictor_outputs * targets)`, 0 for what is decided well; see `hinge_loss`.

    Example:
        >>> ff.losses.perceptron_loss(fnp.array([2.0, 0.5, -1.0]), fnp.array([1, 1, 1]))
        Array([0., 0., 1.], dtype=float32)
    """
    scores, targets = pairs("perceptron_loss", predictor_outputs=predictor_outputs, targets=targets)
    return fnp.maximum(0, -scores * targets)
