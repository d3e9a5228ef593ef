"""Eigenvalues and eigenvectors, of general and of Hermitian matrices."""

from typing import Any, NamedTuple

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.numpy.arguments import matrices


class EigResult(NamedTuple):
    """Eigenvalues, and eigenvectors in columns."""

    eigenvalues: Array
    eigenvectors: Array


class EighResult(NamedTuple):
    """Eigenvalues, and eigenvectors in columns, of Hermitian matrices."""

    eigenvalues: Array
    eigenvectors: Array


def eig(a: Any) -> EigResult:
    """The eigenvalues and eigenvectors of square matrices: `a @ v = v * w[..., None, :]`.

    Args:
        a: matrices of shape (..., n, n).

    Returns:
        `(eigenvalues, eigenvectors)`, always complex, since the dtype cannot depend on values: `w`
        of shape (..., n), in no particular order, and `v` of shape (..., n, n) with columns of
        length 1. Derivatives as those of `lax.linalg.eig`.

    Raises:
        ShapeError: the matrices are not square.
    """
    a = matrices("eig", a, square=True)
    w, v = lax.linalg.eig(a, compute_left_eigenvectors=False)
    return EigResult(w, v)


def eigvals(a: Any) -> Array:
    """The eigenvalues of square matrices (..., n, n), complex and in no particular order."""
    a = matrices("eigvals", a, square=True)
    (w,) = lax.linalg.eig(a, compute_left_eigenvectors=False, compute_right_eigenvectors=False)
    return w


def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """The eigenvalues and eigenvectors of Hermitian matrices: `a @ v = v * w[..., None, :]`.

    Args:
        a: matrices of shape (..., n, n).
        UPLO: which triangle counts if `symmetrize_input` is off: "L", the lower, or "U".
        symmetrize_input: take the mean of `a` and its conjugated transpose first.

    Returns:
        `(eigenvalues, eigenvectors)`: `w` of shape (..., n), real and ascending, and `v` of shape
        (..., n, n) with orthonormal columns. Vectors of equal eigenvalues have no derivative: it
        comes out infinite or NaN.

    Raises:
        ShapeError: the matrices are not square.
        ArgumentError: `UPLO` is neither "L" nor "U".

    Example:
        >>> fnp.linalg.eigh(fnp.array([[2.0, 1.0], [1.0, 2.0]])).eigenvalues
        Array([1., 3.], dtype=float32)
    """
    a = matrices("eigh", a, square=True)
    lower = _is_lower("eigh", UPLO)
    v, w = lax.linalg.eigh(a, lower=lower, symmetrize_input=symmetrize_input)
    return EighResult(w, v)


def eigvalsh(a: Any, UPLO: str | None = None, *, symmetrize_input: bool = True) -> Array:
    """The eigenvalues that `eigh` finds, in a fraction of its time."""
    a = matrices("eigvalsh", a, square=True)
    lower = _is_lower("eigvalsh", UPLO)
    return lax.linalg.eigvalsh(a, lower=lower, symmetrize_input=symmetrize_input)


def _is_lower(function: str, triangle: str | None) -> bool:
    name = "L" if triangle is None else str(triangle).upper()
    if name not in ("L", "U"):
        raise ArgumentError(f"{function}: UPLO={triangle!r}", mend="use 'L' or 'U'")
    return name == "L"
