"""Collectives: operations along a named axis of a surrounding `vmap` or `pmap`.

Under vmap the named axis is an array axis, so each batching rule turns the collective into an
array operation. Under pmap the shards run in parallel, and each `impl` exchanges values through
the axis' communicator.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from funcflow.core.array import SCALARS, aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.axes import Communicator, find_axis
from funcflow.core.axes import axis_size as product_of_sizes
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.jaxpr import Effects, axis_effect
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_map
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, define
from funcflow.lax.arithmetic import div, mul
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, select_n
from funcflow.lax.creation import iota
from funcflow.lax.forms import add
from funcflow.lax.indexing import index_take
from funcflow.lax.linear import canonical_axis, linear_jvp
from funcflow.lax.reduction import reduce_max, reduce_min
from funcflow.lax.shape import (
    broadcast,
    broadcast_in_dim,
    moveaxis,
    reduce_sum,
    reshape,
    zeros,
)

AxisName = Hashable


def _names(axis_name: AxisName | Sequence[AxisName]) -> tuple[AxisName, ...]:
    return tuple(axis_name) if isinstance(axis_name, tuple | list) else (axis_name,)


def _one_name(axis_name: AxisName, function: str) -> AxisName:
    names = _names(axis_name)
    if len(names) != 1:
        raise ArgumentError(
            f"{function}: takes one axis name, got {axis_name!r}",
            mend="apply it to one axis after the other",
        )
    return names[0]


def _check_extent(function: str, shape: Sequence[int], axis: int, size: int) -> None:
    if shape[axis] != size:
        raise ShapeError(
            f"{function}: the extent {shape[axis]} of axis {axis} is not the axis size {size}",
            mend="pass tiled=True for a multiple of the size",
        )


def _communicator(axis: AxisName, function: str) -> Communicator:
    communicator = find_axis(axis, function).communicator
    if communicator is None:
        raise ArgumentError(
            f"{function}: the axis {axis!r} belongs to a vmap that has ended",
            mend="use the collective inside the mapped function",
        )
    return communicator


def _axes_effects(*, axes: tuple[AxisName, ...], **_: Any) -> Effects:
    return frozenset(axis_effect(axis) for axis in axes)


# --- psum, pmax, pmin -----------------------------------------------------------------------


def _all_reduce(
    name: str,
    combine: Callable[[Any, list[Any]], Any],
    reduce_axis: Callable[[Any, tuple[int, ...]], Any],
    repeated: Callable[[Any, int], Any],
) -> Primitive:
    """An all-reduce.

    Between shards it is `combine(xp, shards)`; under vmap `reduce_axis(x, axes)`, and
    `repeated(x, size)` for a value that is the same in every lane.
    """
    primitive = Primitive(name)

    def abstract(x: ShapedArray, *, axes: tuple[AxisName, ...]) -> ShapedArray:
        for axis in axes:
            find_axis(axis, name)
        return x.strip_weak_type()

    def impl(xp: Any, x: Any, *, axes: tuple[AxisName, ...]) -> Any:
        for axis in axes:
            x = combine(xp, list(_communicator(axis, name).all_gather(x)))
        return x

    def batch(ctx: Any, args: Any, dims: Any, *, axes: tuple[AxisName, ...]) -> Any:
        (x,), (d,) = args, dims
        if ctx.axis_name in axes:
            x = repeated(x, ctx.size) if d is None else reduce_axis(x, (d,))
            axes, d = tuple(a for a in axes if a != ctx.axis_name), None
        return (primitive.bind(x, axes=axes) if axes else x), d

    define(
        primitive,
        abstract=abstract,
        impl=impl,
        jvp=linear_jvp(primitive) if name == "psum" else _extremum_jvp(primitive),
        transpose=_psum_transpose if name == "psum" else NONLINEAR,
        batch=batch,
        effects=_axes_effects,
    )
    return primitive


def _psum_transpose(ctx: Any, ct: Any, x: Any, *, axes: tuple[AxisName, ...]) -> Any:
    return [Zero(x.aval) if type(ct) is Zero else psum_p.bind(ct, axes=axes)]


def _extremum_jvp(primitive: Primitive) -> Callable[..., Any]:
    """Like the derivative of a maximum over an array: ties share it."""

    def rule(ctx: Any, primals: Any, tangents: Any, *, axes: tuple[AxisName, ...]) -> Any:
        (x,), (t,) = primals, tangents
        out = primitive.bind(x, axes=axes)
        if type(t) is Zero:
            return out, Zero(out.aval)
        chosen = convert_element_type(eq(x, out), aval_of(t).dtype)
        count = psum_p.bind(chosen, axes=axes)
        return out, psum_p.bind(div(mul(t, chosen), count), axes=axes)

    return rule


def _sum(xp: Any, shards: list[Any]) -> Any:
    total = shards[0]
    for shard in shards[1:]:  # in order of rank, so that results do not depend on timing
        total = xp.add(total, shard)
    return total


def _extremum(name: str) -> Callable[[Any, list[Any]], Any]:
    def combine(xp: Any, shards: list[Any]) -> Any:
        best = shards[0]
        for shard in shards[1:]:
            best = getattr(xp, name)(best, shard)
        return best

    return combine


psum_p = _all_reduce("psum", _sum, reduce_sum, lambda x, n: mul(x, np.asarray(n, aval_of(x).dtype)))
pmax_p = _all_reduce("pmax", _extremum("maximum"), reduce_max, lambda x, n: x)
pmin_p = _all_reduce("pmin", _extremum("minimum"), reduce_min, lambda x, n: x)


def psum(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The sum of `x` over the named axis (or axes), the same in every lane.

    Args:
        x: a pytree of arrays. Of a Python number the result is a Python number, so
            `psum(1, axis_name)` is the axis' size.
        axis_name: a name given to `vmap` or `pmap`, or several.

    Raises:
        UnboundAxisError: no surrounding `vmap` or `pmap` has the axis.

    Example:
        >>> ff.vmap(lambda x: x / ff.lax.psum(x, "i"), axis_name="i")(fnp.array([1.0, 3.0]))
        Array([0.25, 0.75], dtype=float32)
    """
    axes = _names(axis_name)

    def one(leaf: Any) -> Any:
        if type(leaf) in SCALARS:
            return leaf * product_of_sizes(axes, "psum")
        return psum_p.bind(leaf, axes=axes)

    return tree_map(one, x)


