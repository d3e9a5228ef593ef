"""Eigenvalues and eigenvectors of Hermitian matrices."""

from collections.abc import Sequence
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import mul
from funcflow.lax.casting import convert_element_type
from funcflow.lax.forms import add
from funcflow.lax.matrices import (
    adjoint,
    check_matrices,
    diagonal_of,
    differences,
    halved_lower,
    inverse_off_diagonal,
    lapack_dtype,
    matmul,
    nan_where_it_fails,
    real_part,
)
from funcflow.lax.shape import moveaxis

eigh_p = Primitive("eigh", multiple_results=True)


def eigh(x: Any, *, lower: bool = True, symmetrize_input: bool = True) -> tuple[Any, Any]:
    """The eigenvectors and eigenvalues of Hermitian matrices: `x @ v = v * w[..., None, :]`.

    Args:
        x: Hermitian matrices, of shape (..., n, n).
        lower: read the lower triangle rather than the upper.
        symmetrize_input: replace `x` by `(x + x.H) / 2` first, so that both triangles count.

    Returns:
        `(v, w)`: orthonormal eigenvectors in the columns of `v`, of the shape and dtype of `x`, and
        the eigenvalues in ascending order, real, of shape (..., n). NaN where `x` holds NaN.

        An eigenvector may be multiplied by any number of modulus 1; derivatives are those of the
        choice whose change is orthogonal to the vector. Vectors of equal eigenvalues have no
        derivative: it comes out infinite or NaN. First derivatives of eigenvalues always exist.

    Raises:
        ShapeError: the matrices are not square.
        DtypeError: the dtype is not floating or complex.

    Example:
        >>> v, w = ff.lax.linalg.eigh(fnp.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> w
        Array([1., 3.], dtype=float32)
    """
    if symmetrize_input:
        x = _symmetrized("eigh", x)
    v, w = eigh_p.bind(x, lower=bool(lower), compute_v=True)
    return v, w


def eigvalsh(x: Any, *, lower: bool = True, symmetrize_input: bool = True) -> Any:
    """The eigenvalues that `eigh` finds, in a fraction of its time.

    Raises:
        ShapeError: the matrices are not square.
        DtypeError: the dtype is not floating or complex.
    """
    if symmetrize_input:
        x = _symmetrized("eigvalsh", x)
    (w,) = eigh_p.bind(x, lower=bool(lower), compute_v=False)
    return w


def _symmetrized(function: str, x: Any) -> Any:
    check_matrices(function, aval_of(x))
    return mul(add(x, adjoint(x)), 0.5)


def _abstract(x: ShapedArray, *, lower: bool, compute_v: bool) -> list[ShapedArray]:
    check_matrices("eigh", x)
    w = ShapedArray(x.shape[:-1], dtypes.real_of(x.dtype))
    return [x.strip_weak_type(), w] if compute_v else [w]


def _impl(xp: Any, x: Any, *, lower: bool, compute_v: bool) -> list[Any]:
    avals = _abstract(aval_of(x), lower=lower, compute_v=compute_v)
    triangle = "L" if lower else "U"

    def decompose(x: Any) -> list[Any]:
        if not compute_v:
            return [xp.linalg.eigvalsh(x, triangle)]
        w, v = xp.linalg.eigh(x, triangle)
        return [v, w]

    outs = nan_where_it_fails(xp, decompose, x.astype(lapack_dtype(x.dtype), copy=False))
    return [out.astype(aval.dtype, copy=False) for out, aval in zip(outs, avals, strict=True)]


def _jvp(ctx: Any, primals: Any, tangents: Any, *, lower: bool, compute_v: bool) -> Any:
    """With e = v.H dx v: dw is the diagonal of e, dv = v f, f[i, j] = e[i, j] / (w[j] - w[i]).

    Giles, "Collected matrix derivative results" (2008). The diagonal of f is 0, so
    that the change of a vector is orthogonal to it.
    """
    (x,), (x_dot,) = primals, tangents
    if type(x_dot) is Zero:
        outs = eigh_p.bind(x, lower=lower, compute_v=compute_v)
        return outs, [Zero(aval_of(out)) for out in outs]
    v, w = eigh_p.bind(x, lower=lower, compute_v=True)
    # the operation reads one triangle, and the real part of the diagonal
    half = halved_lower(x_dot if lower else adjoint(x_dot))
    e = matmul(adjoint(v), matmul(add(half, adjoint(half)), v))
    w_dot = real_part(diagonal_of(e))
    if not compute_v:
        return [w], [w_dot]
    inverse = inverse_off_diagonal(differences(w))
    return [v, w], [matmul(v, mul(e, convert_element_type(inverse, e.dtype))), w_dot]


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    outs = eigh_p.bind(moveaxis(args[0], dims[0], 0), **params)
    return outs, [0] * len(outs)


def _dce(eqn: JaxprEqn, used: Sequence[bool]) -> JaxprEqn:
    """Vectors that nobody uses are not computed."""
    if used[0]:
        return eqn
    return eqn.replace(outvars=eqn.outvars[1:], params={**eqn.params, "compute_v": False})


define(
    eigh_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=NONLINEAR,
    batch=_batch,
    dce=_dce,
)
