"""Convolution without oneDNN: windows are copied into matrices, some at a time, for BLAS.

    out[n, o, t] = sum over c, k of x[n, c, t * stride + k * step] * w[o, c, k]

The free axes (n, t) are the rows of a matrix of windows, the contracted ones (c, k) its columns. So
that it takes little memory and stays in the cache it is made in parts: of some images, or, where
there are few places (in the derivative for the kernels), of one place. Its order follows the
image's strides, so that copies read and write whole lines. No copy is made of what is a matrix
already, such as the image under windows of one element with features last.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import numpy as np

from funcflow.backends.numba import blas, blas_library
from funcflow.backends.numba.convolution_form import Form
from funcflow.backends.planner import Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn

# Elements of the matrix of windows that are copied at a time, and into how many parts at most.
_PART = 1 << 20
_MOST_PARTS = 64
# With more groups than that, products are too small to be worth calls.
_MOST_GROUPS = 16


def lower(plan: Planner, f: Form, eqn: JaxprEqn) -> None:
    """The steps of a convolution."""
    reason = _unsuitable(f)
    if reason:
        plan.host(eqn, reason)
        return
    for part in _groups(f):
        _lower_group(plan, part._replace(x=_padded(plan, part)), eqn)


def _unsuitable(f: Form) -> str:
    """Why BLAS cannot do it, if it cannot."""
    dtype = f.out.dtype
    if blas_library.library() is None:
        return "there is no BLAS to call"
    if dtype.name not in blas_library.LETTERS or not f.x.dtype == f.w.dtype == dtype:
        return f"BLAS has no products of {f.x.dtype.name} and {f.w.dtype.name} in {dtype.name}"
    groups = f.feature_groups * f.batch_groups
    return f"{groups} groups of features" if groups > _MOST_GROUPS else ""


def _groups(f: Form) -> Iterator[Form]:
    """The groups as convolutions of their own."""
    groups = f.feature_groups * f.batch_groups
    cut = 0 if f.batch_groups > 1 else 1
    for g in range(groups):
        yield f._replace(
            x=_part(f.x, cut, g, groups),
            w=_part(f.w, 0, g, groups),
            out=_part(f.out, 1, g, groups),
            feature_groups=1,
            batch_groups=1,
        )


def _part(view: View, axis: int, number: int, count: int) -> View:
    """One of so many equal parts of a view along an axis."""
    size = view.shape[axis] // count
    return _range(view, axis, number * size, (number + 1) * size)


def _range(view: View, axis: int, start: int, limit: int) -> View:
    starts, limits = [0] * len(view.shape), list(view.shape)
    starts[axis], limits[axis] = start, limit
    return view.slice(starts, limits, [1] * len(view.shape))


def _padded(plan: Planner, f: Form) -> View:
    """The part of the dilated, padded image that the windows cover."""
    extents = [
        (t - 1) * stride + (k - 1) * step + 1
        for t, stride, k, step in zip(f.places, f.strides, f.window, f.step, strict=True)
    ]
    # of each axis the elements from `first` to `last` fall into the extent, from `begin` on
    firsts = [max(0, -(low // d)) for low, d in zip(f.low, f.dilation, strict=True)]
    lasts = [
        max(first, min(size, (extent - 1 - low) // d + 1))
        for first, size, extent, low, d in zip(
            firsts, f.spatial, extents, f.low, f.dilation, strict=True
        )
    ]
    batch = f.x.shape[:2]
    ones = (1,) * len(f.x.shape)
    source = f.x.slice((0, 0, *firsts), (*batch, *lasts), ones)
    if source.shape[2:] == tuple(extents):
        return source
    order = sorted(range(len(f.x.shape)), key=lambda i: -abs(f.x.strides[i]))
    shape = (*batch, *extents)
    target = plan.temporary([shape[i] for i in order], f.x.dtype)
    zero = plan.constant(np.zeros((), f.x.dtype))
    plan.copy(zero.broadcast(target.shape, ()), target)
    target = target.transpose([order.index(i) for i in range(len(order))])
    if source.size:
        begins = [low + i * d for low, i, d in zip(f.low, firsts, f.dilation, strict=True)]
        ends = [
            begin + (n - 1) * d + 1
            for begin, n, d in zip(begins, source.shape[2:], f.dilation, strict=True)
        ]
        plan.copy(source, target.slice((0, 0, *begins), (*batch, *ends), (1, 1, *f.dilation)))
    return target


def _lower_group(plan: Planner, f: Form, eqn: JaxprEqn) -> None:
    """A convolution without padding and groups, part by part."""
    rank = len(f.window)
    windows = _windows(f)
    # The contracted axes in the order of the larger operand, of which then no copy is made.
    by = f.w.strides[1:] if f.w.size > f.x.size else windows.strides[1 + rank :]
    depth = sorted(range(1 + rank), key=lambda i: -abs(by[i]))
    w = f.w.transpose((*(1 + i for i in depth), 0))
    kernels = _as_matrix(plan, w, 1 + rank, None)
    windows = windows.transpose((*range(1 + rank), *(1 + rank + i for i in depth)))
    results = f.out.transpose((0, *range(2, 2 + rank), 1))
    room = None
    for rows, out in _parts(windows, results, rank):
        if room is None:  # the first part is a largest one
            room = plan.temporary((rows.size,), rows.dtype)
        matrix = _as_matrix(plan, rows, 1 + rank, room)
        _product(plan, matrix, kernels, out, eqn)


def _windows(f: Form) -> View:
    """A view of the image with axes for images, places, features and the window."""
    places = [s * stride for s, stride in zip(f.x.strides[2:], f.strides, strict=True)]
    window = [s * step for s, step in zip(f.x.strides[2:], f.step, strict=True)]
    shape = (f.x.shape[0], *f.places, f.x.shape[1], *f.window)
    strides = (f.x.strides[0], *places, f.x.strides[1], *window)
    return f.x._replace(shape=shape, strides=strides)


def _parts(windows: View, results: View, rank: int) -> Iterator[tuple[View, View]]:
    """The windows and their results, some images or one place at a time."""
    images, places = windows.shape[0], windows.shape[1 : 1 + rank]
    count = min(-(-windows.size // _PART), _MOST_PARTS)
    if count > 1 and images * prod(places) * prod(places) < prod(windows.shape[1 + rank :]):
        for place in product(*map(range, places)):
            yield _at(windows, place), _at(results, place)
        return
    step = -(-images // count)
    for start in range(0, images, step):
        limit = min(images, start + step)
        yield _range(windows, 0, start, limit), _range(results, 0, start, limit)


def _at(view: View, place: Sequence[int]) -> View:
    """The part of a view at one place, its axes kept."""
    for axis, i in enumerate(place, 1):
        view = _range(view, axis, i, i + 1)
    return view


def _as_matrix(plan: Planner, view: View, split: int, room: View | None) -> View:
    """A view, its first `split` axes merged and the others, as a matrix; in `room` if copied."""
    shape = (prod(view.shape[:split]), prod(view.shape[split:]))
    matrix = view.reshape(shape)
    if matrix is not None and _leading(matrix) is not None:
        return matrix
    first, second = range(split), range(split, len(view.shape))
    nearest = min(range(len(view.shape)), key=lambda i: _distance(view, i))
    order = (*second, *first) if nearest < split else (*first, *second)
    turned = view.transpose(order)
    if room is None:
        target = plan.temporary(turned.shape, view.dtype)
    else:
        target = _range(room, 0, 0, view.size).reshape(turned.shape)
        assert target is not None, "the room is one piece of memory"
    plan.copy(turned, target)
    merged = target.reshape(shape[::-1] if nearest < split else shape)
    assert merged is not None, "it is dense"
    return merged.transpose((1, 0)) if nearest < split else merged


def _distance(view: View, axis: int) -> float:
    return abs(view.strides[axis]) if view.shape[axis] > 1 else np.inf


def _leading(matrix: View) -> tuple[int, bool] | None:
    """The leading dimension of a matrix, and whether it lies transposed; None if it is neither."""
    (m, n), (s, t) = matrix.shape, matrix.strides
    if (t == 1 or n == 1) and (s >= n or m == 1):
        return max(s, n), False
    if (s == 1 or m == 1) and (t >= m or n == 1):
        return max(t, m), True
    return None


def _product(plan: Planner, a: View, b: View, out: View, eqn: JaxprEqn) -> None:
    """A step for `out = a @ b`; the last axis of `out` are the columns."""
    (m, k), n = a.shape, b.shape[1]
    direct = out.reshape((m, n))
    if direct is None or (_leading(direct) or (0, True))[1]:
        direct = None
    c = direct or plan.temporary((m, n), out.dtype)
    (lda, ta), (ldb, tb), (ldc, _) = (_leading(x) or (0, False) for x in (a, b, c))
    gemm = blas.Gemm(out.dtype, m, n, k, lda, ldb, ldc, (ta, tb))
    appended = blas.append_gemm(plan, gemm, (a, b), c, eqn, ", windows times kernels")
    assert appended, "parts are small enough for any BLAS"
    if direct is None:
        merged = c.reshape(out.shape)
        assert merged is not None, "it is dense"
        plan.copy(merged, out)
