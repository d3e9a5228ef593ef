"""The area under the ROC curve: how often what is true is scored higher than what is not."""

import math
from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.train.metrics.classes import count
from funcflow.train.metrics.metric import DTYPE, Metric, add, elements, ratio, weights_of


def roc_auc(scores: Any, labels: Any, weights: Any = None) -> Array:
    """The area under the ROC curve of all examples at once, exact.

    It is the probability that a positive example has a larger score than a negative one, where
    equal scores count half. T. Fawcett, "An Introduction to ROC Analysis" (2006). It takes all
    scores to compute it; `binned_roc_auc` goes batch by batch.

    Args:
        scores: numbers of any shape.
        labels: 0 or 1 for each, an array of the same shape.
        weights: how much each example counts, 1 by default.

    Returns:
        A number from 0 to 1; NaN if the examples are all of one class, or a score is NaN.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> scores, labels = fnp.array([0.1, 0.4, 0.35, 0.8]), fnp.array([0, 0, 1, 1])
        >>> ff.train.metrics.roc_auc(scores, labels)
        Array(0.75, dtype=float64)
    """
    scores, labels = elements("roc_auc", scores=scores, labels=labels)
    w = weights_of("roc_auc", weights, scores).ravel()
    scores, labels = scores.ravel(), labels.ravel()
    order = fnp.argsort(scores)
    scores, labels, w = scores[order], labels[order] != 0, w[order]
    positives, negatives = (fnp.where(chosen, w, 0) for chosen in (labels, ~labels))
    # the negatives before each group of equal scores, and up to its end
    nothing = fnp.full(1, fnp.nan, scores.dtype)
    first = scores != fnp.concatenate([nothing, scores])[:-1]
    last = scores != fnp.concatenate([scores, nothing])[1:]
    up_to = fnp.cumsum(negatives)
    less = lax.cummax(fnp.where(first, up_to - negatives, 0))
    not_more = lax.cummin(fnp.where(last, up_to, fnp.inf), reverse=True)
    pairs_in_order = fnp.sum(positives * (less + not_more) / 2)
    area = ratio(pairs_in_order, fnp.sum(positives) * fnp.sum(negatives), math.nan)
    return fnp.where(fnp.any(fnp.isnan(scores) & (w != 0)), math.nan, area)


class Histograms(NamedTuple):
    """The state of `binned_roc_auc`: the weights of examples in each bin, (bins,)."""

    positives: Array
    negatives: Array


def binned_roc_auc(num_bins: int = 1000, low: float = 0.0, high: float = 1.0) -> Metric[Histograms]:
    """The area under the ROC curve, from histograms of scores: `update(state, scores, labels)`.

    Scores in one bin count as equal, so the error is at most half the probability that a positive
    and a negative example are in the same bin: `1 / (2 * num_bins)` for scores that are spread
    evenly.

    Args:
        num_bins: the number of bins, of one width.
        low: the lowest score; lower ones are in the first bin. For logits, bin their `sigmoid`,
            which has the same curve.
        high: the highest score; higher ones are in the last bin.

    Returns:
        A metric of scores and labels (0 or 1) of one shape, whose value is NaN as long as the
        examples are all of one class. A NaN is in no bin.

    Raises:
        ArgumentError: there is no bin.

    Example:
        >>> metric = ff.train.metrics.binned_roc_auc(100)
        >>> scores, labels = fnp.array([0.1, 0.4, 0.35, 0.8]), fnp.array([0, 0, 1, 1])
        >>> metric.compute(metric.update(metric.empty(), scores, labels))
        Array(0.75, dtype=float64)
    """
    if num_bins < 1 or not low < high:
        raise ArgumentError(
            f"binned_roc_auc: {num_bins} bins from {low} to {high}",
            mend="use at least one bin, and low < high",
        )

    def measure(scores: Any, labels: Any, weights: Any = None) -> Histograms:
        scores, labels = elements("binned_roc_auc", scores=scores, labels=labels)
        w = weights_of("binned_roc_auc", weights, scores)
        nan = fnp.isnan(scores)
        places = (fnp.where(nan, low, scores).astype(DTYPE) - low) * (num_bins / (high - low))
        bins = fnp.where(nan, -1, fnp.clip(places, 0, num_bins - 1).astype("int32"))
        positive = labels != 0
        return Histograms(
            *(count(fnp.where(chosen, bins, -1), w, num_bins) for chosen in (positive, ~positive))
        )

    return Metric(
        lambda: Histograms(fnp.zeros(num_bins, DTYPE), fnp.zeros(num_bins, DTYPE)),
        measure,
        add,
        _binned_area,
    )


def _binned_area(state: Histograms) -> Array:
    below = fnp.cumsum(state.negatives) - state.negatives / 2
    total = fnp.sum(state.positives) * fnp.sum(state.negatives)
    return ratio(fnp.sum(state.positives * below), total, math.nan)
