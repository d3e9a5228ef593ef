"""Joining arrays, and splitting, its transpose; `stack`, `unstack` and `tile`."""

import operator
from collections.abc import Sequence
from typing import Any

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.forms import check_same_dtypes
from funcflow.lax.linear import canonical_axis
from funcflow.lax.shape import broadcast_in_dim, expand_dims, instantiate, reshape
from funcflow.lax.slicing import jointly_linear_jvp

# --- concatenate ----------------------------------------------------------------------------

concatenate_p = Primitive("concatenate")


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """Join arrays along an axis that they have.

    Args:
        operands: one or more arrays of one dtype, with equal shapes except along `dimension`.
        dimension: the axis to join along.

    Returns:
        An array of the operands' dtype.

    Raises:
        ArgumentError: there is no operand.
        ShapeError: the shapes do not fit together.
        DtypeError: the dtypes differ.

    Example:
        >>> ff.lax.concatenate([fnp.zeros(1), fnp.ones(2)], 0)
        Array([0., 1., 1.], dtype=float32)
    """
    operands = list(operands)
    if not operands:
        raise ArgumentError("concatenate: no operands given", mend="pass at least one array")
    dimension = canonical_axis(dimension, ndim_of(operands[0]), "concatenate")
    if len(operands) == 1:
        return operands[0]
    return concatenate_p.bind(*operands, dimension=dimension)


def _joined_shape(shapes: Sequence[Shape], dimension: int) -> Shape:
    """The shape of a concatenation; raises where the shapes do not fit together."""
    first = shapes[0]
    before, after = first[:dimension], first[dimension + 1 :]
    for shape in shapes:
        if (
            len(shape) != len(first)
            or shape[:dimension] != before
            or shape[dimension + 1 :] != after
        ):
            raise ShapeError(
                f"concatenate: shapes {', '.join(map(str, shapes))} differ at other axes than "
                f"{dimension}",
                mend="make the other extents equal",
            )
    return (*before, sum(shape[dimension] for shape in shapes), *after)


def _concatenate_abstract(*avals: ShapedArray, dimension: int) -> ShapedArray:
    check_same_dtypes("concatenate", avals)
    shape = _joined_shape([aval.shape for aval in avals], dimension)
    return ShapedArray(shape, avals[0].dtype, all(aval.weak_type for aval in avals))


def _concatenate_impl(xp: Any, *arrays: Any, dimension: int) -> Any:
    first = arrays[0].dtype
    if any(array.dtype != first for array in arrays):
        check_same_dtypes("concatenate", [aval_of(array) for array in arrays])
    _joined_shape([array.shape for array in arrays], dimension)
    return xp.concatenate(arrays, axis=dimension)


def _concatenate_transpose(ctx: Any, ct: Any, *arrays: Any, dimension: int) -> Any:
    sizes = [(x.aval if is_undefined(x) else aval_of(x)).shape[dimension] for x in arrays]
    parts = split(ct, sizes, dimension)
    return [part if is_undefined(x) else None for x, part in zip(arrays, parts, strict=True)]


def _concatenate_batch(
    ctx: Any, args: Sequence[Any], dims: Sequence[int | None], *, dimension: int
) -> Any:
    arrays = [ctx.to_front(x, d) for x, d in zip(args, dims, strict=True)]
    return concatenate_p.bind(*arrays, dimension=dimension + 1), 0


define(
    concatenate_p,
    abstract=_concatenate_abstract,
    impl=_concatenate_impl,
    jvp=jointly_linear_jvp(concatenate_p),
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
)

# --- split ----------------------------------------------------------------------------------

