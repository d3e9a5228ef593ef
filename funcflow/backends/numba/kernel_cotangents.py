"""Cotangents of a convolution's kernels, cut into parts for the runner's threads.

oneDNN would cut the sum over images and places itself, by the number of threads, and results would
depend on that number. Here the parts depend on the shapes alone. Each is a cotangent of its own,
computed by one thread: that of some of the images, to be added to those of the others, or, where
kernels are larger than results, that of some of the features that the kernels compute.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise, product
from math import prod

import numpy as np

from funcflow.backends.families.nest import Nest, access
from funcflow.backends.numba.convolution_form import Phrase
from funcflow.backends.planner import Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn

# As many parts as that there may be, each with so many multiply-adds (some 15 us) or more.
_COUNTS = (1, 2, 4, 8, 16)
_PART = 1 << 20
# What it takes to write an element more than one has to, and to read it again, in multiply-adds.
_MOVE = 128
# oneDNN computes features in blocks.
_BLOCK = 16


def cut(words: Phrase) -> Sequence[Phrase]:
    """The parts of a cotangent of kernels; anything else is one part.

    Parts with the same view of kernels are to be added.
    """
    if words.direction != "backward_weights":
        return [words]
    batches, blocks = _grid(words)
    return [
        _part(words, batch, block)
        for block, batch in product(
            _ranges(words.views[2].shape[1], blocks), _ranges(words.views[0].shape[0], batches)
        )
    ]


def _grid(words: Phrase) -> tuple[int, int]:
    """Into how many parts the images are cut, and into how many the features of the results.

    That is what would take least time with a thread for each part. More than one part of the images
    costs partial results, and more than one part of the features a copy of them.
    """
    src, weights, dst = words.views
    grouped = len(weights.shape) > len(dst.shape)
    work = weights.size * dst.shape[0] * prod(dst.shape[2:])

    def possible(batches: int, blocks: int) -> bool:
        whole = blocks == 1 or (not grouped and dst.shape[1] % (_BLOCK * blocks) == 0)
        parts = batches * blocks
        large = parts == 1 or work >= parts * _PART
        return whole and large and batches <= src.shape[0] and parts <= _COUNTS[-1]

    def cost(grid: tuple[int, int]) -> float:
        batches, blocks = grid
        moved = (batches > 1) * batches * weights.size + (blocks > 1) * dst.size
        return work / (batches * blocks) + _MOVE * moved

    return min((grid for grid in product(_COUNTS, _COUNTS) if possible(*grid)), key=cost)


def _ranges(size: int, count: int) -> Sequence[tuple[int, int]]:
    """Starts and sizes of nearly equal parts."""
    bounds = [size * i // count for i in range(count + 1)]
    return [(a, b - a) for a, b in pairwise(bounds)]


def _part(words: Phrase, batch: tuple[int, int], block: tuple[int, int]) -> Phrase:
    src, weights, dst = words.views
    features = weights.shape[0] if len(weights.shape) == len(dst.shape) else None
    if features is not None:
        weights = weights.part(0, *block)
        dst = dst.part(1, *block)
    return replace(words, views=(src.part(0, *batch), weights, dst.part(0, *batch)))


def added(plan: Planner, partial: Sequence[View], eqn: JaxprEqn) -> View:
    """The sum of dense arrays of float32, given as bytes, in their order."""
    if len(partial) == 1:
        return partial[0]
    total = plan.temporary(partial[0].shape, np.uint8)
    *terms, result = (_as_floats(view) for view in (*partial, total))
    nest = Nest([0], {0: result.size}, [access(x, [0]) for x in terms], [access(result, [0])])
    with nest.loops([0], 0, _LANES):
        values = [nest.load(i) for i in range(len(terms))]
        nest.store(0, reduce(lambda a, b: nest.build.let("add", a, b), values))
    plan.steps.append(nest.step(eqn, split=True, note="the sum of the parts"))
    return total


_LANES = 32


def _as_floats(view: View) -> View:
    return replace(view, dtype=np.dtype(np.float32), shape=(view.size // 4,))
