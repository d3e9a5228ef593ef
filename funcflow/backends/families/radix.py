"""Rows of ranks sorted digit by digit; other arrays, such as the places, move along.

A pass sorts by one digit, of some bits, and keeps the order of what has equal digits; after passes
over all digits, the lowest first, rows are sorted. A pass counts how often each digit occurs, sums
the counts up to where the elements of each digit begin, and moves the elements there in order.

Many rows run side by side. Few long ones are cut into blocks, which count and move their elements
apart: of equal digits, those of the first block come first.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from funcflow.backends.families.nest import Access, Nest, access, lanes_along, proper
from funcflow.backends.families.ranks import with_zeros_joined
from funcflow.backends.loop_ir import INDEX, Value
from funcflow.backends.planner import Planner
from funcflow.backends.program import Step, View
from funcflow.core.jaxpr import JaxprEqn

# Counting more digits takes longer than the passes that are saved.
_MOST_BITS = 11

# Fewer rows than that are cut, into so many blocks, if none of these is shorter than that.
_FEW_ROWS = 8
_BLOCKS = 16
_SHORTEST_BLOCK = 1 << 14

_ROW, _BLOCK, _ELEMENT, _DIGIT = range(4)


class Rows(NamedTuple):
    """How rows lie in memory: one after the other, each as blocks of one length.

    The last block is filled up.

    Attributes:
        batch: the extents of the axes of rows.
        length: how many elements a row has.
        blocks: into how many blocks it is cut.
    """

    batch: tuple[int, ...]
    length: int
    blocks: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, blocks, elements."""
        return prod(self.batch), self.blocks, -(-self.length // self.blocks)

    def elements(self, view: View) -> View:
        """What is not filling."""
        return self._part(view, 0, self.length)

    def fill(self, plan: Planner, ranks: View, eqn: JaxprEqn) -> None:
        """A step, if there is need, that fills the last blocks of rows with the greatest rank."""
        _, blocks, length = self.shape
        filling = self._part(ranks, self.length, blocks * length)
        if filling.size:
            greatest = np.array(np.iinfo(ranks.dtype).max, ranks.dtype)
            plan.copy(plan.constant(greatest).broadcast(filling.shape, ()), filling, (eqn,))

    def _part(self, view: View, start: int, limit: int) -> View:
        _, blocks, length = self.shape
        whole = view.reshape((*self.batch, blocks * length))
        assert whole is not None, "it is dense"
        first = [0] * len(self.batch)
        return whole.slice((*first, start), (*self.batch, limit), (1,) * len(whole.shape))


def rows_to_sort(batch: tuple[int, ...], length: int) -> Rows:
    """Rows of a sort. Their blocks depend on the shape alone."""
    few = prod(batch) < _FEW_ROWS and length >= _BLOCKS * _SHORTEST_BLOCK
    return Rows(batch, length, _BLOCKS if few else 1)


def sort_by_digits(
    plan: Planner,
    eqn: JaxprEqn,
    rows: Rows,
    arrays: Sequence[View],
    bits: int,
    *,
    join_zeros: bool,
) -> list[View]:
    """Steps that sort the first array, and move others along.

    Args:
        plan: gets the steps.
        eqn: what they belong to.
        rows: how the arrays lie in memory.
        arrays: unsigned integers, and what is moved with them. They are overwritten.
        bits: how many bits of the first array count.
        join_zeros: whether the ranks of -0.0 and 0.0 count as equal.

    Returns:
        The arrays, sorted.
    """
    rows.fill(plan, arrays[0], eqn)
    most = min(_MOST_BITS, (rows.length - 1).bit_length())
    passes = -(-bits // most)
    width = -(-bits // passes)
    wide = rows.length >= 2**31
    counts = plan.temporary((*rows.shape[:2], 1 << width), np.int64 if wide else np.int32)
    here, there = list(arrays), [plan.temporary(rows.shape, a.dtype) for a in arrays]
    for number in range(passes):
        digits = _Pass(eqn, here, there, counts, number * width, join_zeros)
        plan.steps += [digits.count(), digits.sum(), digits.move()]
        here, there = there, here
    return here


class _Pass(NamedTuple):
    """A pass: from some arrays to others, by the digit that is `shift` bits from the lowest."""

    eqn: JaxprEqn
    sources: Sequence[View]
    targets: Sequence[View]
    counts: View
    shift: int
    join_zeros: bool

    def count(self) -> Step:
        """How often each digit occurs in each block."""
        units, extents = self._loops()
        cleared = access(self.counts, (_ROW, _BLOCK, _DIGIT))
        ranks = access(self.sources[0], (_ROW, _BLOCK, _ELEMENT))
        nest = Nest((*units, _ELEMENT, _DIGIT), extents, [ranks], [cleared, self._counters()])
        build = nest.build
        with nest.loops(units):
            zero, one = (build.const(n, self.counts.dtype) for n in range(2))
            with nest.loops((_DIGIT,), _DIGIT, lanes_along(_DIGIT, extents, [cleared])):
                nest.store(0, zero)
            with nest.loops((_ELEMENT,)):
                digit = self._digit(nest, nest.load(0))
                seen = nest.load_written(1, offset=digit)
                nest.store(1, build.let("add", seen, one), offset=digit)
        return nest.step(self.eqn, split=bool(units), note=self._note("count"))

    def sum(self) -> Step:
        """Where the elements of each digit begin in their row, block by block."""
        shape = self.counts.shape
        extents = proper(dict(zip((_ROW, _BLOCK, _DIGIT), shape, strict=True)))
        rows = [axis for axis in (_ROW,) if axis in extents]
        inner = [axis for axis in (_DIGIT, _BLOCK) if axis in extents]
        counts = access(self.counts, (_ROW, _BLOCK, _DIGIT))
        nest = Nest((*rows, *inner), extents, [], [counts])
        build = nest.build

        def summed(axes: Sequence[int], before: Value) -> Value:
            if not axes:
                count = nest.load_written(0)
                nest.store(0, before)
                return build.let("add", before, count)
            with nest.loops(axes[:1]) as loop:
                (inside,) = loop.carry("sequence", before)
                loop.next(summed(axes[1:], inside))
            return loop.results[0]

        with nest.loops(rows):
            summed(inner, build.const(0, self.counts.dtype))
        return nest.step(self.eqn, split=bool(rows), note=self._note("sum"))

    def move(self) -> Step:
        """Each element goes to the next place of its digit."""
        units, extents = self._loops()
        axes = (_ROW, _BLOCK, _ELEMENT)
        sources = [access(view, axes) for view in self.sources]
        targets = [access(view, axes).within((_ROW,)) for view in self.targets]
        nest = Nest((*units, _ELEMENT), extents, sources, [*targets, self._counters()])
        build = nest.build
        with nest.loops(units):
            one = build.const(1, self.counts.dtype)
            with nest.loops((_ELEMENT,)):
                values = [nest.load(i) for i in range(len(sources))]
                digit = self._digit(nest, values[0])
                place = nest.load_written(len(targets), offset=digit)
                nest.store(len(targets), build.let("add", place, one), offset=digit)
                offset = build.let("convert", place, dtype=INDEX)
                for number, value in enumerate(values):
                    nest.store(number, value, offset=offset)
        return nest.step(self.eqn, split=bool(units), note=self._note("move"))

    def _loops(self) -> tuple[list[int], dict[int, int]]:
        """The axes of what runs side by side, and all extents."""
        extents = dict(zip((_ROW, _BLOCK, _ELEMENT), self.sources[0].shape, strict=True))
        extents[_DIGIT] = self.counts.shape[-1]
        return [axis for axis in (_BLOCK, _ROW) if extents[axis] != 1], extents

    def _counters(self) -> Access:
        """The counts, reached by offsets."""
        return access(self.counts, (_ROW, _BLOCK, _DIGIT)).within((_ROW, _BLOCK))

    def _digit(self, nest: Nest, rank: Value) -> Value:
        build = nest.build
        if self.join_zeros:
            rank = with_zeros_joined(build, rank)
        bits = build.let("convert", rank, dtype=INDEX)
        shifted = build.let("shift_right_logical", bits, nest.number(self.shift))
        return build.let("and", shifted, nest.number(self.counts.shape[-1] - 1))

    def _note(self, verb: str) -> str:
        bits = self.counts.shape[-1].bit_length() - 1
        return f"{verb} by the {bits} bits from bit {self.shift} on"
