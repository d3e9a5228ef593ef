"""Flattening level by level: quick for plain containers of arrays, which is what most trees are.

Whole levels are taken apart by a few calls of builtin functions where their nodes are alike, as the
layers of a model are; optree asks each node and sorts its keys. So leaves come in another order,
level by level and in the order in which dictionaries were filled.
"""

from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from funcflow.core.array import ConcreteArray, WeakArray
from funcflow.core.pytree import PyTreeDef

ARRAYS = frozenset({ConcreteArray, WeakArray, np.ndarray})
# Wider or deeper trees are left to optree; so are those that contain themselves.
_WIDEST, _DEEPEST = 10_000, 50


def levels(trees: Sequence[Any]) -> tuple[Hashable, list[Any]] | None:
    """The structure of trees and the arrays in them.

    None if there is anything but dicts, lists, tuples, None, and arrays, or too much of it.
    """
    structure: list[Any] = []
    leaves: list[Any] = []
    level = trees
    for _ in range(_DEEPEST):
        if not level:
            return tuple(structure), leaves
        if len(level) > _WIDEST:
            return None
        kinds = set(map(type, level))
        kind = kinds.pop()
        if kinds:
            below = _mixed(level, structure, leaves)
            if below is None:
                return None
            level = below
        elif kind is dict:
            structure += (kind, tuple(map(tuple, level)))
            level = list(chain.from_iterable(map(dict[Any, Any].values, level)))
        elif kind is tuple or kind is list:
            structure += (kind, tuple(map(len, level)))
            level = list(chain.from_iterable(level))
        elif kind in ARRAYS:
            structure += (kind, len(level))
            return tuple(structure), leaves + list(level)
        elif kind is type(None):
            structure += (kind, len(level))
            return tuple(structure), leaves
        else:
            return None
    return None


def _mixed(level: Sequence[Any], structure: list[Any], leaves: list[Any]) -> list[Any] | None:
    """The level below one of several kinds of nodes; its structure and leaves are added."""
    kinds = tuple(map(type, level))
    structure.append(kinds)
    below: list[Any] = []
    for x, kind in zip(level, kinds, strict=True):
        if kind in ARRAYS:
            leaves.append(x)
        elif kind is dict:
            structure.append(tuple(x))
            below += x.values()
        elif kind is tuple or kind is list:
            structure.append(len(x))
            below += x
        elif x is not None:
            return None
    return below


def in_order_of(tree: PyTreeDef) -> Callable[[list[Any]], tuple[Any, ...]]:
    """What puts the leaves that `levels` finds in a call's arguments into the order of their tree.

    Args:
        tree: of the pair of positional arguments and keywords; there are none of the latter.
    """
    marks = [ConcreteArray(np.empty(0)) for _ in range(tree.num_leaves)]
    call: Any = tree.unflatten(marks)
    found = levels(call[0])
    assert found is not None  # it was for the arguments
    places = {id(x): i for i, x in enumerate(found[1])}
    order = [places[id(x)] for x in marks]
    # of one place itemgetter makes no tuple
    return tuple if order == sorted(order) else itemgetter(*order)
