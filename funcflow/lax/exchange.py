"""Exchanges along a named axis of a surrounding `vmap` or `pmap`: gather, scatter, permute.

Under vmap the named axis is an array axis, so each batching rule moves axes or takes lanes. Under
pmap the shards run in parallel, and each `impl` takes its part of what the axis' communicator
gathers.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray
from funcflow.core.axes import axis_size as size_of
from funcflow.core.axes import find_axis
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_map
from funcflow.core.rules import define
from funcflow.lax.arithmetic import mul
from funcflow.lax.collective import psum
from funcflow.lax.comparison import eq, select_n
from funcflow.lax.indexing import index_take
from funcflow.lax.linear import canonical_axis, linear_jvp
from funcflow.lax.named_axes import (
    AxisName,
    axes_effects,
    axis_index,
    axis_names,
    communicator_of,
    one_axis_name,
)
from funcflow.lax.shape import broadcast, broadcast_in_dim, moveaxis, reduce_sum, reshape, zeros


def _check_extent(function: str, shape: Sequence[int], axis: int, size: int) -> None:
    if shape[axis] != size:
        raise ShapeError(
            f"{function}: the extent {shape[axis]} of axis {axis} is not the axis size {size}",
            mend="pass tiled=True for a multiple of the size",
        )


# --- all_gather, psum_scatter -----------------------------------------------------------------

all_gather_p = Primitive("all_gather")
psum_scatter_p = Primitive("psum_scatter")


def all_gather(x: Any, axis_name: AxisName, *, axis: int = 0, tiled: bool = False) -> Any:
    """The values of all lanes, stacked along a new axis.

    Args:
        x: a pytree of arrays.
        axis_name: the axis to gather over.
        axis: where the new axis goes.
        tiled: concatenate along `axis` instead of stacking.

    Example:
        >>> ff.vmap(lambda x: ff.lax.all_gather(x, "i"), axis_name="i")(fnp.arange(2))
        Array([[0, 1],
               [0, 1]], dtype=int32)
    """
    name = one_axis_name(axis_name, "all_gather")

    def one(leaf: Any) -> Any:
        place = canonical_axis(axis, ndim_of(leaf) + (not tiled), "all_gather")
        out = all_gather_p.bind(leaf, axes=(name,), axis=place)
        return _merge(out, place) if tiled else out

    return tree_map(one, x)


def _merge(x: Any, axis: int) -> Any:
    """Make axes `axis` and `axis + 1` one."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))


