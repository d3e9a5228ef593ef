"""Contractions: `dot_general`, the one primitive behind every product of matrices and tensors."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow.core.array import ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.casting import convert_element_type
from funcflow.lax.forms import add_p, same_dtype
from funcflow.lax.linear import canonical_axes
from funcflow.lax.precision import (
    PrecisionLike,
    canonical_precision,
    canonical_preference,
    from_working_dtype,
    product_dtype,
    working_dtype,
)
from funcflow.lax.shape import transpose

Axes: TypeAlias = tuple[int, ...]
DotDimensionNumbers: TypeAlias = tuple[
    tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]
]
Numbers: TypeAlias = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]

# --- dot_general ----------------------------------------------------------------------------

dot_general_p = Primitive("dot_general")


def dot_general(
    lhs: Any,
    rhs: Any,
    dimension_numbers: DotDimensionNumbers,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """Sum products of two arrays over contracted axes, for each index of the batch axes.

    Args:
        lhs: an array.
        rhs: an array.
        dimension_numbers: `((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))`; the
            axes of a pair have one extent.
        precision: see `Precision`.
        preferred_element_type: the dtype of the result and, if it is wider, of the sums. By
            default that is the operands' promoted dtype; float16 and bfloat16 are summed in
            float32.

    Returns:
        An array whose axes are the batch axes, then the free axes of `lhs`, then those of `rhs`.

    Raises:
        ShapeError: the pairs of axes do not match.
        AxisError: an axis is out of range or named twice.
        DtypeError: the preferred dtype cannot hold the result.

    Example:
        >>> x, y = fnp.ones((5, 2, 3)), fnp.ones((5, 3, 4))
        >>> ff.lax.dot_general(x, y, (((2,), (1,)), ((0,), (0,)))).shape
        (5, 2, 4)
    """
    lhs, rhs = same_dtype(lhs, rhs)
    return dot_general_p.bind(
        lhs,
        rhs,
        dimension_numbers=_canonical_numbers(ndim_of(lhs), ndim_of(rhs), dimension_numbers),
        precision=canonical_precision(precision, "dot_general"),
        preferred_element_type=canonical_preference(preferred_element_type),
    )


def _canonical_numbers(lhs_ndim: int, rhs_ndim: int, numbers: DotDimensionNumbers) -> Numbers:
    try:
        (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers
        given = (
            (tuple(lhs_contract), tuple(rhs_contract)),
            (tuple(lhs_batch), tuple(rhs_batch)),
        )
    except (TypeError, ValueError):
        raise ArgumentError(
            f"dot_general: {numbers!r} are no dimension_numbers",
            mend="pass ((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))",
        ) from None
    return _counted_from_front(lhs_ndim, rhs_ndim, given)


@lru_cache(maxsize=1024)
def _counted_from_front(lhs_ndim: int, rhs_ndim: int, numbers: Numbers) -> Numbers:
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers
    # taken together, so that an axis which is both contracted and batch counts as a duplicate
    lhs = canonical_axes(lhs_batch + lhs_contract, lhs_ndim, "dot_general")
    rhs = canonical_axes(rhs_batch + rhs_contract, rhs_ndim, "dot_general")
    i, j = len(lhs_batch), len(rhs_batch)
    return (lhs[i:], rhs[j:]), (lhs[:i], rhs[:j])


def free_axes(ndim: int, *taken: Axes) -> Axes:
    """The axes that none of the groups in `taken` names."""
    return tuple(i for i in range(ndim) if not any(i in axes for axes in taken))


class _Plan(NamedTuple):
    """A contraction as a product of stacks of matrices: how to lay out the operands."""

    lhs_order: Axes
    lhs_shape: Shape
    rhs_order: Axes
    rhs_shape: Shape
    out_shape: Shape
    depth: int


@lru_cache(maxsize=1024)
def _plan(lhs: Shape, rhs: Shape, numbers: Numbers) -> _Plan:
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers
    for what, (ours, theirs) in zip(("contracting", "batch"), numbers, strict=True):
        if _extents(lhs, ours) != _extents(rhs, theirs):
            raise ShapeError(
                f"dot_general: the {what} axes {ours} of lhs and {theirs} of rhs, of shapes {lhs} "
                f"and {rhs}, differ in extent: {_extents(lhs, ours)} and {_extents(rhs, theirs)}",
                mend="pair axes of one extent in dimension_numbers, or transpose an operand",
            )
    lhs_free = free_axes(len(lhs), lhs_contract, lhs_batch)
    rhs_free = free_axes(len(rhs), rhs_contract, rhs_batch)
    batch, rows, columns = (
        _extents(lhs, lhs_batch),
        _extents(lhs, lhs_free),
        _extents(rhs, rhs_free),
    )
    # the pairs in the order of the larger operand, whose axes then merge without a copy
    leading = lhs_contract if math.prod(lhs) >= math.prod(rhs) else rhs_contract
    pairs = sorted(range(len(leading)), key=leading.__getitem__)
    lhs_contract = tuple(lhs_contract[i] for i in pairs)
    rhs_contract = tuple(rhs_contract[i] for i in pairs)
    depth = math.prod(_extents(lhs, lhs_contract))
    return _Plan(
        lhs_batch + lhs_free + lhs_contract,
        (*batch, math.prod(rows), depth),
        rhs_batch + rhs_contract + rhs_free,
        (*batch, depth, math.prod(columns)),
        batch + rows + columns,
        depth,
    )


def _extents(shape: Shape, axes: Axes) -> Shape:
    return tuple(shape[i] for i in axes)


def _dot_general_abstract(
    lhs: ShapedArray,
    rhs: ShapedArray,
    *,
    dimension_numbers: Numbers,
    precision: Any,
    preferred_element_type: np.dtype[Any] | None,
) -> ShapedArray:
    shape = _plan(lhs.shape, rhs.shape, dimension_numbers).out_shape
    dtype = product_dtype("dot_general", lhs.dtype, rhs.dtype, preferred_element_type)
    weak = lhs.weak_type and rhs.weak_type and preferred_element_type is None
    return ShapedArray(shape, dtype, weak)


def _dot_general_impl(
    xp: Any,
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Numbers,
    precision: Any,
    preferred_element_type: np.dtype[Any] | None,
) -> Any:
    plan = _plan(lhs.shape, rhs.shape, dimension_numbers)
    dtype = product_dtype("dot_general", lhs.dtype, rhs.dtype, preferred_element_type)
    working = working_dtype(dtype, lhs.dtype, rhs.dtype, plan.depth)
    lhs, rhs = lhs.astype(working, copy=False), rhs.astype(working, copy=False)
    # transposed views, whose axes merge without a copy where the strides allow it: BLAS takes
    # transposed matrices as they are
    lhs = lhs.transpose(plan.lhs_order).reshape(plan.lhs_shape)
    rhs = rhs.transpose(plan.rhs_order).reshape(plan.rhs_shape)
    # without a contraction the matrices are a column and a row
    out = xp.matmul(lhs, rhs) if dimension_numbers[0][0] else xp.multiply(lhs, rhs)
    return from_working_dtype(out.reshape(plan.out_shape), dtype)


def bilinear_jvp(primitive: Primitive) -> Any:
    """The forward rule of an operation that is linear in each of its two arguments."""

    def rule(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        (x, y), (x_dot, y_dot) = primals, tangents
        out = primitive.bind(x, y, **params)
        terms = []
        if type(x_dot) is not Zero:
            terms.append(primitive.bind(x_dot, y, **params))
        if type(y_dot) is not Zero:
            terms.append(primitive.bind(x, y_dot, **params))
        if not terms:
            return out, Zero(out.aval)
        return out, terms[0] if len(terms) == 1 else add_p.bind(*terms)

    return rule


def _dot_general_transpose(
    ctx: Any,
    ct: Any,
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: Numbers,
    precision: Any,
    preferred_element_type: np.dtype[Any] | None,
) -> Any:
    """Contract the cotangent with the other operand over the axes that came from it."""
    linear, other = (lhs, rhs) if is_undefined(lhs) else (rhs, lhs)
    (ours, theirs), (our_batch, their_batch) = (
        dimension_numbers if linear is lhs else [pair[::-1] for pair in dimension_numbers]
    )
    our_free = free_axes(linear.aval.ndim, ours, our_batch)
    their_free = free_axes(ndim_of(other), theirs, their_batch)
    batch = tuple(range(len(our_batch)))
    # the cotangent's axes: batch, free axes of lhs, free axes of rhs
    first, second = (our_free, their_free) if linear is lhs else (their_free, our_free)
    start = len(batch) + len(first)
    from_first = tuple(range(len(batch), start))
    from_second = tuple(range(start, start + len(second)))
    # axes that were contracted come out in the other operand's order
    contracted = tuple(ours[i] for i in np.argsort(theirs))
    if linear is lhs:
        numbers = ((from_second, their_free), (batch, their_batch))
        out = dot_general(ct, other, numbers, precision)
        order = our_batch + our_free + contracted
    else:
        numbers = ((their_free, from_first), (their_batch, batch))
        out = dot_general(other, ct, numbers, precision)
        order = our_batch + contracted + our_free
    out = transpose(out, tuple(int(i) for i in np.argsort(order)))
    return [
        convert_element_type(out, linear.aval.dtype) if x is linear else None for x in (lhs, rhs)
    ]


def _dot_general_batch(
    ctx: Any, args: Any, dims: Any, *, dimension_numbers: Numbers, **params: Any
) -> Any:
    """A mapped axis of both operands is a batch axis; of one operand it is a free axis."""
    (lhs, rhs), (lhs_dim, rhs_dim) = args, dims
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = dimension_numbers
    lhs_contract, lhs_batch = _make_room(lhs_dim, lhs_contract), _make_room(lhs_dim, lhs_batch)
    rhs_contract, rhs_batch = _make_room(rhs_dim, rhs_contract), _make_room(rhs_dim, rhs_batch)
    lhs_free = free_axes(ndim_of(lhs), lhs_contract, lhs_batch)
    rhs_free = free_axes(ndim_of(rhs), rhs_contract, rhs_batch)
    if lhs_dim is not None and rhs_dim is not None:
        lhs_batch, rhs_batch = (lhs_dim, *lhs_batch), (rhs_dim, *rhs_batch)
        out_dim = 0
    elif lhs_dim is not None:
        out_dim = len(lhs_batch) + lhs_free.index(lhs_dim)
    else:
        out_dim = len(lhs_batch) + len(lhs_free) + rhs_free.index(rhs_dim)
    numbers = (lhs_contract, rhs_contract), (lhs_batch, rhs_batch)
    return dot_general_p.bind(lhs, rhs, dimension_numbers=numbers, **params), out_dim


def _make_room(dim: int | None, axes: Axes) -> Axes:
    """Axes of one example as axes of the batch that has its mapped axis at `dim`."""
    return axes if dim is None else tuple(i + (i >= dim) for i in axes)


define(
    dot_general_p,
    abstract=_dot_general_abstract,
    impl=_dot_general_impl,
    jvp=bilinear_jvp(dot_general_p),
    transpose=_dot_general_transpose,
    batch=_dot_general_batch,
)

# --- products of vectors and matrices -------------------------------------------------------


def dot(
    lhs: Any,
    rhs: Any,
    *,
    dimension_numbers: DotDimensionNumbers | None = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """The product of two vectors, a vector and a matrix, or two matrices.

    Args:
        lhs: an array of shape (k,) or (m, k).
        rhs: an array of shape (k,) or (k, n).
        dimension_numbers: makes it `dot_general`, for arrays of any shape.
        precision: see `Precision`.
        preferred_element_type: see `dot_general`.

    Returns:
        The sums over k, of shape (), (m,), (n,) or (m, n), in the operands' promoted dtype.

    Raises:
        ShapeError: the shapes are not as above.

    Example:
        >>> ff.lax.dot(fnp.ones((2, 3)), fnp.arange(3.0))
        Array([3., 3.], dtype=float32)
    """
    if dimension_numbers is None:
        shape, other = shape_of(lhs), shape_of(rhs)
        if len(shape) not in (1, 2) or len(other) not in (1, 2) or shape[-1] != other[0]:
            raise ShapeError(
                f"dot: takes vectors and matrices of shapes (k,) or (m, k) and (k,) or (k, n), "
                f"got {shape} and {other}",
                mend="transpose or reshape an operand, or pass dimension_numbers",
            )
        dimension_numbers = (((len(shape) - 1,), (0,)), ((), ()))
    return dot_general(lhs, rhs, dimension_numbers, precision, preferred_element_type)


def batch_matmul(lhs: Any, rhs: Any, precision: PrecisionLike = None) -> Any:
    """The products of two stacks of matrices, of shapes (..., m, k) and (..., k, n).

    The leading axes are the same in both; the result has shape (..., m, n).

    Raises:
        ShapeError: the shapes are not as above.
    """
    ndim = ndim_of(lhs)
    if ndim < 2 or ndim_of(rhs) != ndim:
        raise ShapeError(
            f"batch_matmul: takes stacks of matrices of one rank, got shapes {shape_of(lhs)} and "
            f"{shape_of(rhs)}",
            mend="give both operands the same leading axes",
        )
    batch = tuple(range(ndim - 2))
    return dot_general(lhs, rhs, (((ndim - 1,), (ndim - 2,)), (batch, batch)), precision)
