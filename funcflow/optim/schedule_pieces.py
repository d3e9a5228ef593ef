"""Schedules made of pieces: one after the other, constant or interpolated, with a warm-up."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import funcflow.numpy as fnp
from funcflow.core.errors import ArgumentError
from funcflow.optim.base import Schedule
from funcflow.optim.schedules import (
    check_steps,
    constant_schedule,
    cosine_transition,
    exponential_decay,
    linear_schedule,
)


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after the other, each of which counts from where it begins.

    Args:
        schedules: the schedules.
        boundaries: the counts at which all but the first one begin, in order.

    Raises:
        ArgumentError: there is not one boundary between each two schedules.

    Example:
        >>> warm, rest = ff.optim.linear_schedule(0.0, 1.0, 2), ff.optim.constant_schedule(1.0)
        >>> ff.optim.join_schedules([warm, rest], [2])(fnp.arange(4))
        Array([0. , 0.5, 1. , 1. ], dtype=float32)
    """
    if len(boundaries) != len(schedules) - 1:
        raise ArgumentError(
            f"join_schedules: expected a boundary between each two of {len(schedules)} schedules, "
            f"got {len(boundaries)}",
            mend="give one boundary less than schedules",
        )

    def schedule(count: Any) -> Any:
        count = fnp.asarray(count)
        value = schedules[0](count)
        for boundary, later in zip(boundaries, schedules[1:], strict=True):
            value = fnp.where(count < boundary, value, later(count - boundary))
        return value

    return schedule


def warmup_constant_schedule(init_value: Any, peak_value: Any, warmup_steps: int) -> Schedule:
    """A line up to `peak_value`, which stays."""
    return linear_schedule(init_value, peak_value, warmup_steps)


def warmup_cosine_decay_schedule(
    init_value: Any,
    peak_value: Any,
    warmup_steps: int,
    decay_steps: int,
    end_value: Any = 0.0,
    exponent: Any = 1.0,
) -> Schedule:
    """A line up to `peak_value`, then half a period of a cosine down to `end_value`.

    Args:
        init_value: the first value.
        peak_value: the highest one.
        warmup_steps: how many updates the line takes; 0 for no line.
        decay_steps: how many both parts take together.
        end_value: the last value.
        exponent: of the falling part, see `cosine_decay_schedule`.

    Raises:
        ArgumentError: nothing is left for the second part.

    Example:
        >>> schedule = ff.optim.warmup_cosine_decay_schedule(0.0, 1.0, 2, 6)
        >>> fnp.round(schedule(fnp.array([0, 1, 2, 4, 6])), 3)
        Array([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)
    """
    steps = decay_steps - warmup_steps
    check_steps("warmup_cosine_decay_schedule", "decay_steps - warmup_steps", steps)
    falling = cosine_transition(peak_value, end_value, steps, exponent)
    return _warmed_up(init_value, peak_value, warmup_steps, falling)


def warmup_exponential_decay_schedule(
    init_value: Any,
    peak_value: Any,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: Any,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Any = None,
) -> Schedule:
    """A line up to `peak_value`, then `exponential_decay`, whose count begins there.

    Example:
        >>> ff.optim.warmup_exponential_decay_schedule(0.0, 1.0, 2, 1, 0.5)(fnp.arange(5))
        Array([0.  , 0.5 , 1.  , 0.5 , 0.25], dtype=float32)
    """
    falling = exponential_decay(
        peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value
    )
    return _warmed_up(init_value, peak_value, warmup_steps, falling)


def _warmed_up(init_value: Any, peak_value: Any, steps: int, then: Schedule) -> Schedule:
    if steps == 0:
        return then
    return join_schedules([linear_schedule(init_value, peak_value, steps), then], [steps])


def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    """Warm restarts: one `warmup_cosine_decay_schedule` after the other.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    Args:
        cosine_kwargs: the keywords of each; it ends after its `decay_steps`.

    Example:
        >>> cycle = dict(init_value=0.0, peak_value=1.0, warmup_steps=1, decay_steps=3)
        >>> fnp.round(ff.optim.sgdr_schedule([cycle, cycle])(fnp.arange(7)), 3)
        Array([0. , 1. , 0.5, 0. , 1. , 0.5, 0. ], dtype=float32)
    """
    cycles = list(cosine_kwargs)
    ends = [sum(c["decay_steps"] for c in cycles[: i + 1]) for i in range(len(cycles) - 1)]
    return join_schedules([warmup_cosine_decay_schedule(**c) for c in cycles], ends)


