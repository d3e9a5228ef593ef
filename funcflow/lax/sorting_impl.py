"""The order of elements along an axis, and the places of the greatest, on buffers.

NumPy sorts numbers in vector registers, but not pairs of a number and its place. So elements are
replaced by *ranks*, unsigned integers in the elements' order, and a rank of 32 bits is sorted
together with its place as one number of 64: equal elements then keep their order, too.
"""

import math
from typing import Any

import numpy as np

from funcflow.core import dtypes

# NumPy's own stable sort is as fast for short lanes, and for few elements.
_SHORTEST_LANE, _FEWEST_ELEMENTS = 64, 1000
_LONGEST_LANE = 2**32
# Shorter blocks cost more to reduce than they save.
_SHORTEST_BLOCK = 16


def stable_order(xp: Any, x: Any, axis: int) -> Any:
    """The places that sort `x` along an axis; equal elements, and NaNs, keep their order.

    Args:
        xp: NumPy or CuPy.
        x: a buffer of any dtype but a complex one; NaNs are greatest, zeros are equal.
        axis: the axis to sort along.
    """
    if not _pays(x, axis):
        return xp.argsort(_comparable(x), axis=axis, kind="stable")
    return _order_of_ranks(xp, _ranks(xp, x), axis)


def places_of_greatest(xp: Any, x: Any, k: int, axis: int) -> Any:
    """The places of the `k` greatest elements along an axis, the greatest first.

    Equal elements, and NaNs, which are greatest, are in the order of their places. For the rest
    see `stable_order`.
    """
    lanes = xp.moveaxis(x, axis, -1)
    extent = lanes.shape[-1]
    if k == 0:
        places = xp.empty((*lanes.shape[:-1], 0), np.intp)
    elif not _pays(x, axis):
        # a stable ascending sort of the reversed lane, read backwards
        order = xp.argsort(_comparable(lanes[..., ::-1]), axis=-1, kind="stable")
        places = extent - 1 - order[..., ::-1][..., :k]
    elif extent // k >= _SHORTEST_BLOCK**2:
        places = _greatest_by_blocks(xp, lanes, k)
    else:
        places = _greatest_by_threshold(xp, lanes, k)
    return xp.moveaxis(places, -1, axis)


# --- order ------------------------------------------------------------------------------------


def _pays(x: Any, axis: int) -> bool:
    return x.size >= _FEWEST_ELEMENTS and _SHORTEST_LANE <= x.shape[axis] <= _LONGEST_LANE


def _comparable(x: Any) -> Any:
    """The same numbers in a dtype that NumPy compares with NaNs greatest."""
    return x.astype(np.float32) if x.dtype == dtypes.bfloat16 else x


def _ranks(xp: Any, x: Any) -> Any:
    """Unsigned integers of the elements' width in their order: equal for zeros, and for NaNs."""
    kind, bits = dtypes.kind(x.dtype), 8 * x.dtype.itemsize
    unsigned, signed = (np.dtype(f"{k}{x.dtype.itemsize}").type for k in "ui")
    if kind in "bu":
        return x.view(unsigned)
    lowest = signed(-(2 ** (bits - 1)))
    if kind == "i":
        return (x ^ lowest).view(unsigned)
    # a float's magnitude, negated where the sign is set
    sign = x.view(signed) >> signed(bits - 1)
    ranks = x.view(signed) & ~lowest
    is_nan = ranks > np.array(np.inf, x.dtype).view(signed)[()]
    ranks ^= sign
    ranks -= sign
    ranks ^= lowest
    if is_nan.any():
        ranks[is_nan] = -1  # all bits are set
    return ranks.view(unsigned)


def _order_of_ranks(xp: Any, ranks: Any, axis: int) -> Any:
    if ranks.dtype.itemsize <= 2:  # NumPy has a radix sort for these
        return xp.argsort(ranks, axis=axis, kind="stable")
    if ranks.dtype.itemsize == 4:
        return _order_by_packing(xp, ranks, axis)
    order = _order_by_packing(xp, ranks.astype(np.uint32), axis)
    high = xp.take_along_axis((ranks >> np.uint64(32)).astype(np.uint32), order, axis=axis)
    return xp.take_along_axis(order, _order_by_packing(xp, high, axis), axis=axis)


def _order_by_packing(xp: Any, ranks: Any, axis: int) -> Any:
    shape = [1] * ranks.ndim
    shape[axis] = -1
    packed = ranks.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= xp.arange(ranks.shape[axis], dtype=np.uint64).reshape(shape)
    packed.sort(axis=axis)
    packed &= np.uint64(2**32 - 1)
    return packed.view(np.int64)


# --- the greatest -----------------------------------------------------------------------------


def _greatest_by_blocks(xp: Any, x: Any, k: int) -> Any:
    """The k greatest elements are in the k blocks with the greatest maxima.

    For an element of any other block, each of those k blocks has one that comes before it.
    """
    x = _comparable(x)
    extent = x.shape[-1]
    width = math.isqrt(extent // k)
    whole = extent - extent % width
    maxima = x[..., :whole].reshape(*x.shape[:-1], -1, width).max(axis=-1)
    # in ascending order, so that of equal elements the first is still the first
    blocks = xp.sort(places_of_greatest(xp, maxima, k, -1), axis=-1)
    inside = blocks[..., None] * width + xp.arange(width)
    rest = xp.broadcast_to(xp.arange(whole, extent), (*x.shape[:-1], extent - whole))
    candidates = xp.concatenate([inside.reshape(*x.shape[:-1], -1), rest], axis=-1)
    values = xp.take_along_axis(x, candidates, axis=-1)
    return xp.take_along_axis(candidates, places_of_greatest(xp, values, k, -1), axis=-1)


def _greatest_by_threshold(xp: Any, x: Any, k: int) -> Any:
    """The elements above the k-th greatest one, and the first of those equal to it."""
    ranks = ~_ranks(xp, x)  # the greatest come first
    if k == x.shape[-1]:
        return _order_of_ranks(xp, ranks, -1)
    threshold = xp.partition(ranks, k - 1, axis=-1)[..., k - 1 : k]
    chosen = ranks <= threshold
    if int(chosen.sum()) > k * math.prod(x.shape[:-1]):
        equal = ranks == threshold
        free = k - (ranks < threshold).sum(axis=-1, keepdims=True)
        chosen &= ~equal | (xp.cumsum(equal, axis=-1) <= free)
    places = (xp.flatnonzero(chosen) % x.shape[-1]).reshape(*x.shape[:-1], k)
    order = _order_of_ranks(xp, xp.take_along_axis(ranks, places, axis=-1), -1)
    return xp.take_along_axis(places, order, axis=-1)
