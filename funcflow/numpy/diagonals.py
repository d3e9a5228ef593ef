"""Diagonals and triangles of matrices."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.array import wrap as wrap_buffer
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.arguments import cast, refuse_inplace, static_int
from funcflow.numpy.creation import ones, tri, zeros
from funcflow.numpy.nonzero import nonzero
from funcflow.numpy.promotion import as_array, refuse_out
from funcflow.numpy.ranges import arange

# --- triangles ------------------------------------------------------------------------------


def tril(m: Any, k: Any = 0) -> Array:
    """The lower triangles of the matrices `m[..., :, :]`: zero above the k-th diagonal.

    Example:
        >>> fnp.tril(fnp.ones((2, 2)))
        Array([[1., 0.],
               [1., 1.]], dtype=float32)
    """
    m = _matrices("tril", m)
    rows, columns = m.shape[-2:]
    return _masked(m, tri(rows, columns, k, bool))


def triu(m: Any, k: Any = 0) -> Array:
    """The upper triangles of the matrices `m[..., :, :]`: zero below the k-th diagonal."""
    m = _matrices("triu", m)
    rows, columns = m.shape[-2:]
    return _masked(m, lax.bitwise_not(tri(rows, columns, k - 1, bool)))


def _masked(m: Array, mask: Array) -> Array:
    return lax.select(lax.broadcast_to(mask, m.shape), m, lax.full_like(m, 0))


def _matrices(function: str, m: Any) -> Array:
    m = as_array(function, m)
    if m.ndim < 2:
        raise ShapeError(
            f"{function}: takes matrices, got shape {m.shape}",
            mend="pass an array of 2 or more axes",
        )
    return m


def _index_arrays(arrays: tuple[np.ndarray[Any, Any], ...]) -> tuple[Array, ...]:
    return tuple(wrap_buffer(x.astype(dtypes.default_int())) for x in arrays)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, ...]:
    """Row and column numbers of the lower triangle of an n x m matrix."""
    return _index_arrays(np.tril_indices(static_int("tril_indices", "n", n), k, m))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, ...]:
    """Row and column numbers of the upper triangle of an n x m matrix."""
    return _index_arrays(np.triu_indices(static_int("triu_indices", "n", n), k, m))


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Array, ...]:
    """Row and column numbers of the lower triangle of the matrix `arr`."""
    rows, columns = _matrix_shape("tril_indices_from", arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Array, ...]:
    """Row and column numbers of the upper triangle of the matrix `arr`."""
    rows, columns = _matrix_shape("triu_indices_from", arr)
    return triu_indices(rows, k, columns)


def _matrix_shape(function: str, arr: Any) -> tuple[int, ...]:
    shape = np.shape(arr)
    if len(shape) != 2:
        raise ShapeError(f"{function}: takes a matrix, got shape {shape}", mend="pass 2 axes")
    return shape


def mask_indices(
    n: int, mask_func: Callable[..., Any], k: int = 0, *, size: int | None = None
) -> tuple[Array, ...]:
    """The indices where `mask_func(ones((n, n)), k)` is not zero; see `nonzero` for `size`."""
    return nonzero(mask_func(ones((n, n)), k), size=size)


def diag_indices(n: int, ndim: int = 2) -> tuple[Array, ...]:
    """The indices of the main diagonal of an array of `ndim` axes of extent `n`."""
    return (arange(static_int("diag_indices", "n", n)),) * ndim


def diag_indices_from(arr: Any) -> tuple[Array, ...]:
    """The indices of the main diagonal of `arr`, whose axes all have one extent."""
    shape = np.shape(arr)
    if len(shape) < 2 or len(set(shape)) != 1:
        raise ShapeError(
            f"diag_indices_from: takes an array of 2 or more axes of one extent, got shape {shape}",
            mend="pass a square array",
        )
    return diag_indices(shape[0], len(shape))


# --- diagonals ------------------------------------------------------------------------------


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The diagonals of the matrices that `axis1` and `axis2` span, as the last axis.

    Args:
        a: an array of at least two axes.
        offset: 0 for the main diagonal, positive above it, negative below it.
        axis1: the matrices' rows.
        axis2: the matrices' columns.
    """
    a = _matrices("diagonal", a)
    offset = static_int("diagonal", "offset", offset)
    row, column = canonical_axes((axis1, axis2), a.ndim, "diagonal")
    others = [i for i in range(a.ndim) if i not in (row, column)]
    a = lax.transpose(a, (*others, row, column))
    *batch, rows, columns = a.shape
    length = max(0, min(rows + min(offset, 0), columns - max(offset, 0)))
    if not length:
        return zeros((*batch, 0), a.dtype)
    # in row-major order the elements of a diagonal are columns + 1 apart
    flat = lax.reshape(a, (*batch, rows * columns))
    start = offset if offset >= 0 else -offset * columns
    limit = start + (length - 1) * (columns + 1) + 1
    return lax.slice_in_dim(flat, start, limit, columns + 1, axis=len(batch))


