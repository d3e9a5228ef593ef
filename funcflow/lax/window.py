"""Reductions over sliding windows, and the gradients of pooling.

Windows are boxes, so they are reduced one axis after the other, and along an axis either one
element of the windows after the other or by doubling: whichever takes fewer operations. One
`fold_windows` serves the reference implementations on buffers and `reduce_window` on arrays.

The derivative of a maximum over windows reads, for each window, the tangent at the place of the
maximum: a gather at `window_winners`, whose transpose is a scatter-add. Where windows lie side by
side, as in most pooling, each element is in one, and the tangents are chosen elementwise instead.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero
from funcflow.core.errors import ArgumentError
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_structure, tree_unflatten
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, Absent, Rule, define
from funcflow.lax.arithmetic import add_p, max_p, min_p
from funcflow.lax.comparison import eq, ge_p, le_p, select_n
from funcflow.lax.creation import broadcasted_iota, full
from funcflow.lax.dimension_numbers import GatherDimensionNumbers, ScatterDimensionNumbers
from funcflow.lax.forms import ANY, NUMBERS, check_dtype
from funcflow.lax.indexing import gather, scatter_add
from funcflow.lax.linear import linear_jvp
from funcflow.lax.monoid import (
    is_identity,
    max_identity,
    min_identity,
    monoid,
    on_arrays,
    trace_computation,
)
from funcflow.lax.shape import broadcast_to, expand_dims, moveaxis, reduce_sum, reshape
from funcflow.lax.slicing import pad, pad_p, slice_in_dim
from funcflow.lax.slicing import slice as slice_array
from funcflow.lax.window_shapes import Window, canonical_window

# --- folding --------------------------------------------------------------------------------

Arrays = Sequence[Any]


def _slice_buffer(x: Any, start: int, limit: int, stride: int, axis: int) -> Any:
    return x[(slice(None),) * axis + (slice(start, limit, stride),)]


def fold_windows(
    combine: Callable[[Arrays, Arrays], Arrays],
    arrays: Arrays,
    window: Window,
    slice_: Callable[..., Any],
) -> Arrays:
    """Combine the elements of each window, in order, in arrays that are padded already.

    Args:
        combine: merges two lists of arrays, element by element; associative.
        arrays: arrays of one shape.
        window: its strides, dimensions and dilations are used.
        slice_: `slice_(x, start, limit, stride, axis)`.
    """
    for axis in reversed(range(len(window.window_dimensions))):
        arrays = _fold_axis(combine, arrays, window, slice_, axis)
    return arrays


def _fold_axis(
    combine: Callable[[Arrays, Arrays], Arrays],
    arrays: Arrays,
    window: Window,
    slice_: Callable[..., Any],
    axis: int,
) -> Arrays:
    size, stride = window.window_dimensions[axis], window.window_strides[axis]
    apart = window.window_dilation[axis]
    extent = shape_of(arrays[0])[axis]
    room = extent - (size - 1) * apart
    if room <= 0:
        return [slice_(x, 0, 0, 1, axis) for x in arrays]

    def from_(xs: Arrays, start: int, length: int, step: int = 1) -> Arrays:
        return [slice_(x, start, start + length, step, axis) for x in xs]

    doublings = 2 * size.bit_length() - 1
    if (size - 1) * math.ceil(room / stride) <= doublings * extent:
        out = from_(arrays, 0, room, stride)
        for k in range(1, size):
            out = combine(out, from_(arrays, k * apart, room, stride))
        return out
    # `out` is the fold of the first `done` elements, `block` that of `width` = 1, 2, 4, ...
    out: Arrays = ()
    done = 0
    block, width = arrays, 1
    while True:
        if size & width:
            length = extent - (done + width - 1) * apart
            ahead = from_(block, done * apart, length)
            out = combine(from_(out, 0, length), ahead) if done else ahead
            done += width
        if done == size:
            return from_(out, 0, room, stride)
        length = extent - (2 * width - 1) * apart
        block = combine(from_(block, 0, length), from_(block, width * apart, length))
        width *= 2


# --- sum, maximum and minimum -----------------------------------------------------------------


def _window_reduction(
    name: str,
    takes: str,
    ufunc: str,
    identity: Callable[[Any], Any],
    jvp: Callable[[Primitive], Rule],
    transpose: Rule | Absent = NONLINEAR,
) -> Primitive:
    """A primitive that combines the elements of each window; its parameters are `Window`'s."""
    primitive = Primitive(name)

    def abstract(x: ShapedArray, **window: Any) -> ShapedArray:
        check_dtype(name, x, takes)
        return x.update(shape=Window(**window).shape(x.shape))

    def impl(xp: Any, x: Any, **params: Any) -> Any:
        window, dtype = Window(**params), x.dtype
        wide = x.astype(dtypes.accumulator(dtype), copy=False)
        padded = _pad_buffer(xp, wide, identity(wide.dtype), window)
        operation = getattr(xp, ufunc)
        (out,) = fold_windows(lambda a, b: [operation(a[0], b[0])], [padded], window, _slice_buffer)
        return out.astype(dtype, copy=False)

    def batch(ctx: Any, args: Any, dims: Any, **window: Any) -> Any:
        (x,), (d,) = args, dims
        return primitive.bind(x, **Window(**window).insert_axis(d)._asdict()), d

    define(
        primitive,
        abstract=abstract,
        impl=impl,
        jvp=jvp(primitive),
        transpose=transpose,
        batch=batch,
    )
    return primitive


