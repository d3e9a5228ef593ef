"""Updates scaled by sums or averages of squares: Adagrad, RMSProp, Adadelta."""

from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.typing import PyTree
from funcflow.optim.base import GradientTransformation
from funcflow.optim.leaves import (
    blend,
    first_count,
    increment,
    inverse_root,
    map_with_memory,
    memory_like,
    scalar,
    scaled,
    squared,
    squares_like,
    unbiasing,
    working,
)


class ScaleByRssState(NamedTuple):
    """The sum of the squares of all gradients."""

    sum_of_squares: PyTree


def scale_by_rss(initial_accumulator_value: float = 0.1, eps: Any = 1e-7) -> GradientTransformation:
    """Divide by the root of the sum of the squares of all gradients up to now.

    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and
    stochastic optimization" (2011), with diagonal matrices.

    Args:
        initial_accumulator_value: what the sum begins with.
        eps: is added below the root. Where the sum is zero, so is the update.

    Example:
        >>> rss = ff.optim.scale_by_rss(initial_accumulator_value=0.0, eps=0.0)
        >>> rss.update(fnp.array([-3.0, 0.0]), rss.init(fnp.zeros(2)))[0]
        Array([-1.,  0.], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByRssState:
        return ScaleByRssState(squares_like("scale_by_rss", params, initial_accumulator_value))

    def update(
        updates: PyTree, state: ScaleByRssState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByRssState]:
        def step(g: Any, total: Any) -> tuple[Array, Array]:
            g = working(g)
            total = total + squared(g)
            inverse = inverse_root(total + scalar(eps, total.dtype))
            return g * fnp.where(total > 0, inverse, 0), total

        updates, total = map_with_memory("scale_by_rss", step, updates, state.sum_of_squares)
        return updates, ScaleByRssState(total)

    return GradientTransformation(init, update)


class ScaleByRmsState(NamedTuple):
    """The number of updates, and the average of the squares of the gradients."""

    count: Array
    nu: PyTree


def scale_by_rms(
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divide by the root of the average of the squares of the gradients.

    T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp" (2012).

    Args:
        decay: of the average.
        eps: is added below the root, or to it.
        initial_scale: what the average begins with.
        eps_in_sqrt: whether `eps` is added below the root.
        bias_correction: whether to make up for an average that began at zero.

    Example:
        >>> rms = ff.optim.scale_by_rms(decay=0.75)
        >>> rms.update(fnp.array([-3.0]), rms.init(fnp.zeros(1)))[0]
        Array([-2.], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByRmsState:
        return ScaleByRmsState(first_count(), squares_like("scale_by_rms", params, initial_scale))

    def update(
        updates: PyTree, state: ScaleByRmsState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByRmsState]:
        count = increment(state.count)
        factor = unbiasing(decay, count) if bias_correction else 1.0

        def step(g: Any, v: Any) -> tuple[Array, Array]:
            g = working(g)
            v = blend(v, squared(g), decay)
            return g / _root(scaled(v, factor), eps, eps_in_sqrt), v

        updates, nu = map_with_memory("scale_by_rms", step, updates, state.nu)
        return updates, ScaleByRmsState(count, nu)

    return GradientTransformation(init, update)


def _root(x: Array, eps: Any, eps_in_sqrt: bool) -> Array:
    eps = scalar(eps, x.dtype)
    return fnp.sqrt(x + eps) if eps_in_sqrt else fnp.sqrt(x) + eps


class ScaleByRStdDevState(NamedTuple):
    """The number of updates, and averages of the gradients and of their squares."""

    count: Array
    mu: PyTree
    nu: PyTree


def scale_by_stddev(
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: float = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
) -> GradientTransformation:
    """Divide by the standard deviation of the gradients: the centred RMSProp.

    A. Graves, "Generating sequences with recurrent neural networks" (2013), section 4.2. The
    arguments are those of `scale_by_rms`.
    """

    def init(params: PyTree) -> ScaleByRStdDevState:
        mu = memory_like("scale_by_stddev", params)
        nu = squares_like("scale_by_stddev", params, initial_scale)
        return ScaleByRStdDevState(first_count(), mu, nu)

    def update(
        updates: PyTree, state: ScaleByRStdDevState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByRStdDevState]:
        count = increment(state.count)
        factor = unbiasing(decay, count) if bias_correction else 1.0

        def step(g: Any, m: Any, v: Any) -> tuple[Array, Array, Array]:
            g = working(g)
            m, v = blend(m, g, decay), blend(v, squared(g), decay)
            # Rounding makes the variance of equal gradients negative.
            variance = fnp.maximum(scaled(v, factor) - squared(scaled(m, factor)), 0)
            return g / _root(variance, eps, eps_in_sqrt), m, v

        updates, mu, nu = map_with_memory("scale_by_stddev", step, updates, state.mu, state.nu)
        return updates, ScaleByRStdDevState(count, mu, nu)

    return GradientTransformation(init, update)


class ScaleByAdaDeltaState(NamedTuple):
    """Averages of the squares of gradients and of updates."""

    e_g: PyTree
    e_x: PyTree


def scale_by_adadelta(rho: Any = 0.9, eps: Any = 1e-6) -> GradientTransformation:
    """Multiply by the ratio of the root mean squares of past updates and of gradients.

    M. D. Zeiler, "Adadelta: an adaptive learning rate method" (2012), algorithm 1.

    Args:
        rho: the decay of both averages.
        eps: is added below both roots.

    Example:
        >>> adadelta = ff.optim.scale_by_adadelta(rho=0.0, eps=1.0)
        >>> adadelta.update(fnp.array([0.0, 1.0]), adadelta.init(fnp.zeros(2)))[0]
        Array([0.        , 0.70710677], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByAdaDeltaState:
        e_g, e_x = (squares_like("scale_by_adadelta", params) for _ in range(2))
        return ScaleByAdaDeltaState(e_g, e_x)

    def update(
        updates: PyTree, state: ScaleByAdaDeltaState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByAdaDeltaState]:
        def step(g: Any, e_g: Any, e_x: Any) -> tuple[Array, Array, Array]:
            g = working(g)
            e_g = blend(e_g, squared(g), rho)
            small = scalar(eps, e_g.dtype)
            delta = fnp.sqrt(e_x + small) / fnp.sqrt(e_g + small) * g
            return delta, e_g, blend(e_x, squared(delta), rho)

        updates, e_g, e_x = map_with_memory(
            "scale_by_adadelta", step, updates, state.e_g, state.e_x
        )
        return updates, ScaleByAdaDeltaState(e_g, e_x)

    return GradientTransformation(init, update)
