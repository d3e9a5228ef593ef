"""Takes the arrays out of trees whose structure is known: quick for dicts, lists and tuples.

Of one tree, functions are made that compare others with it and take them apart in one go, node by
node. optree, which knows nothing beforehand, asks each node what it is and sorts its keys. So
leaves come in another order, that in which dictionaries were filled.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from funcflow.core.array import ConcreteArray, WeakArray
from funcflow.core.pytree import PyTreeDef

ARRAYS = frozenset({ConcreteArray, WeakArray, np.ndarray})
# Deeper trees are left to optree; so are those that contain themselves.
_DEEPEST = 50

# Adds the leaves of a node to a list; false if the node is another one.
_Take: TypeAlias = Callable[[Any, list[Any]], bool]
# The leaves of trees; None if they have another structure.
Walk: TypeAlias = Callable[[Sequence[Any]], list[Any] | None]


def walker(trees: tuple[Any, ...]) -> Walk | None:
    """What takes the leaves out of trees like these. Where these have arrays, it takes anything.

    None if there is anything but dicts, lists, tuples, None, and arrays.
    """
    try:
        take = _node(trees, _DEEPEST)
    except TypeError:
        return None
    assert take is not None, "the arguments are a tuple"

    def walk(trees: Sequence[Any]) -> list[Any] | None:
        leaves: list[Any] = []
        return leaves if take(trees, leaves) else None

    return walk


def _node(tree: Any, deepest: int) -> _Take | None:
    """What takes nodes like this one apart; None of an array, which is a leaf.

    Raises:
        TypeError: there is something else, or the tree is too deep.
    """
    kind = type(tree)
    if kind in ARRAYS:
        return None
    if tree is None:
        return lambda x, leaves: x is None
    if not deepest or kind not in (dict, list, tuple):
        raise TypeError
    below = [_node(x, deepest - 1) for x in (tree.values() if kind is dict else tree)]
    if any(below):
        return _of_nodes(tree, below)
    return _of_keys(tuple(tree)) if kind is dict else _of_length(kind, len(tree))


def _of_keys(keys: tuple[Any, ...]) -> _Take:
    """For dicts of leaves."""

    def take(x: Any, leaves: list[Any]) -> bool:
        if type(x) is not dict or tuple(x) != keys:
            return False
        leaves += x.values()
        return True

    return take


def _of_length(kind: type, length: int) -> _Take:
    """For lists or tuples of leaves."""

    def take(x: Any, leaves: list[Any]) -> bool:
        if type(x) is not kind or len(x) != length:
            return False
        leaves += x
        return True

    return take


def _of_nodes(tree: Any, below: list[_Take | None]) -> _Take:
    """For nodes that have nodes below them."""
    kind = type(tree)
    describe: Callable[[Any], Any] = tuple if kind is dict else len
    description = describe(tree)
    nodes = [(place, node) for place, node in enumerate(below) if node is not None]
    arrays = [place for place, node in enumerate(below) if node is None]

    def take(x: Any, leaves: list[Any]) -> bool:
        if type(x) is not kind or describe(x) != description:
            return False
        children = [*x.values()] if kind is dict else x
        for place, node in nodes:
            if not node(children[place], leaves):
                return False
        for place in arrays:
            leaves.append(children[place])
        return True

    return take


def in_order_of(tree: PyTreeDef, walk: Walk) -> Callable[[list[Any]], tuple[Any, ...]]:
    """What puts the leaves that a walk finds in a call's arguments into the order of their tree.

    Args:
        tree: of the pair of positional arguments and keywords; there are none of the latter.
        walk: the walk of the positional arguments.
    """
    marks = [ConcreteArray(np.empty(0)) for _ in range(tree.num_leaves)]
    call: Any = tree.unflatten(marks)
    leaves = walk(call[0])
    assert leaves is not None, "the arguments had this structure"
    places = {id(x): i for i, x in enumerate(leaves)}
    order = [places[id(x)] for x in marks]
    # of one place itemgetter makes no tuple
    return tuple if order == sorted(order) else itemgetter(*order)
