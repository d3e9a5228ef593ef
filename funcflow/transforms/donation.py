"""Donation: results take the memory of arguments that the caller gives away.

An argument's memory is taken only if nobody else can see it: the array is held by the call alone,
as reference counts tell, and it was made by funcflow, not by NumPy. The `Array` that was given is
then deleted. In all other cases a call does what it does without donation.
"""

from collections.abc import Callable, Mapping, Sequence
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

from funcflow.core.array import ConcreteArray, DeletedArray
from funcflow.core.backend import Donations, Executable
from funcflow.core.errors import ArgumentError, DonationError
from funcflow.core.flatten import argument_names
from funcflow.core.pytree import PyTreeDef, tree_flatten
from funcflow.transforms.static_arguments import StaticArguments


class DonatedArguments:
    """Which parameters of a function are donated, by place and by name.

    Args:
        name: what to call the function.
        fun: the function.
        nums: places.
        names: names; a parameter that is given in either way may be passed in both.
        static: the static arguments, which cannot be donated.
        strict: whether it is an error if an argument's memory cannot be taken.
    """

    def __init__(
        self,
        name: str,
        fun: Callable[..., Any],
        nums: tuple[int, ...],
        names: tuple[str, ...],
        static: StaticArguments,
        strict: bool,
    ) -> None:
        self.strict = strict
        self._name = name
        self._static = static
        self._chosen = StaticArguments(name, fun, nums, names, kind="donated")
        both = {*self._chosen.nums} & {*static.nums} or {*self._chosen.names} & {*static.names}
        for which in both:
            raise ArgumentError(
                f"{name}: the argument {which!r} is static and donated",
                mend="donate arrays; a static argument has no memory to give",
            )

    def __bool__(self) -> bool:
        return bool(self._chosen.nums or self._chosen.names)

    def leaves(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        """The places among a call's leaves that are donated; `args` are those that were passed."""
        donated = {i % len(args) for i in self._chosen.nums if -len(args) <= i < len(args)}
        static = {i % len(args) for i in self._static.nums if -len(args) <= i < len(args)}
        flags: list[bool] = []
        for i, x in enumerate(args):
            if i not in static:
                flags += [i in donated] * len(tree_flatten(x)[0])
        named = {k: tree_flatten(v)[0] for k, v in kwargs.items() if k not in self._static.names}
        order = tree_flatten({k: k for k in named})[0]  # of the leaves of a dict
        for k in order:
            flags += [k in self._chosen.names] * len(named[k])
        return tuple(i for i, flag in enumerate(flags) if flag)


class Donation(NamedTuple):
    """What is donated in calls of one signature.

    Attributes:
        function: what to call the function.
        allowed: what the program can do with the arguments' memory; captured arrays come first.
        names: what to call the program's arguments.
        takers: who an argument was given to, in words.
        strict: whether it is an error if an argument's memory cannot be taken.
    """

    function: str
    allowed: Donations
    names: Mapping[int, str]
    takers: Mapping[int, str]
    strict: bool

    @staticmethod
    def of(
        function: str,
        executable: Executable,
        captured: int,
        leaves: Sequence[int],
        in_tree: PyTreeDef,
        strict: bool,
    ) -> "Donation":
        """What a program can do with these leaves of the arguments.

        Raises:
            DonationError: strictly nothing is to be given in vain, and something would be.
        """
        every = argument_names(in_tree)
        names = {captured + i: every[i] for i in leaves}
        allowed = executable.donations(list(names))
        takers = {place: f"{function} as {name}" for place, name in names.items()}
        donation = Donation(function, allowed, names, takers, strict)
        if strict:
            for argument, reason in allowed.refused.items():
                donation._refuse(argument, reason)
        return donation

    def run(
        self, executable: Executable, buffers: list[Any], leaves: Sequence[Any]
    ) -> Sequence[Any]:
        """Call a program; `buffers` has the captured arrays' and the leaves', and no others."""
        captured = len(buffers) - len(leaves)
        taken: dict[int, int] = {}
        deleted: list[tuple[ConcreteArray, type[ConcreteArray], int]] = []
        for result, argument in self.allowed.takes.items():
            leaf = leaves[argument - captured]
            problem = "it is no Array, and its memory belongs to its owner"
            if isinstance(leaf, ConcreteArray):
                deleted.append((leaf, type(leaf), argument))
                # First nobody can get the buffer any more, then we count who has it.
                delete(leaf, self.takers[argument])
                problem = _in_the_way(executable, buffers, argument)
                if problem:
                    restore(*deleted.pop()[:2], buffers[argument])
            if not problem:
                taken[result] = argument
            elif self.strict:
                for array, kind, place in deleted:
                    restore(array, kind, buffers[place])
                self._refuse(argument, problem)
        return executable.call_with(buffers, taken) if taken else executable(*buffers)

    def _refuse(self, place: int, reason: str) -> None:
        raise DonationError(
            f"{self.function}: the memory of the donated argument {self.names[place]} cannot be "
            f"used: {reason}",
            mend="don't donate it, or leave out strict_donation=True",
        )


def delete(array: ConcreteArray, by: str) -> None:
    """Make an array one that was given away; its buffer is released."""
    buffer = array._value
    kept = buffer.shape, buffer.dtype, array.weak_type, by
    array.__class__ = DeletedArray
    _SLOT.__set__(array, kept)


def restore(array: ConcreteArray, original: type[ConcreteArray], buffer: Any) -> None:
    """Undo `delete`."""
    _SLOT.__set__(array, buffer)
    array.__class__ = original


_SLOT: Any = ConcreteArray.__dict__["_value"]


# --- who else sees a buffer -------------------------------------------------------------------


def _references(holders: Sequence[Any], place: int) -> int:
    return getrefcount(holders[place])


# What `_references` says if nothing but the list refers to the array; the interpreter decides.
_ALONE = _references([np.empty(1)], 0)


def _in_the_way(executable: Executable, buffers: list[Any], place: int) -> str:
    """Why a buffer that only the list should refer to may not be overwritten; empty if it may."""
    buffer = buffers[place]
    if type(buffer) is not np.ndarray:
        return "it may not be written to"
    if not buffer.flags.carray:  # writeable, contiguous and aligned
        writeable = buffer.flags.writeable
        return "it is part of another array" if writeable else "it may not be written to"
    if buffer.base is not None and not executable.sole_view(buffer):
        return "other arrays share its memory"
    del buffer
    return "somebody else holds it, too" if _references(buffers, place) > _ALONE else ""
