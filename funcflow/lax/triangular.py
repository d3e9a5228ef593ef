"""Linear systems with triangular matrices."""

from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.arithmetic import neg, sub
from funcflow.lax.forms import check_same_dtypes
from funcflow.lax.matrices import (
    adjoint,
    check_matrices,
    conjugated,
    fold_into,
    is_numpy,
    lapack_dtype,
    lower_triangle,
    many_small,
    mapped_in_front,
    matmul,
    swapped,
)
from funcflow.lax.shape import expand_dims, squeeze

triangular_solve_p = Primitive("triangular_solve")


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """Solve `op(a) x = b`, or `x op(a) = b`, for triangular matrices.

    Args:
        a: triangular matrices, of shape (..., n, n); the other triangle is not read.
        b: right-hand sides of the same dtype: (..., n, m) if `left_side`, else (..., m, n), with
            the leading axes of `a`; or vectors (..., n).
        left_side: whether `a` stands on the left of `x`.
        lower: whether the lower triangle is given rather than the upper.
        transpose_a: `op` transposes.
        conjugate_a: `op` conjugates.
        unit_diagonal: take the diagonal to be ones; it is not read.

    Returns:
        `x`, of the shape and dtype of `b`. Zeros on the diagonal give infinities and NaN.

    Raises:
        ShapeError: the shapes do not match.
        DtypeError: the dtypes differ or are not floating or complex.

    Example:
        >>> a = fnp.array([[2.0, 0.0], [1.0, 4.0]])
        >>> ff.lax.linalg.triangular_solve(a, fnp.array([2.0, 9.0]), left_side=True, lower=True)
        Array([1., 2.], dtype=float32)
    """
    if conjugate_a and not transpose_a:
        a, conjugate_a = conjugated(a), False
    vectors = ndim_of(b) == ndim_of(a) - 1
    if vectors:
        b = expand_dims(b, (-1 if left_side else -2,))
    out = triangular_solve_p.bind(
        a,
        b,
        left_side=bool(left_side),
        lower=bool(lower),
        transpose_a=bool(transpose_a),
        conjugate_a=bool(conjugate_a),
        unit_diagonal=bool(unit_diagonal),
    )
    return squeeze(out, (-1 if left_side else -2,)) if vectors else out


def _abstract(a: ShapedArray, b: ShapedArray, *, left_side: bool, **params: Any) -> ShapedArray:
    check_same_dtypes("triangular_solve", (a, b))
    check_matrices("triangular_solve", a)
    same = b.ndim == a.ndim and b.shape[:-2] == a.shape[:-2]
    if not same or b.shape[-2 if left_side else -1] != a.shape[-1]:
        wanted = "(..., n, m)" if left_side else "(..., m, n)"
        raise ShapeError(
            f"triangular_solve: matrices {a} need right-hand sides {wanted} with the same leading "
            f"axes, got {b}",
            mend="broadcast or transpose b, or change left_side",
        )
    return ShapedArray(b.shape, b.dtype)


def _impl(xp: Any, a: Any, b: Any, **params: Any) -> Any:
    _abstract(aval_of(a), aval_of(b), **params)
    dtype = lapack_dtype(b.dtype)
    out = solve_buffers(xp, a.astype(dtype, copy=False), b.astype(dtype, copy=False), **params)
    return out.astype(b.dtype, copy=False)


def solve_buffers(xp: Any, a: Any, b: Any, **params: Any) -> Any:
    """`triangular_solve` of stacks of matrices in one of LAPACK's dtypes."""
    if not b.size:
        return xp.zeros(b.shape, b.dtype)
    matrices, sides = a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:])
    if is_numpy(xp) and not many_small(matrices):
        out = _solve_each(matrices, sides, **params)
    else:
        out = _solve_all(xp, matrices, sides, **params)
    return out.reshape(b.shape)


def _solve_each(
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    """Matrix by matrix, by BLAS.

    BLAS reads columns where we have rows, so it gets the transposed equation
    `x.T op(a).T = b.T`, which takes no copies.
    """
    import scipy.linalg.blas

    trsm: Any = scipy.linalg.blas.get_blas_funcs("trsm", (a, b))
    operation = 0 if not transpose_a else 2 if conjugate_a else 1
    out = np.empty_like(b)
    for matrix, side, solution in zip(a, b, out, strict=True):
        solution[...] = trsm(
            1.0,
            matrix.T,
            side.T,
            side=int(left_side),
            lower=int(not lower),
            trans_a=operation,
            diag=int(unit_diagonal),
        ).T
    return out


def _solve_all(
    xp: Any,
    a: Any,
    b: Any,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
) -> Any:
    """All matrices at once, by substitution, row by row."""
    if conjugate_a:
        a = a.conj()
    if transpose_a:
        a, lower = a.swapaxes(1, 2), not lower
    if not left_side:  # transpose the equation
        a, b, lower = a.swapaxes(1, 2), b.swapaxes(1, 2), not lower
    n = a.shape[1]
    x = b.copy()
    for i in range(n) if lower else reversed(range(n)):
        known = slice(0, i) if lower else slice(i + 1, n)
        x[:, i] -= xp.matmul(a[:, i, None, known], x[:, known])[:, 0]
        if not unit_diagonal:
            x[:, i] /= a[:, i, i, None]
    return x if left_side else x.swapaxes(1, 2)


def _jvp(ctx: Any, primals: Any, tangents: Any, **params: Any) -> Any:
    """With op(a) x = b: op(a) dx = db - op(da) x, where da has the zeros and ones of a."""
    (a, b), (a_dot, b_dot) = primals, tangents
    x = triangular_solve_p.bind(a, b, **params)
    if type(a_dot) is Zero:
        if type(b_dot) is Zero:
            return x, Zero(x.aval)
        return x, triangular_solve_p.bind(a, b_dot, **params)
    offset = -1 if params["unit_diagonal"] else 0
    if params["lower"]:
        a_dot = lower_triangle(a_dot, offset)
    else:
        a_dot = swapped(lower_triangle(swapped(a_dot), offset))
    if params["transpose_a"]:
        a_dot = adjoint(a_dot) if params["conjugate_a"] else swapped(a_dot)
    change = matmul(a_dot, x) if params["left_side"] else matmul(x, a_dot)
    side = neg(change) if type(b_dot) is Zero else sub(b_dot, change)
    return x, triangular_solve_p.bind(a, side, **params)


def _transpose(ctx: Any, ct: Any, a: Any, b: Any, **params: Any) -> Any:
    """The map from `b` to `x` is transposed by transposing `op(a)`."""
    if params["conjugate_a"]:  # op is the adjoint, so transposed it only conjugates
        a = conjugated(a)
    params = {**params, "transpose_a": not params["transpose_a"], "conjugate_a": False}
    return [None, triangular_solve_p.bind(a, ct, **params)]


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    (a, b), (a_dim, b_dim) = args, dims
    if a_dim is not None:
        return triangular_solve_p.bind(*mapped_in_front(ctx, args, dims), **params), 0
    # the same matrices for all examples, which are more columns, or rows, of the right-hand sides
    axis = ndim_of(b) - (2 if params["left_side"] else 3)
    folded, unfold = fold_into(b, b_dim, axis)
    return unfold(triangular_solve_p.bind(a, folded, **params)), axis


define(
    triangular_solve_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
)
