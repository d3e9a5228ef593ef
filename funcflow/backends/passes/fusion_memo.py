"""Fusion of jaxprs that differ in extents alone, done once: a call with another size of a batch.

The groups of a jaxpr depend on its equations, on which extents are equal, to each other or to 0 or
1, and on questions that fusion asks of extents (see `fuse`). The key of a jaxpr is all but the
last: each extent stands in it as the number of its *class*, those that are equal. What was found is
kept by numbers of variables and equations, and serves each jaxpr of the same key in which all
questions have the same answers.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

from funcflow.backends.passes.fuse import Asked, Fusion, Partition
from funcflow.backends.passes.groups import Group, Node, Place
from funcflow.backends.passes.kinds import REDUCTIONS
from funcflow.backends.program import Apart
from funcflow.core import dtypes
from funcflow.core.jaxpr import Atom, Jaxpr, Literal, Var

_MOST_KEYS = 256
_MOST_SIZES = 8  # of one key

# The parameters that fusion reads; what others mean to it, shapes say.
_PARAMETERS = {
    "transpose": "permutation",
    "broadcast_in_dim": "broadcast_dimensions",
    **dict.fromkeys(REDUCTIONS, "axes"),
}


def partition(jaxpr: Jaxpr) -> Partition:
    """The groups of a jaxpr."""
    numbered = _Numbered(jaxpr)
    with _lock:
        known = _known.setdefault(numbered.key, [])
        _known.move_to_end(numbered.key)
        if len(_known) > _MOST_KEYS:
            _known.popitem(last=False)
    for recipe in tuple(known):
        if recipe.serves(numbered.extents):
            return recipe.partition(numbered)
    fusion = Fusion(jaxpr)
    known.append(_recipe(fusion, numbered))
    del known[:-_MOST_SIZES]
    return fusion


_lock = Lock()
_known: OrderedDict[Hashable, list["_Recipe"]] = OrderedDict()


class _Numbered:
    """The variables and equations of a jaxpr by number, its extents by class, and its key."""

    def __init__(self, jaxpr: Jaxpr) -> None:
        self.eqns = jaxpr.eqns
        self.numbers: dict[Var, int] = {}
        self._classes = {0: 0, 1: 1}
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._items: list[Hashable] = []
        self._define(jaxpr.constvars)
        self._define(jaxpr.invars)
        items = self._items
        for eqn in jaxpr.eqns:
            items.append(eqn.primitive)
            self._use(eqn.invars)
            name = _PARAMETERS.get(eqn.primitive.name)
            if name is not None:
                items.append(eqn.params[name])
            if eqn.effects:
                items.append(eqn.effects)
            self._define(eqn.outvars)
        self._use(jaxpr.outvars)
        self.key = tuple(items)
        self.extents = list(self._classes)
        self.variables = list(self.numbers)

    def classes(self, extents: Iterable[int]) -> tuple[int, ...]:
        """The classes of extents."""
        number = self._classes
        return tuple([number.setdefault(n, len(number)) for n in extents])

    def _define(self, variables: Sequence[Var]) -> None:
        numbers, shapes, items = self.numbers, self._shapes, self._items
        items.append(len(variables))
        for v in variables:
            numbers[v] = len(numbers)
            aval = v.aval
            shape = shapes.get(aval.shape)
            if shape is None:
                shape = shapes[aval.shape] = self.classes(aval.shape)
            items.append(aval.dtype)
            items.append(shape)

    def _use(self, atoms: Sequence[Atom]) -> None:
        items, numbers = self._items, self.numbers
        items.append(len(atoms))
        for v in atoms:
            if isinstance(v, Literal):
                dtype = v.aval.dtype
                items.append((dtype, v) if dtypes.is_complex(dtype) else dtype)
            else:
                items.append(numbers[v])


class _Member(NamedTuple):
    """A node. A group also has its axes, by the classes of their extents, and its places."""

    kind: type[Node]
    number: int
    eqns: tuple[int, ...]
    ancestors: int
    axes: tuple[tuple[int, int], ...] = ()
    reduced: frozenset[int] = frozenset()
    blocked: bool = False
    places: tuple[tuple[int, Place], ...] = ()
    operand_places: tuple[tuple[int, Place], ...] = ()

    def node(self, numbered: _Numbered) -> Node:
        eqns, variables, extents = numbered.eqns, numbered.variables, numbered.extents
        members = [eqns[i] for i in self.eqns]
        if self.kind is not Group:
            node = self.kind(self.number, members)
        else:
            node = Group(self.number)
            node.eqns = members
            node.extents = {axis: extents[n] for axis, n in self.axes}
            node.reduced = set(self.reduced)
            node.blocked = self.blocked
            node.places = {variables[i]: place for i, place in self.places}
            node.operand_places = {eqns[i]: place for i, place in self.operand_places}
        node.ancestors = self.ancestors
        return node


class _Recipe(NamedTuple):
    """The groups of jaxprs of one key, and the answers they are for; extents are classes."""

    asked: tuple[Asked, ...]
    members: tuple[_Member, ...]
    virtual: tuple[int, ...]
    apart: tuple[tuple[int, int, str], ...]

    def serves(self, extents: Sequence[int]) -> bool:
        """Whether all questions have the same answers for the extents of these classes."""
        return all(
            question(*(tuple([extents[n] for n in classes]) for classes in asked)) == answer
            for question, asked, answer in self.asked
        )

    def partition(self, numbered: _Numbered) -> Partition:
        """The groups of another jaxpr."""
        eqns, variables = numbered.eqns, numbered.variables
        found = Partition()
        found.nodes = [member.node(numbered) for member in self.members]
        found.virtual = {eqns[i].outvars[0]: eqns[i] for i in self.virtual}
        found.apart = [Apart(variables[v], eqns[e], reason) for v, e, reason in self.apart]
        return found


def _recipe(fusion: Fusion, numbered: _Numbered) -> _Recipe:
    """What fusion has found, by numbers and classes."""
    numbers, classes = numbered.numbers, numbered.classes
    order = {eqn: i for i, eqn in enumerate(numbered.eqns)}

    def member(node: Node) -> _Member:
        fields: list[Any] = [type(node), node.number, tuple(order[e] for e in node.eqns)]
        fields.append(node.ancestors)
        if isinstance(node, Group):
            fields.append(tuple(zip(node.extents, classes(node.extents.values()), strict=True)))
            fields += [frozenset(node.reduced), node.blocked]
            fields.append(tuple((numbers[v], place) for v, place in node.places.items()))
            fields.append(tuple((order[e], place) for e, place in node.operand_places.items()))
        return _Member(*fields)

    # one question is often asked again
    asked = dict.fromkeys((q, tuple(map(classes, extents)), a) for q, extents, a in fusion.asked)
    return _Recipe(
        tuple(Asked(*item) for item in asked),
        tuple(map(member, fusion.nodes)),
        tuple(order[eqn] for eqn in fusion.virtual.values()),
        tuple((numbers[v], order[eqn], reason) for v, eqn, reason in fusion.apart),
    )