def pmean(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The mean of `x` over the named axis (or axes), the same in every lane."""
    size = product_of_sizes(_names(axis_name), "pmean")

    def one(total: Any) -> Any:
        if type(total) in SCALARS:
            return total / size
        return div(total, np.asarray(size, aval_of(total).dtype))

    return tree_map(one, psum(x, axis_name))


def pmax(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The maximum of `x` over the named axis (or axes), the same in every lane."""
    axes = _names(axis_name)
    return tree_map(lambda leaf: pmax_p.bind(leaf, axes=axes), x)


def pmin(x: Any, axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The minimum of `x` over the named axis (or axes), the same in every lane."""
    axes = _names(axis_name)
    return tree_map(lambda leaf: pmin_p.bind(leaf, axes=axes), x)


# --- axis_index, axis_size ------------------------------------------------------------------

axis_index_p = Primitive("axis_index")


def axis_index(axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The lane's index along the named axis, an int32; along several, in row-major order."""
    index: Any = None
    for axis in _names(axis_name):
        here = axis_index_p.bind(axes=(axis,))
        size = find_axis(axis, "axis_index").size
        index = here if index is None else add(mul(index, np.int32(size)), here)
    return index


def axis_size(axis_name: AxisName | Sequence[AxisName]) -> int:
    """The size of the named axis; of several, the product."""
    return product_of_sizes(_names(axis_name), "axis_size")


def _axis_index_abstract(*, axes: tuple[AxisName, ...]) -> ShapedArray:
    find_axis(axes[0], "axis_index")
    return ShapedArray((), np.dtype("int32"))


define(
    axis_index_p,
    abstract=_axis_index_abstract,
    impl=lambda xp, *, axes: xp.asarray(_communicator(axes[0], "axis_index").rank, xp.int32),
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=lambda ctx, args, dims, *, axes: (iota(np.dtype("int32"), ctx.size), 0),
    effects=_axes_effects,
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
    name = _one_name(axis_name, "all_gather")

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
    return xp.stack(list(_communicator(axes[0], "all_gather").all_gather(x)), axis)


def _all_gather_transpose(ctx: Any, ct: Any, x: Any, *, axes: Any, axis: int) -> Any:
    if type(ct) is Zero:
        return [Zero(x.aval)]
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
    effects=_axes_effects,
)


def psum_scatter(
    x: Any, axis_name: AxisName, *, scatter_dimension: int = 0, tiled: bool = False
) -> Any:
    """The sum over lanes, of which each lane gets one slice along `scatter_dimension`.

    The dimension has the axis' size and disappears; with `tiled` it is a multiple of the size,
    and each lane gets that part of it.
    """
    name = _one_name(axis_name, "psum_scatter")
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
    communicator = _communicator(axes[0], "psum_scatter")
    total = _sum(xp, list(communicator.all_gather(x)))
    return xp.take(total, communicator.rank, axis=axis)


def _psum_scatter_transpose(ctx: Any, ct: Any, x: Any, *, axes: Any, axis: int) -> Any:
    if type(ct) is Zero:
        return [Zero(x.aval)]
    return [all_gather_p.bind(ct, axes=axes, axis=axis)]


def _psum_scatter_batch(ctx: Any, args: Any, dims: Any, *, axes: Any, axis: int) -> Any:
    (x,), (d,) = args, dims
    if ctx.axis_name not in axes:
        return psum_scatter_p.bind(moveaxis(x, d, 0), axes=axes, axis=axis + 1), 0
    if d is None:
        return mul(x, np.asarray(ctx.size, aval_of(x).dtype)), axis
    total = reduce_sum(x, (d,))
    return total, axis


define(
    psum_scatter_p,
    abstract=_psum_scatter_abstract,
    impl=_psum_scatter_impl,
    jvp=linear_jvp(psum_scatter_p),
    transpose=_psum_scatter_transpose,
    batch=_psum_scatter_batch,
    effects=_axes_effects,
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
    name = _one_name(axis_name, "all_to_all")
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
    communicator = _communicator(axes[0], "all_to_all")
    mine = [xp.take(s, communicator.rank, axis=split_axis) for s in communicator.all_gather(x)]
    return xp.stack(mine, concat_axis)


def _all_to_all_transpose(
    ctx: Any, ct: Any, x: Any, *, axes: Any, split_axis: int, concat_axis: int
) -> Any:
    if type(ct) is Zero:
        return [Zero(x.aval)]
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
    effects=_axes_effects,
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
    name = _one_name(axis_name, "ppermute")
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
    size = product_of_sizes(_names(axis_name), "pshuffle")
    if sorted(perm) != list(range(size)):
        raise ArgumentError(
            f"pshuffle: perm={list(perm)} is no permutation of 0..{size - 1}",
            mend="name each lane once, or use ppermute",
        )
    return ppermute(x, axis_name, [(source, i) for i, source in enumerate(perm)])


def pbroadcast(x: Any, axis_name: AxisName, source: int) -> Any:
    """The value of lane `source`, in every lane."""
    size = product_of_sizes(_names(axis_name), "pbroadcast")
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
    communicator = _communicator(axes[0], "ppermute")
    shards = communicator.all_gather(x)
    sources = {b: a for a, b in perm}
    mine = sources.get(communicator.rank)
    return xp.zeros_like(x) if mine is None else shards[mine]


def _ppermute_transpose(ctx: Any, ct: Any, x: Any, *, axes: Any, perm: Any) -> Any:
    if type(ct) is Zero:
        return [Zero(x.aval)]
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
    effects=_axes_effects,
)
