"""Systems without a unique solution: least squares, pseudo-inverses, ranks.

Derivatives follow Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least
squares problems whose variables separate" (1973). They hold where the rank does not change, and
need no derivatives of singular vectors, so that equal singular values do no harm.
"""

from typing import Any

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.arguments import matrices
from funcflow.numpy.manipulation import matrix_transpose
from funcflow.numpy.orthogonal import svd, svdvals
from funcflow.numpy.products import matmul
from funcflow.numpy.promotion import as_array, promote_inexact
from funcflow.numpy.scalar_types import finfo
from funcflow.transforms.custom_jvp import custom_jvp
from funcflow.transforms.jvp import jvp


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """The Moore-Penrose pseudo-inverses of matrices.

    Args:
        a: matrices of shape (..., m, n).
        rcond: singular values of at most this share of the largest count as zero; a number, or an
            array of shape (...). By default `10 * max(m, n)` times the dtype's rounding error.
        hermitian: the matrices are Hermitian; their mean with the conjugated transpose is used.
        rtol: another name for `rcond`.

    Returns:
        Matrices of shape (..., n, m), differentiable where the rank does not change.

    Raises:
        ArgumentError: both `rcond` and `rtol` are given.

    Example:
        >>> fnp.linalg.pinv(fnp.array([[0.0, 2.0]]))
        Array([[0. ],
               [0.5]], dtype=float32)
    """
    a = matrices("pinv", a, square=hermitian)
    if rcond is not None and rtol is not None:
        raise ArgumentError("pinv: rcond and rtol mean the same", mend="pass one of them")
    share = rtol if rcond is None else rcond
    if share is None:
        share = 10 * _default_share(a)
    if hermitian:
        a = lax.mul(lax.add(a, _adjoint(a)), 0.5)
    return _pinv(a, _share("pinv", share, a))


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """The ranks of matrices: how many singular values exceed a limit.

    Args:
        A: matrices of shape (..., m, n); a vector or number has rank 0 if it is zero, else 1.
        tol: the limit, a number or an array of shape (...).
        hermitian: the matrices are Hermitian: use their eigenvalues, which takes less time.
        rtol: the limit as a share of the largest singular value; by default `max(m, n)` times the
            dtype's rounding error.

    Raises:
        ArgumentError: both `tol` and `rtol` are given.

    Example:
        >>> fnp.linalg.matrix_rank(fnp.ones((3, 3)))
        Array(1, dtype=int32)
    """
    if tol is not None and rtol is not None:
        raise ArgumentError("matrix_rank: both tol and rtol are given", mend="pass one of them")
    A = as_array("matrix_rank", A)
    if A.ndim < 2:
        nonzero = lax.reduce_or(lax.ne(A, 0), tuple(range(A.ndim)))
        return lax.convert_element_type(nonzero, "int32")
    A = matrices("matrix_rank", A, square=hermitian)
    s = svd(A, compute_uv=False, hermitian=hermitian)
    if tol is None:
        share = _share("matrix_rank", _default_share(A) if rtol is None else rtol, A)
        return _count(_is_large(s, share))
    return _count(lax.gt(s, _share("matrix_rank", tol, A)[..., None]))


def lstsq(
    a: Any, b: Any, rcond: Any = None, *, numpy_resid: bool = False
) -> tuple[Array, Array, Array, Array]:
    """The shortest `x` that makes `norm(b - a @ x)` least.

    Args:
        a: a matrix (m, n).
        b: a vector (m,), or the columns of a matrix (m, k).
        rcond: singular values of at most this share of the largest count as zero. By default
            `max(m, n)` times the dtype's rounding error; that error alone if negative.
        numpy_resid: return no residuals where NumPy returns none: if m <= n or the rank is less
            than n. The rank must then be known, so not under `jit`.

    Returns:
        `(x, residuals, rank, s)`: the solution (n,) or (n, k), the sums of squares of `b - a @ x`
        for each column, of shape (1,) or (k,), the rank of `a` and its singular values. The
        solution is differentiable where the rank does not change.

    Raises:
        ShapeError: `a` is no matrix, or `b` has not as many rows.

    Example:
        >>> a = fnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
        >>> fnp.round(fnp.linalg.lstsq(a, fnp.array([1.0, 3.0, 5.0]))[0], 4)
        Array([1., 2.], dtype=float32)
    """
    a, b = (as_array("lstsq", x) for x in promote_inexact("lstsq", a, b))
    if a.ndim != 2 or b.ndim not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ShapeError(
            f"lstsq: takes a matrix (m, n) and (m,) or (m, k), got {a.shape} and {b.shape}",
            mend="use vmap for stacks of systems",
        )
    m, n = a.shape
    share = _share("lstsq", _default_share(a) if rcond is None else rcond, a)
    share = lax.select(lax.lt(share, 0), lax.full_like(share, _rounding(a)), share)
    columns = b if b.ndim == 2 else b[:, None]
    x, s = _least_squares(a, columns, share)
    rank = _count(_is_large(s, share))
    if numpy_resid and (m <= n or int(rank) < n):
        residuals = lax.full((0,), 0, s.dtype)
    else:
        rest = lax.abs(lax.sub(columns, matmul(a, x)))
        residuals = lax.reduce_sum(lax.square(rest), (0,))
    return (x if b.ndim == 2 else x[:, 0]), residuals, rank, s


