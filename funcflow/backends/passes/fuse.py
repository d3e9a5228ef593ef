"""Fusion: which equations become one kernel.

A *group* is a set of equations that one loop nest computes. Its axes are loops, and each value in
it has a *place*: which axis each of its dimensions runs over. Some axes may be reduced; then a
value runs over all axes, or over those that are kept (a row's maximum), and may be used with the
whole row again (softmax, layer normalisation). Equations join the group of an operand if their
places fit and no cycle of steps arises; where an equation has operands in two groups these are
merged. Reshapes, transposes and the like of a group's values join it if they only rename axes,
and are otherwise views of what the group has stored. Equations of literals alone (`iota`, constants
broadcast, masks made of them) are computed again wherever they are needed.

What is decided depends on extents in two ways only: on which of them are equal, to each other or to
0 or 1, and on the answers to questions (`_ask`). So jaxprs that differ in extents alone, with equal
answers, have the same groups (`fusion_memo`).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeVar

from funcflow.backends.passes.groups import (
    Alias,
    Alone,
    Group,
    Node,
    Place,
    aligned,
    by_size,
    completed,
    is_blocked,
    most_results,
    new_axes,
    view_place,
)
from funcflow.backends.passes.kinds import (
    PARTS,
    VIEWS,
    is_elementwise,
    is_empty,
    is_reduction,
    is_virtual,
)
from funcflow.backends.program import Apart
from funcflow.core.jaxpr import Atom, Jaxpr, JaxprEqn, Var
from funcflow.core.pprint import equation_texts

MAX_EQUATIONS = 160
_UNKNOWN_INSIDE = "the sum over blocks is known only when all blocks are done"


_T = TypeVar("_T")


class Asked(NamedTuple):
    """A question about extents, and the answer that the groups are as they are for."""

    question: Callable[..., Any]
    extents: tuple[tuple[int, ...], ...]
    answer: Any


class Partition:
    """The equations of a jaxpr in groups.

    Attributes:
        nodes: groups, aliases and single equations, each after those it depends on.
        virtual: variables that are computed wherever they are needed, and their equations.
        apart: why equations did not join the groups of their operands.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.virtual: dict[Var, JaxprEqn] = {}
        self.apart: list[Apart] = []


