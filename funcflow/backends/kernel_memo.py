"""Kernels of equal groups, so that each is written once: equal layers, or a shape like another.

Writing a kernel, and printing it to know whether its code is there, takes most of the time of
lowering a group. What a kernel is depends on little of its group: on the equations with their
dtypes and on where these take their operands from, on the order of the loops and on the kinds of
strides. Extents, strides and most numbers are parameters of a call. All that is in the key, and
nothing that tells equal layers apart.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from funcflow.backends.elements import is_embedded
from funcflow.backends.loop_ir import Kernel, Operand, Value, shown
from funcflow.backends.passes.groups import Group, Place
from funcflow.backends.passes.kinds import REDUCTIONS, VIEWS
from funcflow.backends.places import virtual_operands
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal, Var

_MOST_KERNELS = 4096

# What their parameters mean to a kernel, places and dtypes say.
WITHOUT_PARAMS = VIEWS | REDUCTIONS.keys() | {"convert_element_type"}


class Written(NamedTuple):
    """A kernel, and what a step of an equal group takes from its own equations.

    Attributes:
        kernel: the kernel.
        scalars: which of the key's literals each scalar parameter is.
        origins: values, and the numbers of the group's equations that they are results of.
    """

    kernel: Kernel
    scalars: tuple[int, ...]
    origins: tuple[tuple[Value, int], ...]


_T = TypeVar("_T")


class Memo(Generic[_T]):
    """What was made of groups last, by key."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[Hashable, _T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> _T | None:
        """What was made of an equal group, if it is known."""
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
            return found

    def put(self, key: Hashable, made: _T) -> _T:
        """Keep it; returns what to use, which another thread may have made."""
        with self._lock:
            kept = self._known.setdefault(key, made)
            if len(self._known) > self._most:
                self._known.popitem(last=False)
            return kept


MEMO = Memo[Written](_MOST_KERNELS)


class KernelKey:
    """Collects what a group's kernel is a function of.

    Args:
        defined: the equations of the group, by what they define.
        virtual: those of values that are computed where they are needed.
        operand: the number of the operand that is a value from outside, at a place.
        number: the numbers of the axes in the order of the loops.

    Attributes:
        whole: the key, once it is finished.
        literals: the numbers of the literals that are no part of the kernel, by bytes and dtype.
        scalars: these literals.
    """

    def __init__(
        self,
        defined: Mapping[Var, JaxprEqn],
        virtual: Mapping[Var, JaxprEqn],
        operand: Callable[[Var, Place], int],
        number: Mapping[int, int],
    ) -> None:
        self.whole: Hashable = None
        self.literals: dict[tuple[bytes, Any], int] = {}
        self.scalars: list[Any] = []
        self._virtual = virtual
        self._operand = operand
        self._number = number
        self._known: dict[Any, int] = {v: i for i, v in enumerate(defined)}
        self._parts: list[Any] = []

    def literal(self, value: np.ndarray[Any, Any]) -> Hashable:
        """The key of a literal: which of those that are parameters it is, or what it is."""
        dtype = value.dtype
        found = (value.tobytes(), dtype)
        if is_embedded(value):
            return found
        if found not in self.literals:
            self.literals[found] = len(self.scalars)
            self.scalars.append(value[()])
        return ("scalar", self.literals[found], dtype)

    def add(
        self,
        eqn: JaxprEqn,
        operands: Sequence[tuple[Atom, Place]],
        rows: tuple[bool, ...],
        reduced: Place | None,
    ) -> None:
        """One more equation: which results are values of rows, and the place it reduces."""
        along: tuple[int | None, ...] | None = None
        if reduced is not None:
            along = tuple(self._along(reduced[axis]) for axis in eqn.params["axes"])
        self._parts.append((self._described(eqn, operands), rows, along))

    def finish(
        self,
        loops: Hashable,
        operands: tuple[Operand, ...],
        group: Group,
        stores: Mapping[Var, int],
    ) -> None:
        """The rest: the loops, the operands, the order of the reductions, and what is stored."""
        numbers = {eqn: i for i, eqn in enumerate(group.eqns)}
        reductions = tuple(numbers[eqn] for eqn in group.operand_places)
        stored = tuple((self._known[v], operand) for v, operand in stores.items())
        self.whole = (tuple(self._parts), loops, operands, reductions, stored)

    def _described(self, eqn: JaxprEqn, operands: Sequence[tuple[Atom, Place]]) -> Hashable:
        arguments = tuple([self._atom(v, place) for v, place in operands])
        dtypes = tuple([v.aval.dtype for v in (*eqn.invars, *eqn.outvars)])
        primitive = eqn.primitive
        if not eqn.params or primitive.name in WITHOUT_PARAMS:
            return primitive, arguments, dtypes
        params = tuple([(k, shown(value)) for k, value in eqn.params.items()])
        return primitive, arguments, dtypes, params

    def _atom(self, v: Atom, place: Place) -> Hashable:
        """The key of an operand: the number of the value, if it is not a literal."""
        if isinstance(v, Literal):
            return self.literal(v.val)
        if v in self._known:
            return self._known[v]
        found = (v, place)
        if found not in self._known:
            if v in self._virtual:
                part = self._virtual_part(self._virtual[v], place)
            else:
                part = ("operand", self._operand(v, place))
            self._known[found] = len(self._known)
            self._parts.append((self._known[found], part))
        return self._known[found]

    def _virtual_part(self, eqn: JaxprEqn, place: Place) -> Hashable:
        if eqn.primitive.name == "iota":
            axis = self._along(place[eqn.params["dimension"]])
            return eqn.primitive, eqn.outvars[0].aval.dtype, axis
        return self._described(eqn, virtual_operands(eqn, place))

    def _along(self, axis: int | None) -> int | None:
        """The number of an axis. One that was joined with others has none."""
        return None if axis is None else self._number.get(axis, -1)
