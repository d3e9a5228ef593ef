"""Losses of vectors by their angles and distances."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.losses.arguments import aligned, pairs
from funcflow.numpy.log_sums import floats, mask
from funcflow.numpy.promotion import Axis


def cosine_similarity(
    predictions: Any,
    targets: Any,
    *,
    epsilon: Any = 0.0,
    axis: Axis = -1,
    where: Any = None,
) -> Array:
    """The cosine of the angle between vectors, from -1 to 1.

    Args:
        predictions: vectors along `axis`; integers become floats.
        targets: vectors, an array of the same shape.
        epsilon: what squared lengths are raised to where they are smaller.
        axis: an axis, a tuple of axes, or None for all.
        where: which elements, or which vectors, take part.

    Returns:
        An array without the axes. Of a vector of zeros the angle is not defined: then it is 0, and
        so are its derivatives.

    Raises:
        AxisError: an axis is out of range or named twice.
        ShapeError: the shapes differ, or `where` does not broadcast with them.

    Example:
        >>> x, y = fnp.array([[3.0, 4.0], [1.0, 0.0]]), fnp.array([[6.0, 8.0], [0.0, 2.0]])
        >>> ff.losses.cosine_similarity(x, y)
        Array([1., 0.], dtype=float32)
    """
    name = "cosine_similarity"
    predictions, targets = pairs(name, predictions=predictions, targets=targets)
    if where is not None:
        where = mask(name, aligned(where, predictions, axis), predictions)
        predictions, targets = (fnp.where(where, x, 0) for x in (predictions, targets))
    return fnp.sum(_unit(predictions, epsilon, axis) * _unit(targets, epsilon, axis), axis)


def _unit(x: Array, epsilon: Any, axis: Axis) -> Array:
    squares = fnp.maximum(fnp.sum(fnp.square(x), axis, keepdims=True), epsilon)
    zero = squares == 0
    return fnp.where(zero, 0, x / fnp.sqrt(fnp.where(zero, 1, squares)))


def cosine_distance(
    predictions: Any,
    targets: Any,
    *,
    epsilon: Any = 0.0,
    axis: Axis = -1,
    where: Any = None,
) -> Array:
    """`1 - cosine_similarity(...)`, from 0 to 2, with the same arguments.

    Example:
        >>> ff.losses.cosine_distance(fnp.array([1.0, 0.0]), fnp.array([0.0, 2.0]))
        Array(1., dtype=float32)
    """
    similarity = cosine_similarity(predictions, targets, epsilon=epsilon, axis=axis, where=where)
    return 1 - similarity


def triplet_margin_loss(
    anchors: Any,
    positives: Any,
    negatives: Any,
    axis: int = -1,
    norm_degree: Any = 2,
    margin: Any = 1.0,
    eps: Any = 1e-6,
) -> Array:
    """How much nearer to the anchor than the negative, by a margin, the positive fails to be.

    `max(d(anchor, positive) - d(anchor, negative) + margin, 0)` with the distance
    `d(x, y) = (sum(|x - y|**p) + eps)**(1/p)`. V. Balntas et al., "Learning Shallow Convolutional
    Feature Descriptors with Triplet Losses" (2016).

    Args:
        anchors: vectors along `axis`; integers become floats.
        positives: what is to be near, an array of the same shape.
        negatives: what is to be far, an array of the same shape.
        axis: the axis of the vectors.
        norm_degree: p, at least 1.
        margin: the margin.
        eps: keeps derivatives finite where vectors are equal.

    Returns:
        An array without the axis.

    Raises:
        AxisError: the axis is out of range.
        ShapeError: the shapes differ.

    Example:
        >>> x = fnp.array([0.0, 0.0])
        >>> ff.losses.triplet_margin_loss(x, x + 0.3, x + 0.4).round(3)
        Array(0.859, dtype=float32)
    """
    name = "triplet_margin_loss"
    anchors, positives, negatives = floats(name, anchors, positives, negatives)
    pairs(name, anchors=anchors, positives=positives)
    pairs(name, anchors=anchors, negatives=negatives)

    def distance(x: Array) -> Array:
        powers = fnp.power(fnp.abs(anchors - x), norm_degree)
        return fnp.power(fnp.sum(powers, axis) + eps, 1 / norm_degree)

    return fnp.maximum(distance(positives) - distance(negatives) + margin, 0)
