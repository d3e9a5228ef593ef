"""The nodes of a fused jaxpr, and the places of values in a group's loops."""

from collections.abc import Iterable, Sequence
from math import prod
from typing import TypeAlias

from funcflow.backends.passes.kinds import only_adds_ones
from funcflow.core.jaxpr import JaxprEqn, Var

# The group's axis that a dimension runs over; None for a dimension of extent 1.
Place: TypeAlias = tuple[int | None, ...]

# A reduction of many elements to few results is cut into blocks that threads share; what needs its
# result cannot be in the same loop nest. The results of columns may be more, as long as a row of
# them stays in the first cache: their blocks read memory row by row, where threads that share the
# columns would each skip through all of it.
_MANY_ELEMENTS = 1 << 15
_FEW_RESULTS = 16
_FEW_COLUMNS = 1 << 11


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
    """Equations that one loop nest computes.

    Attributes:
        extents: the extents of the axes.
        reduced: the axes that are reduced.
        blocked: whether reductions are cut into blocks.
        places: the places of the values.
        operand_places: the places of what reductions reduce.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, [])
        self.extents: dict[int, int] = {}
        self.reduced: set[int] = set()
        self.blocked = False
        self.places: dict[Var, Place] = {}
        self.operand_places: dict[JaxprEqn, Place] = {}

    @property
    def kept(self) -> set[int]:
        """The axes that are not reduced."""
        return self.extents.keys() - self.reduced

    def covers(self, place: Place) -> bool:
        """Whether a value there is defined once for each row, or for each element."""
        axes = set(place)
        axes.discard(None)
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


# --- places -------------------------------------------------------------------------------------


def new_axes(group: Group, shape: Sequence[int]) -> Iterable[int | None]:
    """The axes of a new group for the dimensions of its shape."""
    axes = iter(group.extents)
    return [None if n == 1 else next(axes) for n in shape]


def aligned(group: Group, eqn: JaxprEqn) -> list[int | None] | None:
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


def most_results(group: Group, eqn: JaxprEqn, place: Place) -> int:
    """How many results a reduction of a value at a place has at most, if it is cut into blocks."""
    if eqn.primitive.name in ("argmax", "argmin"):
        return 0
    *_, last = [None, *(a for a in place if a is not None)]
    return _FEW_COLUMNS if last in group.kept else _FEW_RESULTS


def is_blocked(most: int, extents: tuple[int, ...], kept: tuple[int, ...]) -> bool:
    """Whether a reduction over some of the axes is cut into blocks."""
    return prod(kept) < most and prod(extents) >= _MANY_ELEMENTS


def by_size(*groups: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of groups, by their extents: the largest comes first."""
    return tuple(sorted(range(len(groups)), key=lambda i: -prod(groups[i])))


def view_place(eqn: JaxprEqn, group: Group) -> Place | None:
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
        return completed(group, axes, shape)
    return None


def completed(group: Group, axes: Sequence[int | None], shape: Sequence[int]) -> Place | None:
    """A place whose missing axes are reduced ones: a value of rows is used with all their elements.

    None if no reduced axis is left that has the extent.
    """
    place = list(axes)
    for k, n in enumerate(shape):
        if n != 1 and place[k] is None:
            free = [a for a in group.reduced if a not in place and group.extents[a] == n]
            if not free:
                return None
            place[k] = free[0]
    return tuple(place)


def moved_place(place: Place, shape: Sequence[int]) -> Place:
    """The place of the same value with other dimensions of extent 1."""
    axes = iter([a for a in place if a is not None])
    return tuple(None if n == 1 else next(axes) for n in shape)
