"""Where in a program something came to be: operation, loops and branches around it, and index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.core.jaxpr import JaxprEqn

Index: TypeAlias = tuple[int, ...]


class Element(NamedTuple):
    """An element of one of several operands or results."""

    number: int
    index: Index


class Frame(NamedTuple):
    """An iteration of a loop, or a branch."""

    unit: str
    number: int
    whole: str

    def __str__(self) -> str:
        return f"{self.unit} {self.number} of {self.whole}"


@dataclass(frozen=True)
class Origin:
    """The operation that something comes from: a NaN, or an index out of bounds."""

    eqn: JaxprEqn
    operands: Sequence[Any]
    element: Element  # of its results
    context: tuple["Frame", ...] = ()  # outermost first

    def within(self, frame: "Frame") -> "Origin":
        """The same, inside of something."""
        return replace(self, context=(frame, *self.context))


def first_true(mask: Any) -> Index:
    """The index of a mask's first true element."""
    return tuple(map(int, np.argwhere(mask)[0]))


def at(index: Index) -> str:
    """An index in words; nothing for a scalar's."""
    return f" at index {index}" if index else ""
