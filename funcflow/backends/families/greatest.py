"""`top_k`: the greatest elements along an axis, and their places.

They are the first of a sort in descending order. Where few of many are wanted, fewer are sorted: a
row is cut into blocks, and the k greatest elements are in the k blocks with the greatest maxima.
For an element of any other block, each of those has one that comes before it.
"""

from collections.abc import Mapping
from math import isqrt

import numpy as np

from funcflow.backends.families.nest import Nest, access, lanes_along, proper
from funcflow.backends.families.radix import Rows
from funcflow.backends.families.ranks import rank_dtype
from funcflow.backends.families.sorting import (
    Sorting,
    append_sort,
    axis_last,
    in_words,
    map_elements,
)
from funcflow.backends.loop_ir import INDEX
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.sorting import top_k_p

# Shorter blocks are no faster than sorting all.
_SHORTEST_BLOCK = 16

_ROW, _CHOSEN, _ELEMENT = range(3)


def lower_top_k(plan: Planner, eqn: JaxprEqn) -> None:
    """Sort all, or those that may be among the greatest."""
    axis, k = eqn.params["axis"], eqn.params["k"]
    source = axis_last(plan.operand(eqn.invars[0]), axis)
    values, places = (axis_last(plan.result(v), axis) for v in eqn.outvars)
    if not values.size:
        return
    moved = in_words([source], [values])
    whole = Sorting(plan, eqn, [source], moved, order=places, descending=True)
    if whole.length // k >= _SHORTEST_BLOCK**2:
        _append_selection(whole, places, k)
    else:
        append_sort(whole)


def _append_selection(s: Sorting, places: View, k: int) -> None:
    """Sort what is in k blocks. The greatest element has the least rank."""
    plan, (key,) = s.plan, s.keys
    rows = Rows(s.batch, s.length, s.length // isqrt(s.length // k))
    count, blocks, length = rows.shape
    ranks = plan.temporary(rows.shape, rank_dtype(key.dtype))
    map_elements(s, key, rows.elements(ranks), s.rank)
    rows.fill(plan, ranks, s.eqn)
    least = plan.temporary((count, blocks), ranks.dtype)
    _append_least(s, ranks, least)
    best, chosen = (plan.temporary((count, k), np.int32) for _ in range(2))
    append_sort(Sorting(plan, s.eqn, [least], [], order=best))
    # in ascending order, so that of equal elements the first is still the first
    append_sort(Sorting(plan, s.eqn, [best], in_words([best], [chosen])))
    shape = (count, k, length)
    candidates, origins = (plan.temporary(shape, t) for t in (ranks.dtype, places.dtype))
    _append_candidates(s, ranks, chosen, candidates, origins)
    flat = [x.reshape((*s.batch, k * length)) for x in (candidates, origins)]
    candidates, origins = (x for x in flat if x is not None)
    append_sort(Sorting(plan, s.eqn, [candidates], in_words([origins], [places])))
    for source, target in s.moved:
        map_elements(s, source, target, lambda _, word: word, at=places)


def _append_least(s: Sorting, ranks: View, least: View) -> None:
    """The least rank of each block."""
    axes = (_ROW, _CHOSEN, _ELEMENT)
    extents = dict(zip(axes, ranks.shape, strict=True))
    outer = [axis for axis in axes[:2] if axis in proper(extents)]
    source = access(ranks, axes)
    nest = Nest([*outer, _ELEMENT], extents, [source], [access(least, axes[:2])])
    with nest.loops(outer):
        greatest = nest.build.const(np.iinfo(ranks.dtype).max, ranks.dtype)
        with nest.loops((_ELEMENT,), _ELEMENT, lanes_along(_ELEMENT, extents, [source])) as loop:
            (before,) = loop.carry("min", greatest)
            loop.next(nest.build.let("min", before, nest.load(0)))
        nest.store(0, loop.results[0])
    s.plan.steps.append(nest.step(s.eqn, split=True, note="the best of each block"))


def _append_candidates(
    s: Sorting, ranks: View, chosen: View, candidates: View, origins: View
) -> None:
    """The ranks of the chosen blocks, and where in their rows they are."""
    axes = (_ROW, _CHOSEN, _ELEMENT)
    length = ranks.shape[-1]
    extents = dict(zip(axes, candidates.shape, strict=True))
    outer = [axis for axis in axes[:2] if axis in proper(extents)]
    reads = [access(chosen, axes[:2]), access(ranks, axes).within((_ROW, _ELEMENT))]
    writes = [access(candidates, axes), access(origins, axes)]
    nest = Nest([*outer, _ELEMENT], extents, reads, writes)
    with nest.loops((*outer, _ELEMENT), _ELEMENT, lanes_along(_ELEMENT, extents, [reads[1]])):
        block = nest.build.let("convert", nest.load(0), dtype=INDEX)
        begin = nest.build.let("mul", block, nest.number(length))
        place = nest.build.let("add", begin, nest.build.index(len(outer)))
        nest.store(0, nest.load(1, offset=begin))
        nest.store(1, nest.build.let("convert", place, dtype=origins.dtype))
    s.plan.steps.append(nest.step(s.eqn, split=True, note="the elements of the best blocks"))


LOWERINGS: Mapping[Primitive, Lowering] = {top_k_p: lower_top_k}
