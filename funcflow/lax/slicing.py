"""Static slices and their transpose, `pad`; reversal."""

import builtins
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, OutOfBoundsError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.comparison import select
from funcflow.lax.creation import full
from funcflow.lax.forms import check_same_dtypes, same_dtype
from funcflow.lax.linear import canonical_axes, canonical_axis, linear_jvp
from funcflow.lax.shape import broadcast_in_dim, instantiate, reduce_sum, squeeze

PaddingConfig = tuple[tuple[int, int, int], ...]


def jointly_linear_jvp(
    primitive: Primitive, positions: tuple[int, ...] | None = None
) -> Callable[..., Any]:
    """The forward rule of an operation that is linear in several arguments taken together.

    Args:
        primitive: the operation.
        positions: which arguments these are; all by default. The others are held fixed.
    """

    def rule(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        linear = range(len(primals)) if positions is None else positions
        out = primitive.bind(*primals, **params)
        if all(type(tangents[i]) is Zero for i in linear):
            return out, Zero(out.aval)
        args = list(primals)
        for i in linear:
            args[i] = instantiate(tangents[i])
        return out, primitive.bind(*args, **params)

    return rule


# --- slice ----------------------------------------------------------------------------------

slice_p = Primitive("slice")


def slice(
    operand: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """The elements from `start_indices` up to, not including, `limit_indices`.

    Args:
        operand: an array.
        start_indices: the first index along each axis, at least 0.
        limit_indices: the end along each axis, at most the extent.
        strides: the step along each axis, at least 1; all 1 by default.

    Returns:
        An array of the operand's dtype; extent `ceil((limit - start) / stride)` along each axis.

    Raises:
        ShapeError: the numbers of indices differ, or the bounds are not
            `0 <= start <= limit <= extent`.

    Example:
        >>> ff.lax.slice(fnp.arange(6), (1,), (6,), (2,))
        Array([1, 3, 5], dtype=int32)
    """
    starts = tuple(map(operator.index, start_indices))
    limits = tuple(map(operator.index, limit_indices))
    steps = None if strides is None else tuple(map(operator.index, strides))
    shape = shape_of(operand)
    if steps == (1,) * len(shape):
        steps = None
    if steps is None and limits == shape and starts == (0,) * len(shape):
        return operand
    return slice_p.bind(operand, start_indices=starts, limit_indices=limits, strides=steps)


def _sliced_shape(
    shape: Shape, starts: tuple[int, ...], limits: tuple[int, ...], strides: tuple[int, ...] | None
) -> Shape:
    """The shape of a slice; raises where it is none."""
    steps = (1,) * len(shape) if strides is None else strides
    if not len(starts) == len(limits) == len(steps) == len(shape):
        raise ShapeError(
            f"slice: start_indices {starts}, limit_indices {limits} and strides {strides} for an "
            f"operand of {len(shape)} dimensions",
            mend="give one start, limit and stride for each axis",
        )
    for start, limit, step, extent in zip(starts, limits, steps, shape, strict=True):
        if not 0 <= start <= limit <= extent or step < 1:
            raise ShapeError(
                f"slice: start_indices {starts}, limit_indices {limits} and strides {strides} do "
                f"not fit an operand of shape {shape}",
                mend="along each axis 0 <= start <= limit <= extent and 1 <= stride; "
                "x[start:limit:stride] slices as NumPy does",
            )
    return tuple(
        -(-(limit - start) // step)
        for start, limit, step in zip(starts, limits, steps, strict=True)
    )


def _slice_abstract(
    x: ShapedArray, *, start_indices: Any, limit_indices: Any, strides: Any
) -> ShapedArray:
    shape = _sliced_shape(x.shape, start_indices, limit_indices, strides)
    return ShapedArray(shape, x.dtype, x.weak_type)


def _slice_impl(xp: Any, x: Any, *, start_indices: Any, limit_indices: Any, strides: Any) -> Any:
    _sliced_shape(x.shape, start_indices, limit_indices, strides)
    steps = strides or (1,) * x.ndim
    return x[tuple(map(builtins.slice, start_indices, limit_indices, steps))]


def _slice_transpose(
    ctx: Any, ct: Any, x: Any, *, start_indices: Any, limit_indices: Any, strides: Any
) -> Any:
    steps = strides or (1,) * x.aval.ndim
    config = []
    for start, step, extent, size in zip(start_indices, steps, x.aval.shape, ct.shape, strict=True):
        reached = start + (size - 1) * step + 1 if size else start
        config.append((start, extent - reached, step - 1))
    return [pad(ct, 0, config)]


def _slice_batch(
    ctx: Any, args: Any, dims: Any, *, start_indices: Any, limit_indices: Any, strides: Any
) -> Any:
    (x,), (d,) = args, dims
    whole = x.shape[d]
    return slice_p.bind(
        x,
        start_indices=_inserted(start_indices, d, 0),
        limit_indices=_inserted(limit_indices, d, whole),
        strides=None if strides is None else _inserted(strides, d, 1),
    ), d


def _inserted(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*items[:place], item, *items[place:])


define(
    slice_p,
    abstract=_slice_abstract,
    impl=_slice_impl,
    jvp=linear_jvp(slice_p),
    transpose=_slice_transpose,
    batch=_slice_batch,
)


def slice_in_dim(
    operand: Any,
    start_index: int | None,
    limit_index: int | None,
    stride: int = 1,
    axis: int = 0,
) -> Any:
    """A slice along one axis; see `slice`.

    Negative indices count from the end; None stands for the axis' beginning or end.

    Example:
        >>> ff.lax.slice_in_dim(fnp.arange(5), 1, -1)
        Array([1, 2, 3], dtype=int32)
    """
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "slice_in_dim")
    extent = shape[axis]
    start = 0 if start_index is None else operator.index(start_index)
    limit = extent if limit_index is None else operator.index(limit_index)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis] = start + extent if start < 0 else start
    limits[axis] = limit + extent if limit < 0 else limit
    strides[axis] = operator.index(stride)
    return slice(operand, starts, limits, strides)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """The elements at one index of an axis, which stays with extent 1 if `keepdims`.

    Raises:
        OutOfBoundsError: the index is out of bounds; negative ones count from the end.
    """
    shape = shape_of(operand)
    axis = canonical_axis(axis, len(shape), "index_in_dim")
    extent, index = shape[axis], operator.index(index)
    if not -extent <= index < extent:
        raise OutOfBoundsError(
            f"index_in_dim: index {index} is out of bounds for axis {axis} of extent {extent}",
            mend=f"use an index from {-extent} to {extent - 1}" if extent else "the axis is empty",
        )
    index %= extent
    found = slice_in_dim(operand, index, index + 1, axis=axis)
    return found if keepdims else squeeze(found, (axis,))


# --- pad ------------------------------------------------------------------------------------

pad_p = Primitive("pad")


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """Put `padding_value` around and between the elements.

    Args:
        operand: an array.
        padding_value: a scalar of the operand's dtype.
        padding_config: for each axis `(low, high, interior)`: how many values come before the
            first element, after the last, and between neighbours. Negative `low` and `high`
            drop elements instead, after the interior padding.

    Returns:
        An array of the operand's dtype.

    Raises:
        ShapeError: there is not one entry per axis, or an axis would be of negative extent.
        DtypeError: `padding_value` is of another dtype.

    Example:
        >>> ff.lax.pad(fnp.array([1, 2, 3]), 0, [(1, -1, 1)])
        Array([0, 1, 0, 2, 0], dtype=int32)
    """
    config = tuple(
        (operator.index(low), operator.index(high), operator.index(interior))
        for low, high, interior in padding_config
    )
    operand, padding_value = same_dtype(operand, padding_value)
    return pad_p.bind(operand, padding_value, padding_config=config)


def _padded_shape(shape: Shape, value_shape: Shape, config: PaddingConfig) -> Shape:
    """The shape of a padded array; raises where the padding is none."""
    if value_shape:
        raise ShapeError(
            f"pad: padding_value must be a scalar, got an array of shape {value_shape}",
            mend="pass an array of no dimension",
        )
    if len(config) != len(shape):
        raise ShapeError(
            f"pad: padding_config {config} for an operand of {len(shape)} dimensions",
            mend="give one (low, high, interior) for each axis",
        )
    if any(interior < 0 for _, _, interior in config):
        raise ArgumentError(
            f"pad: interior padding must not be negative, got {config}",
            mend="use strided slices to drop elements in between",
        )
    padded = tuple(
        low + _dilated(extent, interior) + high
        for extent, (low, high, interior) in zip(shape, config, strict=True)
    )
    if any(extent < 0 for extent in padded):
        raise ShapeError(
            f"pad: padding_config {config} makes the shape {shape} negative: {padded}",
            mend="drop at most as many elements as there are",
        )
    return padded


def _dilated(extent: int, interior: int) -> int:
    return max(extent + (extent - 1) * interior, 0)


def _pad_abstract(
    x: ShapedArray, value: ShapedArray, *, padding_config: PaddingConfig
) -> ShapedArray:
    check_same_dtypes("pad", (x, value))
    shape = _padded_shape(x.shape, value.shape, padding_config)
    return ShapedArray(shape, x.dtype, x.weak_type and value.weak_type)


def _pad_impl(xp: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> Any:
    if x.dtype != value.dtype:
        check_same_dtypes("pad", (aval_of(x), aval_of(value)))
    shape = _padded_shape(x.shape, value.shape, padding_config)
    out = xp.empty(shape, x.dtype)
    out[...] = value
    source, target = [], []
    for extent, size, (low, _, interior) in zip(x.shape, shape, padding_config, strict=True):
        step = interior + 1
        first = max(math.ceil(-low / step), 0)  # the first element that is not dropped
        count = max(min(extent, math.ceil((size - low) / step)) - first, 0)
        source.append(builtins.slice(first, first + count))
        start = low + first * step
        target.append(
            builtins.slice(start, start + (count - 1) * step + 1 if count else start, step)
        )
    out[tuple(target)] = x[tuple(source)]
    return out


def _pad_transpose(ctx: Any, ct: Any, x: Any, value: Any, *, padding_config: PaddingConfig) -> Any:
    shape = x.aval.shape if is_undefined(x) else shape_of(x)
    x_ct = value_ct = None
    if is_undefined(x):
        unpad = [(-low, -high, 0) for low, high, _ in padding_config]
        steps = [interior + 1 for _, _, interior in padding_config]
        dilated = [
            _dilated(extent, interior)
            for extent, (_, _, interior) in zip(shape, padding_config, strict=True)
        ]
        if 0 in shape:  # its dilation may be longer than what padding can undo
            x_ct = Zero(x.aval)
        else:
            x_ct = slice(pad(ct, 0, unpad), [0] * len(shape), dilated, steps)
    if is_undefined(value):
        # summing what is padding, not all minus the rest, so that nothing cancels
        outside = _padding_mask(shape, padding_config)
        value_ct = reduce_sum(select(outside, ct, 0), range(len(shape)))
    return [x_ct, value_ct]


def _padding_mask(shape: Shape, config: PaddingConfig) -> Any:
    """True where a padded array holds the padding value."""
    return pad(full(shape, False), True, config)


def _pad_batch(ctx: Any, args: Any, dims: Any, *, padding_config: PaddingConfig) -> Any:
    (x, value), (d, value_d) = args, dims
    if value_d is None:
        return pad_p.bind(x, value, padding_config=_inserted(padding_config, d, (0, 0, 0))), d
    # one padding value per lane: pad with zeros, then put each lane's value into its padding
    x, value = ctx.to_front(x, d), ctx.to_front(value, value_d)
    padded = pad(x, 0, ((0, 0, 0), *padding_config))
    outside = _padding_mask(x.shape[1:], padding_config)
    values = broadcast_in_dim(value, padded.shape, (0,))
    return select(outside, values, padded), 0


define(
    pad_p,
    abstract=_pad_abstract,
    impl=_pad_impl,
    jvp=jointly_linear_jvp(pad_p),
    transpose=_pad_transpose,
    batch=_pad_batch,
)

# --- rev ------------------------------------------------------------------------------------

rev_p = Primitive("rev")


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """The elements in reverse order along `dimensions`."""
    dimensions = canonical_axes(dimensions, ndim_of(operand), "rev")
    return rev_p.bind(operand, dimensions=dimensions) if dimensions else operand


def _rev_impl(xp: Any, x: Any, *, dimensions: tuple[int, ...]) -> Any:
    backwards, forwards = builtins.slice(None, None, -1), builtins.slice(None)
    return x[tuple(backwards if i in dimensions else forwards for i in range(x.ndim))]


def _rev_batch(ctx: Any, args: Any, dims: Any, *, dimensions: tuple[int, ...]) -> Any:
    (x,), (d,) = args, dims
    return rev_p.bind(x, dimensions=tuple(i + (i >= d) for i in dimensions)), d


define(
    rev_p,
    abstract=lambda x, *, dimensions: x,
    impl=_rev_impl,
    jvp=linear_jvp(rev_p),
    transpose=lambda ctx, ct, x, *, dimensions: [rev(ct, dimensions)],
    batch=_rev_batch,
)
