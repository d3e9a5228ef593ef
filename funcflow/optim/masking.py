"""Transformations for some of the parameters, and weight decay."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple, TypeAlias

from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, TreeStructureError
from funcflow.core.pytree import (
    KeyPath,
    keystr,
    tree_broadcast,
    tree_flatten,
    tree_flatten_with_path,
)
from funcflow.core.registration import Partial, is_tree_node
from funcflow.core.typing import PyTree
from funcflow.optim.base import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    stateless,
    with_extra_args_support,
)
from funcflow.optim.leaves import is_none, map_updates, require_params, scaled, working

# A tree of booleans, each for the subtree in its place, or a function that makes one.
Mask: TypeAlias = PyTree | Callable[[PyTree], PyTree]


def _made(values: Mask, tree: PyTree) -> PyTree:
    """The values for a tree. A model is a tree of them, though it can be called."""
    is_tree = is_tree_node(type(values)) and not isinstance(values, Partial)
    return values(tree) if callable(values) and not is_tree else values


def _spread(name: str, what: str, values: PyTree, tree: PyTree) -> list[Any]:
    """One of the values for each leaf of a tree (None is one), whose top they are shaped like."""
    try:
        return tree_flatten(tree_broadcast(values, tree, is_none), is_none)[0]
    except ValueError as error:
        path = _parting(values, tree, ()) or ()
        raise TreeStructureError(
            f"{name}: the {what} do not fit the parameters at {keystr(path) or 'the top'}",
            mend=f"give a tree of {what} of the structure of the parameters; one may stand for a "
            "whole subtree",
        ) from error


def _parting(prefix: PyTree, tree: PyTree, path: KeyPath) -> KeyPath | None:
    """The key path at which a tree parts from what should be its upper part."""
    expected, got = _children(prefix), _children(tree)
    if expected is None:
        return None
    if got is None or type(prefix) is not type(tree) or list(expected) != list(got):
        return path
    found = (_parting(expected[key], got[key], (*path, key)) for key in expected)
    return next((p for p in found if p is not None), None)


def _children(x: PyTree) -> dict[Any, Any] | None:
    keyed, _ = tree_flatten_with_path(x, lambda y: y is not x)
    if len(keyed) == 1 and keyed[0][0] == ():
        return None
    return {path[0]: child for path, child in keyed}


def _selected(tree: PyTree, flags: list[bool]) -> PyTree:
    """The tree with None where a flag is not set."""
    leaves, treedef = tree_flatten(tree, is_none)
    return treedef.unflatten(x if flag else None for x, flag in zip(leaves, flags, strict=True))


class MaskedState(NamedTuple):
    """The state of the transformation inside, with None for the parameters that are left out."""

    inner_state: PyTree


def masked(inner: GradientTransformation, mask: Mask) -> GradientTransformationExtraArgs:
    """Transform only the updates that a mask chooses; the others pass unchanged.

    Args:
        inner: the transformation. It sees None in place of all others.
        mask: a tree of booleans, each for the subtree in its place, or a function that makes one of
            the parameters or updates. It is read while tracing, so it holds no arrays of `jit`.

    Raises:
        TreeStructureError: the mask does not fit; the message names the key path.

    Example:
        >>> half = ff.optim.masked(ff.optim.scale(0.5), {"b": False, "w": True})
        >>> params = {"b": fnp.ones(1), "w": fnp.ones(1)}
        >>> half.update(params, half.init(params))[0]
        {'b': Array([1.], dtype=float32), 'w': Array([0.5], dtype=float32)}
    """
    inner = with_extra_args_support(inner)

    def flags(tree: PyTree) -> list[bool]:
        return [bool(flag) for flag in _spread("masked", "booleans", _made(mask, tree), tree)]

    def init(params: PyTree) -> MaskedState:
        return MaskedState(inner.init(_selected(params, flags(params))))

    def update(
        updates: PyTree, state: MaskedState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, MaskedState]:
        chosen = flags(updates)
        kept = None if params is None else _selected(params, flags(params))
        given, inner_state = inner.update(
            _selected(updates, chosen), state.inner_state, kept, **extra_args
        )
        return _merged(updates, given, chosen), MaskedState(inner_state)

    return GradientTransformationExtraArgs(init, update)


def _merged(updates: PyTree, given: PyTree, flags: list[bool]) -> PyTree:
    old, treedef = tree_flatten(updates, is_none)
    new: list[Any] = treedef.flatten_up_to(given)
    return treedef.unflatten(n if flag else o for n, o, flag in zip(new, old, flags, strict=True))


class PartitionState(NamedTuple):
    """The states of the groups, by label."""

    inner_states: dict[Hashable, PyTree]


def partition(
    transforms: Mapping[Any, GradientTransformation], param_labels: Mask
) -> GradientTransformationExtraArgs:
    """A transformation for each group of parameters.

    Args:
        transforms: the transformation of each label.
        param_labels: a tree of labels, each for the subtree in its place, or a function that makes
            one of the parameters or updates.

    Raises:
        TreeStructureError: the labels do not fit; the message names the key path.
        ArgumentError: there is no transformation for a label; raised by `init` and `update`.

    Example:
        >>> optimizer = ff.optim.partition(
        ...     {"slow": ff.optim.sgd(0.1), "fixed": ff.optim.set_to_zero()},
        ...     {"body": "fixed", "head": "slow"},
        ... )
        >>> params = {"body": fnp.ones(1), "head": fnp.ones(1)}
        >>> optimizer.update(params, optimizer.init(params))[0]
        {'body': Array([0.], dtype=float32), 'head': Array([-0.1], dtype=float32)}
    """

    def labels(tree: PyTree) -> list[Any]:
        found = _spread("partition", "labels", _made(param_labels, tree), tree)
        keyed, _ = tree_flatten_with_path(tree, is_none)
        for (path, leaf), label in zip(keyed, found, strict=True):
            if leaf is not None and label not in transforms:
                raise ArgumentError(
                    f"partition: no transformation for the label {label!r} at "
                    f"{keystr(path) or 'the top'}, only for {', '.join(map(repr, transforms))}",
                    mend="add one, set_to_zero() for parameters that stay as they are",
                )
        return found

    def group(name: Any, tx: GradientTransformation) -> GradientTransformationExtraArgs:
        def mask(tree: PyTree) -> PyTree:
            _, treedef = tree_flatten(tree, is_none)
            return treedef.unflatten(label == name for label in labels(tree))

        return masked(tx, mask)

    groups = {name: group(name, tx) for name, tx in transforms.items()}

    def init(params: PyTree) -> PartitionState:
        return PartitionState({name: tx.init(params) for name, tx in groups.items()})

    def update(
        updates: PyTree, state: PartitionState, params: PyTree = None, **extra_args: Any
    ) -> tuple[PyTree, PartitionState]:
        states = {}
        for name, tx in groups.items():
            before = state.inner_states[name]
            updates, states[name] = tx.update(updates, before, params, **extra_args)
        return updates, PartitionState(states)

    return GradientTransformationExtraArgs(init, update)


def add_decayed_weights(
    weight_decay: Any = 0.0, mask: Mask | None = None
) -> GradientTransformation:
    """Add a multiple of each parameter to its update.

    In front of a method of adaptive steps this is an L2 penalty, behind it the weight decay of
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization" (2019).

    Args:
        weight_decay: the factor.
        mask: which parameters decay, as for `masked`; None for all.

    Raises:
        ArgumentError: `update` is called without the parameters.

    Example:
        >>> decay = ff.optim.add_decayed_weights(0.5)
        >>> decay.update(fnp.zeros(1), decay.init(None), fnp.array([4.0]))[0]
        Array([2.], dtype=float32)
    """

    def decayed(u: Any, p: Any) -> Array:
        return working(u) + scaled(working(p), weight_decay)

    def update(updates: PyTree, params: PyTree) -> PyTree:
        require_params("add_decayed_weights", updates, params)
        return map_updates("add_decayed_weights", decayed, updates, params)

    tx = stateless(update)
    return tx if mask is None else masked(tx, mask)
