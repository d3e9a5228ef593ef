"""Operations that rearrange or repeat elements, and `reduce_sum`, the transpose of repeating."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero
from funcflow.core.dtypes import accumulator
from funcflow.core.errors import ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.linear import canonical_axes, canonical_axis, linear_jvp

# --- broadcast_in_dim ---------------------------------------------------------------------

broadcast_in_dim_p = Primitive("broadcast_in_dim")


def broadcast_in_dim(
    operand: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int]
) -> Any:
    """Repeat `operand` to `shape`; its axis `i` becomes axis `broadcast_dimensions[i]`.

    An axis of extent 1 may grow. The result has the operand's dtype.

    Raises:
        ShapeError: an extent is neither 1 nor the result's.

    Example:
        >>> ff.lax.broadcast_in_dim(fnp.arange(3), (2, 3), (1,)).shape
        (2, 3)
    """
    shape, dims = tuple(map(int, shape)), tuple(map(int, broadcast_dimensions))
    if shape_of(operand) == shape and dims == tuple(range(len(shape))):
        return operand
    return broadcast_in_dim_p.bind(operand, shape=shape, broadcast_dimensions=dims)


def _broadcast_in_dim_abstract(
    x: ShapedArray, *, shape: Shape, broadcast_dimensions: tuple[int, ...]
) -> ShapedArray:
    if len(broadcast_dimensions) != x.ndim:
        raise ShapeError(
            f"broadcast_in_dim: {len(broadcast_dimensions)} broadcast_dimensions for an operand of "
            f"{x.ndim} dimensions",
            mend="name one axis of the result for each axis of the operand",
        )
    for extent, dim in zip(x.shape, broadcast_dimensions, strict=True):
        if not 0 <= dim < len(shape) or extent not in (1, shape[dim]):
            raise ShapeError(
                f"broadcast_in_dim: an operand of shape {x.shape} does not fit into {shape} along "
                f"broadcast_dimensions {broadcast_dimensions}",
                mend="each extent must be 1 or the result's",
            )
    if list(broadcast_dimensions) != sorted(set(broadcast_dimensions)):
        raise ShapeError(
            f"broadcast_in_dim: broadcast_dimensions {broadcast_dimensions} must increase",
            mend="transpose the operand first",
        )
    return ShapedArray(shape, x.dtype, x.weak_type)


def _broadcast_in_dim_impl(
    xp: Any, x: Any, *, shape: Shape, broadcast_dimensions: tuple[int, ...]
) -> Any:
    aligned = [1] * len(shape)
    for extent, dim in zip(x.shape, broadcast_dimensions, strict=True):
        aligned[dim] = extent
    return xp.broadcast_to(x.reshape(aligned), shape)


def _broadcast_in_dim_transpose(
    ctx: Any, ct: Any, x: Any, *, shape: Shape, broadcast_dimensions: tuple[int, ...]
) -> Any:
    new = [i for i in range(len(shape)) if i not in broadcast_dimensions]
    grown = [
        dim
        for extent, dim in zip(x.aval.shape, broadcast_dimensions, strict=True)
        if extent == 1 and shape[dim] != 1
    ]
    return [reshape(reduce_sum(ct, tuple(new + grown)), x.aval.shape)]


def _broadcast_in_dim_batch(
    ctx: Any, args: Any, dims: Any, *, shape: Shape, broadcast_dimensions: tuple[int, ...]
) -> Any:
    (x,), (d,) = args, dims
    x = moveaxis(x, d, 0)
    shape = (x.shape[0], *shape)
    return broadcast_in_dim(x, shape, (0, *(i + 1 for i in broadcast_dimensions))), 0


define(
    broadcast_in_dim_p,
    abstract=_broadcast_in_dim_abstract,
    impl=_broadcast_in_dim_impl,
    jvp=linear_jvp(broadcast_in_dim_p),
    transpose=_broadcast_in_dim_transpose,
    batch=_broadcast_in_dim_batch,
)


def broadcast(operand: Any, sizes: Sequence[int]) -> Any:
    """Repeat `operand` along new leading axes of the given sizes."""
    ndim = ndim_of(operand)
    shape = (*sizes, *shape_of(operand))
    return broadcast_in_dim(operand, shape, tuple(range(len(sizes), len(sizes) + ndim)))


def broadcast_to(operand: Any, shape: Sequence[int]) -> Any:
    """Repeat `operand` to `shape` as NumPy does: axes are aligned from the right."""
    offset = len(shape) - ndim_of(operand)
    return broadcast_in_dim(operand, shape, tuple(range(offset, len(shape))))


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """The array with axes of extent 1 in front until it has `rank` axes, if it has fewer.

    Example:
        >>> ff.lax.broadcast_to_rank(fnp.zeros(3), 2).shape
        (1, 3)
    """
    return expand_dims(x, range(rank - ndim_of(x)))


def broadcast_shapes(*shapes: Sequence[int]) -> Shape:
    """The shape that arrays of the given shapes broadcast to.

    Raises:
        ShapeError: two extents differ and neither is 1.
    """
    return broadcast_shapes_of("broadcast_shapes", shapes)


def broadcast_shapes_of(function: str, shapes: Sequence[Sequence[int]]) -> Shape:
    """`broadcast_shapes`, for the function that the message is to name."""
    if len(shapes) == 1:
        return tuple(shapes[0])
    ndim = max((len(shape) for shape in shapes), default=0)
    out = [1] * ndim
    for shape in shapes:
        for i, extent in enumerate(shape, ndim - len(shape)):
            if extent != 1:
                if out[i] not in (1, extent):
                    raise ShapeError(
                        f"{function}: shapes {', '.join(str(tuple(s)) for s in shapes)} do not "
                        f"broadcast: "
                        f"extents {out[i]} and {extent} differ at axis {i - ndim}",
                        mend="make the extents equal, or one of them 1",
                    )
                out[i] = extent
    return tuple(out)


# --- reduce_sum -----------------------------------------------------------------------------

reduce_sum_p = Primitive("reduce_sum")


def reduce_sum(operand: Any, axes: Sequence[int]) -> Any:
    """The sum over `axes`, which disappear. The result has the operand's dtype."""
    axes = canonical_axes(axes, ndim_of(operand), "reduce_sum")
    return reduce_sum_p.bind(operand, axes=tuple(sorted(axes))) if axes else operand


