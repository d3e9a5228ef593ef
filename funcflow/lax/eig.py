"""Eigenvalues and eigenvectors of general square matrices."""

from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import NotDifferentiableError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import mul, sub
from funcflow.lax.casting import convert_element_type
from funcflow.lax.linear_solve import solve
from funcflow.lax.matrices import (
    adjoint,
    check_matrices,
    diagonal_of,
    differences,
    inverse_off_diagonal,
    lapack_dtype,
    matmul,
    nan_where_it_fails,
    scaled_columns,
)
from funcflow.lax.shape import moveaxis

eig_p = Primitive("eig", multiple_results=True)


def eig(
    x: Any, *, compute_left_eigenvectors: bool = True, compute_right_eigenvectors: bool = True
) -> list[Any]:
    """The eigenvalues and eigenvectors of general square matrices.

    Args:
        x: matrices of shape (..., n, n).
        compute_left_eigenvectors: return `vl` with `vl.H @ x = w[..., None] * vl.H`.
        compute_right_eigenvectors: return `vr` with `x @ vr = vr * w[..., None, :]`.

    Returns:
        The list `[w, vl, vr]` without what is not asked for, complex: eigenvalues (..., n) in no
        particular order, and vectors of length 1 in the columns of (..., n, n). NaN where `x` holds
        infinities or NaN.

        A vector may be multiplied by any number of modulus 1; derivatives are those of the choice
        whose change is orthogonal to the vector. Equal eigenvalues and their vectors have no
        derivatives: those of the vectors come out infinite or NaN.

    Raises:
        ShapeError: the matrices are not square.
        DtypeError: the dtype is not floating or complex.
        NotDifferentiableError: the derivative of left eigenvectors is asked for.

    Example:
        >>> (w,) = ff.lax.linalg.eig(
        ...     fnp.array([[0.0, -1.0], [1.0, 0.0]]),
        ...     compute_left_eigenvectors=False,
        ...     compute_right_eigenvectors=False,
        ... )
        >>> w
        Array([0.+1.j, 0.-1.j], dtype=complex64)
    """
    return eig_p.bind(
        x,
        compute_left_eigenvectors=bool(compute_left_eigenvectors),
        compute_right_eigenvectors=bool(compute_right_eigenvectors),
    )


def _abstract(
    x: ShapedArray, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool
) -> list[ShapedArray]:
    check_matrices("eig", x)
    dtype = dtypes.complex_of(dtypes.real_of(lapack_dtype(x.dtype)))
    vectors = compute_left_eigenvectors + compute_right_eigenvectors
    return [ShapedArray(x.shape[:-1], dtype), *[ShapedArray(x.shape, dtype)] * vectors]


def _impl(
    xp: Any, x: Any, *, compute_left_eigenvectors: bool, compute_right_eigenvectors: bool
) -> list[Any]:
    avals = _abstract(
        aval_of(x),
        compute_left_eigenvectors=compute_left_eigenvectors,
        compute_right_eigenvectors=compute_right_eigenvectors,
    )

    def decompose(x: Any) -> list[Any]:
        if compute_left_eigenvectors:
            return _with_left_vectors(x, compute_right_eigenvectors)
        if compute_right_eigenvectors:
            return list(xp.linalg.eig(x))
        return [xp.linalg.eigvals(x)]

    outs = nan_where_it_fails(xp, decompose, x.astype(lapack_dtype(x.dtype), copy=False))
    return [out.astype(aval.dtype, copy=False) for out, aval in zip(outs, avals, strict=True)]


def _with_left_vectors(x: Any, right: bool) -> list[Any]:
    """Matrix by matrix, by SciPy: NumPy finds no left eigenvectors."""
    import scipy.linalg

    if not np.isfinite(x).all():
        raise np.linalg.LinAlgError("infinities or NaN")
    if not x.size:
        return [np.empty(x.shape[:-1]), x, x][: 2 + right]
    n = x.shape[-1]
    each = [
        scipy.linalg.eig(matrix, left=True, right=right, check_finite=False)
        for matrix in x.reshape(-1, n, n)
    ]
    w, *vectors = map(np.stack, zip(*each, strict=True))
    return [w.reshape(x.shape[:-1]), *(v.reshape(x.shape) for v in vectors)]


def _jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    compute_left_eigenvectors: bool,
    compute_right_eigenvectors: bool,
) -> Any:
    """With e = v^-1 dx v: dw is the diagonal of e, dv = v f, f[i, j] = e[i, j] / (w[j] - w[i]).

    Giles, "Collected matrix derivative results" (2008). What `dv` has along the
    vectors is taken away, so that they keep length 1.
    """
    (x,), (x_dot,) = primals, tangents
    if type(x_dot) is Zero:
        outs = eig_p.bind(
            x,
            compute_left_eigenvectors=compute_left_eigenvectors,
            compute_right_eigenvectors=compute_right_eigenvectors,
        )
        return outs, [Zero(aval_of(out)) for out in outs]
    if compute_left_eigenvectors:
        raise NotDifferentiableError(
            "eig: left eigenvectors have no derivative rule",
            mend="pass compute_left_eigenvectors=False, and use eig of the adjoint for them",
        )
    w, v = eig(x, compute_left_eigenvectors=False)
    e = solve(v, matmul(convert_element_type(x_dot, v.dtype), v))
    w_dot = diagonal_of(e)
    if not compute_right_eigenvectors:
        return [w], [w_dot]
    change = matmul(v, mul(e, inverse_off_diagonal(differences(w))))
    along = diagonal_of(matmul(adjoint(v), change))
    return [w, v], [w_dot, sub(change, scaled_columns(v, along))]


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    outs = eig_p.bind(moveaxis(args[0], dims[0], 0), **params)
    return outs, [0] * len(outs)


define(
    eig_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=NONLINEAR,
    batch=_batch,
)
