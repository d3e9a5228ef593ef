"""Transformations around an optimiser: several gradients for a step, none for a bad one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.pytree import tree_leaves, tree_map
from funcflow.core.typing import PyTree
from funcflow.optim.base import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    with_extra_args_support,
)
from funcflow.optim.leaves import first_count, increment, map_with_memory, memory_like, working


def _chosen(condition: Array, yes: PyTree, no: PyTree) -> PyTree:
    """One of two trees. Elements are chosen, so what made them stays in one kernel with this."""
    return tree_map(lambda a, b: fnp.where(condition, a, b), yes, no)


class MultiStepsState(NamedTuple):
    """What `MultiSteps` remembers.

    Attributes:
        mini_step: the number of gradients since the last step.
        gradient_step: the number of steps.
        inner_opt_state: the optimiser's state.
        acc_grads: the mean, or the sum, of the gradients since the last step.
    """

    mini_step: Array
    gradient_step: Array
    inner_opt_state: PyTree
    acc_grads: PyTree


class MultiSteps:
    """An optimiser that takes a step after several gradients, with their mean.

    So a batch may be larger than what fits into memory. In between, updates are zero.

    Args:
        opt: the optimiser.
        every_k_schedule: how many gradients make a step: a number, or a function from the number of
            steps before to one.
        use_grad_mean: whether to take the mean; else the sum.

    Example:
        >>> optimizer = ff.optim.MultiSteps(ff.optim.sgd(1.0), every_k_schedule=2)
        >>> state = optimizer.init(fnp.zeros(1))
        >>> updates, state = optimizer.update(fnp.array([1.0]), state)
        >>> updates, optimizer.has_updated(state)
        (Array([0.], dtype=float32), Array(False, dtype=bool))
        >>> updates, state = optimizer.update(fnp.array([3.0]), state)
        >>> updates, optimizer.has_updated(state)
        (Array([-2.], dtype=float32), Array(True, dtype=bool))
    """

    def __init__(
        self,
        opt: GradientTransformation,
        every_k_schedule: int | Callable[[Any], Any],
        use_grad_mean: bool = True,
    ) -> None:
        self._opt = with_extra_args_support(opt)
        self._every_k = every_k_schedule
        self._use_grad_mean = use_grad_mean

    def init(self, params: PyTree) -> MultiStepsState:
        """The first state; gradients of 16 bits are added up in the parameters' dtype."""
        accumulated = memory_like("MultiSteps", params)
        return MultiStepsState(first_count(), first_count(), self._opt.init(params), accumulated)

    def update(
        self, updates: PyTree, state: MultiStepsState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, MultiStepsState]:
        """The optimiser's updates if enough gradients have come, else zeros."""
        every_k = self._every_k(state.gradient_step) if callable(self._every_k) else self._every_k
        last = state.mini_step >= every_k - 1
        number = state.mini_step + 1

        def add(g: Any, total: Any) -> tuple[Array, Array]:
            g, total = working(g), working(total)
            total = total + ((g - total) / number if self._use_grad_mean else g)
            return total, fnp.where(last, 0, total)

        gradients, accumulated = map_with_memory("MultiSteps", add, updates, state.acc_grads)
        given, inner_state = self._opt.update(
            gradients, state.inner_opt_state, params, **extra_args
        )
        return tree_map(lambda u: fnp.where(last, u, 0), given), MultiStepsState(
            mini_step=fnp.where(last, 0, number),
            gradient_step=fnp.where(last, increment(state.gradient_step), state.gradient_step),
            inner_opt_state=_chosen(last, inner_state, state.inner_opt_state),
            acc_grads=accumulated,
        )

    def has_updated(self, state: MultiStepsState) -> Array:
        """Whether the update that returned this state was a step of the optimiser."""
        return (state.mini_step == 0) & (state.gradient_step > 0)

    def gradient_transformation(self) -> GradientTransformationExtraArgs:
        """The pair of functions, to be used in `chain` and the like."""
        return GradientTransformationExtraArgs(self.init, self.update)


class ApplyIfFiniteState(NamedTuple):
    """What `apply_if_finite` remembers.

    Attributes:
        notfinite_count: the number of bad gradients since the last good one.
        last_finite: whether the last one was good.
        total_notfinite: the number of bad gradients.
        inner_state: the optimiser's state.
    """

    notfinite_count: Array
    last_finite: Array
    total_notfinite: Array
    inner_state: PyTree


def apply_if_finite(
    inner: GradientTransformation, max_consecutive_errors: int
) -> GradientTransformationExtraArgs:
    """Skip gradients that are NaN or infinite somewhere: updates are zero, the state stays.

    Args:
        inner: the optimiser.
        max_consecutive_errors: after so many bad gradients in a row the next one is let through,
            so that what is broken for good comes to light.

    Example:
        >>> optimizer = ff.optim.apply_if_finite(ff.optim.sgd(1.0), 5)
        >>> state = optimizer.init(fnp.zeros(2))
        >>> updates, state = optimizer.update(fnp.array([1.0, fnp.nan]), state)
        >>> updates, state.notfinite_count
        (Array([0., 0.], dtype=float32), Array(1, dtype=int32))
    """
    inner = with_extra_args_support(inner)

    def init(params: PyTree) -> ApplyIfFiniteState:
        fine = fnp.ones((), "bool")
        return ApplyIfFiniteState(first_count(), fine, first_count(), inner.init(params))

    def update(
        updates: PyTree, state: ApplyIfFiniteState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, ApplyIfFiniteState]:
        fine = fnp.ones((), "bool")
        for leaf in tree_leaves(updates):
            fine = fine & fnp.all(fnp.isfinite(leaf))
        bad = fnp.where(fine, 0, increment(state.notfinite_count))
        total = fnp.where(fine, state.total_notfinite, increment(state.total_notfinite))
        through = fine | (bad > max_consecutive_errors)
        given, inner_state = inner.update(updates, state.inner_state, params, **extra_args)
        return tree_map(lambda u: fnp.where(through, u, 0), given), ApplyIfFiniteState(
            bad, fine, total, _chosen(through, inner_state, state.inner_state)
        )

    return GradientTransformationExtraArgs(init, update)
