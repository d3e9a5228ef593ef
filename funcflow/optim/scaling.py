"""Updates times a number: the learning rate, or a ratio of norms."""

import numbers
from typing import Any, NamedTuple

import numpy as np

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.typing import PyTree
from funcflow.optim.base import (
    GradientTransformation,
    ScalarOrSchedule,
    Schedule,
    stateless,
)
from funcflow.optim.leaves import (
    first_count,
    increment,
    map_updates,
    require_params,
    scalar,
    scaled,
    squared,
    working,
)


def scale(step_size: Any) -> GradientTransformation:
    """Multiply all updates by a number, without widening them.

    Example:
        >>> half = ff.optim.scale(0.5)
        >>> half.update([fnp.ones(2)], half.init(None))[0]
        [Array([0.5, 0.5], dtype=float32)]
    """

    def product(updates: PyTree, params: PyTree) -> PyTree:
        return map_updates("scale", lambda u: scaled(working(u), step_size), updates)

    return stateless(product)


class ScaleByScheduleState(NamedTuple):
    """The number of updates."""

    count: Array


def scale_by_schedule(step_size_fn: Schedule) -> GradientTransformation:
    """Multiply all updates by a number that depends on how many there were before.

    Example:
        >>> falling = ff.optim.scale_by_schedule(lambda count: 1 / (1 + count))
        >>> state = falling.init(None)
        >>> _, state = falling.update(fnp.ones(1), state)
        >>> falling.update(fnp.ones(1), state)[0]
        Array([0.5], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByScheduleState:
        return ScaleByScheduleState(first_count())

    def update(
        updates: PyTree, state: ScaleByScheduleState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByScheduleState]:
        factor = step_size_fn(state.count)
        updates = map_updates("scale_by_schedule", lambda u: scaled(working(u), factor), updates)
        return updates, ScaleByScheduleState(increment(state.count))

    return GradientTransformation(init, update)


def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule, *, flip_sign: bool = True
) -> GradientTransformation:
    """Multiply by the learning rate, and by -1 to go downhill.

    Args:
        learning_rate: a number, or a schedule: from the number of updates before to a number.
        flip_sign: whether to multiply by -1.

    Raises:
        ArgumentError: the learning rate is neither.

    Example:
        >>> descent = ff.optim.scale_by_learning_rate(0.1)
        >>> descent.update(fnp.ones(2), descent.init(None))[0]
        Array([-0.1, -0.1], dtype=float32)
    """
    sign = -1 if flip_sign else 1
    if callable(learning_rate):
        schedule: Schedule = learning_rate
        return scale_by_schedule(lambda count: sign * schedule(count))
    return scale(sign * _number(learning_rate))


def _number(x: Any) -> Any:
    is_array = isinstance(x, Array | np.ndarray | np.generic)
    if x.shape == () if is_array else isinstance(x, numbers.Real) and not isinstance(x, bool):
        return x
    raise ArgumentError(
        f"learning_rate: expected a number or a schedule, got {x!r}",
        mend="pass a float such as 1e-3, or a function of the count of updates",
    )


def _norm(x: Array) -> Array:
    return fnp.sqrt(fnp.sum(squared(x)))


def scale_by_trust_ratio(
    min_norm: Any = 0.0, trust_coefficient: Any = 1.0, eps: Any = 0.0
) -> GradientTransformation:
    """Give each update the norm of its parameter, so that all change by the same part.

    Y. You et al., "Large batch optimization for deep learning: training BERT in 76 minutes" (2020).
    Where a norm is zero, the update stays as it is.

    Args:
        min_norm: smaller norms of parameters and updates count as this.
        trust_coefficient: the ratio of the norms of the new update and of the parameter.
        eps: is added to the norm of the update.

    Raises:
        ArgumentError: `update` is called without the parameters.

    Example:
        >>> trust = ff.optim.scale_by_trust_ratio()
        >>> trust.update(fnp.array([0.0, 2.0]), trust.init(None), fnp.array([3.0, 4.0]))[0]
        Array([0., 5.], dtype=float32)
    """

    def rescaled(u: Any, p: Any) -> Array:
        u = working(u)
        norm, param_norm = _norm(u), _norm(working(p))
        norm, param_norm = (fnp.maximum(n, scalar(min_norm, n.dtype)) for n in (norm, param_norm))
        ratio = scaled(param_norm, trust_coefficient) / (norm + scalar(eps, norm.dtype))
        return scaled(u, fnp.where((norm == 0) | (param_norm == 0), 1, ratio))

    def update(updates: PyTree, params: PyTree) -> PyTree:
        require_params("scale_by_trust_ratio", updates, params)
        return map_updates("scale_by_trust_ratio", rescaled, updates, params)

    return stateless(update)


def scale_by_param_block_rms(min_scale: Any = 1e-3) -> GradientTransformation:
    """Multiply each update by the root mean square of its parameter, at least `min_scale`.

    N. Shazeer and M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost" (2018),
    section 8.

    Raises:
        ArgumentError: `update` is called without the parameters.
    """

    def rescaled(u: Any, p: Any) -> Array:
        size = fnp.sqrt(fnp.mean(squared(working(p))))
        return scaled(working(u), fnp.maximum(size, scalar(min_scale, size.dtype)))

    def update(updates: PyTree, params: PyTree) -> PyTree:
        require_params("scale_by_param_block_rms", updates, params)
        return map_updates("scale_by_param_block_rms", rescaled, updates, params)

    return stateless(update)