# --- the limit below which a singular value counts as zero --------------------------------------


def _rounding(a: Array) -> float:
    return float(finfo(a.dtype).eps)


def _default_share(a: Array) -> float:
    return max(a.shape[-2:]) * _rounding(a)


def _share(function: str, share: Any, a: Array) -> Array:
    """A limit, in the dtype of the singular values."""
    return lax.convert_element_type(as_array(function, share), dtypes.real_of(a.dtype))


def _is_large(s: Array, share: Array) -> Array:
    return lax.gt(s, lax.mul(share[..., None], s[..., :1]))


def _count(large: Array) -> Array:
    return lax.reduce_sum(lax.convert_element_type(large, "int32"), (large.ndim - 1,))


def _inverse(s: Array, share: Array) -> Array:
    """The inverses of what is large, zeros elsewhere."""
    large = _is_large(s, share)
    return lax.select(large, lax.reciprocal(lax.select(large, s, 1)), 0)


# --- pseudo-inverses --------------------------------------------------------------------------


@custom_jvp
def _pinv(a: Array, share: Array) -> Array:
    u, s, vh = svd(a, full_matrices=False)
    inverse = lax.convert_element_type(_inverse(s, share), a.dtype)
    return matmul(lax.mul(_adjoint(vh), inverse[..., None, :]), _adjoint(u))


@_pinv.defjvp
def _pinv_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    """The pseudo-inverse is the solution for the unit matrix."""
    (a, share), (a_dot, _) = primals, tangents
    p, ah_dot = _pinv(a, share), _adjoint(a_dot)
    side = lax.neg(matmul(a_dot, p))
    rest = lax.sub(ah_dot, matmul(matmul(ah_dot, a), p))
    return p, _solution_dot(a, ah_dot, p, p, side, rest)


@custom_jvp
def _least_squares(a: Array, b: Array, share: Array) -> tuple[Array, Array]:
    """The solution and the singular values."""
    u, s, vh = svd(a, full_matrices=False)
    inverse = lax.convert_element_type(_inverse(s, share), a.dtype)
    return matmul(_adjoint(vh), lax.mul(inverse[:, None], matmul(_adjoint(u), b))), s


@_least_squares.defjvp
def _least_squares_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    (a, b, share), (a_dot, b_dot, _) = primals, tangents
    x, s = _least_squares(a, b, share)
    p, ah_dot = _pinv(a, share), _adjoint(a_dot)
    side = lax.sub(b_dot, matmul(a_dot, x))
    rest = matmul(ah_dot, lax.sub(b, matmul(a, x)))
    x_dot = _solution_dot(a, ah_dot, p, x, side, rest)
    return (x, s), (x_dot, jvp(svdvals, (a,), (a_dot,))[1])


def _solution_dot(a: Array, ah_dot: Array, p: Array, x: Array, side: Array, rest: Array) -> Array:
    """The change of `x = p b`: p side + p p.H rest + (1 - p a) da.H p.H x.

    `side` is db - da x and `rest` is da.H (b - a x). Products are taken in the order that makes no
    m x m matrices, since there mostly are more rows than columns.
    """
    ph = _adjoint(p)
    outside = matmul(matmul(ah_dot, ph), x)
    within = lax.add(matmul(p, side), matmul(matmul(p, ph), rest))
    return lax.add(within, lax.sub(outside, matmul(p, matmul(a, outside))))


def _adjoint(x: Array) -> Array:
    swapped = matrix_transpose(x)
    return lax.conj(swapped) if dtypes.is_complex(x.dtype) else swapped