def piecewise_constant_schedule(
    init_value: Any, boundaries_and_scales: Mapping[int, Any] | None = None
) -> Schedule:
    """A value that is multiplied by a number at some counts.

    Args:
        init_value: the first value.
        boundaries_and_scales: from a count to the number that multiplies from there on.

    Raises:
        ArgumentError: a number is negative.

    Example:
        >>> ff.optim.piecewise_constant_schedule(1.0, {2: 0.5, 3: 0.1})(fnp.arange(4))
        Array([1.  , 1.  , 0.5 , 0.05], dtype=float32)
    """
    scales = _in_order("piecewise_constant_schedule", boundaries_and_scales)

    def schedule(count: Any) -> Any:
        value = constant_schedule(init_value)(count)
        for boundary, factor in scales:
            value = fnp.where(fnp.asarray(count) < boundary, value, value * factor)
        return value

    return schedule


def _in_order(name: str, scales: Mapping[int, Any] | None) -> list[tuple[int, Any]]:
    pairs = sorted((scales or {}).items())
    if any(isinstance(factor, int | float) and factor < 0 for _, factor in pairs):
        raise ArgumentError(
            f"{name}: expected scales that are not negative, got {dict(pairs)}",
            mend="give the factors by which the value changes",
        )
    return pairs


def piecewise_interpolate_schedule(
    interpolate_type: str,
    init_value: Any,
    boundaries_and_scales: Mapping[int, Any] | None = None,
) -> Schedule:
    """A value that reaches a multiple of itself at some counts, and moves between them.

    Args:
        interpolate_type: `"linear"`, or `"cosine"` for half a period of one.
        init_value: the value at 0.
        boundaries_and_scales: from a count to the multiple of the value before that it reaches.

    Raises:
        ArgumentError: another type, or a number is negative.

    Example:
        >>> ff.optim.piecewise_interpolate_schedule("linear", 1.0, {2: 3.0, 4: 0.5})(fnp.arange(6))
        Array([1.  , 2.  , 3.  , 2.25, 1.5 , 1.5 ], dtype=float32)
    """
    if interpolate_type not in ("linear", "cosine"):
        raise ArgumentError(
            f"piecewise_interpolate_schedule: unknown interpolate_type {interpolate_type!r}",
            mend="use 'linear' or 'cosine'",
        )
    scales = _in_order("piecewise_interpolate_schedule", boundaries_and_scales)
    points = [(0, init_value)]
    for boundary, factor in scales:
        points.append((boundary, points[-1][1] * factor))

    def schedule(count: Any) -> Any:
        count = fnp.asarray(count)
        value = constant_schedule(init_value)(count)
        for (start, old), (end, new) in pairwise(points):
            passed = fnp.clip((count - start) / max(end - start, 1), 0, 1)
            way = passed if interpolate_type == "linear" else 0.5 - 0.5 * fnp.cos(fnp.pi * passed)
            value = fnp.where(count < start, value, old + (new - old) * way)
        return value

    return schedule


def linear_onecycle_schedule(
    transition_steps: int,
    peak_value: Any,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Up to a peak, down again, and further down, along lines.

    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018).

    Args:
        transition_steps: how many updates all takes.
        peak_value: the highest value.
        pct_start: the part of the updates up to the peak.
        pct_final: the part up to where the first value is reached again.
        div_factor: the peak is so many times the first value,
        final_div_factor: and that so many times the last one.

    Raises:
        ArgumentError: `transition_steps` is not positive.
    """
    check_steps("linear_onecycle_schedule", "transition_steps", transition_steps)
    return piecewise_interpolate_schedule(
        "linear",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            int(pct_final * transition_steps): 1 / div_factor,
            transition_steps: 1 / final_div_factor,
        },
    )


def cosine_onecycle_schedule(
    transition_steps: int,
    peak_value: Any,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Up to a peak and down again, each along half a period of a cosine.

    L. N. Smith and N. Topin, "Super-convergence: very fast training of neural networks using large
    learning rates" (2018), as PyTorch and fastai have it. The arguments are those of
    `linear_onecycle_schedule`.

    Raises:
        ArgumentError: `transition_steps` is not positive.
    """
    check_steps("cosine_onecycle_schedule", "transition_steps", transition_steps)
    return piecewise_interpolate_schedule(
        "cosine",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            transition_steps: 1 / (div_factor * final_div_factor),
        },
    )
