"""QR decomposition."""

from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import NotDifferentiableError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import mul, sub
from funcflow.lax.complex import conj
from funcflow.lax.forms import add
from funcflow.lax.matrices import (
    adjoint,
    check_matrices,
    lapack_dtype,
    lower_triangle,
    matmul,
    unit_matrix,
)
from funcflow.lax.shape import moveaxis
from funcflow.lax.slicing import slice_in_dim
from funcflow.lax.triangular import triangular_solve

qr_p = Primitive("qr", multiple_results=True)


def qr(x: Any, *, full_matrices: bool = True) -> tuple[Any, Any]:
    """The QR decomposition `x = q @ r`: orthonormal columns times an upper triangle.

    Args:
        x: matrices of shape (..., m, n); k is the lesser of m and n.
        full_matrices: complete `q` to a square matrix, and `r` by rows of zeros.

    Returns:
        `(q, r)`, of the dtype of `x` and of shapes (..., m, k) and (..., k, n), or (..., m, m) and
        (..., m, n) with `full_matrices`. The diagonal of `r` is real, of either sign. Derivatives
        at matrices whose first k columns are linearly dependent come out infinite or NaN.

    Raises:
        ShapeError: `x` has fewer than two axes.
        DtypeError: the dtype is not floating or complex.
        NotDifferentiableError: a derivative is asked for, and there are columns of `q` that the
            matrix does not determine: `full_matrices` with m > n.

    Example:
        >>> q, r = ff.lax.linalg.qr(fnp.array([[3.0, 1.0], [4.0, 2.0]]))
        >>> fnp.round(q @ r)
        Array([[3., 1.],
               [4., 2.]], dtype=float32)
    """
    q, r = qr_p.bind(x, full_matrices=bool(full_matrices))
    return q, r


def _abstract(x: ShapedArray, *, full_matrices: bool) -> list[ShapedArray]:
    check_matrices("qr", x, square=False)
    *stack, m, n = x.shape
    k = m if full_matrices else min(m, n)
    return [ShapedArray((*stack, m, k), x.dtype), ShapedArray((*stack, k, n), x.dtype)]


def _impl(xp: Any, x: Any, *, full_matrices: bool) -> list[Any]:
    wide = x.astype(lapack_dtype(x.dtype), copy=False)
    outs = xp.linalg.qr(wide, mode="complete" if full_matrices else "reduced")
    return [out.astype(x.dtype, copy=False) for out in outs]


def _jvp(ctx: Any, primals: Any, tangents: Any, *, full_matrices: bool) -> Any:
    """With c = q.H dx1 r1^-1: dq = q (w - c) + dx1 r1^-1 and dr = q.H dx - w r.

    Walter, Lehmann, "Algorithmic differentiation of linear algebra functions with application in
    optimum experimental design" (2010), extended to wide and complex matrices. dx1 and r1
    are the first k columns. w is skew-Hermitian and has below its diagonal the elements of c; its
    diagonal is the imaginary one of c, which keeps that of `r` real.
    """
    (x,), (x_dot,) = primals, tangents
    q, r = qr_p.bind(x, full_matrices=full_matrices)
    if type(x_dot) is Zero:
        return [q, r], [Zero(aval_of(q)), Zero(aval_of(r))]
    m, n = x.shape[-2:]
    if full_matrices and m > n:
        raise NotDifferentiableError(
            f"qr: of matrices ({m}, {n}), full_matrices=True returns columns of q that the matrix "
            "does not determine, so they have no derivative",
            mend="pass full_matrices=False",
        )
    k = min(m, n)
    scaled = triangular_solve(slice_in_dim(r, 0, k, axis=-1), slice_in_dim(x_dot, 0, k, axis=-1))
    c = matmul(adjoint(q), scaled)
    w = _skew(c)
    q_dot = add(matmul(q, sub(w, c)), scaled)
    r_dot = sub(matmul(adjoint(q), x_dot), matmul(w, r))
    return [q, r], [q_dot, r_dot]


def _skew(c: Any) -> Any:
    lower = lower_triangle(c, -1)
    w = sub(lower, adjoint(lower))
    if not dtypes.is_complex(c.dtype):
        return w
    imaginary = mul(sub(c, conj(c)), 0.5)
    return add(w, mul(unit_matrix(c.shape[-1], c.dtype), imaginary))


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    return qr_p.bind(moveaxis(args[0], dims[0], 0), **params), [0, 0]


define(
    qr_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=NONLINEAR,
    batch=_batch,
)
