"""`fnp.linalg`: decompositions, systems, determinants, norms and products of matrices."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.numpy import diagonals, products
from funcflow.numpy.arguments import matrices, normal_axes, static_int
from funcflow.numpy.creation import eye
from funcflow.numpy.eigenvalues import eig as eig
from funcflow.numpy.eigenvalues import eigh as eigh
from funcflow.numpy.eigenvalues import eigvals as eigvals
from funcflow.numpy.eigenvalues import eigvalsh as eigvalsh
from funcflow.numpy.least_squares import lstsq as lstsq
from funcflow.numpy.least_squares import matrix_rank as matrix_rank
from funcflow.numpy.least_squares import pinv as pinv
from funcflow.numpy.manipulation import matrix_transpose as matrix_transpose
from funcflow.numpy.manipulation import moveaxis
from funcflow.numpy.norms import matrix_norm as matrix_norm
from funcflow.numpy.norms import norm as norm
from funcflow.numpy.norms import vector_norm as vector_norm
from funcflow.numpy.orthogonal import qr as qr
from funcflow.numpy.orthogonal import svd as svd
from funcflow.numpy.orthogonal import svdvals as svdvals
from funcflow.numpy.products import matmul as matmul
from funcflow.numpy.products import tensordot as tensordot
from funcflow.numpy.products import vecdot as vecdot
from funcflow.numpy.promotion import as_array, inexact, promote_inexact

# --- solving --------------------------------------------------------------------------------


def solve(a: Any, b: Any) -> Array:
    """The solution `x` of `a @ x = b`.

    Args:
        a: square matrices, of shape (..., n, n).
        b: right-hand sides: a vector (n,) or matrices (..., n, m); leading axes broadcast.

    Returns:
        An array of the shape of `b`. A singular matrix gives infinities and NaN.

    Raises:
        ShapeError: the shapes do not fit.

    Example:
        >>> fnp.linalg.solve(fnp.array([[2.0, 0.0], [0.0, 4.0]]), fnp.array([2.0, 2.0]))
        Array([1. , 0.5], dtype=float32)
    """
    a, b = (as_array("solve", x) for x in promote_inexact("solve", a, b))
    return lax.linalg.solve(matrices("solve", a, square=True), b)


def inv(a: Any) -> Array:
    """The inverses of square matrices (..., n, n); see `solve`."""
    a = matrices("inv", a, square=True)
    return lax.linalg.solve(a, lax.broadcast_to(eye(a.shape[-1], dtype=a.dtype), a.shape))


def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Array:
    """The lower triangular matrices `l` for which `l @ l.mT.conj()` is `a`.

    Args:
        a: Hermitian positive definite matrices, of shape (..., n, n).
        upper: return the conjugated transposes instead.
        symmetrize_input: take the mean of `a` and its conjugated transpose first.

    Returns:
        An array of the shape of `a`; NaN where a matrix is not positive definite.
    """
    lower = lax.linalg.cholesky(
        matrices("cholesky", a, square=True), symmetrize_input=symmetrize_input
    )
    if not upper:
        return lower
    return matrix_transpose(lax.conj(lower) if dtypes.is_complex(lower.dtype) else lower)


def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Array:
    """The `x` for which `tensordot(a, x, x.ndim)` is `b`.

    Args:
        a: an array whose first axes are those of `b`; the rest are the axes of `x`.
        b: an array.
        axes: axes of `a` to move to the end first.
    """
    a, b = (as_array("tensorsolve", x) for x in promote_inexact("tensorsolve", a, b))
    if axes is not None:
        chosen = normal_axes("tensorsolve", axes)
        a = moveaxis(a, chosen, tuple(range(a.ndim - len(chosen), a.ndim)))
    shape = a.shape[b.ndim :]
    if a.shape[: b.ndim] != b.shape or int(np.prod(shape, dtype=int)) != b.size:
        raise ShapeError(
            f"tensorsolve: shapes {a.shape} and {b.shape} do not fit",
            mend="a.shape must be b.shape followed by a shape of the same size",
        )
    out = lax.linalg.solve(lax.reshape(a, (b.size, b.size)), lax.reshape(b, (b.size,)))
    return lax.reshape(out, shape)


def tensorinv(a: Any, ind: int = 2) -> Array:
    """The inverse of `a` as a map of arrays; its first `ind` axes are those of the images."""
    a = as_array("tensorinv", inexact("tensorinv", a))
    ind = static_int("tensorinv", "ind", ind)
    first, rest = a.shape[:ind], a.shape[ind:]
    size = int(np.prod(first, dtype=int))
    if ind <= 0 or size * size != a.size:
        raise ShapeError(
            f"tensorinv: shape {a.shape} does not split into two of one size at axis {ind}",
            mend="choose ind so that the products of the extents before and after it agree",
        )
    return lax.reshape(inv(lax.reshape(a, (size, size))), (*rest, *first))


# --- determinants ---------------------------------------------------------------------------


class SlogdetResult(NamedTuple):
    """A determinant as `sign * exp(logabsdet)`."""

    sign: Array
    logabsdet: Array


def det(a: Any) -> Array:
    """The determinants of square matrices (..., n, n).

    Up to 3 x 3 they are written out, so that derivatives are finite at singular matrices; larger
    ones are products of pivots.
    """
    a = matrices("det", a, square=True)
    n = a.shape[-1]
    if n == 0:
        return lax.full(a.shape[:-2], 1, a.dtype)
    if n <= 3:
        return _written_out([lax.unstack(row, a.ndim - 2) for row in lax.unstack(a, a.ndim - 2)])
    pivots, sign = _pivots(a)
    return lax.mul(sign, lax.reduce_prod(pivots, (pivots.ndim - 1,)))


def _written_out(rows: Sequence[Sequence[Array]]) -> Array:
    """A determinant by expansion along the first row."""
    first, *rest = rows
    if not rest:
        return first[0]
    total: Any = None
    for j, element in enumerate(first):
        minor = _written_out([[x for k, x in enumerate(row) if k != j] for row in rest])
        term = lax.mul(element, minor)
        total = term if total is None else (lax.sub if j % 2 else lax.add)(total, term)
    return total


def _pivots(a: Array) -> tuple[Array, Array]:
    """The diagonal of U in the LU decomposition, and the sign of the row permutation."""
    factors, exchanges, _ = lax.linalg.lu(a)
    unmoved = lax.broadcasted_iota(exchanges.dtype, exchanges.shape, exchanges.ndim - 1)
    moved = lax.convert_element_type(lax.ne(exchanges, unmoved), "int32")
    odd = lax.eq(lax.rem(lax.reduce_sum(moved, (moved.ndim - 1,)), 2), 1)
    one = np.ones((), a.dtype)
    return diagonals.diagonal(factors, 0, -2, -1), lax.select(odd, -one, one)


def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """The signs and the logarithms of the absolute values of determinants.

    Args:
        a: square matrices, of shape (..., n, n).
        method: "lu" or None.

    Returns:
        `(sign, logabsdet)`; for a singular matrix 0 and -inf. Complex signs have modulus 1.
    """
    if method not in (None, "lu"):
        raise ArgumentError(f"slogdet: method={method!r}", mend="use 'lu'")
    pivots, sign = _pivots(matrices("slogdet", a, square=True))
    last = (pivots.ndim - 1,)
    sign = lax.mul(sign, lax.reduce_prod(lax.sign(pivots), last))
    return SlogdetResult(sign, lax.reduce_sum(lax.log(lax.abs(pivots)), last))


def cond(x: Any, p: Any = None) -> Array:
    """The condition numbers of matrices in a norm: `norm(x, p) * norm(inv(x), p)`.

    Args:
        x: matrices of shape (..., m, n), square but for p = 2 and -2.
        p: None or 2 for the greatest singular value over the least, -2 for the inverse of that;
            "fro", "nuc", 1, -1, inf or -inf.

    Returns:
        An array of shape (...), infinite for singular matrices without NaN.

    Raises:
        ArgumentError: there is no such norm, or the matrices are empty.
    """
    spectral = p is None or p in (2, -2)
    x = matrices("cond", x, square=not spectral)
    if 0 in x.shape[-2:]:
        raise ArgumentError(
            f"cond: empty matrices have no condition number, got shape {x.shape}",
            mend="pass matrices with one row and column at least",
        )
    axes = (x.ndim - 2, x.ndim - 1)
    if spectral:
        s = svdvals(x)
        first, last = s[..., 0], s[..., -1]
        out = lax.div(last, first) if p == -2 else lax.div(first, last)
    else:
        out = lax.mul(norm(x, p, axes), norm(inv(x), p, axes))
    whole = lax.bitwise_not(lax.reduce_or(lax.ne(x, x), axes))
    return lax.select(lax.bitwise_and(lax.ne(out, out), whole), np.inf, out)


# --- products -------------------------------------------------------------------------------


def matrix_power(a: Any, n: int) -> Array:
    """The n-th powers of square matrices; negative powers are those of the inverses."""
    a = as_array("matrix_power", a)
    if a.ndim < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(
            f"matrix_power: takes square matrices, got shape {a.shape}",
            mend="the last two axes must have one extent",
        )
    n = static_int("matrix_power", "n", n)
    if n < 0:
        a, n = inv(a), -n
    if n == 0:
        return lax.broadcast_to(eye(a.shape[-1], dtype=a.dtype), a.shape)
    out = None
    while n:  # repeated squaring, bit by bit
        if n & 1:
            out = a if out is None else matmul(out, a)
        n >>= 1
        if n:
            a = matmul(a, a)
    assert out is not None
    return out


def multi_dot(arrays: Sequence[Any], *, precision: Any = None) -> Array:
    """The product of several matrices, multiplied in the order that takes least work.

    The first and the last may be vectors.
    """
    terms = [as_array("multi_dot", x) for x in arrays]
    if len(terms) < 2:
        raise ArgumentError("multi_dot: takes two or more arrays", mend="pass a longer list")
    inner = terms[1:-1]
    if any(x.ndim != 2 for x in inner) or any(x.ndim not in (1, 2) for x in terms):
        raise ShapeError(
            f"multi_dot: takes matrices, and vectors at the ends, got shapes "
            f"{', '.join(str(x.shape) for x in terms)}",
            mend="use matmul for stacks of matrices",
        )
    extents = [1 if terms[0].ndim == 1 else terms[0].shape[0]]
    extents += [x.shape[0] for x in terms[1:]]
    extents.append(1 if terms[-1].ndim == 1 else terms[-1].shape[1])
    split = _best_splits(extents)

    def product(i: int, j: int) -> Array:
        if i == j:
            return terms[i]
        k = split[i, j]
        return matmul(product(i, k), product(k + 1, j), precision=precision)

    return product(0, len(terms) - 1)


def _best_splits(extents: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split the product of matrices i, ..., j: the matrix chain algorithm.

    See Cormen, Leiserson, Rivest, Stein: Introduction to Algorithms, section 15.2.
    """
    count = len(extents) - 1
    cost = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], split[i, j] = min(
                (
                    cost[i, k] + cost[k + 1, j] + extents[i] * extents[k + 1] * extents[j + 1],
                    k,
                )
                for k in range(i, j)
            )
    return split


def outer(x1: Any, x2: Any, /) -> Array:
    """The products of each element of one vector with each of another."""
    x1, x2 = as_array("outer", x1), as_array("outer", x2)
    if x1.ndim != 1 or x2.ndim != 1:
        raise ShapeError(
            f"outer: takes vectors, got shapes {x1.shape} and {x2.shape}",
            mend="use fnp.outer, which ravels its arguments",
        )
    return products.outer(x1, x2)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """The cross products of vectors of 3 components."""
    x1, x2 = as_array("cross", x1), as_array("cross", x2)
    for x in (x1, x2):
        if x.shape[canonical_axis(axis, x.ndim, "cross")] != 3:
            raise ShapeError(
                f"cross: axis {axis} of shape {x.shape} is not of extent 3",
                mend="use fnp.cross for vectors of 2 components",
            )
    return products.cross(x1, x2, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Array:
    """The diagonals of matrices (..., m, n)."""
    return diagonals.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sums of the diagonals of matrices (..., m, n)."""
    return diagonals.trace(x, offset, -2, -1, dtype)
