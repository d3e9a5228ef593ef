"""Norms of vectors and matrices, with finite derivatives at zero.

At zero most norms have a kink; the derivative there is taken to be 0, one of the subgradients.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.arguments import at_once, normal_axes
from funcflow.numpy.manipulation import moveaxis
from funcflow.numpy.orthogonal import svdvals
from funcflow.numpy.promotion import as_array, inexact

Axes = tuple[int, ...]


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """A norm of vectors or matrices.

    Args:
        x: an array; integers become floats.
        ord: of vectors: a number p for `sum(abs(x)**p)**(1/p)`, inf and -inf for the greatest and
            least absolute value, 0 for the number of elements that are not zero; None means 2.
            Of matrices: "fro" or None for the root of the sum of squares, 1 and inf for the
            greatest sum of absolute values in a column or row, -1 and -inf for the least; 2, -2
            and "nuc" for the greatest and least singular value and the sum of all.
        axis: one axis for vectors, two for matrices. By default `x` is a vector or matrix; with
            `ord=None` it is raveled.
        keepdims: whether the axes stay, with extent 1.

    Returns:
        An array of the real dtype that belongs to that of `x`. Its derivative at 0 is 0, but for
        the norms of singular values, which have there what one choice of the vectors gives.

    Raises:
        ArgumentError: there is no such norm.

    Example:
        >>> fnp.linalg.norm(fnp.array([3.0, 4.0]))
        Array(5., dtype=float32)
        >>> ff.grad(fnp.linalg.norm)(fnp.zeros(2))
        Array([0., 0.], dtype=float32)
    """
    if ord is None and axis is None and not _is_half(x):
        out = at_once(np.linalg.norm, x, None, None, keepdims, kinds="fc")
        if out is not None:
            return out
    x = as_array("norm", inexact("norm", x))
    if axis is None:
        axes = tuple(range(x.ndim))
        if ord is None:
            return _euclidean(x, axes, keepdims)
    else:
        axes = canonical_axes(normal_axes("norm", axis), x.ndim, "norm")
    if len(axes) == 1:
        return _vector(x, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix(x, ord, axes, keepdims)
    raise ShapeError(
        f"norm: ord={ord!r} is a norm of vectors or matrices, got {len(axes)} axes of shape "
        f"{x.shape}",
        mend="name one or two axes: axis=...",
    )


def _is_half(x: Any) -> bool:
    """Whether the dtype is one whose squares are to be summed in float32."""
    return isinstance(x, Array) and x.dtype.itemsize == 2


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """`norm` of vectors, whose elements lie along `axis`: one, several, or all."""
    x = as_array("vector_norm", inexact("vector_norm", x))
    axes: Any = range(x.ndim) if axis is None else normal_axes("vector_norm", axis)
    return _vector(x, ord, canonical_axes(tuple(axes), x.ndim, "vector_norm"), keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """`norm` of matrices (..., m, n)."""
    x = as_array("matrix_norm", inexact("matrix_norm", x))
    if x.ndim < 2:
        raise ShapeError(f"matrix_norm: takes matrices, got shape {x.shape}", mend="see norm")
    return _matrix(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


def _vector(x: Array, ord: Any, axes: Axes, keepdims: bool) -> Array:
    if ord is None or ord == 2:
        return _euclidean(x, axes, keepdims)
    if isinstance(ord, str):
        raise ArgumentError(f"norm: ord={ord!r} is for matrices", mend="use a number")
    size = _magnitude(x)
    if ord == np.inf:
        return _restored(lax.reduce_max(size, axes), x, axes, keepdims)
    if ord == -np.inf:
        return _restored(lax.reduce_min(size, axes), x, axes, keepdims)
    if ord == 0:
        counted = lax.convert_element_type(lax.ne(x, 0), size.dtype)
        return _restored(lax.reduce_sum(counted, axes), x, axes, keepdims)
    if ord == 1:
        return _restored(lax.reduce_sum(size, axes), x, axes, keepdims)
    power = np.asarray(ord, size.dtype)
    if ord > 0:
        terms = _away_from_zero(lambda y: lax.pow(y, power), size)
        total = lax.reduce_sum(terms, axes)
        total = _away_from_zero(lambda y: lax.pow(y, 1 / power), total)
    else:  # a zero makes the sum infinite and the norm 0
        total = lax.pow(lax.reduce_sum(lax.pow(size, power), axes), 1 / power)
    return _restored(total, x, axes, keepdims)


def _euclidean(x: Array, axes: Axes, keepdims: bool) -> Array:
    if dtypes.is_complex(x.dtype):
        squares = lax.add(lax.square(lax.real(x)), lax.square(lax.imag(x)))
    else:
        squares = lax.square(x)
    total = lax.reduce_sum(squares, axes)
    return _restored(_away_from_zero(lax.sqrt, total), x, axes, keepdims)


def _magnitude(x: Array) -> Array:
    """The absolute values; those of complex numbers have all derivatives 0 at 0."""
    return _away_from_zero(lax.abs, x) if dtypes.is_complex(x.dtype) else lax.abs(x)


def _away_from_zero(function: Callable[[Any], Any], x: Array) -> Array:
    """`function(x)` with the value and the derivatives 0 where `x` is 0."""
    zero = lax.eq(x, 0)
    return lax.select(zero, 0, function(lax.select(zero, 1, x)))


def _matrix(x: Array, ord: Any, axes: Axes, keepdims: bool) -> Array:
    if ord is None or ord in ("fro", "f"):
        return _euclidean(x, axes, keepdims)
    row, column = axes
    if ord in (2, -2, "nuc"):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        last = (values.ndim - 1,)
        reduction = {2: lax.reduce_max, -2: lax.reduce_min, "nuc": lax.reduce_sum}[ord]
        return _restored(reduction(values, last), x, axes, keepdims)
    if ord in (1, -1):
        summed, other = row, column
    elif ord in (np.inf, -np.inf):
        summed, other = column, row
    else:
        raise ArgumentError(
            f"norm: ord={ord!r} of matrices is no norm",
            mend="use 'fro', 'nuc', 1, -1, 2, -2, inf or -inf",
        )
    sums = lax.reduce_sum(_magnitude(x), (summed,))
    extremum = lax.reduce_max if ord > 0 else lax.reduce_min
    out = extremum(sums, (other - (summed < other),))
    return _restored(out, x, axes, keepdims)


def _restored(out: Array, x: Array, axes: Sequence[int], keepdims: bool) -> Array:
    """Put reduced axes back, if they are to stay."""
    return lax.expand_dims(out, sorted(axes)) if keepdims else out
