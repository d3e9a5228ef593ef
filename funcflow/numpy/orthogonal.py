"""Decompositions with orthonormal factors: QR and singular values."""

from typing import Any, NamedTuple

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.numpy.arguments import matrices
from funcflow.numpy.manipulation import matrix_transpose
from funcflow.numpy.selection import take_along_axis
from funcflow.numpy.sorting import argsort, sort


class QRResult(NamedTuple):
    """Orthonormal columns, and an upper triangular factor."""

    Q: Array
    R: Array


class SVDResult(NamedTuple):
    """Left singular vectors in columns, singular values, right singular vectors in rows."""

    U: Array
    S: Array
    Vh: Array


def qr(a: Any, mode: str = "reduced") -> Any:
    """The QR decomposition of matrices: `a = Q @ R`.

    Args:
        a: matrices of shape (..., m, n); k is the lesser of m and n.
        mode: "reduced" for factors of shapes (..., m, k) and (..., k, n), "complete" for
            (..., m, m) and (..., m, n), "r" for the second of the reduced ones alone.

    Returns:
        `(Q, R)` or `R`. Derivatives need the first k columns to be linearly independent.

    Raises:
        ArgumentError: there is no such mode. NumPy's "raw" is not there: its factors are packed as
            LAPACK likes them.
        NotDifferentiableError: a derivative of "complete" factors with m > n is asked for.

    Example:
        >>> fnp.linalg.qr(fnp.array([[3.0], [4.0]]), "r")
        Array([[-5.]], dtype=float32)
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode={mode!r}", mend="use 'reduced', 'complete' or 'r'")
    q, r = lax.linalg.qr(matrices("qr", a), full_matrices=mode == "complete")
    return r if mode == "r" else QRResult(q, r)


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """The singular value decomposition of matrices: `a = (U * S[..., None, :]) @ Vh`.

    Args:
        a: matrices of shape (..., m, n); k is the lesser of m and n.
        full_matrices: complete `U` and `Vh` to square matrices.
        compute_uv: return the vectors too, rather than only the values, in a fraction of the time.
        hermitian: the matrices are Hermitian: use their eigenvalues, which takes less time.

    Returns:
        `(U, S, Vh)` or `S`: orthonormal columns of shape (..., m, k), values (..., k), real and
        descending, and orthonormal rows (..., k, n). Vectors of equal values have no derivative:
        it comes out infinite or NaN.

    Raises:
        NotDifferentiableError: a derivative is asked for with `full_matrices` and m != n.

    Example:
        >>> fnp.linalg.svd(fnp.array([[0.0, 2.0], [1.0, 0.0]])).S
        Array([2., 1.], dtype=float32)
    """
    a = matrices("svd", a, square=hermitian)
    if hermitian:
        return _of_hermitian(a, compute_uv)
    out = lax.linalg.svd(a, full_matrices=full_matrices, compute_uv=compute_uv)
    return SVDResult(*out) if compute_uv else out


def svdvals(x: Any, /) -> Array:
    """The singular values of matrices (..., m, n), real and descending; see `svd`."""
    return svd(x, compute_uv=False)


def _of_hermitian(a: Array, compute_uv: bool) -> Any:
    """The singular values are the absolute eigenvalues; their signs go to the rows of `Vh`."""
    if not compute_uv:
        return sort(lax.abs(lax.linalg.eigvalsh(a)), descending=True)
    v, w = lax.linalg.eigh(a)
    order = argsort(lax.abs(lax.stop_gradient(w)), -1, descending=True)
    w = take_along_axis(w, order, -1)
    u = take_along_axis(v, order[..., None, :], -1)
    signs = lax.convert_element_type(lax.select(lax.lt(w, 0), -1, lax.full_like(w, 1)), u.dtype)
    vh = matrix_transpose(lax.mul(u, signs[..., None, :]))
    return SVDResult(u, lax.abs(w), lax.conj(vh) if dtypes.is_complex(vh.dtype) else vh)
