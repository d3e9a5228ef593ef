"""Losses of decisions between several classes, one number for each example."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.losses.arguments import aligned, at_labels, class_labels, classes_last, distributions
from funcflow.numpy.log_sums import floats, log_softmax, logsumexp, mask
from funcflow.numpy.promotion import Axis


def softmax_cross_entropy(logits: Any, labels: Any, axis: Axis = -1, where: Any = None) -> Array:
    """The cross entropy of distributions over classes and the probabilities `softmax(logits)`.

    `-sum(labels * log_softmax(logits))`. A class of probability 0, whose logit is -inf, counts
    nothing where its label is 0.

    Args:
        logits: scores of the classes along `axis`; integers become floats.
        labels: distributions over the classes, as `one_hot` gives: an array of as many axes, which
            broadcasts to the shape of the logits.
        axis: the axis of the classes, a tuple of axes, or None for all.
        where: which classes take part, or which examples; an example of which nothing does has
            the loss 0.

    Returns:
        An array without the axes.

    Raises:
        AxisError: an axis is out of range or named twice.
        ShapeError: the labels or the mask do not fit the logits.

    Example:
        >>> logits = fnp.array([[1.2, -0.8, -0.5], [0.9, -1.2, 1.1]])
        >>> labels = ff.nn.one_hot(fnp.array([0, 1]), 3)
        >>> ff.losses.softmax_cross_entropy(logits, labels).round(4)
        Array([0.2761, 2.9518], dtype=float32)
    """
    logits, labels = distributions("softmax_cross_entropy", logits=logits, labels=labels)
    where = aligned(where, logits, axis)
    log_probabilities = log_softmax(logits, axis, where)
    impossible = fnp.logical_and(labels == 0, fnp.isneginf(log_probabilities))
    terms = labels * fnp.where(impossible, 0, log_probabilities)
    return -fnp.sum(terms, axis, where=where)


safe_softmax_cross_entropy = softmax_cross_entropy


def softmax_cross_entropy_with_integer_labels(
    logits: Any, labels: Any, axis: Axis = -1, where: Any = None
) -> Array:
    """`-log(softmax(logits))` at the label of each example.

    Args:
        logits: scores of the classes along `axis`; integers become floats.
        labels: integers from 0 to the number of classes - 1: an array of the shape of the logits
            without the axis.
        axis: the axis of the classes; of a tuple of axes, labels are indices into what lies along
            them, raveled.
        where: which classes take part, or which examples. A label whose class does not has an
            infinite loss; an example of which nothing does has the loss 0.

    Returns:
        An array of the shape of the labels. The loss of a label that is no class is NaN.

    Raises:
        AxisError: an axis is out of range or named twice.
        DtypeError: the labels are no integers.
        OutOfBoundsError: a label is no class. Traced labels, as those under `jit`, are checked
            within `ff.debug_indices()`.
        ShapeError: the labels or the mask do not fit the logits.

    Example:
        >>> logits = fnp.array([[1.2, -0.8, -0.5], [0.9, -1.2, 1.1]])
        >>> labels = fnp.array([0, 1])
        >>> ff.losses.softmax_cross_entropy_with_integer_labels(logits, labels).round(4)
        Array([0.2761, 2.9518], dtype=float32)
    """
    name = "softmax_cross_entropy_with_integer_labels"
    (logits,) = floats(name, logits)
    scores = classes_last(name, logits, axis)
    labels = class_labels(name, labels, scores.shape[:-1], scores.shape[-1])
    if where is None:
        return logsumexp(scores, -1) - at_labels(scores, labels)
    where = classes_last(name, mask(name, aligned(where, logits, axis), logits), axis)
    some = fnp.any(where, -1)
    scores = fnp.where(where, scores, -fnp.inf)
    return fnp.where(some, logsumexp(scores, -1) - at_labels(scores, labels), 0)


def smooth_labels(labels: Any, alpha: Any) -> Array:
    """Distributions over classes, mixed with the uniform one: `(1 - alpha) * labels + alpha / n`.

    C. Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (2016).

    Args:
        labels: distributions along the last axis, as `one_hot` gives; integers become floats.
        alpha: the share of the uniform distribution, from 0 to 1.

    Returns:
        An array of the shape of the labels.

    Raises:
        ArgumentError: the labels have no axis.

    Example:
        >>> ff.losses.smooth_labels(ff.nn.one_hot(fnp.array([1]), 4), 0.2)
        Array([[0.05, 0.85, 0.05, 0.05]], dtype=float32)
    """
    (labels,) = floats("smooth_labels", labels)
    if not labels.ndim:
        raise ArgumentError(
            f"smooth_labels: takes distributions over classes, got {labels.aval}",
            mend="encode integer labels with ff.nn.one_hot",
        )
    return (1 - alpha) * labels + alpha / labels.shape[-1]


def multiclass_hinge_loss(scores: Any, labels: Any) -> Array:
    """How much the best score, with a margin of 1 for wrong classes, exceeds that of the label.

    `max(scores + (1 - one_hot(label))) - scores[label]`. K. Crammer and Y. Singer, "On the
    Algorithmic Implementation of Multiclass Kernel-based Vector Machines" (2001).

    Args:
        scores: scores of the classes along the last axis; integers become floats.
        labels: integers from 0 to the number of classes - 1: an array of the shape of the scores
            without the last axis.

    Returns:
        An array of the shape of the labels.

    Raises:
        DtypeError, OutOfBoundsError, ShapeError: as `softmax_cross_entropy_with_integer_labels`.

    Example:
        >>> ff.losses.multiclass_hinge_loss(fnp.array([[3.0, 1.0], [1.0, 1.5]]), fnp.array([0, 1]))
        Array([0. , 0.5], dtype=float32)
    """
    scores, labels = _scores_and_labels("multiclass_hinge_loss", scores, labels)
    margins = labels[..., None] != fnp.arange(scores.shape[-1])
    return fnp.max(scores + margins, -1) - at_labels(scores, labels)


def multiclass_perceptron_loss(scores: Any, labels: Any) -> Array:
    """How much the best score exceeds that of the label; see `multiclass_hinge_loss`.

    M. Collins, "Discriminative Training Methods for Hidden Markov Models" (2002).

    Example:
        >>> scores = fnp.array([[3.0, 1.0], [1.0, 1.5]])
        >>> ff.losses.multiclass_perceptron_loss(scores, fnp.array([1, 1]))
        Array([2., 0.], dtype=float32)
    """
    scores, labels = _scores_and_labels("multiclass_perceptron_loss", scores, labels)
    return fnp.max(scores, -1) - at_labels(scores, labels)


def _scores_and_labels(function: str, scores: Any, labels: Any) -> tuple[Array, Array]:
    (scores,) = floats(function, scores)
    scores = classes_last(function, scores, -1)
    return scores, class_labels(function, labels, scores.shape[:-1], scores.shape[-1])
