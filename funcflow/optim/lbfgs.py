"""L-BFGS: gradients times an estimate of the inverse Hessian, made of the last few steps."""

from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_map
from funcflow.core.typing import PyTree
from funcflow.optim.base import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    ScalarOrSchedule,
    chain,
)
from funcflow.optim.leaves import (
    first_count,
    increment,
    memory_like,
    require_params,
)
from funcflow.optim.linesearch import scale_by_zoom_linesearch
from funcflow.optim.scaling import scale, scale_by_learning_rate
from funcflow.optim.vectors import add_scaled, inner_product, real_dtype, times


class ScaleByLBFGSState(NamedTuple):
    """What `scale_by_lbfgs` remembers.

    Attributes:
        count: the number of updates.
        params: the parameters of the last update.
        updates: its gradients.
        diff_params_memory: the last steps, each a row of arrays with one axis more.
        diff_updates_memory: the changes of the gradients in these steps.
        weights_memory: one over the inner products of both; 0 for pairs that do not count.
    """

    count: Array
    params: PyTree
    updates: PyTree
    diff_params_memory: PyTree
    diff_updates_memory: PyTree
    weights_memory: Array


def scale_by_lbfgs(
    memory_size: int = 10, scale_init_precond: bool = True
) -> GradientTransformation:
    """Multiply gradients by an estimate of the inverse Hessian.

    J. Nocedal, "Updating quasi-Newton matrices with limited storage" (1980): H g follows from the
    last steps s and changes of the gradient y, with rho = 1 / (s . y), by two loops over them. A
    pair with s . y not positive does not count.

    Args:
        memory_size: how many pairs are remembered.
        scale_init_precond: whether the estimate begins with `(s . y) / (y . y)` of the last pair,
            and the first step has at most the norm 1; else with 1.

    Raises:
        ArgumentError: `memory_size` is not positive; `update` is called without the parameters.

    Example:
        The second step is Newton's, in one dimension:

        >>> lbfgs = ff.optim.scale_by_lbfgs()
        >>> state = lbfgs.init(fnp.zeros(1))
        >>> _, state = lbfgs.update(fnp.array([8.0]), state, fnp.array([2.0]))
        >>> lbfgs.update(fnp.array([4.0]), state, fnp.array([1.0]))[0]
        Array([1.], dtype=float32)
    """
    if memory_size < 1:
        raise ArgumentError(
            f"scale_by_lbfgs: memory_size must be positive, got {memory_size}",
            mend="remember at least one step",
        )

    def init(params: PyTree) -> ScaleByLBFGSState:
        def rows(p: Any) -> Array:
            return fnp.zeros((memory_size, *p.shape), p.dtype)

        zeros = memory_like("scale_by_lbfgs", params)
        return ScaleByLBFGSState(
            count=first_count(),
            params=memory_like("scale_by_lbfgs", params),
            updates=zeros,
            diff_params_memory=tree_map(rows, zeros),
            diff_updates_memory=tree_map(rows, zeros),
            weights_memory=fnp.zeros(memory_size, real_dtype(params)),
        )

    def update(
        updates: PyTree, state: ScaleByLBFGSState, params: PyTree = None
    ) -> tuple[PyTree, ScaleByLBFGSState]:
        require_params("scale_by_lbfgs", updates, params)
        # The pairs are a ring, in which the newest overwrites the oldest.
        newest = (state.count - 1) % memory_size
        step = add_scaled(params, -1, state.params)
        change = add_scaled(updates, -1, state.updates)
        product = inner_product(step, change)
        counts = (state.count > 0) & (product > 0)
        weight = fnp.where(counts, 1 / fnp.where(counts, product, 1), 0)

        def remember(rows: PyTree, row: PyTree) -> PyTree:
            """The rows with the new one, once there is one: the first update has no step yet."""
            return tree_map(
                lambda a, x: a.at[newest].set(fnp.where(state.count > 0, x, 0)), rows, row
            )

        steps = remember(state.diff_params_memory, step)
        changes = remember(state.diff_updates_memory, change)
        weights = remember(state.weights_memory, weight.astype(state.weights_memory.dtype))

        first = fnp.ones_like(product)
        if scale_init_precond:
            norm = fnp.sqrt(inner_product(updates, updates))
            curvature = inner_product(change, change)
            newton = fnp.where(counts, product / fnp.where(counts, curvature, 1), 1)
            first = fnp.where(state.count > 0, newton, 1 / fnp.maximum(norm, 1))
        order = (newest - fnp.arange(memory_size)) % memory_size
        result = _two_loops(updates, steps, changes, weights, first, order)
        return result, ScaleByLBFGSState(
            increment(state.count), params, updates, steps, changes, weights
        )

    return GradientTransformation(init, update)


def _two_loops(
    gradient: PyTree, steps: PyTree, changes: PyTree, weights: Array, first: Array, order: Array
) -> PyTree:
    """H g: from new pairs to old ones, times what the estimate begins with, and back."""

    def row(tree: PyTree, i: Array) -> PyTree:
        return tree_map(lambda a: a[i], tree)

    def to_older(q: PyTree, i: Array) -> tuple[PyTree, Array]:
        alpha = weights[i] * inner_product(row(steps, i), q)
        return add_scaled(q, -alpha, row(changes, i)), alpha

    def to_newer(r: PyTree, pair: tuple[Array, Array]) -> tuple[PyTree, None]:
        i, alpha = pair
        beta = weights[i] * inner_product(row(changes, i), r)
        return add_scaled(r, alpha - beta, row(steps, i)), None

    q, alphas = lax.scan(to_older, gradient, order)
    return lax.scan(to_newer, times(first, q), (order, alphas), reverse=True)[0]


def lbfgs(
    learning_rate: ScalarOrSchedule | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: GradientTransformation | None = None,
) -> GradientTransformationExtraArgs:
    """L-BFGS with a line search, for smooth functions whose gradients have no noise.

    `update` needs the parameters and the keywords `value`, `grad` (both at the parameters) and
    `value_fn` (from parameters to the value). The line search finds value and gradient of the next
    point, which `value_and_grad_from_state` hands over.

    Args:
        learning_rate: multiplies what the line search gets; None for 1.
        memory_size: how many steps are remembered.
        scale_init_precond: see `scale_by_lbfgs`.
        linesearch: what scales the step in the end; None for
            `scale_by_zoom_linesearch(max_linesearch_steps=20, initial_guess_strategy="one")`.

    Example:
        >>> def loss(x):
        ...     return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        >>> optimizer = ff.optim.lbfgs()
        >>> value_and_grad = ff.optim.value_and_grad_from_state(loss)
        >>> @ff.jit
        ... def step(x, state):
        ...     value, grad = value_and_grad(x, state=state)
        ...     updates, state = optimizer.update(
        ...         grad, state, x, value=value, grad=grad, value_fn=loss
        ...     )
        ...     return ff.optim.apply_updates(x, updates), state
        >>> x = fnp.array([-1.2, 1.0])
        >>> state = optimizer.init(x)
        >>> for _ in range(40):
        ...     x, state = step(x, state)
        >>> bool(fnp.allclose(x, 1, atol=1e-3))
        True
    """
    if linesearch is None:
        linesearch = scale_by_zoom_linesearch(20, initial_guess_strategy="one")
    downhill = scale(-1) if learning_rate is None else scale_by_learning_rate(learning_rate)
    return chain(scale_by_lbfgs(memory_size, scale_init_precond), downhill, linesearch)
