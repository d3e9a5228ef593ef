"""What an optimiser is: a pair of pure functions, and what is done with the updates it gives."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError, TreeStructureError
from funcflow.core.pytree import keystr, structure_difference, tree_flatten_with_path, tree_map
from funcflow.core.typing import PyTree
from funcflow.optim.leaves import is_none, map_updates, working

# From the number of updates made so far to a number.
Schedule: TypeAlias = Callable[[Any], Any]
ScalarOrSchedule: TypeAlias = Any  # a number, an array of no axes, or a Schedule


class GradientTransformation(NamedTuple):
    """A pair of pure functions that turn gradients into updates of the parameters.

    Attributes:
        init: from the parameters to the first state, a pytree of arrays.
        update: `update(updates, state, params=None)` returns new updates and the next state.
            `updates` and `params` have the structure of the parameters; a None in `updates` stands
            for a parameter that gets none.

    Example:
        >>> optimizer = ff.optim.sgd(0.5)
        >>> params = {"w": fnp.array([1.0, 2.0])}
        >>> state = optimizer.init(params)
        >>> updates, state = optimizer.update({"w": fnp.array([2.0, 0.0])}, state, params)
        >>> ff.optim.apply_updates(params, updates)
        {'w': Array([0., 2.], dtype=float32)}
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[..., tuple[PyTree, PyTree]]


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose `update` takes further keywords, and ignores those it does not know.

    The keywords are what some methods need besides the gradient, as `value` and `value_fn` for a
    line search. `chain` and what is made with it hand them on.
    """


class EmptyState(NamedTuple):
    """The state of a transformation that remembers nothing."""


def with_extra_args_support(tx: GradientTransformation) -> GradientTransformationExtraArgs:
    """`tx` itself if its `update` takes further keywords, else one that ignores them."""
    if isinstance(tx, GradientTransformationExtraArgs):
        return tx

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        return tx.update(updates, state, params)

    return GradientTransformationExtraArgs(tx.init, update)


def stateless(f: Callable[[PyTree, PyTree], PyTree]) -> GradientTransformation:
    """The transformation that remembers nothing: `f(updates, params)` gives the new updates.

    Example:
        >>> double = ff.optim.stateless(lambda u, params: ff.tree.map(lambda x: 2 * x, u))
        >>> double.update([fnp.ones(2)], double.init(None))[0]
        [Array([2., 2.], dtype=float32)]
    """

    def init(params: PyTree) -> EmptyState:
        return EmptyState()

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        return f(updates, params), state

    return GradientTransformation(init, update)


def identity() -> GradientTransformation:
    """The transformation that changes nothing."""
    return stateless(lambda updates, params: updates)


def set_to_zero() -> GradientTransformation:
    """The transformation whose updates are zero: with `partition`, it freezes parameters."""

    def zeros(updates: PyTree, params: PyTree) -> PyTree:
        return tree_map(fnp.zeros_like, updates)

    return stateless(zeros)


def chain(*args: GradientTransformation) -> GradientTransformationExtraArgs:
    """One transformation after the other: each gets the updates that the one before gave.

    Args:
        *args: the transformations, the one that sees the gradients first.

    Returns:
        A transformation whose state is the tuple of theirs. Further keywords of `update` reach
        all that take them.

    Example:
        >>> optimizer = ff.optim.chain(ff.optim.clip(1.0), ff.optim.sgd(0.1))
        >>> state = optimizer.init(fnp.zeros(2))
        >>> optimizer.update(fnp.array([5.0, 0.5]), state)[0]
        Array([-0.1 , -0.05], dtype=float32)
    """
    links = [with_extra_args_support(tx) for tx in args]

    def init(params: PyTree) -> PyTree:
        return tuple(link.init(params) for link in links)

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, PyTree]:
        if len(state) != len(links):
            raise ArgumentError(
                f"chain: expected the states of {len(links)} transformations, got {len(state)}",
                mend="pass the state that init or the last update of this very chain returned",
            )
        states = []
        for link, before in zip(links, state, strict=True):
            updates, after = link.update(updates, before, params, **extra_args)
            states.append(after)
        return updates, tuple(states)

    return GradientTransformationExtraArgs(init, update)


def apply_updates(params: PyTree, updates: PyTree) -> PyTree:
    """The parameters with their updates added.

    Args:
        params: a pytree of arrays.
        updates: a pytree of the same structure, where None means: this one stays as it is.

    Returns:
        The new parameters, in the dtypes of the old ones. A sum with a parameter of 16 bits is
        rounded once.

    Raises:
        TreeStructureError: the structures differ.
        ShapeError: an update does not have the shape of its parameter.

    Example:
        >>> ff.optim.apply_updates({"a": fnp.ones(2), "b": 3.0}, {"a": fnp.ones(2), "b": None})
        {'a': Array([2., 2.], dtype=float32), 'b': 3.0}
    """
    keyed, treedef = tree_flatten_with_path(params, is_none)
    try:
        changes = treedef.flatten_up_to(updates)
    except ValueError as error:
        raise TreeStructureError(
            f"apply_updates: the updates do not match the parameters "
            f"{structure_difference(params, updates, is_none)}",
            mend="pass updates of the structure of the parameters, None for what gets none",
        ) from error
    return treedef.unflatten(
        p if p is None or u is None else _applied(keystr(path), p, u)
        for (path, p), u in zip(keyed, changes, strict=True)
    )


def _applied(path: str, param: Any, update: Any) -> Array:
    param, update = fnp.asarray(param), fnp.asarray(update)
    if param.shape != update.shape:
        raise ShapeError(
            f"apply_updates: the update of {path or 'the parameter'} has the shape "
            f"{update.shape}, the parameter {param.shape}",
            mend="give each parameter an update of its shape",
        )
    return (working(param) + working(update)).astype(param.dtype)


def incremental_update(new_tensors: PyTree, old_tensors: PyTree, step_size: Any) -> PyTree:
    """A part of the way from old parameters to new ones: `step_size * new + (1 - step_size) * old`.

    Repeated after each step of a training, it is the exponential moving average of the parameters
    (B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", 1992,
    is the plain average), and of a target network in reinforcement learning.

    Returns:
        A pytree in the dtypes of the old one; where the new one is None, the old one stays.

    Example:
        >>> ff.optim.incremental_update(fnp.array([1.0]), fnp.array([0.0]), 0.25)
        Array([0.25], dtype=float32)
    """

    def moved(new: Any, old: Any) -> Array:
        start = working(old)
        return (start + step_size * (working(new) - start)).astype(fnp.asarray(old).dtype)

    return map_updates("incremental_update", moved, new_tensors, old_tensors, keep=old_tensors)
