"""LU decomposition with row pivoting."""

import math
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import sub
from funcflow.lax.bitwise import bitwise_and
from funcflow.lax.comparison import eq, ge, select
from funcflow.lax.creation import broadcasted_iota
from funcflow.lax.forms import add
from funcflow.lax.matrices import (
    check_matrices,
    is_numpy,
    lapack_dtype,
    lower_triangle,
    many_small,
    matmul,
    swapped,
    take_rows,
)
from funcflow.lax.pivots import INDEX, permutation_of
from funcflow.lax.shape import moveaxis
from funcflow.lax.slicing import pad
from funcflow.lax.triangular import triangular_solve

lu_p = Primitive("lu", multiple_results=True)


def lu(x: Any) -> tuple[Any, Any, Any]:
    """The LU decomposition with partial (row) pivoting: `x[permutation] = l @ u`.

    Args:
        x: matrices of shape (..., m, n).

    Returns:
        `(lu, pivots, permutation)`. `lu` has the shape and dtype of `x` and holds `l`, whose
        diagonal of ones is left out, below its diagonal and `u` elsewhere. `pivots`, int32 of
        shape (..., min(m, n)): in step i, row i was exchanged with row `pivots[i]`.
        `permutation`, int32 of shape (..., m): what these exchanges come to.

    Raises:
        ShapeError: `x` has fewer than two axes.
        DtypeError: the dtype is not floating or complex.

    Example:
        >>> ff.lax.linalg.lu(fnp.array([[1.0, 2.0], [4.0, 4.0]]))[0]
        Array([[4.  , 4.  ],
               [0.25, 1.  ]], dtype=float32)
    """
    out, pivots, permutation = lu_p.bind(x)
    return out, pivots, permutation


def _lu_abstract(x: ShapedArray) -> list[ShapedArray]:
    check_matrices("lu", x, square=False)
    *stack, m, n = x.shape
    return [
        x.strip_weak_type(),
        ShapedArray((*stack, min(m, n)), INDEX),
        ShapedArray((*stack, m), INDEX),
    ]


def _lu_impl(xp: Any, x: Any) -> list[Any]:
    avals = _lu_abstract(aval_of(x))
    *stack, m, n = x.shape
    matrices = x.reshape(math.prod(stack), m, n).astype(lapack_dtype(x.dtype))
    if is_numpy(xp) and x.size and not many_small(matrices):
        pivots = _factor_each(matrices)
    else:
        pivots = _factor_all(xp, matrices)
    permutation = permutation_of(xp, pivots, m)
    results = matrices, pivots, permutation
    return [
        out.reshape(aval.shape).astype(aval.dtype, copy=False)
        for out, aval in zip(results, avals, strict=True)
    ]


def _factor_each(matrices: Any) -> Any:
    """Replace each matrix by its factors, by LAPACK; the pivots."""
    import scipy.linalg.lapack

    getrf: Any = scipy.linalg.lapack.get_lapack_funcs("getrf", (matrices,))
    pivots = np.empty((len(matrices), min(matrices.shape[1:])), INDEX)
    for matrix, pivot in zip(matrices, pivots, strict=True):
        matrix[...], pivot[...], _ = getrf(matrix)
    return pivots


def _factor_all(xp: Any, matrices: Any) -> Any:
    """Replace all matrices by their factors, step by step; the pivots."""
    count, m, n = matrices.shape
    steps = min(m, n)
    pivots = xp.empty((count, steps), INDEX)
    every = xp.arange(count)
    for i in range(steps):
        column = matrices[:, i:, i]
        # LAPACK compares complex numbers by this norm, which needs no square root
        sizes = abs(column.real) + abs(column.imag) if column.dtype.kind == "c" else abs(column)
        pivot = sizes.argmax(axis=1) + i
        pivots[:, i] = pivot
        rows = matrices[every, pivot]
        matrices[every, pivot] = matrices[:, i]
        matrices[:, i] = rows
        below, top = matrices[:, i + 1 :], rows[:, i, None]
        # a zero pivot is the largest of a column of zeros, which stays as it is
        below[:, :, i] /= xp.where(top == 0, top.dtype.type(1), top)
        below[:, :, i + 1 :] -= below[:, :, i, None] * rows[:, None, i + 1 :]
    return pivots


def _lu_jvp(ctx: Any, primals: Any, tangents: Any) -> Any:
    """With x[p] = l u and w = l^-1 dx[p] u^-1: dl = l tril(w, -1), du = triu(w) u.

    Where x is not square, l or u is completed to a square matrix by columns or rows of the unit
    matrix, so that it has an inverse.
    """
    (x,), (x_dot,) = primals, tangents
    outs = lu_p.bind(x)
    if type(x_dot) is Zero:
        return outs, [Zero(out.aval) for out in outs]
    factors, pivots, permutation = outs
    m, n = factors.shape[-2:]
    below = _resized(lower_triangle(factors, -1), m, -1)  # l without its diagonal of ones
    upper = _completed(_resized(swapped(lower_triangle(swapped(factors))), n, -2), m)
    x_dot = take_rows(x_dot, permutation)
    w = triangular_solve(below, x_dot, left_side=True, lower=True, unit_diagonal=True)
    w = triangular_solve(upper, w)
    w_lower = lower_triangle(w, -1)
    lower_dot = add(w_lower, matmul(below, w_lower))
    upper_dot = matmul(sub(w, w_lower), upper)
    return outs, [add(lower_dot, upper_dot), Zero(pivots.aval), Zero(permutation.aval)]


def _resized(x: Any, extent: int, axis: int) -> Any:
    """`x` with an axis cut, or filled up with zeros, to the given extent."""
    config = [(0, 0, 0)] * ndim_of(x)
    config[axis] = (0, extent - shape_of(x)[axis], 0)
    return pad(x, np.zeros((), aval_of(x).dtype), config)


def _completed(x: Any, start: int) -> Any:
    """Square matrices with ones on the diagonal from row `start` on."""
    size = shape_of(x)[-1]
    if start >= size:
        return x
    rows = broadcasted_iota("int32", (size, size), 0)
    columns = broadcasted_iota("int32", (size, size), 1)
    return select(bitwise_and(eq(rows, columns), ge(rows, start)), 1, x)


def _lu_batch(ctx: Any, args: Any, dims: Any) -> Any:
    return lu_p.bind(moveaxis(args[0], dims[0], 0)), [0, 0, 0]


define(
    lu_p,
    abstract=_lu_abstract,
    impl=_lu_impl,
    jvp=_lu_jvp,
    transpose=NONLINEAR,
    batch=_lu_batch,
)
