"""The Cholesky factor of positive definite matrices."""

from typing import Any

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import mul
from funcflow.lax.forms import add
from funcflow.lax.matrices import (
    adjoint,
    check_matrices,
    halved_lower,
    lapack_dtype,
    matmul,
)
from funcflow.lax.shape import moveaxis
from funcflow.lax.triangular import triangular_solve

cholesky_p = Primitive("cholesky")


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular `l` with a positive diagonal for which `l @ l.H` is `x`.

    Args:
        x: Hermitian positive definite matrices, of shape (..., n, n).
        symmetrize_input: replace `x` by `(x + x.H) / 2` first. Otherwise only the lower triangle
            is read.

    Returns:
        An array of the shape and dtype of `x`. A matrix that is not positive definite gives NaN
        in its lower triangle.

    Raises:
        ShapeError: the matrices are not square.
        DtypeError: the dtype is not floating or complex.

    Example:
        >>> ff.lax.linalg.cholesky(fnp.array([[4.0, 2.0], [2.0, 10.0]]))
        Array([[2., 0.],
               [1., 3.]], dtype=float32)
    """
    check_matrices("cholesky", aval_of(x))
    if symmetrize_input:
        x = mul(add(x, adjoint(x)), 0.5)
    return cholesky_p.bind(x)


def _abstract(x: ShapedArray) -> ShapedArray:
    check_matrices("cholesky", x)
    return x.strip_weak_type()


def _impl(xp: Any, x: Any) -> Any:
    wide = x.astype(lapack_dtype(x.dtype), copy=False)
    if not x.size:
        return x.copy()
    try:
        out = xp.linalg.cholesky(wide)
    except np.linalg.LinAlgError:  # some matrix of the stack is not positive definite
        stack = wide.reshape(-1, *x.shape[-2:])
        out = xp.stack([_factor_or_nan(xp, matrix) for matrix in stack]).reshape(x.shape)
    return out.astype(x.dtype, copy=False)


def _factor_or_nan(xp: Any, x: Any) -> Any:
    try:
        return xp.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        return xp.tril(xp.full_like(x, np.nan))


def _jvp(ctx: Any, primals: Any, tangents: Any) -> Any:
    """With l l.H = x: dl = l phi(l^-1 dx l^-H); phi takes the lower triangle, half the diagonal.

    Iain Murray, "Differentiation of the Cholesky decomposition" (2016), equation 8. The operation
    reads the lower triangle and the real part of the diagonal, so these are what make up dx.
    """
    (x,), (x_dot,) = primals, tangents
    factor = cholesky_p.bind(x)
    if type(x_dot) is Zero:
        return factor, Zero(factor.aval)
    half = halved_lower(x_dot)
    x_dot = add(half, adjoint(half))
    right = triangular_solve(factor, x_dot, lower=True, transpose_a=True, conjugate_a=True)
    both = triangular_solve(factor, right, left_side=True, lower=True)
    return factor, matmul(factor, halved_lower(both))


def _batch(ctx: Any, args: Any, dims: Any) -> Any:
    return cholesky_p.bind(moveaxis(args[0], dims[0], 0)), 0


define(
    cholesky_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=NONLINEAR,
    batch=_batch,
)
