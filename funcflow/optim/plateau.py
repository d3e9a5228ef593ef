"""The learning rate falls when the loss does not."""

from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.typing import PyTree
from funcflow.optim.base import GradientTransformationExtraArgs
from funcflow.optim.leaves import first_count, map_updates, scaled, working


class ReduceLROnPlateauState(NamedTuple):
    """What `reduce_on_plateau` remembers.

    Attributes:
        scale: what updates are multiplied by.
        best_value: the best mean value up to now.
        plateau_count: how many mean values in a row were no better.
        cooldown_count: how many more do not count.
        count: the number of values in the mean that is being taken.
        avg_value: that mean.
    """

    scale: Array
    best_value: Array
    plateau_count: Array
    cooldown_count: Array
    count: Array
    avg_value: Array


def reduce_on_plateau(
    factor: float = 0.1,
    patience: int = 10,
    rtol: float = 1e-4,
    atol: float = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: float = 0.0,
) -> GradientTransformationExtraArgs:
    """Multiply updates by a number that falls when a value, as the loss, gets no better.

    Chain it behind an optimiser; `update` needs the keyword `value`.

    Args:
        factor: by which the number falls.
        patience: after how many values that are no better.
        rtol: a value is better if it is less than `(1 - rtol) * best - atol`.
        atol: see `rtol`.
        cooldown: how many values do not count after a fall.
        accumulation_size: how many values make one, their mean.
        min_scale: where the fall ends.

    Raises:
        ArgumentError: `factor` is not between 0 and 1, or neither tolerance is positive.

    Example:
        >>> plateau = ff.optim.reduce_on_plateau(factor=0.5, patience=1)
        >>> optimizer = ff.optim.chain(ff.optim.sgd(1.0), plateau)
        >>> state = optimizer.init(fnp.zeros(1))
        >>> for loss in [3.0, 2.0, 2.0]:
        ...     updates, state = optimizer.update(fnp.ones(1), state, value=loss)
        >>> updates
        Array([-0.5], dtype=float32)
    """
    if not 0 < factor < 1:
        raise ArgumentError(
            f"reduce_on_plateau: factor must be between 0 and 1, got {factor}",
            mend="say what is left of the learning rate",
        )
    if rtol < 0 or atol < 0 or rtol == atol == 0 or rtol > 1:
        raise ArgumentError(
            f"reduce_on_plateau: expected a positive tolerance, rtol at most 1, got rtol={rtol} "
            f"and atol={atol}",
            mend="say how much less a value must be to be better",
        )

    def init(params: PyTree) -> ReduceLROnPlateauState:
        return ReduceLROnPlateauState(
            scale=fnp.ones((), "float32"),
            best_value=fnp.full((), fnp.inf, "float32"),
            plateau_count=first_count(),
            cooldown_count=first_count(),
            count=first_count(),
            avg_value=fnp.zeros((), "float32"),
        )

    def judged(state: ReduceLROnPlateauState, value: Array) -> ReduceLROnPlateauState:
        """The state after one more mean value."""
        better = value < (1 - rtol) * state.best_value - atol
        resting = state.cooldown_count > 0
        bad = fnp.where(better | resting, 0, state.plateau_count + 1)
        falls = (bad > 0) & (bad >= patience)
        return ReduceLROnPlateauState(
            scale=fnp.where(falls, fnp.maximum(state.scale * factor, min_scale), state.scale),
            best_value=fnp.where(better, value, state.best_value),
            plateau_count=fnp.where(falls, 0, bad),
            cooldown_count=fnp.where(falls, cooldown, fnp.maximum(state.cooldown_count - 1, 0)),
            count=fnp.zeros_like(state.count),
            avg_value=fnp.zeros_like(state.avg_value),
        )

    def update(
        updates: PyTree,
        state: ReduceLROnPlateauState,
        params: PyTree = None,
        *,
        value: Any,
        **extra_args: Any,
    ) -> tuple[PyTree, ReduceLROnPlateauState]:
        value = fnp.asarray(value).astype(state.avg_value.dtype)
        count = state.count + 1
        average = state.avg_value + (value - state.avg_value) / count
        waiting = state._replace(count=count, avg_value=average)
        complete = count >= accumulation_size
        pairs = zip(judged(state, average), waiting, strict=True)
        state = ReduceLROnPlateauState(*(fnp.where(complete, a, b) for a, b in pairs))
        updates = map_updates(
            "reduce_on_plateau", lambda u: scaled(working(u), state.scale), updates
        )
        return updates, state

    return GradientTransformationExtraArgs(init, update)