def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Array:
    """The sum along the diagonals of the matrices that `axis1` and `axis2` span.

    Small integers and booleans are added up in the default integer dtype.
    """
    refuse_out("trace", out)
    values = diagonal(a, offset, axis1, axis2)
    if dtype is not None:
        values = lax.convert_element_type(values, dtypes.as_dtype(dtype))
    elif values.dtype.kind in "biu" and values.dtype.itemsize < dtypes.default_int().itemsize:
        unsigned = values.dtype.kind == "u"
        width = dtypes.default_int().itemsize * 8
        wide = np.dtype(f"uint{width}") if unsigned else dtypes.default_int()
        values = lax.convert_element_type(values, wide)
    return lax.reduce_sum(values, (values.ndim - 1,))


def diag(v: Any, k: int = 0) -> Array:
    """The k-th diagonal of a matrix, or the matrix with a vector on its k-th diagonal.

    Example:
        >>> fnp.diag(fnp.array([1, 2]))
        Array([[1, 0],
               [0, 2]], dtype=int32)
    """
    v = as_array("diag", v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError(
            f"diag: takes a vector or a matrix, got shape {v.shape}", mend="see fnp.diagonal"
        )
    k = static_int("diag", "k", k)
    extent = len(v) + abs(k)
    if not len(v):
        return zeros((extent, extent), v.dtype)
    # in row-major order the elements of a diagonal are extent + 1 apart
    before = k if k >= 0 else -k * extent
    after = extent * extent - before - (len(v) - 1) * (extent + 1) - 1
    flat = lax.pad(v, np.zeros((), v.dtype), [(before, after, extent)])
    return lax.reshape(flat, (extent, extent))


def diagflat(v: Any, k: int = 0) -> Array:
    """The matrix with the elements of `v` on its k-th diagonal."""
    v = as_array("diagflat", v)
    return diag(lax.reshape(v, (v.size,)), k)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Array:
    """`a` with `val` on its main diagonal; `inplace=False` must be given.

    Args:
        a: an array of at least two axes; with more than two, all of one extent.
        val: a number, or values that are repeated along the diagonal.
        wrap: in a tall matrix, start a new diagonal below the end of the last one.
        inplace: arrays are immutable, so this must be False.
    """
    refuse_inplace("fill_diagonal", inplace)
    a = _matrices("fill_diagonal", a)
    if a.ndim > 2 and len(set(a.shape)) != 1:
        raise ShapeError(
            f"fill_diagonal: the axes of {a.shape} have different extents",
            mend="pass an array whose axes have one extent",
        )
    step = sum(math.prod(a.shape[i + 1 :]) for i in range(a.ndim))
    end = a.size if wrap or a.ndim > 2 else min(a.size, a.shape[1] * a.shape[1])
    count = len(range(0, end, step))
    flat = lax.reshape(a, (a.size,))
    values = cast("fill_diagonal", val, a.dtype)
    values = _cycled(lax.reshape(values, (values.size,)), count)
    spread = lax.pad(values, np.zeros((), a.dtype), _spread(count, step, a.size))
    on_diagonal = np.zeros(a.size, bool)
    on_diagonal[:end:step] = True
    return lax.reshape(lax.select(wrap_buffer(on_diagonal), spread, flat), a.shape)


def _spread(count: int, step: int, size: int) -> Sequence[tuple[int, int, int]]:
    return [(0, size - (count - 1) * step - 1, step - 1)] if count else [(0, size, 0)]


def _cycled(values: Array, count: int) -> Array:
    """The first `count` of the values repeated without end."""
    if not values.size:
        raise ArgumentError("fill_diagonal: val is empty", mend="pass at least one value")
    repeats = -(-count // values.size)
    if repeats > 1:
        values = lax.concatenate([values] * repeats, 0)
    return lax.slice_in_dim(values, 0, count)