def _split(x: Any, axis: int, parts: int, function: str) -> Any:
    """Make axis `axis` two: `parts` and what is left."""
    shape = shape_of(x)
    if shape[axis] % parts:
        raise ShapeError(
            f"{function}: the extent {shape[axis]} of axis {axis} is no multiple of the axis size "
            f"{parts}",
            mend="pad the array, or choose another axis",
        )
    return reshape(x, (*shape[:axis], parts, shape[axis] // parts, *shape[axis + 1 :]))


def _all_gather_abstract(x: ShapedArray, *, axes: tuple[AxisName, ...], axis: int) -> ShapedArray:
    size = find_axis(axes[0], "all_gather").size
    return x.update(shape=(*x.shape[:axis], size, *x.shape[axis:]), weak_type=False)


def _all_gather_impl(xp: Any, x: Any, *, axes: tuple[AxisName, ...], axis: int) -> Any:
    return xp.stack(list(communicator_of(axes[0], "all_gather").all_gather(x)), axis)


def _all_gather_transpose(ctx: Any, ct: Any, x: Any, *, axes: Any, axis: int) -> Any:
    return [psum_scatter_p.bind(ct, axes=axes, axis=axis)]


def _all_gather_batch(ctx: Any, args: Any, dims: Any, *, axes: Any, axis: int) -> Any:
    (x,), (d,) = args, dims
    if ctx.axis_name not in axes:
        moved = moveaxis(x, d, 0)
        return all_gather_p.bind(moved, axes=axes, axis=axis + 1), 0
    if d is None:
        shape = shape_of(x)
        others = [i + (i >= axis) for i in range(len(shape))]
        return broadcast_in_dim(x, (*shape[:axis], ctx.size, *shape[axis:]), others), None
    return moveaxis(x, d, axis), None


define(
    all_gather_p,
    abstract=_all_gather_abstract,
    impl=_all_gather_impl,
    jvp=linear_jvp(all_gather_p),
    transpose=_all_gather_transpose,
    batch=_all_gather_batch,
    effects=axes_effects,
)


def psum_scatter(
    x: Any, axis_name: AxisName, *, scatter_dimension: int = 0, tiled: bool = False
) -> Any:
    """The sum over lanes, of which each lane gets one slice along `scatter_dimension`.

    The dimension has the axis' size and disappears; with `tiled` it is a multiple of the size,
    and each lane gets that part of it.
    """
    name = one_axis_name(axis_name, "psum_scatter")
    size = find_axis(name, "psum_scatter").size

    def one(leaf: Any) -> Any:
        place = canonical_axis(scatter_dimension, ndim_of(leaf), "psum_scatter")
        if tiled:
            leaf = _split(leaf, place, size, "psum_scatter")
        _check_extent("psum_scatter", np.shape(leaf), place, size)
        return psum_scatter_p.bind(leaf, axes=(name,), axis=place)

    return tree_map(one, x)


def _psum_scatter_abstract(x: ShapedArray, *, axes: Any, axis: int) -> ShapedArray:
    size = find_axis(axes[0], "psum_scatter").size
    _check_extent("psum_scatter", x.shape, axis, size)
    return x.update(shape=x.shape[:axis] + x.shape[axis + 1 :], weak_type=False)


def _psum_scatter_impl(xp: Any, x: Any, *, axes: Any, axis: int) -> Any:
    communicator = communicator_of(axes[0], "psum_scatter")
    total = reduce(xp.add, communicator.all_gather(x))
    return xp.take(total, communicator.rank, axis=axis)


def _psum_scatter_transpose(ctx: Any, ct: Any, x: Any, *, axes: Any, axis: int) -> Any:
    return [all_gather_p.bind(ct, axes=axes, axis=axis)]


def _psum_scatter_batch(ctx: Any, args: Any, dims: Any, *, axes: Any, axis: int) -> Any:
    (x,), (d,) = args, dims
    if ctx.axis_name not in axes:
        return psum_scatter_p.bind(moveaxis(x, d, 0), axes=axes, axis=axis + 1), 0
    if d is None:
        return mul(x, np.asarray(ctx.size, aval_of(x).dtype)), axis
    return reduce_sum(x, (d,)), axis


define(
    psum_scatter_p,
    abstract=_psum_scatter_abstract,
    impl=_psum_scatter_impl,
    jvp=linear_jvp(psum_scatter_p),
    transpose=_psum_scatter_transpose,
    batch=_psum_scatter_batch,
    effects=axes_effects,
)

# --- all_to_all -----------------------------------------------------------------------------

all_to_all_p = Primitive("all_to_all")


def all_to_all(
    x: Any, axis_name: AxisName, split_axis: int, concat_axis: int, *, tiled: bool = False
) -> Any:
    """Exchange slices: lane `i` gets the `i`-th slice along `split_axis` of every lane.

    Args:
        x: a pytree of arrays.
        axis_name: the axis to exchange over.
        split_axis: an axis of the named axis' size; it disappears.
        concat_axis: where the axis over the lanes of origin appears.
        tiled: cut `split_axis` into equal parts and concatenate along `concat_axis` instead.
    """
    name = one_axis_name(axis_name, "all_to_all")
    size = find_axis(name, "all_to_all").size

    def one(leaf: Any) -> Any:
        split = canonical_axis(split_axis, ndim_of(leaf), "all_to_all")
        concat = canonical_axis(concat_axis, ndim_of(leaf), "all_to_all")
        if not tiled:
            _check_extent("all_to_all", np.shape(leaf), split, size)
            return all_to_all_p.bind(leaf, axes=(name,), split_axis=split, concat_axis=concat)
        leaf = _split(leaf, split, size, "all_to_all")
        place = concat + (concat > split)
        out = all_to_all_p.bind(
            leaf, axes=(name,), split_axis=split, concat_axis=place - (place > split)
        )
        return _merge(out, concat)

    return tree_map(one, x)


def _all_to_all_abstract(
    x: ShapedArray, *, axes: Any, split_axis: int, concat_axis: int
) -> ShapedArray:
    size = find_axis(axes[0], "all_to_all").size
    _check_extent("all_to_all", x.shape, split_axis, size)
    rest = list(x.shape[:split_axis] + x.shape[split_axis + 1 :])
    rest.insert(concat_axis, size)
    return x.update(shape=tuple(rest), weak_type=False)


def _all_to_all_impl(xp: Any, x: Any, *, axes: Any, split_axis: int, concat_axis: int) -> Any:
    communicator = communicator_of(axes[0], "all_to_all")
    mine = [xp.take(s, communicator.rank, axis=split_axis) for s in communicator.all_gather(x)]
    return xp.stack(mine, concat_axis)


def _all_to_all_transpose(
    ctx: Any, ct: Any, x: Any, *, axes: Any, split_axis: int, concat_axis: int
) -> Any:
    return [all_to_all_p.bind(ct, axes=axes, split_axis=concat_axis, concat_axis=split_axis)]


def _all_to_all_batch(
    ctx: Any, args: Any, dims: Any, *, axes: Any, split_axis: int, concat_axis: int
) -> Any:
    (x,), (d,) = args, dims
    if ctx.axis_name not in axes:
        out = all_to_all_p.bind(
            moveaxis(x, d, 0), axes=axes, split_axis=split_axis + 1, concat_axis=concat_axis + 1
        )
        return out, 0
    x = broadcast(x, (ctx.size,)) if d is None else moveaxis(x, d, 0)
    # axes: (origin, ..., destination, ...) -> (destination, ..., origin, ...)
    x = moveaxis(x, split_axis + 1, 0)
    return moveaxis(x, 1, concat_axis + 1), 0


define(
    all_to_all_p,
    abstract=_all_to_all_abstract,
    impl=_all_to_all_impl,
    jvp=linear_jvp(all_to_all_p),
    transpose=_all_to_all_transpose,
    batch=_all_to_all_batch,
    effects=axes_effects,
)


def pswapaxes(x: Any, axis_name: AxisName, axis: int) -> Any:
    """Exchange the named axis with an array axis of the same size."""
    return all_to_all(x, axis_name, axis, axis)


# --- ppermute -------------------------------------------------------------------------------

ppermute_p = Primitive("ppermute")


def ppermute(x: Any, axis_name: AxisName, perm: Sequence[tuple[int, int]]) -> Any:
    """Send values between lanes: for each pair (source, destination) of `perm`.

    Lanes that are no destination get zeros.

    Raises:
        ArgumentError: a source or destination is named twice or lies outside the axis.
    """
    name = one_axis_name(axis_name, "ppermute")
    size = find_axis(name, "ppermute").size
    if any(np.shape(pair) != (2,) for pair in perm):
        raise ArgumentError(
            f"ppermute: perm={perm!r} is no list of pairs (source, destination)",
            mend="perm=[(i, (i + 1) % size) for i in range(size)] moves every value one lane on",
        )
    pairs = tuple((int(a), int(b)) for a, b in perm)
    for what, places in (("source", [a for a, _ in pairs]), ("destination", [b for _, b in pairs])):
        if len(set(places)) != len(places) or any(not 0 <= p < size for p in places):
            raise ArgumentError(
                f"ppermute: perm={list(pairs)} names a {what} twice, or one outside 0..{size - 1}",
                mend="name each source and each destination at most once",
            )
    return tree_map(lambda leaf: ppermute_p.bind(leaf, axes=(name,), perm=pairs), x)


def pshuffle(x: Any, axis_name: AxisName, perm: Sequence[int]) -> Any:
    """Lane `i` gets the value of lane `perm[i]`."""
    size = size_of(axis_names(axis_name), "pshuffle")
    if sorted(perm) != list(range(size)):
        raise ArgumentError(
            f"pshuffle: perm={list(perm)} is no permutation of 0..{size - 1}",
            mend="name each lane once, or use ppermute",
        )
    return ppermute(x, axis_name, [(source, i) for i, source in enumerate(perm)])


def pbroadcast(x: Any, axis_name: AxisName, source: int) -> Any:
    """The value of lane `source`, in every lane."""
    size = size_of(axis_names(axis_name), "pbroadcast")
    if not 0 <= source < size:
        raise ArgumentError(
            f"pbroadcast: the source {source} lies outside 0..{size - 1}", mend="name a lane"
        )
    here = eq(axis_index(axis_name), np.int32(source))

    def one(leaf: Any) -> Any:
        return psum(select_n(here, zeros(aval_of(leaf)), leaf), axis_name)

    return tree_map(one, x)


def _ppermute_abstract(x: ShapedArray, *, axes: Any, perm: Any) -> ShapedArray:
    find_axis(axes[0], "ppermute")
    return x.strip_weak_type()


def _ppermute_impl(xp: Any, x: Any, *, axes: Any, perm: Any) -> Any:
    communicator = communicator_of(axes[0], "ppermute")
    shards = communicator.all_gather(x)
    sources = {b: a for a, b in perm}
    mine = sources.get(communicator.rank)
    return xp.zeros_like(x) if mine is None else shards[mine]


def _ppermute_transpose(ctx: Any, ct: Any, x: Any, *, axes: Any, perm: Any) -> Any:
    return [ppermute_p.bind(ct, axes=axes, perm=tuple((b, a) for a, b in perm))]


def _ppermute_batch(ctx: Any, args: Any, dims: Any, *, axes: Any, perm: Any) -> Any:
    (x,), (d,) = args, dims
    if ctx.axis_name not in axes:
        return ppermute_p.bind(x, axes=axes, perm=perm), d
    x = broadcast(x, (ctx.size,)) if d is None else moveaxis(x, d, 0)
    sources, present = np.zeros(ctx.size, np.int32), np.zeros(ctx.size, bool)
    for source, destination in perm:
        sources[destination], present[destination] = source, True
    taken = index_take(x, (sources,), (0,))
    if present.all():
        return taken, 0
    mask = broadcast_in_dim(present, shape_of(x), (0,))
    return select_n(mask, zeros(aval_of(x).strip_weak_type()), taken), 0


define(
    ppermute_p,
    abstract=_ppermute_abstract,
    impl=_ppermute_impl,
    jvp=linear_jvp(ppermute_p),
    transpose=_ppermute_transpose,
    batch=_ppermute_batch,
    effects=axes_effects,
)
