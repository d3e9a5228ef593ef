"""What straight code works with: arrays as elements, their lanes, and arrays in memory."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.core import dtypes
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import JaxprEqn

# So many elements an array may have, lanes aside.
MOST_ELEMENTS = 64


class NotStraight(Exception):
    """Why a jaxpr does not become straight code."""


class Elements(NamedTuple):
    """An array as values.

    Attributes:
        values: an array of `Value`, of the array's shape but for extent 1 where the lanes are.
        lanes: the dimension of the lanes.
    """

    values: np.ndarray[Any, Any]
    lanes: int | None = None


class Resident(ABC):
    """An array that stays in memory: it is too large for registers, or indexed in a loop."""

    @abstractmethod
    def elements(self, code: "Writer") -> Elements:
        """The elements, loaded.

        Raises:
            NotStraight: there are too many.
        """

    @abstractmethod
    def carried(self, new: "Elements | Resident") -> "Resident":
        """The array in the next iteration of a loop that carries it and gives `new`.

        Raises:
            NotStraight: that is not this array, changed where it is, nor few elements.
        """


@dataclass(frozen=True)
class Counted(Resident):
    """The numbers that a loop counts, `start`, `start + 1`, ...: too many to write all down."""

    start: Value

    def elements(self, code: "Writer") -> Elements:
        raise NotStraight("more numbers are counted than are elements")

    def carried(self, new: "Elements | Resident") -> Resident:
        raise NotStraight("a loop carries the numbers that it counts")


@dataclass(frozen=True)
class Zeros(Resident):
    """A large array of zeros: what differentiation adds parts to."""

    aval: ShapedArray

    def elements(self, code: "Writer") -> Elements:
        raise NotStraight(f"zeros of the type {self.aval} are taken as a whole")

    def carried(self, new: "Elements | Resident") -> Resident:
        raise NotStraight("a loop carries zeros")


class Lanes(NamedTuple):
    """A dimension that is a loop around the code: its extent, and what gives the position in it."""

    extent: int
    index: Callable[[], Value]


# The shape of an array's elements, and which dimension the lanes are, if it has them.
Shape: TypeAlias = tuple[tuple[int, ...], int | None]


def check_dtype(aval: ShapedArray) -> None:
    """Refuse elements that are no values of kernels.

    Raises:
        NotStraight: they are complex numbers, or keys.
    """
    if dtypes.kind(aval.dtype) not in "biuf":
        raise NotStraight(f"{aval} has elements of several parts")


@lru_cache(maxsize=4096)
def element_shape(aval: ShapedArray, extent: int | None) -> Shape:
    """The shape of an array's elements, and which dimension the lanes are, if it has them.

    Raises:
        NotStraight: there are too many elements, or two dimensions that could be the lanes.
    """
    check_dtype(aval)
    places = [i for i, n in enumerate(aval.shape) if n == extent]
    if len(places) > 1:
        raise NotStraight(f"{aval} has two dimensions of extent {extent}")
    lanes = places[0] if places else None
    shape = tuple(1 if i == lanes else n for i, n in enumerate(aval.shape))
    if not 0 < prod(shape) <= MOST_ELEMENTS:
        raise NotStraight(f"{aval} has more than {MOST_ELEMENTS} elements or none")
    return shape, lanes


def small(x: Elements | Resident) -> Elements:
    """What is not in memory."""
    if not isinstance(x, Elements):
        raise NotStraight("an array in memory is where elements are wanted")
    return x


def nexts(
    olds: "Iterable[Elements | Resident]", news: "Iterable[Elements | Resident]"
) -> list[Elements | Resident]:
    """What a loop goes on with: elements as they are, arrays in memory changed where they are."""
    return [
        old.carried(new) if isinstance(old, Resident) else small(new)
        for old, new in zip(olds, news, strict=True)
    ]


def flat(arrays: Iterable[Elements]) -> list[Value]:
    """The elements of arrays, one after the other."""
    return [value for x in arrays for value in x.values.reshape(-1)]


def arranged(values: Iterable[Value], shapes: Iterable[Shape]) -> list[Elements]:
    """Arrays of these shapes, and with these lanes, of elements that come one after the other."""
    rest = iter(values)
    return [Elements(filled(shape, lambda _: next(rest)), lanes) for shape, lanes in shapes]


def filled(shape: Sequence[int], value: Callable[[tuple[int, ...]], Value]) -> np.ndarray[Any, Any]:
    """An array of values, in C order, by their places."""
    found = np.empty(shape, object)
    for place in product(*map(range, shape)):
        found[place] = value(place)
    return found


class Writer(Protocol):
    """What the rules of primitives write with.

    Attributes:
        build: where operations are written.
        lanes: the loop around, if one dimension is its lanes.
        extent: the extent of that dimension.
    """

    build: Builder
    lanes: Lanes | None
    extent: int | None

    def number(self, x: Any, /) -> Value:
        """The value of a number."""
        ...

    def let(self, op: str, *args: Value, **params: Any) -> Value:
        """An operation."""
        ...

    def count(self) -> None:
        """Note an operation that is not written by `let`."""
        ...


Rule: TypeAlias = Callable[[Writer, JaxprEqn, list[Elements]], Sequence[Elements]]
# Gives None where it has nothing to do with memory, so that elements may be loaded.
ResidentRule: TypeAlias = Callable[
    [Writer, JaxprEqn, Sequence[Elements | Resident]], Sequence[Elements | Resident] | None
]
# The rule for a primitive, by its name, and its first operand.
ResidentRules: TypeAlias = Callable[[str, Elements | Resident], ResidentRule | None]
