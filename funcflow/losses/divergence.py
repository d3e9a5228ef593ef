"""Divergences of distributions, which predictions give as logarithms.

In all of them, `axis` is an axis, a tuple of axes or None for all; `where` says which elements, or
which distributions, take part.
"""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.losses.arguments import aligned, distributions
from funcflow.numpy.log_sums import mask
from funcflow.numpy.promotion import Axis


def kl_divergence(log_predictions: Any, targets: Any, axis: Axis = -1, where: Any = None) -> Array:
    """The Kullback-Leibler divergence `sum(targets * (log(targets) - log_predictions))`.

    S. Kullback and R. Leibler, "On Information and Sufficiency" (1951).

    Args:
        log_predictions: logarithms of the predicted probabilities; integers become floats.
        targets: probabilities, an array of as many axes which broadcasts to that shape. Where one
            is 0 its element counts nothing, also if its prediction is -inf.
        axis: the axis of the distributions, a tuple of axes, or None for all.
        where: which elements, or which distributions, take part.

    Returns:
        An array without the axes; not negative, 0 for equal distributions.

    Raises:
        AxisError: an axis is out of range or named twice.
        ShapeError: the shapes do not fit together.

    Example:
        >>> p, q = fnp.array([0.5, 0.5, 0.0]), fnp.array([0.5, 0.25, 0.25])
        >>> ff.losses.kl_divergence(fnp.log(q), p).round(4)
        Array(0.3466, dtype=float32)
    """
    name = "kl_divergence"
    log_predictions, targets = distributions(name, log_predictions=log_predictions, targets=targets)
    terms = targets * _masked_difference(targets == 0, fnp.log(targets), log_predictions)
    return _total(name, terms, axis, where)


def kl_divergence_with_log_targets(
    log_predictions: Any, log_targets: Any, axis: Axis = -1, where: Any = None
) -> Array:
    """`kl_divergence` of targets that are given as logarithms, -inf for a probability of 0.

    Example:
        >>> p, q = fnp.array([0.5, 0.5]), fnp.array([0.75, 0.25])
        >>> ff.losses.kl_divergence_with_log_targets(fnp.log(q), fnp.log(p)).round(4)
        Array(0.1438, dtype=float32)
    """
    name = "kl_divergence_with_log_targets"
    log_predictions, log_targets = distributions(
        name, log_predictions=log_predictions, log_targets=log_targets
    )
    difference = _masked_difference(fnp.isneginf(log_targets), log_targets, log_predictions)
    return _total(name, fnp.exp(log_targets) * difference, axis, where)


def _masked_difference(zero: Array, log_targets: Array, log_predictions: Array) -> Array:
    """The difference, and 0 where the target is 0, without a derivative there."""
    return fnp.where(zero, 0, log_targets - log_predictions)


def generalized_kl_divergence(
    log_predictions: Any, targets: Any, axis: Axis = -1, where: Any = None
) -> Array:
    """`kl_divergence` of measures whose totals differ: plus `sum(predictions - targets)`.

    It is the Bregman divergence of `x log(x) - x`, not negative and 0 for equal measures only. The
    arguments are those of `kl_divergence`.

    Example:
        >>> p, q = fnp.array([1.0, 3.0]), fnp.array([2.0, 3.0])
        >>> ff.losses.generalized_kl_divergence(fnp.log(q), p).round(4)
        Array(0.3069, dtype=float32)
    """
    name = "generalized_kl_divergence"
    log_predictions, targets = distributions(name, log_predictions=log_predictions, targets=targets)
    terms = targets * _masked_difference(targets == 0, fnp.log(targets), log_predictions)
    return _total(name, terms + (fnp.exp(log_predictions) - targets), axis, where)


convex_kl_divergence = generalized_kl_divergence


def _total(function: str, terms: Array, axis: Axis, where: Any) -> Array:
    if where is not None:
        where = mask(function, aligned(where, terms, axis), terms)
    return fnp.sum(terms, axis, where=where)
