"""Convolutions to few features: a product of matrices, and sums of what lies in it.

    out[n, o, t] = sum over k of y[k, o, n, s],   s = (t + k * step - low) / dilation
    y[k, o, n, s] = sum over c of w[o, c, k] * x[n, c, s]

where s is a place of the image (A. Anderson et al., "Low-memory GEMM-based convolution algorithms
for deep neural networks", arXiv:1709.03395). Libraries of convolutions compute as many features at
once as a vector has lanes, also if there is but one, as at the end of networks that make images or
masks. Here the elements of the window make rows of a matrix, too, and no lane is idle.

Along an axis the places fall into segments, over which the elements of the window that meet the
image are the same ones. Each segment is a loop that adds a fixed number of terms, so padding and
dilation take neither copies nor conditions.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import pairwise, product
from math import prod
from typing import NamedTuple

import numpy as np

from funcflow.backends.families.nest import Nest, access, lanes_along
from funcflow.backends.numba import blas, blas_library
from funcflow.backends.numba.convolution_form import Form
from funcflow.backends.planner import Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn

# With more features than that, or fewer to sum over, libraries are as fast; or if a place needs
# more terms than so many for each feature of the images.
_MOST_FEATURES = 4
_FEWEST_CONTRACTED = 16
_MOST_TERMS_EACH = 2
# Terms that one loop adds, and loops.
_MOST_TERMS = 32
_MOST_LOOPS = 64


def lower(plan: Planner, f: Form, eqn: JaxprEqn) -> bool:
    """Write the steps, or return False if there is a better way."""
    images = _features_last(f.x)
    if images is None or not _suitable(f):
        return False
    rows, (columns, depth) = f.out.shape[1] * prod(f.window), images.shape
    gemm = blas.Gemm(
        f.out.dtype, rows, columns, depth, depth, images.strides[0], columns, (False, True)
    )
    if blas.gemm_routine(gemm) is None:
        return False
    parts = list(product(*map(_segments, *_along_axes(f))))
    if len(parts) > _MOST_LOOPS:
        return False
    rank = len(f.window)
    kernels = plan.dense(f.w.transpose((*range(2, 2 + rank), 0, 1)))
    y = plan.temporary((*f.window, f.out.shape[1], f.x.shape[0], *f.spatial), f.out.dtype)
    blas.append_gemm(plan, gemm, (kernels, images), y, eqn, ", kernels times images")
    for part in parts:
        _add(plan, y, f.out, part, eqn)
    return True


def _suitable(f: Form) -> bool:
    features, depth = f.w.shape[:2]
    terms = prod(-(-k // d) for k, d in zip(f.window, f.dilation, strict=True))
    return (
        f.feature_groups == f.batch_groups == 1
        and max(f.strides, default=0) == 1
        and f.out.dtype.name in blas_library.LETTERS
        and f.x.dtype == f.w.dtype == f.out.dtype
        and features <= _MOST_FEATURES
        and depth >= _FEWEST_CONTRACTED
        and prod(f.window) > 1
        and f.x.size > 0
        and terms <= _MOST_TERMS
        and terms * features <= _MOST_TERMS_EACH * depth
    )


def _features_last(x: View) -> View | None:
    """Images as a matrix (batch and places, features) of which no copy is needed; or None."""
    last = x.transpose((0, *range(2, len(x.shape)), 1))
    matrix = last.reshape((prod(last.shape[:-1]), last.shape[-1]))
    fine = matrix is not None and matrix.strides[1] == 1 and matrix.strides[0] >= matrix.shape[1]
    return matrix if fine else None


# --- segments -------------------------------------------------------------------------------------


class _Segment(NamedTuple):
    """Places along an axis: every so many, from `start` on.

    Attributes:
        start: the first place.
        count: how many there are.
        stride: how far apart.
        terms: the elements of the window that meet the image there, and where that at first is.
    """

    start: int
    count: int
    stride: int
    terms: Sequence[tuple[int, int]]


def _along_axes(f: Form) -> Sequence[Sequence[int]]:
    return f.spatial, f.places, f.window, f.low, f.dilation, f.step


def _segments(
    size: int, places: int, window: int, low: int, dilation: int, step: int
) -> Sequence[_Segment]:
    """All places of an axis. Those that are `dilation` apart meet neighbours of the image."""
    return [
        segment
        for phase in range(min(dilation, places))
        for segment in _of_phase(
            size,
            range(phase, places, dilation),
            [
                (k, (phase + k * step - low) // dilation)
                for k in range(window)
                if (phase + k * step - low) % dilation == 0
            ],
        )
    ]


def _of_phase(size: int, places: range, met: Sequence[tuple[int, int]]) -> Iterator[_Segment]:
    """The segments of places; element k meets the image at `first`, `first + 1` and so on."""
    count = len(places)
    ends = {min(max(i, 0), count) for _, first in met for i in (-first, size - first)}
    for start, end in pairwise(sorted({0, count, *ends})):
        terms = [(k, first + start) for k, first in met if 0 <= first + start < size]
        yield _Segment(places[start], end - start, places.step, terms)


def _add(plan: Planner, y: View, out: View, part: Sequence[_Segment], eqn: JaxprEqn) -> None:
    """The step for the places in a segment of each axis."""
    batch, features = out.shape[:2]
    counts = [segment.count for segment in part]
    target = out.slice(
        (0, 0, *(s.start for s in part)),
        (batch, features, *(s.start + (s.count - 1) * s.stride + 1 for s in part)),
        (1, 1, *(s.stride for s in part)),
    )
    terms = [
        _term(y, [k for k, _ in chosen], [first for _, first in chosen], counts)
        for chosen in product(*(segment.terms for segment in part))
    ]
    if not terms:
        plan.copy(plan.constant(np.zeros((), out.dtype)).broadcast(target.shape, ()), target)
        return
    *outer, last = range(2, 2 + len(part))
    extents = dict(enumerate(target.shape))
    order = [axis for axis in (0, *outer, 1, last) if extents[axis] != 1]
    vector = order[-1] if order else None
    write = access(target, range(len(extents)))
    nest = Nest(order, extents, [access(term, range(len(extents))) for term in terms], [write])
    with nest.loops(order, vector, lanes_along(vector, extents, [write])):
        values = [nest.load(i) for i in range(len(terms))]
        nest.store(0, reduce(lambda a, b: nest.build.let("add", a, b), values))
    plan.steps.append(nest.step(eqn, split=True, note=f"sums of {len(terms)} products"))


def _term(y: View, window: Sequence[int], firsts: Sequence[int], counts: Sequence[int]) -> View:
    """What an element of the window contributes, (batch, features, *places)."""
    rank = len(window)
    features, batch = y.shape[rank : rank + 2]
    ends = (first + count for first, count in zip(firsts, counts, strict=True))
    part = y.slice(
        (*window, 0, 0, *firsts),
        (*(k + 1 for k in window), features, batch, *ends),
        (1,) * len(y.shape),
    )
    own = part.transpose((*range(rank), rank + 1, rank, *range(rank + 2, 2 * rank + 2)))
    return own._replace(shape=own.shape[rank:], strides=own.strides[rank:])
