"""What transforms note at the source of the operations that they make (see `core.source`).

Equations keep these notes through all later transforms, so that a message about one of them can
speak of the user's program: of a derivative, and of the lanes of `vmap` instead of a larger array.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeAlias

from funcflow.core.aval import ShapedArray
from funcflow.core.source import Source
from funcflow.core.typing import Shape

# An array's type, and which of its axes is the mapped one.
Place: TypeAlias = tuple[ShapedArray, int]

# The operation is the transpose of one that belongs to the source line.
TRANSPOSED = "transposed"


class ForwardRule(NamedTuple):
    """The operation was made by the forward rule of a primitive: it, or part of its tangent."""

    primitive: str


def of_transpose(source: Source | None) -> Source | None:
    """The same place, noted as that of a transpose."""
    if source is None or TRANSPOSED in source.notes:
        return source
    return source.noted(TRANSPOSED)


def is_derivative(source: Source | None, primitive: str) -> bool:
    """Whether an operation belongs to the derivative of what its source line computes.

    A tangent is not told from the operation itself where both are of the same primitive.
    """
    return source is not None and any(
        note == TRANSPOSED or (isinstance(note, ForwardRule) and note.primitive != primitive)
        for note in source.notes
    )


class Lanes:
    """The lanes of a `vmap`, and where they lie in the operands and results of one operation.

    Where they lie in the results is known when the batching rule has returned, which calls
    `settle`; an operation that fails before has `find`, which asks the rule without computing.
    """

    __slots__ = ("_find", "_results", "name", "operands", "primitive", "size")

    def __init__(
        self,
        primitive: str,
        size: int,
        name: Hashable,
        operands: Sequence[Place],
        find: Callable[[], list[Place]],
    ) -> None:
        self.primitive = primitive
        self.size = size
        self.name = name
        self.operands = operands
        self._find = find
        self._results: list[Place] | None = None

    def settle(self, results: list[Place]) -> None:
        """Say where the lanes lie in the results."""
        self._results = results
        del self._find  # it refers to traced values

    def axis_of(self, shape: Shape, primitive: str, derived: bool) -> int | None:
        """The axis of the lanes in a result of that shape; None if it cannot be told.

        The operation itself has the shapes of its results. What was derived from it may have those
        of its operands as well, and if two of these disagree nothing can be said.
        """
        results = self._find() if self._results is None else self._results
        itself = primitive == self.primitive and not derived
        places = results if itself else [*results, *self.operands]
        axes = {axis for aval, axis in places if aval.shape == shape}
        return axes.pop() if len(axes) == 1 else None


class InLanes(NamedTuple):
    """A place in an array as the user's function sees it: an index in a lane."""

    lanes: list[str]  # in words, outermost first
    shape: Shape
    index: tuple[int, ...]


def in_lanes(
    source: Source | None, primitive: str, shape: Shape, index: tuple[int, ...]
) -> InLanes:
    """Take the lanes out of an index into an operation's result, as far as they are known."""
    lanes: list[str] = []
    derived = False
    for note in reversed(source.notes if source is not None else ()):
        if isinstance(note, Lanes):
            axis = note.axis_of(shape, primitive, derived)
            if axis is None:
                break  # the shapes noted by inner vmaps lack this axis, too
            name = "" if note.name is None else f" of axis {note.name!r}"
            lanes.append(f"lane {index[axis]}{name}")
            shape, index = _without(shape, axis), _without(index, axis)
        elif note == TRANSPOSED:
            derived = True
    return InLanes(lanes, shape, index)


def _without(items: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return items[:axis] + items[axis + 1 :]