split_p = Primitive("split", multiple_results=True)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Cut an array into consecutive parts of the given sizes along `axis`.

    Raises:
        ShapeError: the sizes do not add up to the axis' extent.

    Example:
        >>> ff.lax.split(fnp.arange(3), (1, 2))
        [Array([0], dtype=int32), Array([1, 2], dtype=int32)]
    """
    axis = canonical_axis(axis, ndim_of(operand), "split")
    return split_p.bind(operand, sizes=tuple(map(operator.index, sizes)), axis=axis)


def _check_sizes(shape: Shape, sizes: tuple[int, ...], axis: int) -> None:
    if sum(sizes) != shape[axis] or any(size < 0 for size in sizes):
        raise ShapeError(
            f"split: sizes {sizes} do not divide axis {axis} of an array of shape {shape}",
            mend=f"give sizes that are not negative and add up to {shape[axis]}",
        )


def _split_abstract(x: ShapedArray, *, sizes: tuple[int, ...], axis: int) -> list[ShapedArray]:
    _check_sizes(x.shape, sizes, axis)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    return [ShapedArray((*before, size, *after), x.dtype, x.weak_type) for size in sizes]


def _split_impl(xp: Any, x: Any, *, sizes: tuple[int, ...], axis: int) -> Any:
    _check_sizes(x.shape, sizes, axis)
    parts, start = [], 0
    before = (slice(None),) * axis
    for size in sizes:
        parts.append(x[(*before, slice(start, start + size))])
        start += size
    return parts


def _split_jvp(ctx: Any, primals: Any, tangents: Any, **params: Any) -> Any:
    outs = split_p.bind(*primals, **params)
    if type(tangents[0]) is Zero:
        return outs, [Zero(out.aval) for out in outs]
    return outs, split_p.bind(tangents[0], **params)


def _split_transpose(
    ctx: Any, cts: Sequence[Any], x: Any, *, sizes: tuple[int, ...], axis: int
) -> Any:
    return [concatenate([instantiate(ct) for ct in cts], axis)]


def _split_batch(ctx: Any, args: Any, dims: Any, *, sizes: tuple[int, ...], axis: int) -> Any:
    (x,), (d,) = args, dims
    return split_p.bind(x, sizes=sizes, axis=axis + (axis >= d)), [d] * len(sizes)


define(
    split_p,
    abstract=_split_abstract,
    impl=_split_impl,
    jvp=_split_jvp,
    transpose=_split_transpose,
    batch=_split_batch,
)

# --- stack, unstack, tile -------------------------------------------------------------------


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """Join arrays of one shape and dtype along a new axis.

    Raises:
        ArgumentError: there is no operand.
        ShapeError: the shapes differ.

    Example:
        >>> ff.lax.stack([fnp.zeros(2), fnp.ones(2)]).shape
        (2, 2)
    """
    operands = list(operands)
    if not operands:
        raise ArgumentError("stack: no operands given", mend="pass at least one array")
    shapes = {shape_of(x) for x in operands}
    if len(shapes) > 1:
        raise ShapeError(
            f"stack: the shapes {', '.join(str(shape_of(x)) for x in operands)} differ",
            mend="stack arrays of one shape",
        )
    axis = canonical_axis(axis, len(shapes.pop()) + 1, "stack")
    return concatenate([expand_dims(x, (axis,)) for x in operands], axis)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The elements along an axis, one array for each index; the axis disappears.

    Example:
        >>> ff.lax.unstack(fnp.arange(2))
        (Array(0, dtype=int32), Array(1, dtype=int32))
    """
    shape = shape_of(x)
    axis = canonical_axis(axis, len(shape), "unstack")
    rest = (*shape[:axis], *shape[axis + 1 :])
    return tuple(reshape(part, rest) for part in split(x, (1,) * shape[axis], axis))


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """The array repeated `reps[i]` times in a row along each axis `i`.

    Raises:
        ShapeError: there is not one number for each axis, or one is negative.

    Example:
        >>> ff.lax.tile(fnp.arange(2), (3,))
        Array([0, 1, 0, 1, 0, 1], dtype=int32)
    """
    shape, reps = shape_of(operand), tuple(map(operator.index, reps))
    if len(reps) != len(shape) or any(count < 0 for count in reps):
        raise ShapeError(
            f"tile: reps {reps} for an operand of shape {shape}",
            mend="give one number, at least 0, for each axis",
        )
    if all(count == 1 for count in reps):
        return operand
    interleaved = [size for pair in zip(reps, shape, strict=True) for size in pair]
    repeated = broadcast_in_dim(operand, interleaved, range(1, 2 * len(shape), 2))
    return reshape(repeated, [count * extent for count, extent in zip(reps, shape, strict=True)])