def reduced_aval(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    """The abstract value of a reduction that keeps the dtype."""
    shape = tuple(extent for i, extent in enumerate(x.shape) if i not in axes)
    return ShapedArray(shape, x.dtype, x.weak_type)


def batched_axes(axes: tuple[int, ...], d: int) -> tuple[tuple[int, ...], int]:
    """A reduction's axes with a mapped axis at `d`, and where the mapped axis is afterwards."""
    moved = tuple(a + (a >= d) for a in axes)
    return moved, d - sum(a < d for a in moved)


def _reduce_sum_transpose(ctx: Any, ct: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    kept = tuple(i for i in range(x.aval.ndim) if i not in axes)
    return [broadcast_in_dim(ct, x.aval.shape, kept)]


def _reduce_sum_batch(ctx: Any, args: Any, dims: Any, *, axes: tuple[int, ...]) -> Any:
    axes, out = batched_axes(axes, dims[0])
    return reduce_sum_p.bind(args[0], axes=axes), out


define(
    reduce_sum_p,
    abstract=reduced_aval,
    impl=lambda xp, x, *, axes: xp.sum(x, axis=axes, dtype=accumulator(x.dtype)).astype(
        x.dtype, copy=False
    ),
    jvp=linear_jvp(reduce_sum_p),
    transpose=_reduce_sum_transpose,
    batch=_reduce_sum_batch,
)

# --- reshape --------------------------------------------------------------------------------

reshape_p = Primitive("reshape")


def reshape(operand: Any, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None) -> Any:
    """The same elements in row-major order with another shape.

    Args:
        operand: an array.
        new_sizes: the new shape; its product must be the operand's size.
        dimensions: the order in which to read the operand's axes; row-major by default.
    """
    if dimensions is not None:
        operand = transpose(operand, dimensions)
    new_sizes = tuple(map(int, new_sizes))
    if shape_of(operand) == new_sizes:
        return operand
    return reshape_p.bind(operand, new_sizes=new_sizes)


def _reshape_abstract(x: ShapedArray, *, new_sizes: Shape) -> ShapedArray:
    if math.prod(new_sizes) != x.size or any(extent < 0 for extent in new_sizes):
        raise ShapeError(
            f"reshape: an array of shape {x.shape} has {x.size} elements, "
            f"the shape {new_sizes} has {math.prod(new_sizes)}",
            mend="choose a shape with the same number of elements",
        )
    return ShapedArray(new_sizes, x.dtype, x.weak_type)


def _reshape_transpose(ctx: Any, ct: Any, x: Any, *, new_sizes: Shape) -> Any:
    return [reshape(ct, x.aval.shape)]


def _reshape_batch(ctx: Any, args: Any, dims: Any, *, new_sizes: Shape) -> Any:
    x = moveaxis(args[0], dims[0], 0)
    return reshape(x, (x.shape[0], *new_sizes)), 0


define(
    reshape_p,
    abstract=_reshape_abstract,
    impl=lambda xp, x, *, new_sizes: x.reshape(new_sizes),
    jvp=linear_jvp(reshape_p),
    transpose=_reshape_transpose,
    batch=_reshape_batch,
)


def squeeze(array: Any, dimensions: Sequence[int]) -> Any:
    """Drop axes of extent 1."""
    shape = shape_of(array)
    axes = canonical_axes(dimensions, len(shape), "squeeze")
    if any(shape[i] != 1 for i in axes):
        raise ShapeError(
            f"squeeze: the axes {axes} of an array of shape {shape} are not all of extent 1",
            mend="name axes of extent 1",
        )
    return reshape(array, tuple(e for i, e in enumerate(shape) if i not in axes))


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """Insert axes of extent 1 at the given places of the result."""
    shape = shape_of(array)
    ndim = len(shape) + len(tuple(dimensions))
    axes = canonical_axes(dimensions, ndim, "expand_dims")
    rest = iter(shape)
    return reshape(array, tuple(1 if i in axes else next(rest) for i in range(ndim)))


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """Merge the axes from `start_dimension` up to, not including, `stop_dimension` into one."""
    shape = shape_of(operand)
    start, stop, _ = slice(start_dimension, stop_dimension).indices(len(shape))
    return reshape(operand, (*shape[:start], math.prod(shape[start:stop]), *shape[stop:]))


# --- transpose ------------------------------------------------------------------------------

transpose_p = Primitive("transpose")


def transpose(operand: Any, permutation: Sequence[int]) -> Any:
    """Permute the axes: axis `i` of the result is axis `permutation[i]` of the operand."""
    permutation = tuple(map(int, permutation))
    if permutation == tuple(range(ndim_of(operand))):
        return operand
    return transpose_p.bind(operand, permutation=permutation)


def _transpose_abstract(x: ShapedArray, *, permutation: tuple[int, ...]) -> ShapedArray:
    if sorted(permutation) != list(range(x.ndim)):
        raise ShapeError(
            f"transpose: {permutation} is no permutation of the {x.ndim} axes of {x}",
            mend="name each axis once",
        )
    return ShapedArray(tuple(x.shape[i] for i in permutation), x.dtype, x.weak_type)


def _transpose_transpose(ctx: Any, ct: Any, x: Any, *, permutation: tuple[int, ...]) -> Any:
    return [transpose(ct, tuple(int(i) for i in np.argsort(permutation)))]


def _transpose_batch(ctx: Any, args: Any, dims: Any, *, permutation: tuple[int, ...]) -> Any:
    (d,) = dims
    return transpose(args[0], (d, *(i + (i >= d) for i in permutation))), 0


define(
    transpose_p,
    abstract=_transpose_abstract,
    impl=lambda xp, x, *, permutation: x.transpose(permutation),
    jvp=linear_jvp(transpose_p),
    transpose=_transpose_transpose,
    batch=_transpose_batch,
)


def moveaxis(x: Any, source: int, destination: int) -> Any:
    """Move one axis to another place."""
    ndim = ndim_of(x)
    source = canonical_axis(source, ndim, "moveaxis")
    destination = canonical_axis(destination, ndim, "moveaxis")
    if source == destination:
        return x
    order = [i for i in range(ndim) if i != source]
    order.insert(destination, source)
    return transpose(x, order)


def unbroadcast(ct: Any, aval: ShapedArray) -> Any:
    """Sum a cotangent back to the shape that was broadcast."""
    shape = aval_of(ct).shape
    if shape == aval.shape:
        return ct
    extra = len(shape) - aval.ndim
    grown = [i + extra for i, e in enumerate(aval.shape) if e == 1 and shape[i + extra] != 1]
    return reshape(reduce_sum(ct, (*range(extra), *grown)), aval.shape)


def zeros(aval: ShapedArray) -> Any:
    """An array of zeros of the given type."""
    return broadcast_in_dim(np.zeros((), aval.dtype), aval.shape, ())


def instantiate(x: Any) -> Any:
    """A symbolic zero as an array; anything else as it is."""
    return zeros(x.aval) if type(x) is Zero else x
