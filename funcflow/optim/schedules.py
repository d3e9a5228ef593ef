"""Schedules: from the number of updates made so far to a number, as a learning rate.

A schedule takes a number or an array of them and computes elementwise, so `schedule(fnp.arange(n))`
is its graph. Counts and values may be traced; how many updates a part takes is known before.
"""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core.errors import ArgumentError
from funcflow.optim.base import Schedule


def check_steps(name: str, what: str, steps: int) -> None:
    """Refuse a schedule that takes no time."""
    if steps <= 0:
        raise ArgumentError(
            f"{name}: {what} must be positive, got {steps}",
            mend="say how many updates the schedule lasts",
        )


def constant_schedule(value: Any) -> Schedule:
    """The same value always.

    Example:
        >>> ff.optim.constant_schedule(0.1)(7)
        Array(0.1, dtype=float32)
    """
    return lambda count: fnp.full_like(fnp.asarray(count), value, dtype=fnp.result_type(0.0))


def polynomial_schedule(
    init_value: Any,
    end_value: Any,
    power: Any,
    transition_steps: int,
    transition_begin: int = 0,
) -> Schedule:
    """From one value to another along a power of the time that is left.

    With `left` falling from 1 to 0 over `transition_steps` updates after the first
    `transition_begin`, the value is `end_value + (init_value - end_value) * left**power`.

    Raises:
        ArgumentError: `transition_steps` is not positive.

    Example:
        >>> ff.optim.polynomial_schedule(1.0, 0.0, 2, transition_steps=4)(fnp.arange(6))
        Array([1.    , 0.5625, 0.25  , 0.0625, 0.    , 0.    ], dtype=float32)
    """
    check_steps("polynomial_schedule", "transition_steps", transition_steps)

    def schedule(count: Any) -> Any:
        passed = fnp.clip(fnp.asarray(count) - transition_begin, 0, transition_steps)
        left = 1 - passed / transition_steps
        return end_value + (init_value - end_value) * left**power

    return schedule


def linear_schedule(
    init_value: Any, end_value: Any, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """From one value to another along a line; see `polynomial_schedule`.

    Example:
        >>> ff.optim.linear_schedule(0.0, 1.0, transition_steps=2)(fnp.arange(4))
        Array([0. , 0.5, 1. , 1. ], dtype=float32)
    """
    return polynomial_schedule(init_value, end_value, 1, transition_steps, transition_begin)


def exponential_decay(
    init_value: Any,
    transition_steps: int,
    decay_rate: Any,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: Any = None,
) -> Schedule:
    """The value is multiplied by `decay_rate` every `transition_steps` updates.

    Args:
        init_value: the value up to `transition_begin`.
        transition_steps: see above.
        decay_rate: see above; not zero.
        transition_begin: how many updates pass first.
        staircase: whether to multiply at once, instead of a bit with each update.
        end_value: where the decay, or the growth, ends; None for nowhere.

    Raises:
        ArgumentError: `transition_steps` is not positive, or `decay_rate` is 0.

    Example:
        >>> ff.optim.exponential_decay(1.0, 2, 0.25)(fnp.arange(4))
        Array([1.   , 0.5  , 0.25 , 0.125], dtype=float32)
    """
    check_steps("exponential_decay", "transition_steps", transition_steps)
    if isinstance(decay_rate, int | float) and decay_rate == 0:
        raise ArgumentError(
            "exponential_decay: decay_rate must not be 0", mend="use constant_schedule"
        )

    def schedule(count: Any) -> Any:
        passed = (fnp.asarray(count) - transition_begin) / transition_steps
        exponent = fnp.floor(passed) if staircase else passed
        value = init_value * fnp.power(decay_rate, fnp.maximum(exponent, 0))
        if end_value is None:
            return value
        bounds = fnp.maximum(value, end_value), fnp.minimum(value, end_value)
        return fnp.where(decay_rate < 1, *bounds)

    return schedule


def cosine_decay_schedule(
    init_value: Any, decay_steps: int, alpha: Any = 0.0, exponent: Any = 1.0
) -> Schedule:
    """Half a period of a cosine, from `init_value` to `alpha * init_value`.

    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    Args:
        init_value: the first value.
        decay_steps: how many updates the way down takes.
        alpha: the part of it that is left in the end.
        exponent: of the falling part, `(1 + cos(pi * count / decay_steps)) / 2`.

    Raises:
        ArgumentError: `decay_steps` is not positive.

    Example:
        >>> ff.optim.cosine_decay_schedule(1.0, 4, alpha=0.5)(fnp.array([0, 2, 4, 9]))
        Array([1.  , 0.75, 0.5 , 0.5 ], dtype=float32)
    """
    check_steps("cosine_decay_schedule", "decay_steps", decay_steps)

    return cosine_transition(init_value, alpha * init_value, decay_steps, exponent)


def cosine_transition(start: Any, end: Any, steps: int, exponent: Any) -> Schedule:
    """From one value to another along half a period of a cosine, to a power."""

    def schedule(count: Any) -> Any:
        passed = fnp.clip(fnp.asarray(count), 0, steps) / steps
        return end + (start - end) * (0.5 + 0.5 * fnp.cos(fnp.pi * passed)) ** exponent

    return schedule
