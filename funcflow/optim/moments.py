"""Updates scaled by averages of gradients and of their squares: Adam and its kin.

The averages begin at zero. `unbiasing` makes up for that; its factors are numbers that all
parameters share, so the update of a parameter is one loop over its elements.
"""

from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.typing import DTypeLike, PyTree
from funcflow.optim.base import GradientTransformation
from funcflow.optim.leaves import (
    blend,
    first_count,
    increment,
    map_with_memory,
    memory_like,
    scalar,
    scaled,
    squared,
    squares_like,
    unbiasing,
    working,
)


class ScaleByAdamState(NamedTuple):
    """The number of updates, and averages of the gradients and of their squares."""

    count: Array
    mu: PyTree
    nu: PyTree


def scale_by_adam(
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
    *,
    nesterov: bool = False,
) -> GradientTransformation:
    """Divide the average of the gradients by the root of the average of their squares.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1. With
    `nesterov`, the numerator is that of the next step as far as it is known: T. Dozat,
    "Incorporating Nesterov momentum into Adam" (2016).

    Args:
        b1: the decay of the average of the gradients.
        b2: the decay of the average of their squares.
        eps: is added to the root.
        eps_root: is added below the root, so that its derivative at zero is finite.
        mu_dtype: of the average of the gradients; None for that of the parameters. Squares have at
            least 32 bits.
        nesterov: whether to look a step ahead.

    Example:
        >>> adam = ff.optim.scale_by_adam()
        >>> updates, state = adam.update(fnp.array([-3.0, 2.0]), adam.init(fnp.zeros(2)))
        >>> fnp.round(updates, 3)
        Array([-1.,  1.], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByAdamState:
        mu = memory_like("scale_by_adam", params, mu_dtype)
        return ScaleByAdamState(first_count(), mu, squares_like("scale_by_adam", params))

    def update(
        updates: PyTree, state: ScaleByAdamState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByAdamState]:
        count = increment(state.count)
        mean_factor, square_factor = unbiasing(b1, count), unbiasing(b2, count)
        ahead = unbiasing(b1, increment(count)) if nesterov else None

        def step(g: Any, m: Any, v: Any) -> tuple[Array, Array, Array]:
            g = working(g)
            m, v = blend(m, g, b1), blend(v, squared(g), b2)
            if nesterov:
                mean = blend(scaled(m, ahead), scaled(g, mean_factor), b1)
            else:
                mean = scaled(m, mean_factor)
            root = fnp.sqrt(scaled(v, square_factor) + scalar(eps_root, v.dtype))
            return mean / (root + scalar(eps, v.dtype)), m, v

        updates, mu, nu = map_with_memory("scale_by_adam", step, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(count, mu, nu)

    return GradientTransformation(init, update)


class ScaleByAmsgradState(NamedTuple):
    """The state of Adam, and the largest average of squares up to now."""

    count: Array
    mu: PyTree
    nu: PyTree
    nu_max: PyTree


def scale_by_amsgrad(
    b1: Any = 0.9,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    eps_root: Any = 0.0,
    mu_dtype: DTypeLike = None,
) -> GradientTransformation:
    """Adam, divided by the root of the largest average of squares up to now.

    S. J. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond" (2018); the largest
    is taken of the debiased averages. The arguments are those of `scale_by_adam`.
    """

    def init(params: PyTree) -> ScaleByAmsgradState:
        mu = memory_like("scale_by_amsgrad", params, mu_dtype)
        nu, nu_max = (squares_like("scale_by_amsgrad", params) for _ in range(2))
        return ScaleByAmsgradState(first_count(), mu, nu, nu_max)

    def update(
        updates: PyTree, state: ScaleByAmsgradState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByAmsgradState]:
        count = increment(state.count)
        mean_factor, square_factor = unbiasing(b1, count), unbiasing(b2, count)

        def step(g: Any, m: Any, v: Any, largest: Any) -> tuple[Array, ...]:
            g = working(g)
            m, v = blend(m, g, b1), blend(v, squared(g), b2)
            largest = fnp.maximum(largest, scaled(v, square_factor))
            root = fnp.sqrt(largest + scalar(eps_root, v.dtype))
            return scaled(m, mean_factor) / (root + scalar(eps, v.dtype)), m, v, largest

        updates, mu, nu, nu_max = map_with_memory(
            "scale_by_amsgrad", step, updates, state.mu, state.nu, state.nu_max
        )
        return updates, ScaleByAmsgradState(count, mu, nu, nu_max)

    return GradientTransformation(init, update)


def scale_by_adamax(b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8) -> GradientTransformation:
    """Divide the average of the gradients by their largest magnitude, which decays.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 2.

    Args:
        b1: the decay of the average of the gradients.
        b2: the decay of the largest magnitude.
        eps: is added to each new magnitude.

    Example:
        >>> adamax = ff.optim.scale_by_adamax()
        >>> updates, state = adamax.update(fnp.array([-3.0, 2.0]), adamax.init(fnp.zeros(2)))
        >>> fnp.round(updates, 3)
        Array([-1.,  1.], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByAdamState:
        mu, nu = memory_like("scale_by_adamax", params), squares_like("scale_by_adamax", params)
        return ScaleByAdamState(first_count(), mu, nu)

    def update(
        updates: PyTree, state: ScaleByAdamState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByAdamState]:
        count = increment(state.count)
        mean_factor = unbiasing(b1, count)

        def step(g: Any, m: Any, largest: Any) -> tuple[Array, Array, Array]:
            g = working(g)
            m = blend(m, g, b1)
            magnitude = fnp.abs(g)
            magnitude = magnitude + scalar(eps, magnitude.dtype)
            largest = fnp.maximum(magnitude, scaled(largest, b2))
            return scaled(m, mean_factor) / largest, m, largest

        updates, mu, nu = map_with_memory("scale_by_adamax", step, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(count, mu, nu)

    return GradientTransformation(init, update)


class ScaleByLionState(NamedTuple):
    """The number of updates, and the average of the gradients."""

    count: Array
    mu: PyTree


def scale_by_lion(
    b1: Any = 0.9, b2: Any = 0.99, mu_dtype: DTypeLike = None
) -> GradientTransformation:
    """The sign of an average of the gradients.

    X. Chen et al., "Symbolic discovery of optimization algorithms" (2023), algorithm 2.

    Args:
        b1: the weight of the average beside the gradient, where the sign is taken.
        b2: the decay of the average.
        mu_dtype: of the average; None for that of the parameters.

    Example:
        >>> lion = ff.optim.scale_by_lion()
        >>> lion.update(fnp.array([-3.0, 0.0, 2.0]), lion.init(fnp.zeros(3)))[0]
        Array([-1.,  0.,  1.], dtype=float32)
    """

    def init(params: PyTree) -> ScaleByLionState:
        return ScaleByLionState(first_count(), memory_like("scale_by_lion", params, mu_dtype))

    def update(
        updates: PyTree, state: ScaleByLionState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByLionState]:
        def step(g: Any, m: Any) -> tuple[Array, Array]:
            m = working(m)
            ahead = working(g) - m  # what both averages share makes their loops one
            return fnp.sign(m + scaled(ahead, 1 - b1)), m + scaled(ahead, 1 - b2)

        updates, mu = map_with_memory("scale_by_lion", step, updates, state.mu)
        return updates, ScaleByLionState(increment(state.count), mu)

    return GradientTransformation(init, update)
