"""Averages over examples: of losses, of errors, and of what a regression explains."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.losses import absolute_error, squared_error
from funcflow.numpy.promotion import as_array
from funcflow.train.metrics.metric import DTYPE, Metric, add, elements, ratio, weighted, weights_of


class Average(NamedTuple):
    """The state of an average."""

    total: Array
    weight: Array


def average(values: Callable[..., Array], function: str) -> Metric[Average]:
    """The weighted average of `values(*batch)`, an array of numbers."""

    def measure(*batch: Any, weights: Any = None) -> Average:
        x = values(*batch)
        w = weights_of(function, weights, x)
        return Average(fnp.sum(weighted(x.astype(DTYPE), w)), fnp.sum(w))

    return Metric(
        lambda: Average(fnp.zeros((), DTYPE), fnp.zeros((), DTYPE)),
        measure,
        add,
        lambda state: ratio(state.total, state.weight, math.nan),
    )


def mean() -> Metric[Average]:
    """The mean of numbers, as the losses of examples: `update(state, values, weights=None)`.

    It is NaN for no examples.

    Example:
        >>> metric = ff.train.metrics.mean()
        >>> state = metric.update(metric.empty(), fnp.array([1.0, 2.0]))
        >>> metric.compute(metric.update(state, fnp.array([9.0])))
        Array(4., dtype=float64)
    """
    return average(partial(as_array, "mean"), "mean")


def mean_squared_error() -> Metric[Average]:
    """The mean of `(predictions - targets)**2`, of arrays of one shape.

    Example:
        >>> ff.train.metrics.mean_squared_error()(fnp.array([1.0, 4.0]), fnp.array([1.0, 2.0]))
        Array(2., dtype=float64)
    """
    return average(squared_error, "mean_squared_error")


def mean_absolute_error() -> Metric[Average]:
    """The mean of `|predictions - targets|`, of arrays of one shape.

    Example:
        >>> ff.train.metrics.mean_absolute_error()(fnp.array([1.0, 4.0]), fnp.array([1.0, 2.0]))
        Array(1., dtype=float64)
    """
    return average(absolute_error, "mean_absolute_error")


class Spread(NamedTuple):
    """The state of `r2_score`: squared distances of targets from predictions and their mean."""

    residual: Array
    scatter: Array
    mean: Array
    weight: Array


def r2_score() -> Metric[Spread]:
    """The share of the variance of the targets that predictions explain.

    `1 - sum((predictions - targets)**2) / sum((targets - mean(targets))**2)`: 1 for perfect
    predictions, 0 for the targets' mean; NaN where all targets are equal. All elements of arrays
    with several axes count as one set. States keep the mean and the squared distances from it
    (T. Chan et al., "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
    1979), since a difference of sums of squares would lose digits.

    Example:
        >>> ff.train.metrics.r2_score()(fnp.array([1.0, 2.0, 4.0]), fnp.array([1.0, 2.0, 3.0]))
        Array(0.5, dtype=float64)
    """
    return Metric(
        lambda: Spread(*(fnp.zeros((), DTYPE) for _ in Spread._fields)),
        _spread,
        _merged_spread,
        lambda state: 1 - ratio(state.residual, state.scatter, math.nan),
    )


def _spread(predictions: Any, targets: Any, weights: Any = None) -> Spread:
    predictions, targets = elements("r2_score", predictions=predictions, targets=targets)
    errors, targets = squared_error(predictions, targets), targets.astype(DTYPE)
    w = weights_of("r2_score", weights, targets)
    weight = fnp.sum(w)
    center = ratio(fnp.sum(weighted(targets, w)), weight, 0)
    scatter = fnp.sum(weighted(fnp.square(targets - center), w))
    return Spread(fnp.sum(weighted(errors.astype(DTYPE), w)), scatter, center, weight)


def _merged_spread(a: Spread, b: Spread) -> Spread:
    weight = a.weight + b.weight
    share = ratio(b.weight, weight, 0)
    distance = b.mean - a.mean
    between = fnp.square(distance) * a.weight * share
    return Spread(
        a.residual + b.residual,
        a.scatter + b.scatter + between,
        a.mean + distance * share,
        weight,
    )
