"""Fusion: which equations become one kernel.

A *group* is a set of equations that one loop nest computes. Its axes are loops, and each value in
it has a *place*: which axis each of its dimensions runs over. Some axes may be reduced; then a
value runs over all axes, or over those that are kept (a row's maximum), and may be used with the
whole row again (softmax, layer normalisation). Equations join the group of an operand if their
places fit and no cycle of steps arises; where an equation has operands in two groups these are
merged. Reshapes, transposes and the like of a group's values join it if they only rename axes,
and are otherwise views of what the group has stored. Equations of literals alone (`iota`, constants
broadcast, masks made of them) are computed again wherever they are needed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from math import prod
from typing import Any, TypeAlias

from funcflow.backends.loop_ir import MACHINE_OPS
from funcflow.backends.program import Apart
from funcflow.backends.scalars.registry import find_expansion, is_widened
from funcflow.core import dtypes
from funcflow.core.jaxpr import Atom, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.pprint import equation_texts
from funcflow.lax.forms import ELEMENTWISE

# The group's axis that a dimension runs over; None for a dimension of extent 1.
Place: TypeAlias = tuple[int | None, ...]

REDUCTIONS = {
    "reduce_sum": "add",
    "reduce_prod": "mul",
    "reduce_max": "max",
    "reduce_min": "min",
    "reduce_and": "and",
    "reduce_or": "or",
    "reduce_xor": "xor",
    "argmax": "argmax",
    "argmin": "argmin",
}
VIEWS = frozenset(["reshape", "transpose", "broadcast_in_dim", "slice", "rev"])
PARTS = frozenset(["real", "imag"])
IDENTITIES = frozenset(["copy", "name", "stop_gradient"])
CASTS = frozenset(["convert_element_type", "bitcast_convert_type"])

# A reduction of many elements to few results is cut into blocks that threads share; what needs its
# result cannot be in the same loop nest. The results of columns may be more, as long as a row of
# them stays in the first cache: their blocks read memory row by row, where threads that share the
# columns would each skip through all of it.
MANY_ELEMENTS = 1 << 15
FEW_RESULTS = 16
FEW_COLUMNS = 1 << 11

MAX_EQUATIONS = 160
_UNKNOWN_INSIDE = "the sum over blocks is known only when all blocks are done"
_DEAR = """
    exp exp2 expm1 log log1p sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh pow
    logistic erf erfc erf_inv cbrt threefry2x32 div rem sqrt rsqrt
