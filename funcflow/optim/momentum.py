"""Moving averages and decaying sums of updates."""

from typing import Any, NamedTuple

from funcflow.core.array import Array
from funcflow.core.typing import DTypeLike, PyTree
from funcflow.optim.base import GradientTransformation
from funcflow.optim.leaves import (
    blend,
    first_count,
    increment,
    map_with_memory,
    memory_like,
    scaled,
    unbiasing,
    working,
)


class TraceState(NamedTuple):
    """The decaying sum of the updates."""

    trace: PyTree


def trace(
    decay: Any, nesterov: bool = False, accumulator_dtype: DTypeLike = None
) -> GradientTransformation:
    """Momentum: the decaying sum `t = g + decay * t` of the updates.

    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964). With
    `nesterov` the update is `g + decay * t`, the sum of the next step as far as it is known:
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).

    Args:
        decay: what is left of an update after one step.
        nesterov: whether to look a step ahead.
        accumulator_dtype: of the sum; None for that of the parameters.

    Example:
        >>> momentum = ff.optim.trace(0.5)
        >>> state = momentum.init(fnp.zeros(1))
        >>> _, state = momentum.update(fnp.ones(1), state)
        >>> momentum.update(fnp.ones(1), state)[0]
        Array([1.5], dtype=float32)
    """

    def init(params: PyTree) -> TraceState:
        return TraceState(memory_like("trace", params, accumulator_dtype))

    def update(
        updates: PyTree, state: TraceState, params: PyTree = None
    ) -> tuple[PyTree, TraceState]:
        def step(g: Any, t: Any) -> tuple[Array, Array]:
            g = working(g)
            t = g + scaled(working(t), decay)
            return g + scaled(t, decay) if nesterov else t, t

        updates, total = map_with_memory("trace", step, updates, state.trace)
        return updates, TraceState(total)

    return GradientTransformation(init, update)


class EmaState(NamedTuple):
    """The number of updates, and their average."""

    count: Array
    ema: PyTree


def ema(
    decay: Any, debias: bool = True, accumulator_dtype: DTypeLike = None
) -> GradientTransformation:
    """The exponential moving average of the updates, or of whatever is given in their place.

    Args:
        decay: the weight of the average beside a new value.
        debias: whether to make up for an average that began at zero.
        accumulator_dtype: of the average; None for that of the parameters.

    Example:
        The average of the parameters themselves:

        >>> average = ff.optim.ema(0.75)
        >>> state = average.init({"w": fnp.zeros(1)})
        >>> _, state = average.update({"w": fnp.array([1.0])}, state)
        >>> average.update({"w": fnp.array([3.0])}, state)[0]
        {'w': Array([2.1428573], dtype=float32)}
    """

    def init(params: PyTree) -> EmaState:
        return EmaState(first_count(), memory_like("ema", params, accumulator_dtype))

    def update(updates: PyTree, state: EmaState, params: PyTree = None) -> tuple[PyTree, EmaState]:
        count = increment(state.count)
        factor = unbiasing(decay, count) if debias else 1.0

        def step(x: Any, average: Any) -> tuple[Array, Array]:
            average = blend(average, working(x), decay)
            return scaled(average, factor), average

        updates, average = map_with_memory("ema", step, updates, state.ema)
        return updates, EmaState(count, average)

    return GradientTransformation(init, update)
