"""Pytrees: nested containers of arrays, over `optree`'s C++ implementation.

Names and meanings are those of `jax.tree_util`. `None` is a node without leaves. Classes become
nodes in `core.registration`.
"""

import collections
import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, TypeAlias

import optree

from funcflow.core.aval import ShapedArray
from funcflow.core.errors import TreeStructureError
from funcflow.core.registration import NAMESPACE
from funcflow.core.typing import IsLeaf, PyTree, is_tuple

PyTreeDef: TypeAlias = optree.PyTreeSpec


class SequenceKey(NamedTuple):
    """A step into a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx}]"


class DictKey(NamedTuple):
    """A step into a dictionary."""

    key: Hashable

    def __str__(self) -> str:
        return f"[{self.key!r}]"


class GetAttrKey(NamedTuple):
    """A step to a field of a dataclass or named tuple."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


class FlattenedIndexKey(NamedTuple):
    """A step to a child of a registered class that gave its children no names."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


KeyEntry: TypeAlias = Any  # one of the four above, or what a class gave as its child's key
KeyPath: TypeAlias = tuple[KeyEntry, ...]


def _key(entry: Any) -> Any:
    step = entry.entry
    if isinstance(entry, optree.NamedTupleEntry):  # a sequence too, hence first
        return GetAttrKey(entry.field)
    if isinstance(entry, optree.SequenceEntry):
        return SequenceKey(entry.index)
    if isinstance(entry, optree.MappingEntry):
        return DictKey(step)
    if isinstance(step, str):
        return GetAttrKey(step)
    return step if is_tuple(step) else FlattenedIndexKey(step)


def keystr(path: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """A key path as Python would write it: `['layers'][0].weight`."""
    if not simple:
        return separator.join(map(str, path))
    return separator.join(str(key[0]) for key in path)


def tree_flatten(tree: PyTree, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves of `tree` and its structure."""
    return optree.tree_flatten(tree, is_leaf, namespace=NAMESPACE)


