"""Rows of few elements, many of them taken as one.

A loop over rows of 3 channels fills 3 lanes of a vector, and begins anew for each row. Where rows
lie one after the other in every operand, but for those that repeat with each row (a bias, the mean
of each channel), many rows are one row of a wider array. What repeats is written out for that many
rows, in a table in front of the kernel.

A sum over the rows becomes one over those wide rows first. What is left has as many elements as a
wide row, and is summed up by the steps that merge the blocks.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from funcflow.backends.loop_ir import ANY, UNIT, Builder, Kernel, Operand
from funcflow.backends.passes.groups import Group
from funcflow.backends.places import parameters, stride_kinds
from funcflow.backends.program import Step, View, dense_view
from funcflow.backends.schedule import Schedule, Strides

# Fewer elements are not worth a table.
_MANY_ELEMENTS = 1 << 15
# Rows of so many elements fill vectors themselves; columns that are reduced do so sooner, since
# they are walked in turn.
_LONG = 32
_MANY_COLUMNS = 17
# Elements of a wide row: so many that its loop has little to begin, so few that its tables stay
# in the first-level cache, and what is carried for its columns in registers.
_WIDE = 512
_WIDE_COLUMNS = 256


class PackedRows(NamedTuple):
    """How rows are packed.

    Attributes:
        axis: the axis along a row.
        row: how many elements a row has.
        count: how many rows there are.
        together: how many of them are one wide row.
        outer: the axis over wide rows where they are reduced; None where nothing is.
        repeated: the numbers of the operands that repeat with each row.
    """

    axis: int
    row: int
    count: int
    together: int
    outer: int | None
    repeated: frozenset[int]

    @property
    def wide(self) -> int:
        """How many elements a wide row has."""
        return self.row * self.together

    @property
    def schedule(self) -> Schedule:
        """The loops: over the elements of a wide row, and over wide rows where they are reduced."""
        axis, outer = self.axis, self.outer
        if outer is None:
            return Schedule((axis,), (), {axis: self.wide}, axis)
        extents = {axis: self.wide, outer: self.count // self.together}
        return Schedule((axis,), (outer,), extents, axis)

    def strides(self, given: Strides) -> dict[int, int]:
        """The strides of an operand that does not repeat with each row."""
        if not given:
            return {}
        return {self.axis: 1} if self.outer is None else {self.axis: 1, self.outer: self.wide}


def packed_rows(
    group: Group, reads: Sequence[Strides], writes: Sequence[Strides], fixed: set[int]
) -> PackedRows | None:
    """How the rows of a group are packed.

    Args:
        group: the group; all its axes but that along a row are reduced, in blocks, or none is.
        reads: the strides of what it reads.
        writes: the strides of the elements that it stores.
        fixed: the axes whose index is used.

    Returns:
        None if the rows are long or few, or an operand is neither all of an array in order, nor a
        row, nor one number.
    """
    extents = group.extents
    whole = next((s for s in reads if len(s) == len(extents)), None)
    if whole is None or fixed or len(extents) < 2 or prod(extents.values()) < _MANY_ELEMENTS:
        return None
    axis = min(whole, key=lambda a: abs(whole[a]))
    row, count = extents[axis], prod(extents.values()) // extents[axis]
    if row >= _LONG or not _is_dense(whole, extents) or any(s != whole for s in writes):
        return None
    if any(s and s != whole and s.keys() != {axis} for s in reads):
        return None
    repeated = frozenset(i for i, s in enumerate(reads) if s.keys() == {axis})
    if not group.reduced:
        together = 1 << ((_WIDE // row).bit_length() - 1)
        return PackedRows(axis, row, count, together, None, repeated) if repeated else None
    if not group.blocked or group.kept != {axis} or row >= _MANY_COLUMNS:
        return None
    together = max(n for n in range(1, _WIDE_COLUMNS // row + 1) if count % n == 0)
    if together == 1:
        return None
    return PackedRows(axis, row, count, together, min(group.reduced), repeated)


def _is_dense(strides: Strides, extents: Mapping[int, int]) -> bool:
    """Whether an operand is one piece of memory."""
    expected = 1
    for axis in sorted(strides, key=lambda a: abs(strides[a])):
        if strides[axis] != expected:
            return False
        expected *= extents[axis]
    return True


def table(source: View, stride: int, packed: PackedRows) -> tuple[View, Step]:
    """What repeats with each row, written out for a wide row, and the step that does so.

    Args:
        source: the row.
        stride: how far its elements are apart.
        packed: how rows are packed.
    """
    shape = packed.together, packed.row
    target = dense_view("temporary", shape, source.dtype)
    build = Builder()
    with build.loop(0), build.loop(1, lanes=_LONG):
        build.store(1, build.load(0, source.dtype))
    strides = (0, stride), target.strides
    operands = (
        Operand(source.dtype, stride_kinds(strides[0])),
        Operand(source.dtype, (ANY, UNIT), written=True),
    )
    kernel = Kernel(2, operands, (), build.body)
    note = f"copy: a row of {packed.row} elements, written out for {packed.together} rows"
    step = Step(
        kernel, (source,), (target,), parameters(kernel, shape, strides), extent=shape[0], note=note
    )
    return target, step
