"""What a metric is: a state for each batch, states that merge, and a number for a state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ShapeError
from funcflow.core.pytree import tree_map
from funcflow.losses.arguments import pairs
from funcflow.numpy.promotion import as_array

S = TypeVar("S")

# Metrics run over more examples than float32 can count.
DTYPE = "float64"


def add(a: S, b: S) -> S:
    """The sums of two states, element by element."""
    return tree_map(fnp.add, a, b)


@dataclass(frozen=True)
class Metric(Generic[S]):
    """A number for a set of examples, computed batch by batch.

    A state is a pytree of arrays of fixed shapes that holds all that the number needs to know of
    the examples so far, so it goes through `jit` and is a carry of `scan`. All functions are pure.
    States of parts of the data may be merged in any order: that is the state of all of it.

    Called with all examples at once, a metric gives its value.

    Attributes:
        empty: `empty()` is the state of no examples.
        measure: `measure(*batch, weights=None)` is the state of one batch.
        merge: `merge(a, b)` is the state of the examples of both states.
        compute: `compute(state)` is the value.

    Example:
        >>> metric = ff.train.metrics.accuracy()
        >>> state = metric.empty()
        >>> scores = fnp.array([[0.1, 0.9], [0.8, 0.2]])
        >>> state = metric.update(state, scores, fnp.array([1, 1]))
        >>> # a batch that is padded to the same size, so that nothing is compiled again
        >>> state = metric.update(state, scores, fnp.array([1, 0]), weights=fnp.array([1, 0]))
        >>> metric.compute(state).round(3)
        Array(0.667, dtype=float64)
    """

    empty: Callable[[], S]
    measure: Callable[..., S]
    merge: Callable[[S, S], S]
    compute: Callable[[S], Any]

    def update(self, state: S, *batch: Any, weights: Any = None) -> S:
        """The state with the examples of one more batch.

        Args:
            state: what `empty`, `update` or `merge` gives.
            batch: the arguments of the metric: predictions and targets for most.
            weights: how much each example counts, 1 by default; one of weight 0 does not count, and
                may hold NaN. Their shape is that of the examples, or its leading part.
        """
        return self.merge(state, self.measure(*batch, weights=weights))

    def __call__(self, *batch: Any, weights: Any = None) -> Any:
        return self.compute(self.measure(*batch, weights=weights))


def together(**metrics: Metric[Any]) -> Metric[dict[str, Any]]:
    """Metrics of the same arguments as one, whose state and value are dictionaries.

    Example:
        >>> metrics = ff.train.metrics
        >>> both = metrics.together(mse=metrics.mean_squared_error(), r2=metrics.r2_score())
        >>> both(fnp.array([1.0, 2.0, 4.0]), fnp.array([1.0, 2.0, 3.0]))
        {'mse': Array(0.33333333, dtype=float64), 'r2': Array(0.5, dtype=float64)}
    """

    def measure(*batch: Any, weights: Any = None) -> dict[str, Any]:
        return {name: m.measure(*batch, weights=weights) for name, m in metrics.items()}

    return Metric(
        lambda: {name: m.empty() for name, m in metrics.items()},
        measure,
        lambda a, b: {name: m.merge(a[name], b[name]) for name, m in metrics.items()},
        lambda state: {name: m.compute(state[name]) for name, m in metrics.items()},
    )


def elements(function: str, **arguments: Any) -> list[Array]:
    """Two arguments as floating arrays of one shape, of which one may be a single number."""
    return fnp.broadcast_arrays(*pairs(function, **arguments))


def weights_of(function: str, weights: Any, values: Array) -> Array:
    """A weight for each element of `values`.

    Raises:
        ShapeError: the shape of the weights is no leading part of that of the values.
    """
    if weights is None:
        return fnp.ones(values.shape, DTYPE)
    weights = as_array(function, weights)
    if values.shape[: weights.ndim] != weights.shape:
        raise ShapeError(
            f"{function}: weights must have the shape of the examples, {values.shape}, or its "
            f"leading part, got {weights.aval}",
            mend="give one weight for each example",
        )
    added = range(weights.ndim, values.ndim)
    return fnp.broadcast_to(fnp.expand_dims(weights.astype(DTYPE), tuple(added)), values.shape)


def weighted(values: Array, weights: Array) -> Array:
    """The products; 0 where the weight is, whatever the value."""
    return fnp.where(weights == 0, 0, values * weights)


def ratio(numerator: Array, denominator: Array, otherwise: float) -> Array:
    """The quotient, and another number where the denominator is 0."""
    zero = denominator == 0
    return fnp.where(zero, otherwise, numerator / fnp.where(zero, 1, denominator))
