"""Takes the arrays out of trees whose structure is known, quickly.

Of one tree, a function is written that compares others with it and takes them apart in one go, in
the way `dataclasses` write their constructors. optree, which knows nothing beforehand, asks each
node what it is, sorts its keys and calls what its class was registered with. Dictionaries have to
be filled in the order in which that tree's were.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, TypeAlias

import numpy as np

from funcflow.core.array import ConcreteArray, WeakArray
from funcflow.core.pytree import flatten_one_level
from funcflow.core.registration import dataclass_fields, is_namedtuple, take_apart

ARRAYS = frozenset({ConcreteArray, WeakArray, np.ndarray})
# Deeper trees are left to optree; so are those that contain themselves.
_DEEPEST = 50

# The leaves of trees, in the order of their keys; None if they have another structure.
Walk: TypeAlias = Callable[[Sequence[Any]], tuple[Any, ...] | None]

# What a node has below it, and the names of variables for that.
_Children: TypeAlias = tuple[Sequence[Any], Sequence[str]]


def walker(trees: tuple[Any, ...]) -> Walk | None:
    """What takes the leaves out of trees like these. Where these have arrays, it takes anything.

    None if there is a leaf that is no array, or a container of another kind than dicts, lists,
    tuples, and what was registered.
    """
    text = _Text()
    try:
        text.node(trees, "trees", _DEEPEST)
    except TypeError:
        return None
    return text.function()


class _Text:
    """The text of a function that takes a tree apart, node by node, as it is being written.

    Each node is a variable. What the text refers to besides, classes and static values, has names.
    """

    def __init__(self) -> None:
        self._lines = ["def walk(trees):"]
        self._known: dict[str, Any] = {}
        self._leaves: list[str] = []
        self._count = 0

    def node(self, tree: Any, name: str, deepest: int) -> None:
        """Write what takes the tree apart that a variable holds.

        Raises:
            TypeError: there is something that nothing can be written for, or the tree is too deep.
        """
        kind = type(tree)
        if kind in ARRAYS:
            self._leaves.append(name)
            return
        if tree is None:
            self._require(f"{name} is None")
            return
        if not deepest:
            raise TypeError
        self._require(f"type({name}) is {self._named(kind)}")
        if kind is dict:
            trees, names = self._items(tree, name)
        elif kind is list or kind is tuple or is_namedtuple(kind):
            self._require(f"len({name}) == {len(tree)}")
            trees, names = tree, self._unpacked(name, len(tree))
        elif dataclass_fields(kind) is not None:
            trees, names = self._fields(tree, name)
        else:
            trees, names = self._parts(tree, name)
        for child, child_name in zip(trees, names, strict=True):
            self.node(child, child_name, deepest - 1)

    def _items(self, tree: dict[Any, Any], name: str) -> _Children:
        self._require(f"tuple({name}) == {self._named(tuple(tree))}")
        names = dict(zip(tree, self._unpacked(f"{name}.values()", len(tree)), strict=True))
        keys: Any = flatten_one_level(tree)[1]
        return [tree[key] for key in keys], [names[key] for key in keys]

    def _fields(self, tree: Any, name: str) -> _Children:
        data, meta = dataclass_fields(type(tree)) or ((), ())
        if meta:
            static = self._named(tuple(getattr(tree, field) for field in meta))
            self._require(f"({_listed(name, meta)},) == {static}")
        names = self._unpacked(f"[{_listed(name, data)}]", len(data))
        return [getattr(tree, field) for field in data], names

    def _parts(self, tree: Any, name: str) -> _Children:
        apart = take_apart(type(tree))
        if apart is None:
            raise TypeError
        children, rest = apart(tree)
        self._lines.append(f"    parts, rest = {self._named(apart)}({name})")
        self._require(f"len(parts) == {len(children)} and rest == {self._named(rest)}")
        return children, self._unpacked("parts", len(children))

    def _unpacked(self, where: str, count: int) -> list[str]:
        """The names of variables for the items of a sequence."""
        names = [f"x{self._count + i}" for i in range(count)]
        self._count += count
        self._lines.append(f"    [{', '.join(names)}] = {where}")
        return names

    def _require(self, condition: str) -> None:
        self._lines.append(f"    if not ({condition}): return None")

    def _named(self, value: Any) -> str:
        name = f"k{len(self._known)}"
        self._known[name] = value
        return name

    def function(self) -> Walk:
        """The function that is written."""
        self._lines.append(f"    return ({''.join(f'{leaf}, ' for leaf in self._leaves)})")
        exec(_compiled("\n".join(self._lines)), self._known)
        return self._known["walk"]


def _listed(name: str, fields: Iterable[str]) -> str:
    return ", ".join(f"{name}.{field}" for field in fields)


@lru_cache(1024)
def _compiled(text: str) -> CodeType:
    """Code for a text; the same for all trees that differ in classes and static values only."""
    return compile(text, "<tree walk>", "exec")