def tree_unflatten(treedef: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of the given structure with the given leaves."""
    leaves = list(leaves)
    if len(leaves) != treedef.num_leaves:
        raise TreeStructureError(
            f"tree_unflatten: the structure {treedef} has {treedef.num_leaves} leaves, "
            f"got {len(leaves)}",
            mend="pass one leaf for each * of the structure",
        )
    return treedef.unflatten(leaves)


def tree_leaves(tree: PyTree, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of `tree`, in order."""
    return optree.tree_leaves(tree, is_leaf, namespace=NAMESPACE)


def tree_structure(tree: PyTree, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of `tree`."""
    return optree.tree_structure(tree, is_leaf, namespace=NAMESPACE)


def tree_map(f: Callable[..., Any], tree: PyTree, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Apply `f` to the leaves of `tree` and the corresponding subtrees of `rest`.

    Raises:
        TreeStructureError: a tree of `rest` differs; the message names the key path.
    """
    try:
        return optree.tree_map(f, tree, *rest, is_leaf=is_leaf, namespace=NAMESPACE)
    except ValueError as error:
        treedef = tree_structure(tree, is_leaf)
        for i, other in enumerate(rest):
            if not _has_prefix(treedef, other):
                difference = structure_difference(tree, other, is_leaf)
                raise TreeStructureError(
                    f"tree_map: tree {i + 1} does not match the first one {difference}",
                    mend="pass trees of the same structure",
                ) from error
        raise


def _has_prefix(treedef: PyTreeDef, tree: PyTree) -> bool:
    try:
        treedef.flatten_up_to(tree)
    except ValueError:
        return False
    return True


def tree_flatten_with_path(
    tree: PyTree, is_leaf: IsLeaf = None
) -> tuple[list[tuple[KeyPath, Any]], PyTreeDef]:
    """The leaves of `tree`, each with its key path, and the structure."""
    accessors, leaves, treedef = optree.tree_flatten_with_accessor(
        tree, is_leaf, namespace=NAMESPACE
    )
    paths = [tuple(_key(entry) for entry in accessor) for accessor in accessors]
    return list(zip(paths, leaves, strict=True)), treedef


def tree_leaves_with_path(tree: PyTree, is_leaf: IsLeaf = None) -> list[tuple[KeyPath, Any]]:
    """The leaves of `tree`, each with its key path."""
    return tree_flatten_with_path(tree, is_leaf)[0]


def tree_map_with_path(
    f: Callable[..., Any], tree: PyTree, *rest: Any, is_leaf: IsLeaf = None
) -> Any:
    """`tree_map` whose function is given the key path first."""
    keyed, treedef = tree_flatten_with_path(tree, is_leaf)
    others = [treedef.flatten_up_to(other) for other in rest]
    return treedef.unflatten(
        f(path, leaf, *args) for (path, leaf), *args in zip(keyed, *others, strict=True)
    )


_NO_INITIAL = object()


def tree_reduce(
    f: Callable[[Any, Any], Any],
    tree: PyTree,
    initializer: Any = _NO_INITIAL,
    is_leaf: IsLeaf = None,
) -> Any:
    """Combine the leaves with `f`, from the left."""
    leaves = tree_leaves(tree, is_leaf)
    if initializer is _NO_INITIAL:
        return functools.reduce(f, leaves)
    return functools.reduce(f, leaves, initializer)


def tree_all(tree: PyTree, *, is_leaf: IsLeaf = None) -> bool:
    """Whether all leaves are true."""
    return all(tree_leaves(tree, is_leaf))


def tree_transpose(outer_treedef: PyTreeDef, inner_treedef: PyTreeDef | None, tree: PyTree) -> Any:
    """Turn a tree of trees inside out."""
    leaves, treedef = tree_flatten(tree)
    if inner_treedef is None:
        subtrees: list[Any] = outer_treedef.flatten_up_to(tree)
        inner_treedef = tree_structure(subtrees[0])
    expected = outer_treedef.compose(inner_treedef)
    if treedef != expected:
        raise TreeStructureError(
            f"tree_transpose: expected the structure {expected}, got {treedef}"
        )
    width = inner_treedef.num_leaves
    columns = [outer_treedef.unflatten(leaves[i::width]) for i in range(width)]
    return inner_treedef.unflatten(columns)


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure is that of a single leaf."""
    return treedef.is_leaf()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees."""
    return optree.treespec_tuple(treedefs, namespace=NAMESPACE)


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of a node's children."""
    return treedef.children()


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether each item is a leaf."""
    return optree.all_leaves(iterable, is_leaf, namespace=NAMESPACE)


def flatten_one_level(tree: PyTree) -> tuple[tuple[Any, ...], Hashable]:
    """A node's children, and what else belongs to it (a dictionary's keys, static fields).

    Raises:
        TreeStructureError: `tree` is a leaf.

    Example:
        >>> ff.tree_util.flatten_one_level({"a": [1, 2], "b": 3})
        (([1, 2], 3), ('a', 'b'))
    """
    if optree.tree_is_leaf(tree, namespace=NAMESPACE):
        raise TreeStructureError(
            f"flatten_one_level: a leaf of type {type(tree).__name__} has no children",
            mend="pass a container, or register the class",
        )
    children, aux, keys, _ = optree.tree_flatten_one_level(tree, namespace=NAMESPACE)
    if isinstance(tree, collections.defaultdict):
        aux = (tree.default_factory, tuple(keys))
    elif isinstance(tree, dict):
        aux = tuple(keys)
    return tuple(children), aux


def structure_difference(expected: Any, got: Any, is_leaf: IsLeaf = None) -> str:
    """Where two trees first differ in structure, in words; empty if they do not."""
    return _difference(expected, got, (), is_leaf)


def _difference(a: Any, b: Any, path: KeyPath, is_leaf: IsLeaf) -> str:
    at = f"at {keystr(path)}" if path else "at the top"
    if tree_structure(a, is_leaf) == tree_structure(b, is_leaf):
        return ""
    children_a, children_b = _children(a, is_leaf), _children(b, is_leaf)
    if children_a is None or children_b is None or type(a) is not type(b):
        return f"{at}: expected {_kind(a, children_a)}, got {_kind(b, children_b)}"
    if list(children_a) != list(children_b):
        names_a, names_b = (", ".join(map(str, c)) for c in (children_a, children_b))
        return f"{at}: expected children {names_a or 'none'}, got {names_b or 'none'}"
    for key in children_a:
        found = _difference(children_a[key], children_b[key], (*path, key), is_leaf)
        if found:
            return found
    return f"{at}: expected {tree_structure(a, is_leaf)}, got {tree_structure(b, is_leaf)}"


def _children(x: Any, is_leaf: IsLeaf) -> dict[Any, Any] | None:
    if is_leaf is not None and is_leaf(x):
        return None
    if optree.tree_is_leaf(x, namespace=NAMESPACE):
        return None
    children, _, entries, _ = optree.tree_flatten_one_level(x, namespace=NAMESPACE)
    accessors = optree.tree_accessors(x, lambda y: y is not x, namespace=NAMESPACE)
    if len(accessors) != len(entries):
        return dict(zip(entries, children, strict=True))
    return {_key(a[0]): child for a, child in zip(accessors, children, strict=True)}


def _kind(x: Any, children: dict[Any, Any] | None) -> str:
    if x is None:
        return "None"
    if isinstance(x, ShapedArray):
        return f"a leaf ({x})"
    return f"a leaf ({type(x).__name__})" if children is None else f"a {type(x).__name__}"


def broadcast_prefix(prefix: PyTree, tree: PyTree, is_leaf: IsLeaf = None) -> list[Any]:
    """One value of `prefix` per leaf of `tree`; a leaf of the prefix stands for a whole subtree."""
    return optree.broadcast_prefix(prefix, tree, is_leaf, namespace=NAMESPACE)


def flatten_axes(name: str, treedef: PyTreeDef, axes: Any) -> list[Any]:
    """One axis (or None) per leaf of a tree; `axes` is a prefix of it in which None is a leaf."""
    leaf = object()
    tree = treedef.unflatten([leaf] * treedef.num_leaves)
    found: list[Any] = []

    def spread(axis: Any, subtree: Any) -> None:
        found.extend([axis] * len(tree_leaves(subtree)))

    try:
        optree.tree_map_(
            spread,
            axes,
            tree,
            is_leaf=lambda x: x is None or isinstance(x, int),
            namespace=NAMESPACE,
        )
        return found
    except (ValueError, TypeError) as error:
        raise TreeStructureError(
            f"{name} {axes!r} is no prefix of the structure {treedef}",
            mend="give an axis (or None) for each leaf; one may stand for a whole subtree",
        ) from error


def tree_broadcast(prefix_tree: PyTree, full_tree: PyTree, is_leaf: IsLeaf = None) -> Any:
    """`prefix_tree` with each leaf repeated over the subtree of `full_tree` it stands for."""
    treedef = tree_structure(full_tree, is_leaf)
    return treedef.unflatten(broadcast_prefix(prefix_tree, full_tree, is_leaf))
