"""The order of a kernel's loops: which axis is outside, which is the vector's.

Memory decides. The vector axis is the one along which most operands are contiguous; the others
are nested by the strides of what is written, so that memory is walked in order. Axes that lie one
after the other in every operand are one loop.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

# Elements that are worth a thread of their own.
ELEMENTS_PER_TASK = 1 << 15

# The strides of an operand, in elements, by axis; axes that are missing have stride 0.
Strides = Mapping[int, int]


class Schedule(NamedTuple):
    """The loops of a kernel.

    Attributes:
        kept: the axes that are not reduced, from the outermost to the innermost loop.
        reduced: those that are.
        extents: the extents, by axis; an axis that was joined with others has their product.
        vector: the vector axis; None if there are no axes. It is the last of `reduced`, or of
            `kept` but for `crossed` ones.
    """

    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    extents: Mapping[int, int]
    vector: int | None

    @property
    def crossed(self) -> bool:
        """Whether a loop stands inside the vector loop over kept axes."""
        return self.vector in self.kept[:-1]

    @property
    def rows(self) -> bool:
        """Whether the vector axis is a reduced one."""
        return self.vector in self.reduced


def schedule(
    extents: Mapping[int, int],
    reduced: set[int],
    reads: Sequence[Strides],
    writes: Sequence[Strides],
    fixed: set[int],
) -> Schedule:
    """Order and join axes. Those in `fixed` stay apart, since their index is used."""
    operands = [*writes, *reads]
    kept_axes = [a for a in extents if a not in reduced]
    if not extents:
        return Schedule((), (), {}, None)
    read, written = _of_elements(reads, reduced), _of_elements(writes, reduced)
    vector = max(reversed(list(extents)), key=lambda a: _vector_score(a, extents, read, written))
    kept, kept_extents = _joined(_nested(kept_axes, vector, operands), extents, operands, fixed)
    rest_axes = [a for a in extents if a in reduced]
    rest, rest_extents = _joined(_nested(rest_axes, vector, operands), extents, operands, fixed)
    if vector in reduced:
        vector = rest[-1]
    elif kept:
        vector = kept[-1]
        if not rest:
            kept = _crossed(kept, reads)
    return Schedule(tuple(kept), tuple(rest), {**kept_extents, **rest_extents}, vector)


def _crossed(axes: list[int], reads: Sequence[Strides]) -> list[int]:
    """Axes whose last is the vector axis, reordered if a read runs across it, as in a transpose.

    Such a read gathers its lanes from as many lines of memory. The axis along which it is
    contiguous becomes the innermost loop, so that they are used up before others are fetched.
    """
    vector = axes[-1]
    for strides in reads:
        along = [a for a in axes[:-1] if strides.get(a, 0) == 1]
        if strides.get(vector, 0) not in (0, 1) and along:
            inner = along[0]
            return [*(a for a in axes if a not in (inner, vector)), vector, inner]
    return axes


def _of_elements(operands: Sequence[Strides], reduced: set[int]) -> list[Strides]:
    """The operands that are accessed for each element, not once for a whole row."""
    return [s for s in operands if not reduced or any(s.get(a, 0) for a in reduced)]


# How good a stride is for a vector axis; 2 is that of the parts of complex numbers.
_SCORES = {0: 0.1, 1: 1.0, 2: 0.8}


def _vector_score(
    axis: int, extents: Mapping[int, int], reads: Sequence[Strides], writes: Sequence[Strides]
) -> float:
    """How good a vector axis is: contiguous writes count most, then contiguous reads.

    Each operand counts by its size: what repeats along an axis is small, and stays in the cache.
    """
    score = 0.0
    for weight, group in ((2.0, writes), (1.0, reads)):
        for strides in group:
            stride = strides.get(axis, 0)
            score += weight * _share(strides, extents) * _SCORES.get(stride, -0.5)
    extent = extents[axis]
    return score if extent >= 8 else score * extent / 8 - 1


def _share(strides: Strides, extents: Mapping[int, int]) -> float:
    """How many elements an operand has, as a part of those of the loops."""
    return 1 / prod(n for a, n in extents.items() if n and not strides.get(a, 0))


def _nested(axes: list[int], vector: int, operands: Sequence[Strides]) -> list[int]:
    """Axes from the outermost to the innermost: by falling strides, the vector axis last."""

    def reach(axis: int) -> tuple[bool, int]:
        return axis == vector, -sum(abs(s.get(axis, 0)) for s in operands)

    return sorted(axes, key=reach)


def _joined(
    axes: list[int], extents: Mapping[int, int], operands: Sequence[Strides], fixed: set[int]
) -> tuple[list[int], dict[int, int]]:
    """Join neighbours that are one run of memory in every operand, under the inner one's name."""
    result: list[int] = []
    sizes: dict[int, int] = {}
    for axis in axes:
        size = extents[axis]
        outer = result[-1] if result else None
        if (
            outer is not None
            and axis not in fixed
            and outer not in fixed
            and all(s.get(outer, 0) == s.get(axis, 0) * size for s in operands)
        ):
            result.pop()
            size *= sizes.pop(outer)
        result.append(axis)
        sizes[axis] = size
    return result, sizes


def grain(extents: Sequence[int]) -> int:
    """The least number of indices of the first axis that is worth a thread."""
    inner = prod(extents[1:])
    return max(1, -(-ELEMENTS_PER_TASK // max(1, inner)))
