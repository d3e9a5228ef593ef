"""Sorting: stable, by one key or several, along any axis.

Keys become ranks (`ranks.py`). In a short row an element's place is the number of those before it,
which lanes count side by side. Long rows are sorted digit by digit, the lowest first (`radix.py`):
a single key as ranks, which become keys again; else ranks with the places that they come from, from
which all operands are then gathered. Several keys are sorted by one after the other, the first
last.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcflow.backends.families.nest import (
    Nest,
    access,
    as_bits,
    lanes_along,
    proper,
)
from funcflow.backends.families.radix import rows_to_sort, sort_by_digits
from funcflow.backends.families.ranks import key_of, rank_bits, rank_dtype, rank_of
from funcflow.backends.loop_ir import INDEX, Builder, Value
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import View
from funcflow.backends.schedule import schedule
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.sorting import sort_p

# Rows of at most so many elements for each bit of their keys are sorted by counting. Its work grows
# with the square of the length, that of passes with the length and the bits.
_SHORT = 2

# Counters of 4 bytes fill two vectors of 64.
_LANES = 32


class Sorting(NamedTuple):
    """What is sorted; the axis to sort along is the last one of all views.

    Attributes:
        keys: of real dtypes; the first one counts most.
        moved: what is put in the order of the keys, as words of up to 8 bytes, and where to. The
            targets may be shorter than the rows; then they get what comes first.
        order: where the places that the elements came from are wanted, if they are.
        descending: whether the greatest come first.
    """

    plan: Planner
    eqn: JaxprEqn
    keys: Sequence[View]
    moved: Sequence[tuple[View, View]]
    order: View | None = None
    descending: bool = False

    @property
    def batch(self) -> tuple[int, ...]:
        return self.keys[0].shape[:-1]

    @property
    def length(self) -> int:
        return self.keys[0].shape[-1]

    @property
    def is_short(self) -> bool:
        """Whether counting is faster than passes over digits."""
        return self.length <= _SHORT * max(rank_bits(key.dtype) for key in self.keys)

    def rank(self, build: Builder, key: Value) -> Value:
        """A rank for places: equal keys have equal ones."""
        rank = rank_of(build, key, join_zeros=True)
        return build.let("not", rank) if self.descending else rank


def lower_sort(plan: Planner, eqn: JaxprEqn) -> None:
    """Steps that sort all operands by the first ones."""
    axis, num_keys = eqn.params["dimension"], eqn.params["num_keys"]
    sources = [plan.operand(v) for v in eqn.invars]
    if sources[0].shape[axis] == 1:
        plan.views |= dict(zip(eqn.outvars, sources, strict=True))
        return
    sources = [axis_last(view, axis) for view in sources]
    targets = [axis_last(plan.result(v), axis) for v in eqn.outvars]
    if not targets[0].size:
        return
    keys = [column for view in sources[:num_keys] for column in _columns(view)]
    sorting = Sorting(plan, eqn, keys, in_words(sources, targets))
    if len(sources) == len(keys) == 1 and not sorting.is_short:
        _sort_values(sorting, targets[0])
    else:
        append_sort(sorting)


def append_sort(sorting: Sorting) -> None:
    """Steps that move what a sorting says."""
    if sorting.is_short:
        _sort_by_counting(sorting)
    else:
        _sort_places(sorting)


def axis_last(view: View, axis: int) -> View:
    """A view with an axis moved to the end."""
    return view.transpose([*(i for i in range(len(view.shape)) if i != axis), axis])


def _columns(key: View) -> list[View]:
    """A key as keys of real dtypes."""
    return [key.half(i) for i in range(2)] if dtypes.is_complex(key.dtype) else [key]


def in_words(sources: Sequence[View], targets: Sequence[View]) -> list[tuple[View, View]]:
    """What a sorting moves, as pairs of views of words."""
    pairs = zip(sources, targets, strict=True)
    return [words for pair in pairs for words in zip(*map(_words, pair), strict=True)]


def _words(view: View) -> list[View]:
    """A view as views of unsigned integers, one for each part of an element."""
    if view.dtype.itemsize == 16:
        return [as_bits(view.half(number)) for number in range(2)]
    return [as_bits(view)]


# --- short rows -------------------------------------------------------------------------------


def _sort_by_counting(s: Sorting) -> None:
    """A kernel that counts for each element those before it, and stores it at that place."""
    ranks = []
    for key in s.keys:
        ranks.append(s.plan.temporary(key.shape, rank_dtype(key.dtype)))
        map_elements(s, key, ranks[-1], s.rank)
    batch = range(len(s.batch))
    element, other = len(batch), len(batch) + 1
    rows = proper(dict(enumerate(s.batch)))
    here = [access(view, (*batch, element)) for view in ranks]
    there = [access(view, (*batch, other)) for view in ranks]
    sources = [access(source, (*batch, element)) for source, _ in s.moved]
    targets = [access(target, (*batch, element)).within(batch) for target in _targets(s)]
    reads, writes = ([a.strides for a in group] for group in ([*here, *sources], targets))
    order = schedule(rows, set(), reads, writes, set())
    extents = {**order.extents, element: s.length, other: s.length}
    nest = Nest((*order.kept, element, other), extents, [*here, *there, *sources], targets)
    build = nest.build
    lanes = min(_LANES, 1 << (s.length - 1).bit_length())
    with nest.loops((*order.kept, element)):
        mine = [nest.load(i) for i in range(len(here))]
        index = build.index(len(order.kept))
        zero = build.const(0, np.int32)
        with nest.loops((other,), other, lanes) as count:
            (before,) = count.carry("add", zero)
            theirs = [nest.load(len(here) + i) for i in range(len(here))]
            is_before = _is_before(build, theirs, mine, build.index(len(order.kept) + 1), index)
            count.next(build.let("add", before, build.let("convert", is_before, dtype=np.int32)))
        place = build.let("convert", count.results[0], dtype=INDEX)
        values = [nest.load(2 * len(here) + i) for i in range(len(sources))]
        if s.order is not None:
            values.append(_converted(build, index, s.order.dtype))
        for number, (value, target) in enumerate(zip(values, _targets(s), strict=True)):
            kept = None
            if target.shape[-1] < s.length:
                kept = build.let("lt", place, nest.number(target.shape[-1]))
            at = build.let("mul", place, nest.number(target.strides[-1]))
            nest.store(number, value, offset=at, mask=kept)
    note = f"each of {s.length} elements counts those before it"
    s.plan.steps.append(nest.step(s.eqn, split=bool(order.kept), note=note))


def _is_before(
    build: Builder, theirs: Sequence[Value], mine: Sequence[Value], other: Value, index: Value
) -> Value:
    """Whether another element comes before this one; of equal ones the one with a lower index."""
    result = build.let("lt", other, index)
    for a, b in reversed(list(zip(theirs, mine, strict=True))):
        tied = build.let("and", build.let("eq", a, b), result)
        result = build.let("or", build.let("lt", a, b), tied)
    return result


def _targets(s: Sorting) -> list[View]:
    return [target for _, target in s.moved] + ([] if s.order is None else [s.order])


# --- long rows --------------------------------------------------------------------------------


def _sort_values(s: Sorting, target: View) -> None:
    """Sort ranks that tell their keys."""
    (key,) = s.keys
    rows = rows_to_sort(s.batch, s.length)
    ranks = s.plan.temporary(rows.shape, rank_dtype(key.dtype))
    map_elements(s, key, rows.elements(ranks), lambda build, x: rank_of(build, x, join_zeros=False))
    is_float = dtypes.is_float(key.dtype)
    (ranks,) = sort_by_digits(
        s.plan, s.eqn, rows, [ranks], rank_bits(key.dtype), join_zeros=is_float
    )
    map_elements(
        s, rows.elements(ranks), target, lambda build, rank: key_of(build, rank, key.dtype)
    )


def _sort_places(s: Sorting) -> None:
    """Sort ranks with the places that they come from, then gather."""
    rows = rows_to_sort(s.batch, s.length)
    places = s.plan.temporary(rows.shape, np.int32 if s.length < 2**31 else np.int64)
    at = None
    for key in reversed(s.keys):
        ranks = s.plan.temporary(rows.shape, rank_dtype(key.dtype))
        map_elements(s, key, rows.elements(ranks), s.rank, at)
        if at is None:
            _write_indices(s, rows.elements(places))
        bits = rank_bits(key.dtype)
        _, places = sort_by_digits(s.plan, s.eqn, rows, [ranks, places], bits, join_zeros=False)
        at = rows.elements(places)
    assert at is not None, "there is a key"
    for source, target in s.moved:
        map_elements(s, source, target, lambda _, word: word, at)
    if s.order is not None:
        dtype = s.order.dtype
        map_elements(s, at, s.order, lambda build, place: _converted(build, place, dtype))


def map_elements(
    s: Sorting,
    source: View,
    target: View,
    function: Callable[[Builder, Value], Value],
    at: View | None = None,
) -> None:
    """A function of each element; of a row's elements at some places, if these are given.

    What the target is too short for is left out.
    """
    axes = range(len(target.shape))
    reads = [access(source, axes)]
    if at is not None:
        reads = [access(at, axes), reads[0].within(axes[:-1])]
    written = access(target, axes)
    strides = [read.strides for read in reads]
    loops = schedule(
        proper(dict(enumerate(target.shape))), set(), strides, [written.strides], set()
    )
    lanes = lanes_along(loops.vector, loops.extents, [*reads[:-1], written])
    nest = Nest(loops.kept, loops.extents, reads, [written])
    build = nest.build
    with nest.loops(loops.kept, loops.vector, lanes):
        offset = None
        if at is not None:
            place = build.let("convert", nest.load(0), dtype=INDEX)
            offset = build.let("mul", place, nest.number(source.strides[-1]))
        nest.store(0, function(build, nest.load(len(reads) - 1, offset=offset)))
    s.plan.steps.append(nest.step(s.eqn, split=True))


def _write_indices(s: Sorting, target: View) -> None:
    """Each element's place in its row."""
    rank = len(target.shape)
    written = access(target, range(rank))
    order = [axis for axis in range(rank) if target.shape[axis] != 1]
    extents = dict(enumerate(target.shape))
    nest = Nest(order, extents, [], [written])
    with nest.loops(order, rank - 1, lanes_along(rank - 1, extents, [written])):
        index = nest.build.index(len(order) - 1)
        nest.store(0, _converted(nest.build, index, target.dtype))
    s.plan.steps.append(nest.step(s.eqn, split=True))


def _converted(build: Builder, x: Value, dtype: np.dtype[Any]) -> Value:
    return x if x.dtype == dtype else build.let("convert", x, dtype=dtype)


LOWERINGS: Mapping[Primitive, Lowering] = {sort_p: lower_sort}
