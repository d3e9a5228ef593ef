"""Convolutions, cut into parts for the runner's threads.

oneDNN would divide the work itself, by the number of threads, and so would be the order of its
sums. Here the parts depend on the shapes alone, and each is a convolution of its own, computed by
one thread. Results and cotangents of images are cut into images, and where those are few, into
rows. Of a cotangent of kernels a part is what some of the images contribute, to be added to what
the others do, or, where kernels are larger than results, the cotangent for some of the features
that they compute.
"""

from collections.abc import Iterator, Sequence
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
# No part has fewer rows than that.
_ROWS = 2
# Vectors of partial results that are added at once.
_LANES = 32


def cut(words: Phrase, most: int = _COUNTS[-1]) -> Sequence[Phrase]:
    """At most so many parts of a convolution; those with the same result are to be added."""
    if words.direction != "backward_weights":
        return list(_images_and_rows(words, most))
    batches, blocks = _grid(words, most)
    return [
        _contribution(words, batch, block)
        for block, batch in product(
            _ranges(words.views[2].shape[1], blocks), _ranges(words.views[0].shape[0], batches)
        )
    ]


def _work(words: Phrase) -> int:
    """The multiply-adds."""
    _, weights, dst = words.views
    return weights.size * dst.shape[0] * prod(dst.shape[2:])


# --- results and cotangents of images ---------------------------------------------------------


def _images_and_rows(words: Phrase, most: int) -> Iterator[Phrase]:
    src, weights, dst = words.views
    wanted = max(1, min(most, _work(words) // _PART))
    images = min(wanted, src.shape[0])
    written = dst if words.direction == "forward" else src
    rows = 1
    if 2 * images <= wanted and len(dst.shape) > 2:
        rows = max(1, min(wanted // images, written.shape[2] // _ROWS))
    for batch in _ranges(src.shape[0], images):
        image = words._replace(views=(src.part(0, *batch), weights, dst.part(0, *batch)))
        parts = (
            [_rows(image, *part) for part in _ranges(written.shape[2], rows)] if rows > 1 else []
        )
        known = [part for part in parts if part is not None]
        yield from known if parts and len(known) == len(parts) else [image]


def _rows(words: Phrase, start: int, size: int) -> Phrase | None:
    """So many rows of what is written; None if nothing that is read contributes to them.

    Element k of window t lies at row t * stride + k * dilation - low of the images.
    """
    src, weights, dst = words.views
    stride, low = words.strides[0], words.low[0]
    reach = (weights.shape[-len(words.low)] - 1) * words.dilation[0]
    if words.direction == "forward":
        first = start * stride - low
        begin = max(0, first)
        end = min(src.shape[2], first + (size - 1) * stride + reach + 1)
        dst, low = dst.part(2, start, size), begin - first
    else:
        begin = max(0, -(-(start + low - reach) // stride))
        end = min(dst.shape[2], (start + size - 1 + low) // stride + 1)
        src, low = src.part(2, start, size), start + low - begin * stride
    if end <= begin or low < 0:
        return None
    if words.direction == "forward":
        src = src.part(2, begin, end - begin)
    else:
        dst = dst.part(2, begin, end - begin)
    return words._replace(views=(src, weights, dst), low=(low, *words.low[1:]))


# --- cotangents of kernels --------------------------------------------------------------------


def _grid(words: Phrase, most: int) -> tuple[int, int]:
    """Into how many parts the images are cut, and into how many the features of the results.

    That is what would take least time with a thread for each part. More than one part of the images
    costs partial results, and more than one part of the features a copy of them.
    """
    src, weights, dst = words.views
    grouped = len(weights.shape) > len(dst.shape)
    work = _work(words)

    def possible(batches: int, blocks: int) -> bool:
        whole = blocks == 1 or (not grouped and dst.shape[1] % (_BLOCK * blocks) == 0)
        parts = batches * blocks
        large = parts == 1 or work >= parts * _PART
        return whole and large and batches <= src.shape[0] and parts <= most

    def cost(grid: tuple[int, int]) -> float:
        batches, blocks = grid
        moved = (batches > 1) * batches * weights.size + (blocks > 1) * dst.size
        return work / (batches * blocks) + _MOVE * moved

    return min((grid for grid in product(_COUNTS, _COUNTS) if possible(*grid)), key=cost)


def _ranges(size: int, count: int) -> Sequence[tuple[int, int]]:
    """Starts and sizes of nearly equal parts."""
    bounds = [size * i // count for i in range(count + 1)]
    return [(a, b - a) for a, b in pairwise(bounds)]


def _contribution(words: Phrase, batch: tuple[int, int], block: tuple[int, int]) -> Phrase:
    src, weights, dst = words.views
    if len(weights.shape) == len(dst.shape):  # no groups
        weights = weights.part(0, *block)
        dst = dst.part(1, *block)
    return words._replace(views=(src.part(0, *batch), weights, dst.part(0, *batch)))


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


def _as_floats(view: View) -> View:
    return view._replace(dtype=np.dtype(np.float32), shape=(view.size // 4,))