class Fusion(Partition):
    """Finds the groups of a jaxpr.

    Attributes:
        asked: the questions about extents, and their answers.
    """

    def __init__(self, jaxpr: Jaxpr) -> None:
        super().__init__()
        self.asked: list[Asked] = []
        self._all: list[Node | None] = []
        self._node: dict[Var, Node] = {}
        self._uses = Counter(v for eqn in jaxpr.eqns for v in eqn.invars if isinstance(v, Var))
        self._uses.update(v for v in jaxpr.outvars if isinstance(v, Var))
        self._outvars = {v for v in jaxpr.outvars if isinstance(v, Var)}
        self._axes = count()
        self._parts: dict[Atom, Var] = {}  # of complex values, one of their parts
        self._last_effect: Node | None = None
        self._awaited = 0  # the bits of all nodes that others come after
        self._jaxpr = jaxpr
        for eqn in jaxpr.eqns:
            self._add(eqn)
        self._take_parts_out()
        self.nodes = _sorted([n for n in self._all if n is not None and n.eqns])

    def __str__(self) -> str:
        """The nodes with their equations; of groups also the axes, those reduced with a star."""
        texts = dict(zip(self._jaxpr.eqns, equation_texts(self._jaxpr), strict=True))
        parts = [("computed where they are needed", list(self.virtual.values()))]
        parts += [(_heading(i, node), node.eqns) for i, node in enumerate(self.nodes)]
        lines = [[heading, *(texts[e] for e in eqns)] for heading, eqns in parts if eqns]
        return "\n".join(line for block in lines for line in block)

    # --- the kinds of equations ---------------------------------------------------------------

    def _add(self, eqn: JaxprEqn) -> None:
        if is_empty(eqn):
            self._new(Alone, eqn)
        elif is_virtual(eqn, self.virtual):
            self.virtual[eqn.outvars[0]] = eqn
        elif eqn.primitive.name in VIEWS:
            self._add_view(eqn)
        elif eqn.primitive.name in PARTS:
            self._add_part(eqn)
        elif is_elementwise(eqn):
            self._add_elementwise(eqn)
        elif is_reduction(eqn):
            self._add_reduction(eqn)
        else:
            self._new(Alone, eqn)

    def _add_view(self, eqn: JaxprEqn) -> None:
        (v,) = eqn.invars
        group = self._node.get(v) if isinstance(v, Var) else None
        if isinstance(group, Group) and v in group.places:
            place = view_place(eqn, group) if self._usable(group, v) else None
            if place is not None and group.covers(place):
                self._join(group, eqn, [place])
                return
        self._new(Alias, eqn)

    def _add_part(self, eqn: JaxprEqn) -> None:
        """The parts of a complex value are in one group, so that what is computed of them is."""
        (x,), (out,) = eqn.invars, eqn.outvars
        other = self._parts.setdefault(x, out)
        group = self._node.get(other)
        if not isinstance(group, Group) or not self._usable(group, other):
            group = self._new_group(out.aval.shape)
            place = tuple(new_axes(group, out.aval.shape))
        else:
            place = group.places[other]
        self._join(group, eqn, [place])

    def _take_parts_out(self) -> None:
        """Parts, and views of them, are views of what lies in memory, which no kernel computes."""
        if not self._parts:
            return
        for group in [n for n in self._all if isinstance(n, Group)]:
            for eqn in group.in_order():
                name, v = eqn.primitive.name, eqn.invars[0]
                source = self._node.get(v) if isinstance(v, Var) and name in VIEWS else None
                if name in PARTS or isinstance(source, Alias):
                    group.eqns.remove(eqn)
                    del group.places[eqn.outvars[0]]
                    self._new(Alias, eqn)
                    self._depend(group, self._before(eqn.outvars, group))

    def _add_elementwise(self, eqn: JaxprEqn) -> None:
        groups = [g for g in self._groups_of(eqn) if self._has_room(g, eqn)]
        joined: Group | None = None
        for group in self._largest_first(groups):
            if joined is None:
                place = self._fits(group, eqn)
                if place is not None:
                    joined = group
                    self._join(group, eqn, [place] * len(eqn.outvars))
            else:
                joined = self._merged(joined, group, eqn)
        if joined is None:
            group = self._new_group(eqn.outvars[0].aval.shape)
            self._join(
                group, eqn, [tuple(new_axes(group, eqn.outvars[0].aval.shape))] * len(eqn.outvars)
            )

    def _add_reduction(self, eqn: JaxprEqn) -> None:
        (x,) = eqn.invars
        axes = eqn.params["axes"]
        known = self._node.get(x) if isinstance(x, Var) else None
        if isinstance(x, Var) and isinstance(known, Group) and self._can_reduce(known, x, eqn):
            group, place = known, known.places[x]
        else:
            group = self._new_group(x.aval.shape)
            place = tuple(new_axes(group, x.aval.shape))
            if isinstance(x, Var):
                self._take_producers(group, x, place)
        group.reduced = {a for i in axes if (a := place[i]) is not None}
        extents, kept = tuple(group.extents.values()), tuple(group.extents[a] for a in group.kept)
        blocked = partial(is_blocked, most_results(group, eqn, place))
        group.blocked = self._ask(blocked, extents, kept)
        group.operand_places[eqn] = place
        out = tuple(a for i, a in enumerate(place) if i not in axes)
        self._join(group, eqn, [out])

    def _can_reduce(self, group: Group, x: Any, eqn: JaxprEqn) -> bool:
        place = group.places.get(x)
        if place is None or not self._has_room(group, eqn):
            return False
        if {a for a in place if a is not None} != group.extents.keys():
            return self._refuse(group, eqn, "it is a value of rows, which cannot be reduced again")
        reduced = {a for i in eqn.params["axes"] if (a := place[i]) is not None}
        if reduced != group.reduced and (not reduced or group.operand_places):
            return self._refuse(group, eqn, "the reduced axes differ")
        return True

    def _largest_first(self, groups: list[Group]) -> list[Group]:
        if len(groups) < 2:
            return groups
        return [groups[i] for i in self._ask(by_size, *(tuple(g.extents.values()) for g in groups))]

    def _ask(self, question: Callable[..., _T], *extents: tuple[int, ...]) -> _T:
        """The answer to a question about extents, which is a function of nothing else."""
        answer = question(*extents)
        self.asked.append(Asked(question, extents, answer))
        return answer

    # --- joining --------------------------------------------------------------------------------

    def _groups_of(self, eqn: JaxprEqn) -> list[Group]:
        found: dict[Group, None] = {}
        for v in eqn.invars:
            node = self._node.get(v) if isinstance(v, Var) else None
            if isinstance(node, Group) and v in node.places:
                if self._usable(node, v):
                    found[node] = None
                else:
                    self._refuse(node, eqn, _UNKNOWN_INSIDE)
        return list(found)

    def _has_room(self, group: Group, eqn: JaxprEqn) -> bool:
        if len(group.eqns) < MAX_EQUATIONS:
            return True
        return self._refuse(group, eqn, f"the kernel has {MAX_EQUATIONS} operations already")

    def _refuse(self, group: Group, eqn: JaxprEqn, reason: str) -> bool:
        """False, and note why the equation does not join the group."""
        self.apart += [
            Apart(v, eqn, reason)
            for v in eqn.invars
            if isinstance(v, Var) and self._node.get(v) is group
        ]
        return False

    @staticmethod
    def _usable(group: Group, v: Any) -> bool:
        """Whether a value is known inside the loops: the result of blocks is not."""
        return group.covers(group.places[v])

    def _fits(self, group: Group, eqn: JaxprEqn) -> Place | None:
        """Where the equation's results lie if it joins the group, or None."""
        for v in eqn.invars:
            if not isinstance(v, Var):
                continue
            node = self._node.get(v)
            if node is group and not group.covers(group.places[v]):
                self._refuse(group, eqn, _UNKNOWN_INSIDE)
                return None
            if node is not None and node is not group and node.ancestors & group.bit:
                self._refuse(group, eqn, "another operand is computed from it by a step in between")
                return None
        axes = aligned(group, eqn)
        if axes is None:
            self._refuse(group, eqn, "it is used along two different axes at once")
            return None
        place = completed(group, axes, eqn.outvars[0].aval.shape)
        if place is None:
            self._refuse(group, eqn, "the result has an axis that the kernel has not")
            return None
        if group.covers(place):
            return place
        self._refuse(group, eqn, "the axes of the loops differ")
        return None

    def _join(self, group: Group, eqn: JaxprEqn, places: Sequence[Place]) -> None:
        group.eqns.append(eqn)
        for v, place in zip(eqn.outvars, places, strict=True):
            group.places[v] = place
            self._node[v] = group
        self._depend(group, self._before(eqn.invars, group))

    def _merged(self, group: Group, other: Group, eqn: JaxprEqn) -> Group:
        """Put another operand's group into the one that the equation has joined, if that fits."""
        union = self._union(group, other, eqn)
        if isinstance(union, str):
            self._refuse(other, eqn, union)
            return group
        for v in other.places:
            self._node[v] = group
        group.extents, group.reduced, group.places = union.extents, union.reduced, union.places
        group.operand_places = union.operand_places
        group.eqns = other.eqns + group.eqns
        self._replace(other, group)
        return group

    def _union(self, group: Group, other: Group, eqn: JaxprEqn) -> Group | str:
        """Two groups as one, or why they cannot be."""
        if group.ancestors & other.bit and not self._only_through(group, other, eqn):
            return "another operand is computed from it by a step in between"
        if other.ancestors & group.bit:
            return "it is computed from another operand by a step in between"
        if group.blocked or other.blocked:
            return _UNKNOWN_INSIDE
        if len(group.eqns) + len(other.eqns) > MAX_EQUATIONS:
            return f"together they have more than {MAX_EQUATIONS} operations"
        theirs = aligned(other, eqn)
        if theirs is None:
            return "it is used along two different axes at once"
        ours = group.places[eqn.outvars[0]]
        for k, a in enumerate(ours):
            if a is not None and theirs[k] is None:  # its value of a row is used with the row
                size, taken = group.extents[a], set(theirs)
                free = (b for b in other.reduced - taken if other.extents[b] == size)
                theirs[k] = next(free, None)
        pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if b is not None]
        renamed = {b: a for a, b in pairs if a is not None}
        if len(renamed) < len(pairs) or len(set(renamed.values())) < len(renamed):
            return "the axes of the loops differ"
        reduced = {renamed.get(b, b) for b in other.reduced}
        if group.operand_places and other.operand_places and group.reduced != reduced:
            return "the reduced axes differ"

        def moved(place: Place) -> Place:
            return tuple(None if b is None else renamed.get(b, b) for b in place)

        union = Group(group.number)
        union.extents = group.extents | {renamed.get(b, b): n for b, n in other.extents.items()}
        union.reduced = group.reduced | reduced
        union.places = {v: moved(place) for v, place in other.places.items()} | group.places
        union.operand_places = group.operand_places | {
            e: moved(place) for e, place in other.operand_places.items()
        }
        if not all(map(union.covers, set(union.places.values()))):
            return "the axes of the loops differ"
        return union

    def _only_through(self, group: Group, other: Group, eqn: JaxprEqn) -> bool:
        """Whether `group` depends on `other` by this equation's operands alone."""
        before = 0
        for member in group.eqns:
            if member is not eqn:
                before |= self._before(member.invars, group)
        return not before & other.bit and not any(
            node is not other and node is not group and node.ancestors & other.bit
            for v in eqn.invars
            if isinstance(v, Var) and (node := self._node.get(v)) is not None
        )

    def _take_producers(self, group: Group, x: Var, place: Place) -> None:
        """Move equations that only a new group needs into it, instead of storing their result."""
        source = self._node.get(x)
        if not isinstance(source, Group) or self._uses[x] != 1 or x in self._outvars:
            return
        (eqn,) = [e for e in source.eqns if x in e.outvars]
        if not is_elementwise(eqn) or len(eqn.outvars) != 1 or len(source.eqns) == 1:
            return
        inner = [v for v in eqn.invars if isinstance(v, Var) and v in source.places]
        if sum(self._uses[v] == 1 for v in inner) > 1 and len(inner) > 1:
            return  # more would be stored than is saved
        if any(v.aval.shape != x.aval.shape for v in inner):
            return
        source.eqns.remove(eqn)
        del source.places[x]
        group.places[x] = place
        group.eqns.insert(0, eqn)
        self._node[x] = group
        for v in inner:
            self._take_producers(group, v, place)
        self._depend(group, self._before(eqn.invars, group))

    # --- nodes and their order ------------------------------------------------------------------

    def _number(self) -> int:
        self._all.append(None)
        return len(self._all) - 1

    def _new(self, kind: Callable[..., Node], eqn: JaxprEqn) -> None:
        node = kind(self._number(), [eqn])
        self._all[node.number] = node
        for v in eqn.outvars:
            self._node[v] = node
        node.ancestors = self._before(eqn.invars, node)
        if eqn.effects:  # effects happen in the program's order
            if self._last_effect is not None:
                node.ancestors |= self._last_effect.bit | self._last_effect.ancestors
            self._last_effect = node
        self._awaited |= node.ancestors

    def _new_group(self, shape: Sequence[int]) -> Group:
        group = Group(self._number())
        self._all[group.number] = group
        group.extents = {next(self._axes): n for n in shape if n != 1}
        return group

    def _before(self, atoms: Sequence[Atom], node: Node) -> int:
        """The nodes that must run before a node that reads these."""
        bits = 0
        for v in atoms:
            source = self._node.get(v) if isinstance(v, Var) else None
            if source is not None and source is not node:
                bits |= source.bit | source.ancestors
        return bits

    def _depend(self, node: Node, bits: int) -> None:
        """A node needs more: so does what needs it."""
        if not bits & ~node.ancestors:
            return
        node.ancestors |= bits
        self._awaited |= bits
        if self._awaited & node.bit:
            for later in self._all:
                if later is not None and later.ancestors & node.bit:
                    later.ancestors |= node.ancestors

    def _replace(self, old: Node, new: Node) -> None:
        self._all[old.number] = None
        new.ancestors = (new.ancestors | old.ancestors) & ~old.bit
        self._awaited |= new.ancestors
        either, but_old = old.bit | new.bit, ~old.bit
        if not self._awaited & either:
            return
        for later in self._all:
            if later is not None and later.ancestors & either:
                later.ancestors = ((later.ancestors | new.bit) & but_old) | new.ancestors
                self._awaited |= later.ancestors


def _heading(number: int, node: Node) -> str:
    """A node's number and kind in a text."""
    if not isinstance(node, Group):
        return f"{number}: {type(node).__name__.lower()}"
    axes = " x ".join(f"{n}{'*' if a in node.reduced else ''}" for a, n in node.extents.items())
    return f"{number}: group of {axes or 'scalars'}{', in blocks' if node.blocked else ''}"


def _sorted(nodes: list[Node]) -> list[Node]:
    """Each node after its ancestors."""
    return sorted(nodes, key=lambda n: (n.ancestors.bit_count(), n.number))