def _pad_buffer(xp: Any, x: Any, value: Any, window: Window) -> Any:
    config = window.padding_config()
    return rules.impl[pad_p](xp, x, xp.asarray(value, dtype=x.dtype), padding_config=config)


def _window_sum_transpose(ctx: Any, ct: Any, x: Any, **window: Any) -> Any:
    back = Window(**window).transposed(x.aval.shape)
    return [reduce_window_sum_p.bind(ct, **back._asdict())]


def _window_extremum_jvp(select: str) -> Callable[[Primitive], Rule]:
    def of(primitive: Primitive) -> Rule:
        def rule(ctx: Any, primals: Any, tangents: Any, **window: Any) -> Any:
            (x,), (t,) = primals, tangents
            out = primitive.bind(x, **window)
            if type(t) is Zero:
                return out, Zero(out.aval)
            winners = window_winners_p.bind(x, select=select, batch_dims=0, **window)
            if _features_in_tiles(Window(**window), x.shape):
                return out, _at_winners_of_tiles(t, winners, Window(**window))
            return out, _at_winners(t, winners)

        return rule

    return of


reduce_window_sum_p = _window_reduction(
    "reduce_window_sum",
    NUMBERS,
    "add",
    lambda dtype: np.zeros((), dtype),
    linear_jvp,
    _window_sum_transpose,
)
reduce_window_max_p = _window_reduction(
    "reduce_window_max", ANY, "maximum", max_identity, _window_extremum_jvp("max")
)
reduce_window_min_p = _window_reduction(
    "reduce_window_min", ANY, "minimum", min_identity, _window_extremum_jvp("min")
)
_REDUCTIONS = {
    add_p: reduce_window_sum_p,
    max_p: reduce_window_max_p,
    min_p: reduce_window_min_p,
}


