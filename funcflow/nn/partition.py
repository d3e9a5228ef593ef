"""Parts of a tree: parameters and the rest, what matches a condition, changed copies.

Names and meanings are Equinox's. A part is a tree in which None stands for what is in the other
part, and None has no leaves; so a part can be differentiated, or optimised, by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from funcflow.core.errors import ArgumentError, TreeStructureError
from funcflow.core.pytree import (
    broadcast_prefix,
    structure_difference,
    tree_flatten,
    tree_leaves,
    tree_map,
)
from funcflow.core.typing import PyTree
from funcflow.nn.arrays import is_inexact_array
from funcflow.nn.module import Module

# A tree of booleans, or of predicates of leaves, that is a prefix of the tree; or a single one.
Spec: TypeAlias = Any


def trainable(model: PyTree) -> PyTree:
    """Which leaves of a model are parameters: those of floating point that are no buffers.

    To freeze a part, change its place in what this returns: `tree_at(lambda m: m.encoder,
    trainable(model), False)`.

    Returns:
        A tree like `model` with booleans for leaves, a filter for `partition`.

    Example:
        >>> norm = nn.BatchNorm(2)
        >>> spec = nn.trainable(norm)
        >>> spec.scale, spec.bias, spec.mean, spec.var
        (True, True, False, False)
    """

    def walk(node: Any) -> Any:
        if not isinstance(node, Module):
            return is_inexact_array(node)
        return node.replace(
            **{
                field.name: tree_map(lambda leaf: False, getattr(node, field.name))
                if field.metadata.get("buffer", False)
                else trainable(getattr(node, field.name))
                for field in node.data_fields()
            }
        )

    return tree_map(walk, model, is_leaf=lambda x: isinstance(x, Module))


def filter(tree: PyTree, filter_spec: Spec, inverse: bool = False) -> PyTree:
    """The tree with None in place of the leaves that do not match.

    Args:
        tree: any tree.
        filter_spec: a predicate of leaves, or a tree of booleans and predicates whose leaves stand
            for whole subtrees of `tree`.
        inverse: keep the leaves that do not match instead.

    Raises:
        TreeStructureError: `filter_spec` is no prefix of `tree`.

    Example:
        >>> nn.filter({"a": fnp.arange(2), "b": 1.0}, nn.is_array)
        {'a': Array([0, 1], dtype=int32), 'b': None}
    """
    return partition(tree, filter_spec)[int(inverse)]


def partition(tree: PyTree, filter_spec: Spec) -> tuple[PyTree, PyTree]:
    """Two trees: one with the leaves that match, one with the others; None where a leaf is not.

    Args:
        tree: any tree.
        filter_spec: as for `filter`; `trainable(model)` parts parameters from the rest.

    Raises:
        TreeStructureError: `filter_spec` is no prefix of `tree`.

    Example:
        >>> model = nn.BatchNorm(2)
        >>> parameters, rest = nn.partition(model, nn.trainable(model))
        >>> parameters.mean, rest.scale
        (None, None)
        >>> nn.combine(parameters, rest).mean
        Array([0., 0.], dtype=float32)
    """
    leaves, treedef = tree_flatten(tree)
    try:
        spec = broadcast_prefix(filter_spec, tree)
    except ValueError as error:
        raise TreeStructureError(
            f"the filter is no prefix of the tree: {structure_difference(tree, filter_spec)}",
            mend="make it of the same tree, e.g. by nn.trainable or ff.tree.map",
        ) from error
    matches = [
        flag(leaf) if callable(flag) else flag for leaf, flag in zip(leaves, spec, strict=True)
    ]
    kept = [leaf if match else None for leaf, match in zip(leaves, matches, strict=True)]
    others = [None if match else leaf for leaf, match in zip(leaves, matches, strict=True)]
    return treedef.unflatten(kept), treedef.unflatten(others)


def combine(*trees: PyTree) -> PyTree:
    """One tree of several parts: at each place the first that is not None.

    Raises:
        TreeStructureError: the parts are not of one tree.

    Example:
        >>> nn.combine({"a": 1, "b": None}, {"a": None, "b": 2})
        {'a': 1, 'b': 2}
    """
    return tree_map(
        lambda *leaves: next((leaf for leaf in leaves if leaf is not None), None),
        *trees,
        is_leaf=_is_none,
    )


def _is_none(x: Any) -> bool:
    return x is None


class _Place:
    """A leaf's place: unlike a leaf, it is no other place's object."""

    def __init__(self, leaf: Any) -> None:
        self.leaf = leaf


_NOTHING: Any = object()


def tree_at(
    where: Callable[[Any], Any],
    tree: PyTree,
    replace: Any = _NOTHING,
    replace_fn: Callable[[Any], Any] | None = None,
) -> PyTree:
    """A copy of a tree with other parts at some places.

    Args:
        where: a function of the tree that returns the part to replace, or a tuple or list of parts.
            It sees the tree with unspecified leaves: it may only walk through it.
        tree: any tree; None counts as a leaf.
        replace: the new part; for several, as many parts. Their structure is free.
        replace_fn: instead of `replace`, a function from old parts to new ones.

    Raises:
        ArgumentError: `where` returns something that is no part of the tree, such as a static
            field; there are more or fewer new parts; none or both of the last arguments are given.

    Example:
        >>> model = nn.Linear(3, 2, key=ff.random.key(0))
        >>> nn.tree_at(lambda m: m.bias, model, fnp.ones(2)).bias
        Array([1., 1.], dtype=float32)
        >>> nn.tree_at(lambda t: (t[0], t[2]), [1, 2, 3], replace_fn=lambda x: 10 * x)
        [10, 2, 30]
    """
    if (replace is _NOTHING) == (replace_fn is None):
        raise ArgumentError("tree_at: give one of replace and replace_fn")
    places = tree_map(_Place, tree, is_leaf=_is_none)
    found = where(places)
    nodes: set[int] = set()
    tree_map(lambda leaf: None, places, is_leaf=lambda x: bool(nodes.add(id(x))))
    targets: Sequence[Any] = (
        found if isinstance(found, tuple | list) and id(found) not in nodes else [found]
    )
    if not all(id(target) in nodes for target in targets):
        raise ArgumentError(
            "tree_at: `where` returns something that is no part of the tree",
            mend="return fields as they are; for a static field use `module.replace(name=value)`",
        )
    if replace_fn is not None:
        values = [replace_fn(_leaves_back(target)) for target in targets]
    else:
        values = [replace] if targets is not found else list(replace)
    if len(values) != len(targets):
        raise ArgumentError(f"tree_at: {len(targets)} parts to replace, {len(values)} new ones")
    replaced = {id(target): value for target, value in zip(targets, values, strict=True)}
    kept = {id(place): place.leaf for place in tree_leaves(places)}
    result = kept | replaced
    return tree_map(lambda x: result[id(x)], places, is_leaf=lambda x: id(x) in replaced)


def _leaves_back(places: Any) -> Any:
    return tree_map(lambda place: place.leaf, places)
