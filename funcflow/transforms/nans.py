"""NaNs in buffers, and what is said of where one comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.core import dtypes
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn

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
    """An operation that gives a NaN for which no operand is to blame."""

    eqn: JaxprEqn
    operands: Sequence[Any]
    nan: Element  # among its results
    context: tuple["Frame", ...] = ()  # outermost first

    def within(self, frame: "Frame") -> "Origin":
        """The same, inside of something."""
        return replace(self, context=(frame, *self.context))


# An element of the operands if the NaN came in with it; None if no NaN is found there.
Found: TypeAlias = Origin | Element | None
# What follows a NaN through a jaxpr, given its operands and where in its results the NaN is.
Follow: TypeAlias = Callable[[ClosedJaxpr, Sequence[Any], Element], Found]


def nans_in(x: Any) -> Any:
    """Where a buffer holds NaNs; None if it holds none."""
    if not dtypes.is_inexact(x.dtype):
        return None
    found = np.isnan(x)
    return found if found.any() else None


def first_nan(buffers: Sequence[Any]) -> Element | None:
    """The first NaN in some buffers."""
    for number, x in enumerate(buffers):
        found = nans_in(x)
        if found is not None:
            return Element(number, first_true(found))
    return None


def first_true(mask: Any) -> Index:
    """The index of a mask's first true element."""
    return tuple(map(int, np.argwhere(mask)[0]))


def at(index: Index) -> str:
    """An index in words; nothing for a scalar's."""
    return f" at index {index}" if index else ""