def reduce_window(
    operand: Any,
    init_value: Any,
    computation: Callable[[Any, Any], Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """Combine the elements of each window that slides over `operand`.

    Sums, maxima and minima are recognised; of equal maxima in a window the first gets the
    derivative.

    Args:
        operand: an array, or a pytree of arrays of one shape.
        init_value: a scalar for each of them: the value to start from, and to pad with where the
            neutral element is not known; normally it is the neutral element of `computation`.
        computation: an associative function of two scalars, or of two pytrees of scalars.
        window_dimensions: the windows' extents, one for each axis.
        window_strides: the distances of neighbouring windows; 1 by default.
        padding: "VALID", "SAME", "SAME_LOWER" (see `padtype_to_pads`), or for each axis a pair:
            how many elements to put before and after; negative numbers crop.
        base_dilation: the distances of the operand's elements, with `init_value` between; 1 by
            default.
        window_dilation: the distances of a window's elements; 1 by default.

    Returns:
        Arrays of the operands' structure and dtypes.

    Raises:
        ShapeError: the operands differ in shape, or an argument has not one entry per axis.
        ArgumentError: an extent, stride or dilation is not positive.
        DtypeError, TreeStructureError: see `reduce`.

    Example:
        >>> ff.lax.reduce_window(fnp.arange(5), 0, ff.lax.add, (2,), (1,), "VALID")
        Array([1, 3, 5, 7], dtype=int32)
    """
    closed, leaves, inits = trace_computation("reduce_window", computation, operand, init_value)
    aval = aval_of(leaves[0])
    window = canonical_window(
        "reduce_window",
        aval.shape,
        window_dimensions,
        window_strides,
        padding,
        base_dilation,
        window_dilation,
    )
    treedef = tree_structure(operand)
    operation, identity = monoid(closed) or (None, None)
    combine = on_arrays(closed)
    if operation in _REDUCTIONS:
        folded = [_REDUCTIONS[operation].bind(leaves[0], **window._asdict())]
    else:
        # padding is neutral where it is known how
        fills = inits if identity is None else [identity]
        padded = [pad(x, i, window.padding_config()) for x, i in zip(leaves, fills, strict=True)]
        folded = fold_windows(combine, padded, window, slice_in_dim)
    if identity is None or not is_identity(inits[0], identity):
        starts = [broadcast_to(i, shape_of(x)) for i, x in zip(inits, folded, strict=True)]
        folded = combine(starts, folded)
    return tree_unflatten(treedef, folded)


# --- the place of a window's extremum ---------------------------------------------------------

window_winners_p = Primitive("window_winners")


def _winners_abstract(
    x: ShapedArray, *, select: str, batch_dims: int, **window: Any
) -> ShapedArray:
    return ShapedArray(Window(**window).shape(x.shape), _index_dtype(x.shape))


def _index_dtype(shape: Shape) -> np.dtype[Any]:
    return np.dtype("int32" if math.prod(shape) < 2**31 else "int64")


def _winners_impl(xp: Any, x: Any, *, select: str, batch_dims: int, **params: Any) -> Any:
    """The flat index, not counting the first `batch_dims` axes, of each window's extremum.

    It is the first NaN, if there is one, else the first extremum; -1 if a window holds nothing
    but padding.
    """
    window = Window(**params)
    beats = xp.greater if select == "max" else xp.less

    def better(left: Arrays, right: Arrays) -> Arrays:
        (x, i), (y, j) = left, right
        wins = beats(y, x) | (xp.isnan(y) & ~xp.isnan(x))
        wins = (i < 0) | ((j >= 0) & wins)
        return [xp.where(wins, y, x), xp.where(wins, j, i)]

    shape = x.shape[batch_dims:]
    places = xp.arange(math.prod(shape), dtype=_index_dtype(x.shape)).reshape(shape)
    places = _pad_buffer(xp, xp.broadcast_to(places, x.shape), -1, window)
    values = _pad_buffer(xp, x, 0, window)
    return fold_windows(better, [values, places], window, _slice_buffer)[1]


def _winners_batch(
    ctx: Any, args: Any, dims: Any, *, select: str, batch_dims: int, **window: Any
) -> Any:
    window = Window(**window).insert_axis(0)._asdict()
    x = moveaxis(args[0], dims[0], 0)
    return window_winners_p.bind(x, select=select, batch_dims=batch_dims + 1, **window), 0


define(
    window_winners_p,
    abstract=_winners_abstract,
    impl=_winners_impl,
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=_winners_batch,
)


def _at_winners(x: Any, winners: Any) -> Any:
    """The elements of `x` at the winners, zero where a window has none."""
    size = math.prod(shape_of(x))
    if size == 0:  # nothing to gather from
        return full(shape_of(winners), 0, aval_of(x).dtype)
    return gather(
        reshape(x, (size,)),
        expand_dims(winners, (ndim_of(winners),)),
        GatherDimensionNumbers((), (0,), (0,)),
        (1,),
        mode="fill",
        fill_value=0,
    )


def _features_in_tiles(window: Window, shape: Shape) -> bool:
    """Whether windows lie side by side, each over vectors of features of the last axis."""
    return window.tiles and window.window_dimensions[-1:] == (1,) and shape[-1] >= _FEATURES


# With fewer in a vector a scatter-add is as fast.
_FEATURES = 16


def _at_winners_of_tiles(t: Any, winners: Any, window: Window) -> Any:
    """The elements of `t` at the winners, where windows lie side by side: sums with one term.

    The transpose is elementwise, which is faster than the scatter-add of `_at_winners`.
    """
    shape, dtype = shape_of(t), aval_of(winners).dtype
    counts, extents = shape_of(winners), window.window_dimensions
    tiles = tuple(n for pair in zip(counts, extents, strict=True) for n in pair)
    inside = tuple(range(1, len(tiles), 2))
    places: Any = 0  # in the flat array; axes 2i and 2i + 1 are windows and what is in them
    for axis, extent in enumerate(extents):
        step = math.prod(shape[axis + 1 :])
        for k, distance in ((2 * axis, extent * step), (2 * axis + 1, step)):
            if tiles[k] > 1:
                along = broadcasted_iota(dtype, tiles, k)
                places = places + along * dtype.type(distance)
    chosen = eq(places, broadcast_to(expand_dims(winners, inside), tiles))
    covered = [n * extent for n, extent in zip(counts, extents, strict=True)]
    parts = reshape(slice_array(t, [0] * len(covered), covered), tiles)
    return reduce_sum(select_n(chosen, full(tiles, 0, aval_of(t).dtype), parts), inside)


def select_and_gather_add(
    tangents: Any,
    operand: Any,
    select_prim: Primitive,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None,
    window_dilation: Sequence[int] | None = None,
) -> Any:
    """For each window, the element of `tangents` where `operand` has its first extremum.

    `select_prim` is `ge_p` for maxima, `le_p` for minima; for the others see `reduce_window`.
    Windows of padding alone give zero.
    """
    window = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return _at_winners(tangents, _winners("select_and_gather_add", operand, select_prim, window))


def select_and_scatter_add(
    source: Any,
    operand: Any,
    select_prim: Primitive,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None,
    padding: str | Sequence[tuple[int, int]] = "VALID",
) -> Any:
    """Add each window's entry of `source` to where `operand` has the window's first extremum.

    This is the transpose of `select_and_gather_add`. The result has the operand's shape and the
    source's dtype.

    Example:
        >>> x = fnp.array([1.0, 3.0, 2.0, 4.0])
        >>> ff.lax.select_and_scatter_add(fnp.ones(3), x, ff.lax.ge_p, (2,))
        Array([0., 2., 0., 1.], dtype=float32)
    """
    window = (window_dimensions, window_strides, padding, None, None)
    winners = _winners("select_and_scatter_add", operand, select_prim, window)
    shape = shape_of(operand)
    flat = scatter_add(
        full((math.prod(shape),), 0, aval_of(source).dtype),
        expand_dims(winners, (ndim_of(winners),)),
        source,
        ScatterDimensionNumbers((), (0,), (0,)),
        mode="drop",
    )
    return reshape(flat, shape)


_SELECTS = {ge_p: "max", le_p: "min"}


def _winners(function: str, operand: Any, select_prim: Primitive, window: Any) -> Any:
    if select_prim not in _SELECTS:
        raise ArgumentError(
            f"{function}: select_prim must be ge_p or le_p, got {select_prim}",
            mend="use ff.lax.ge_p for maxima, ff.lax.le_p for minima",
        )
    canonical = canonical_window(function, shape_of(operand), *window)
    return window_winners_p.bind(
        operand, select=_SELECTS[select_prim], batch_dims=0, **canonical._asdict()
    )