"""
DEAR = frozenset(_DEAR.split())  # operations that are not computed twice


class Node:
    """One or more equations that become one step, or none."""

    def __init__(self, number: int, eqns: Iterable[JaxprEqn]) -> None:
        self.number = number
        self.bit = 1 << number
        self.eqns = list(eqns)
        self.ancestors = 0  # the bits of the nodes that must run before


class Alone(Node):
    """An equation that is a step of its own: a library call or a host call."""


class Alias(Node):
    """A view of what another step has stored."""


class Group(Node):
    """Equations that one loop nest computes."""

    def __init__(self, number: int) -> None:
        super().__init__(number, [])
        self.extents: dict[int, int] = {}
        self.reduced: set[int] = set()
        self.blocked = False
        self.places: dict[Var, Place] = {}
        self.operand_places: dict[JaxprEqn, Place] = {}  # of reductions

    @property
    def kept(self) -> set[int]:
        """The axes that are not reduced."""
        return self.extents.keys() - self.reduced

    def covers(self, place: Place) -> bool:
        """Whether a value there is defined once for each row, or for each element."""
        axes = {a for a in place if a is not None}
        return axes == self.extents.keys() or (not self.blocked and axes == self.kept)

    def in_order(self) -> list[JaxprEqn]:
        """The equations, each after those it depends on."""
        defined = {v: eqn for eqn in self.eqns for v in eqn.outvars}
        done: dict[JaxprEqn, None] = {}

        def visit(eqn: JaxprEqn) -> None:
            if eqn not in done:
                for v in eqn.invars:
                    if v in defined:
                        visit(defined[v])
                done[eqn] = None

        for eqn in self.eqns:
            visit(eqn)
        return list(done)


def is_elementwise(eqn: JaxprEqn) -> bool:
    """Whether kernels can compute an equation element by element."""
    name = eqn.primitive.name
    if name in IDENTITIES:
        return _has_plain_dtypes(eqn)
    if name in CASTS:
        sizes = {v.aval.dtype.itemsize for v in (*eqn.invars, *eqn.outvars)}
        return _has_plain_dtypes(eqn) and (name == "convert_element_type" or len(sizes) == 1)
    if eqn.primitive not in ELEMENTWISE or not _has_plain_dtypes(eqn):
        return False
    dtype = eqn.invars[0].aval.dtype
    known = name in MACHINE_OPS or find_expansion(name, dtype) is not None
    return known or is_widened(name, dtype)


def _has_plain_dtypes(eqn: JaxprEqn) -> bool:
    return all(dtypes.kind(v.aval.dtype) in "biuf" for v in (*eqn.invars, *eqn.outvars))


def _is_reduction(eqn: JaxprEqn) -> bool:
    return eqn.primitive.name in REDUCTIONS and _has_plain_dtypes(eqn)


def _is_empty(eqn: JaxprEqn) -> bool:
    return any(0 in v.aval.shape for v in (*eqn.invars, *eqn.outvars))


def is_virtual(eqn: JaxprEqn, virtual: "dict[Var, JaxprEqn]") -> bool:
    """Whether an equation is cheaper to compute again than to store."""
    if not all(isinstance(v, Literal) or v in virtual for v in eqn.invars):
        return False
    name = eqn.primitive.name
    if name in ("iota", "broadcast_in_dim", "transpose"):
        return _has_plain_dtypes(eqn)
    if name == "reshape":
        return _has_plain_dtypes(eqn) and only_adds_ones(eqn)
    return is_elementwise(eqn) and name not in DEAR and len(eqn.outvars) == 1


class Fusion:
    """The groups of a jaxpr.

    Attributes:
        nodes: groups, aliases and single equations, each after those it depends on.
        virtual: variables that are computed wherever they are needed, and their equations.
        apart: why equations did not join the groups of their operands.
    """

    def __init__(self, jaxpr: Jaxpr) -> None:
        self.virtual: dict[Var, JaxprEqn] = {}
        self.apart: list[Apart] = []
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
        if _is_empty(eqn):
            self._new(Alone, eqn)
        elif is_virtual(eqn, self.virtual):
            self.virtual[eqn.outvars[0]] = eqn
        elif eqn.primitive.name in VIEWS:
            self._add_view(eqn)
        elif eqn.primitive.name in PARTS:
            self._add_part(eqn)
        elif is_elementwise(eqn):
            self._add_elementwise(eqn)
        elif _is_reduction(eqn):
            self._add_reduction(eqn)
        else:
            self._new(Alone, eqn)

    def _add_view(self, eqn: JaxprEqn) -> None:
        (v,) = eqn.invars
        group = self._node.get(v) if isinstance(v, Var) else None
        if isinstance(group, Group) and v in group.places:
            place = _view_place(eqn, group) if self._usable(group, v) else None
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
            place = tuple(_axes(group, out.aval.shape))
        else:
            place = group.places[other]
        self._join(group, eqn, [place])

    def _take_parts_out(self) -> None:
        """Parts, and views of them, are views of what lies in memory, which no kernel computes."""
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
        groups.sort(key=lambda g: -prod(g.extents.values()))
        joined: Group | None = None
        for group in groups:
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
                group, eqn, [tuple(_axes(group, eqn.outvars[0].aval.shape))] * len(eqn.outvars)
            )

    def _add_reduction(self, eqn: JaxprEqn) -> None:
        (x,) = eqn.invars
        axes = eqn.params["axes"]
        known = self._node.get(x) if isinstance(x, Var) else None
        if isinstance(x, Var) and isinstance(known, Group) and self._can_reduce(known, x, eqn):
            group, place = known, known.places[x]
        else:
            group = self._new_group(x.aval.shape)
            place = tuple(_axes(group, x.aval.shape))
            if isinstance(x, Var):
                self._take_producers(group, x, place)
        group.reduced = {a for i in axes if (a := place[i]) is not None}
        group.blocked = _is_blocked(group, eqn, place)
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
        shape = eqn.outvars[0].aval.shape
        axes = _aligned(group, eqn)
        if axes is None:
            self._refuse(group, eqn, "it is used along two different axes at once")
            return None
        used = {a for a in axes if a is not None}
        for k, n in enumerate(shape):
            if n != 1 and axes[k] is None:
                free = [a for a in group.reduced if a not in used and group.extents[a] == n]
                if not free:
                    self._refuse(group, eqn, "the result has an axis that the kernel has not")
                    return None
                axes[k] = free[0]
                used.add(free[0])
        place = tuple(axes)
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
        theirs = _aligned(other, eqn)
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
        if not all(map(union.covers, union.places.values())):
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
        if not self._awaited & (old.bit | new.bit):
            return
        for later in self._all:
            if later is not None and later.ancestors & (old.bit | new.bit):
                later.ancestors = ((later.ancestors | new.bit) & ~old.bit) | new.ancestors
                self._awaited |= later.ancestors


def _axes(group: Group, shape: Sequence[int]) -> Iterable[int | None]:
    """The axes of a new group for the dimensions of its shape."""
    axes = iter(group.extents)
    return [None if n == 1 else next(axes) for n in shape]


def _aligned(group: Group, eqn: JaxprEqn) -> list[int | None] | None:
    """The axes that operands in the group give to the equation's dimensions.

    None if they contradict each other.
    """
    axes: list[int | None] = [None] * eqn.outvars[0].aval.ndim
    for v in eqn.invars:
        place = group.places.get(v) if isinstance(v, Var) else None
        if place is None or not group.covers(place):
            continue
        for k, a in enumerate(place, start=len(axes) - len(place)):
            if a is not None:
                if axes[k] not in (None, a):
                    return None
                axes[k] = a
    named = [a for a in axes if a is not None]
    return axes if len(set(named)) == len(named) else None


def _is_blocked(group: Group, eqn: JaxprEqn, place: Place) -> bool:
    elements = prod(group.extents.values())
    results = prod(group.extents[a] for a in group.kept)
    is_arg = eqn.primitive.name in ("argmax", "argmin")
    *_, last = [None, *(a for a in place if a is not None)]
    few = FEW_COLUMNS if last in group.kept else FEW_RESULTS
    return not is_arg and results < few and elements >= MANY_ELEMENTS


def _view_place(eqn: JaxprEqn, group: Group) -> Place | None:
    """Where a view of a group's value lies, or None if it is more than a renaming of axes."""
    (v,) = eqn.invars
    assert isinstance(v, Var)
    place, shape = group.places[v], eqn.outvars[0].aval.shape
    name = eqn.primitive.name
    if name == "transpose":
        return tuple(place[i] for i in eqn.params["permutation"])
    if name == "reshape":
        return moved_place(place, shape) if only_adds_ones(eqn) else None
    if name == "broadcast_in_dim":
        axes: list[int | None] = [None] * len(shape)
        for k, a in zip(eqn.params["broadcast_dimensions"], place, strict=True):
            axes[k] = a
        used = set(axes)
        for k, n in enumerate(shape):
            if n != 1 and axes[k] is None:
                free = [a for a in group.reduced if a not in used and group.extents[a] == n]
                if not free:
                    return None
                axes[k] = free[0]
                used.add(free[0])
        return tuple(axes)
    return None


def only_adds_ones(eqn: JaxprEqn) -> bool:
    """Whether a reshape only adds and removes dimensions of extent 1."""
    before, after = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    return [n for n in before if n != 1] == [n for n in after if n != 1]


def moved_place(place: Place, shape: Sequence[int]) -> Place:
    """The place of the same value with other dimensions of extent 1."""
    axes = iter([a for a in place if a is not None])
    return tuple(None if n == 1 else next(axes) for n in shape)


def _heading(number: int, node: Node) -> str:
    """A node's number and kind in a text."""
    if not isinstance(node, Group):
        return f"{number}: {type(node).__name__.lower()}"
    axes = " x ".join(f"{n}{'*' if a in node.reduced else ''}" for a, n in node.extents.items())
    return f"{number}: group of {axes or 'scalars'}{', in blocks' if node.blocked else ''}"


def _sorted(nodes: list[Node]) -> list[Node]:
    """Each node after its ancestors."""
    return sorted(nodes, key=lambda n: (n.ancestors.bit_count(), n.number))
