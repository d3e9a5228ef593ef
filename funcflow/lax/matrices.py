"""Stacks of matrices: arrays of shape (..., m, n), as the rules of linear algebra handle them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import ShapeError
from funcflow.lax.arithmetic import mul, reciprocal, sub
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, ge, select
from funcflow.lax.complex import conj, real
from funcflow.lax.creation import broadcasted_iota
from funcflow.lax.dimension_numbers import GatherDimensionNumbers
from funcflow.lax.dot import batch_matmul
from funcflow.lax.forms import INEXACT, add, check_dtype
from funcflow.lax.indexing import gather
from funcflow.lax.shape import broadcast, expand_dims, moveaxis, reshape, transpose
from funcflow.lax.slicing import slice_in_dim


def check_matrices(function: str, x: ShapedArray, square: bool = True) -> None:
    """Refuse what is no stack of (square) matrices of floating or complex numbers."""
    check_dtype(function, x, INEXACT)
    if x.ndim < 2 or (square and x.shape[-1] != x.shape[-2]):
        shape = "(..., n, n)" if square else "(..., m, n)"
        raise ShapeError(
            f"{function}: takes matrices of shape {shape}, got {x}",
            mend="reshape or slice the argument",
        )


def matmul(x: Any, y: Any) -> Any:
    """The products of two stacks of matrices."""
    return batch_matmul(x, y)


def swapped(x: Any) -> Any:
    """The transposed matrices."""
    ndim = ndim_of(x)
    return transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def conjugated(x: Any) -> Any:
    """The complex conjugate; a real array itself."""
    return conj(x) if dtypes.is_complex(aval_of(x).dtype) else x


def real_part(x: Any) -> Any:
    """The real part; a real array itself."""
    return real(x) if dtypes.is_complex(aval_of(x).dtype) else x


def adjoint(x: Any) -> Any:
    """The conjugate transposed matrices."""
    return conjugated(swapped(x))


def lower_triangle(x: Any, diagonal: int = 0) -> Any:
    """`x` with zeros above the given diagonal: 0 is the main one, -1 the next below it."""
    shape = shape_of(x)[-2:]
    rows = broadcasted_iota("int32", (shape[0], 1), 0)
    columns = broadcasted_iota("int32", (1, shape[1]), 1)
    below = ge(add(rows, diagonal) if diagonal else rows, columns)
    return select(below, x, 0)


def halved_lower(x: Any) -> Any:
    """`lower_triangle(x)` with half the diagonal: with its adjoint it makes up a Hermitian `x`."""
    return mul(add(lower_triangle(x), lower_triangle(x, -1)), 0.5)


def unit_matrix(size: int, dtype: np.dtype[Any]) -> Any:
    """Ones on the diagonal, zeros elsewhere."""
    rows = broadcasted_iota("int32", (size, 1), 0)
    columns = broadcasted_iota("int32", (1, size), 1)
    return convert_element_type(eq(rows, columns), dtype)


def diagonal_of(x: Any) -> Any:
    """The diagonals of square matrices, of shape (..., n)."""
    shape = shape_of(x)
    size = shape[-1]
    rows = reshape(x, (*shape[:-2], size * size))
    return slice_in_dim(rows, 0, None, size + 1, axis=-1)


def scaled_columns(x: Any, factors: Any) -> Any:
    """Each column of matrices (..., m, n) times one of the `factors` (..., n)."""
    return mul(x, expand_dims(convert_element_type(factors, aval_of(x).dtype), (-2,)))


def differences(x: Any) -> Any:
    """`x[..., j] - x[..., i]` at [..., i, j]."""
    return sub(expand_dims(x, (-2,)), expand_dims(x, (-1,)))


def inverse_off_diagonal(x: Any) -> Any:
    """One divided by each element, and zeros on the diagonal, where those of `x` are zero too."""
    unit = unit_matrix(shape_of(x)[-1], aval_of(x).dtype)
    return sub(reciprocal(add(x, unit)), unit)


def take_rows(x: Any, rows: Any) -> Any:
    """The rows of matrices (..., m, n) in the order of the permutations `rows` (..., m)."""
    ndim = ndim_of(x)
    stack = tuple(range(ndim - 2))
    numbers = GatherDimensionNumbers((ndim - 1,), (ndim - 2,), (ndim - 2,), stack, stack)
    sizes = (*(1 for _ in stack), 1, shape_of(x)[-1])
    rows = expand_dims(rows, (-1,))
    return gather(x, rows, numbers, sizes, unique_indices=True, mode="promise_in_bounds")


def mapped_in_front(ctx: Any, args: Sequence[Any], dims: Sequence[int | None]) -> list[Any]:
    """All arguments with their mapped axis in front; one without is repeated."""
    return [
        broadcast(x, (ctx.size,)) if d is None else moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]


def fold_into(x: Any, dim: int, axis: int) -> tuple[Any, Callable[[Any], Any]]:
    """Merge the mapped axis into the one that follows when it has moved to `axis`.

    Returns:
        The array, and the function that takes the axis out again, at `axis`.
    """
    x = moveaxis(x, dim, axis)
    shape = shape_of(x)
    merged = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
    return reshape(x, merged), lambda out: reshape(out, shape)


def lapack_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype to compute in: LAPACK has no half types."""
    return np.dtype("float32") if dtype.itemsize == 2 else dtype


def nan_where_it_fails(xp: Any, decompose: Callable[[Any], Sequence[Any]], x: Any) -> Sequence[Any]:
    """`decompose(x)`, with NaN for those matrices of the stack on which LAPACK gives up."""
    try:
        return decompose(x)
    except np.linalg.LinAlgError:
        if x.ndim == 2:
            unit = xp.eye(*x.shape, dtype=x.dtype)
            return [xp.full_like(out, np.nan) for out in decompose(unit)]
    each = [nan_where_it_fails(xp, decompose, matrix) for matrix in x]
    return [xp.stack(outs) for outs in zip(*each, strict=True)]


def is_numpy(xp: Any) -> bool:
    """Whether the buffers are NumPy's, for which there is SciPy's LAPACK."""
    return xp is np


def many_small(stack: Any) -> bool:
    """Whether to work on all matrices at once, row by row, rather than on one after the other.

    A call of LAPACK takes as long as a step over a thousand or so numbers in NumPy.
    """
    size = max(stack.shape[-2:])
    return size <= 16 and len(stack) > 4 * size
