"""Singular values and vectors."""

from collections.abc import Sequence
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import NotDifferentiableError
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import mul, reciprocal, sub
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, select
from funcflow.lax.complex import conj
from funcflow.lax.forms import add
from funcflow.lax.matrices import (
    adjoint,
    check_matrices,
    diagonal_of,
    differences,
    inverse_off_diagonal,
    lapack_dtype,
    matmul,
    nan_where_it_fails,
    real_part,
    scaled_columns,
)
from funcflow.lax.shape import expand_dims, moveaxis

svd_p = Primitive("svd", multiple_results=True)


def svd(x: Any, *, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """The singular value decomposition: `x = (u * s[..., None, :]) @ vh`.

    Args:
        x: matrices of shape (..., m, n); k is the lesser of m and n.
        full_matrices: complete `u` and `vh` to square matrices.
        compute_uv: return the vectors too, rather than only the values, in a fraction of the time.

    Returns:
        `(u, s, vh)`, or only `s`. The columns of `u`, of shape (..., m, k), and the rows of `vh`,
        of shape (..., k, n), are orthonormal; `s`, of shape (..., k), is real, descending and not
        negative. With `full_matrices`, `u` is (..., m, m) and `vh` (..., n, n). NaN where `x`
        holds NaN.

        A pair of vectors may be multiplied by any number of modulus 1; derivatives are those of one
        choice. Vectors of equal values, and those of the value 0 of a matrix that is not square,
        have no derivative: it comes out infinite or NaN. Derivatives of values that are neither
        equal nor 0 always exist.

    Raises:
        ShapeError: `x` has fewer than two axes.
        DtypeError: the dtype is not floating or complex.
        NotDifferentiableError: a derivative is asked for, and there are vectors that the matrix
            does not determine: `full_matrices` with m != n.

    Example:
        >>> ff.lax.linalg.svd(fnp.array([[0.0, 2.0], [1.0, 0.0]]), compute_uv=False)
        Array([2., 1.], dtype=float32)
    """
    full_matrices = bool(full_matrices and compute_uv)
    outs = svd_p.bind(x, full_matrices=full_matrices, compute_uv=bool(compute_uv))
    return tuple(outs) if compute_uv else outs[0]


def _abstract(x: ShapedArray, *, full_matrices: bool, compute_uv: bool) -> list[ShapedArray]:
    check_matrices("svd", x, square=False)
    *stack, m, n = x.shape
    k = min(m, n)
    s = ShapedArray((*stack, k), dtypes.real_of(x.dtype))
    if not compute_uv:
        return [s]
    rows, columns = (m, n) if full_matrices else (k, k)
    u, vh = ShapedArray((*stack, m, rows), x.dtype), ShapedArray((*stack, columns, n), x.dtype)
    return [u, s, vh]


def _impl(xp: Any, x: Any, *, full_matrices: bool, compute_uv: bool) -> list[Any]:
    avals = _abstract(aval_of(x), full_matrices=full_matrices, compute_uv=compute_uv)

    def decompose(x: Any) -> list[Any]:
        out = xp.linalg.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)
        return list(out) if compute_uv else [out]

    outs = nan_where_it_fails(xp, decompose, x.astype(lapack_dtype(x.dtype), copy=False))
    return [out.astype(aval.dtype, copy=False) for out, aval in zip(outs, avals, strict=True)]


def _jvp(ctx: Any, primals: Any, tangents: Any, *, full_matrices: bool, compute_uv: bool) -> Any:
    """With p = u.H dx v: ds is the real diagonal of p; du and dv are what `_vectors_dot` finds.

    Giles, "Collected matrix derivative results" (2008), for the values.
    """
    (x,), (x_dot,) = primals, tangents
    if type(x_dot) is Zero:
        outs = svd_p.bind(x, full_matrices=full_matrices, compute_uv=compute_uv)
        return outs, [Zero(aval_of(out)) for out in outs]
    m, n = x.shape[-2:]
    if full_matrices and m != n:
        raise NotDifferentiableError(
            f"svd: of matrices ({m}, {n}), full_matrices=True returns vectors that the matrix does "
            "not determine, so they have no derivative",
            mend="pass full_matrices=False",
        )
    u, s, vh = svd_p.bind(x, full_matrices=False, compute_uv=True)
    v = adjoint(vh)
    p = matmul(adjoint(u), matmul(x_dot, v))
    s_dot = real_part(diagonal_of(p))
    if not compute_uv:
        return [s], [s_dot]
    u_dot, v_dot = _vectors_dot(u, s, v, p)
    if m > n:
        u_dot = add(u_dot, _outside(u, s, matmul(x_dot, v)))
    if n > m:
        v_dot = add(v_dot, _outside(v, s, matmul(adjoint(x_dot), u)))
    return [u, s, vh], [u_dot, s_dot, adjoint(v_dot)]


def _vectors_dot(u: Any, s: Any, v: Any, p: Any) -> tuple[Any, Any]:
    """The changes of the vectors within the spaces that they span.

    With f[i, j] = 1 / (s[j]^2 - s[i]^2) and S = diag(s): du = u (f * (p S + S p.H)) and
    dv = v (f * (S p + p.H S)). That leaves open how the phases of a pair change. Their
    difference is the imaginary diagonal of p over s, and `u` takes all of it; where s is 0 there
    is no difference to keep.
    """
    sums = add(expand_dims(s, (-2,)), expand_dims(s, (-1,)))
    f = convert_element_type(inverse_off_diagonal(mul(sums, differences(s))), p.dtype)
    right = scaled_columns(p, s)
    left = adjoint(scaled_columns(adjoint(p), s))
    u_dot = matmul(u, mul(f, add(right, adjoint(right))))
    v_dot = matmul(v, mul(f, add(left, adjoint(left))))
    if dtypes.is_complex(p.dtype):
        diagonal = diagonal_of(p)
        imaginary = mul(sub(diagonal, conj(diagonal)), 0.5)
        zero = eq(s, 0)
        inverse = select(zero, 0, reciprocal(select(zero, 1, s)))
        phase = mul(imaginary, convert_element_type(inverse, p.dtype))
        u_dot = add(u_dot, scaled_columns(u, phase))
    return u_dot, v_dot


def _outside(u: Any, s: Any, change: Any) -> Any:
    """The change of `u` out of the space that its columns span."""
    rest = sub(change, matmul(u, matmul(adjoint(u), change)))
    return scaled_columns(rest, reciprocal(s))


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    outs = svd_p.bind(moveaxis(args[0], dims[0], 0), **params)
    return outs, [0] * len(outs)


def _dce(eqn: JaxprEqn, used: Sequence[bool]) -> JaxprEqn:
    """Vectors that nobody uses are not computed."""
    if used[0] or used[2]:
        return eqn
    params = {"full_matrices": False, "compute_uv": False}
    return eqn.replace(outvars=eqn.outvars[1:2], params=params)


define(
    svd_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=NONLINEAR,
    batch=_batch,
    dce=_dce,
)
