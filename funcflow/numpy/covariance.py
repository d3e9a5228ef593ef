"""Covariance and correlation of variables."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.arguments import cast
from funcflow.numpy.diagonals import diagonal
from funcflow.numpy.manipulation import atleast_2d
from funcflow.numpy.products import matmul
from funcflow.numpy.promotion import as_array, inexact, promote_inexact


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Array:
    """The covariances of variables.

    Args:
        m: a vector or matrix of observations: a variable in each row, an observation in each
            column (the other way round with `rowvar=False`).
        y: further variables, of the same form.
        rowvar: whether the rows are variables.
        bias: divide by the number of observations instead of one less.
        ddof: what to subtract from the number instead; overrides `bias`.
        fweights: integers, how often each observation was made.
        aweights: how much each observation counts.
        dtype: the result's dtype.

    Returns:
        The matrix of covariances; of a single variable its variance, without axes.
    """
    x = _variables(m, rowvar)
    if y is not None:
        first, second = promote_inexact("cov", x, _variables(y, rowvar))
        x = lax.concatenate([first, second], 0)
    if dtype is not None:
        x = lax.convert_element_type(x, dtypes.as_dtype(dtype))
    count = x.shape[1]
    delta = (0 if bias else 1) if ddof is None else ddof
    weights = _weights(fweights, aweights, count, x.dtype)
    if weights is None:
        centred = lax.sub(x, lax.expand_dims(lax.div(lax.reduce_sum(x, (1,)), count), (1,)))
        weighted: Any = centred
        freedom: Any = np.asarray(count - delta, dtypes.real_of(x.dtype))
    else:
        total = lax.reduce_sum(weights, (0,))
        mean = lax.div(lax.reduce_sum(lax.mul(x, weights), (1,)), total)
        centred = lax.sub(x, lax.expand_dims(mean, (1,)))
        weighted = lax.mul(centred, weights)
        freedom = total
        if aweights is None:
            freedom = lax.sub(total, delta)
        elif delta:
            factors = cast("cov", aweights, weights.dtype)
            share = lax.div(lax.reduce_sum(lax.mul(weights, factors), (0,)), total)
            freedom = lax.sub(total, lax.mul(share, delta))
    conjugated = lax.conj(weighted) if dtypes.is_complex(x.dtype) else weighted
    products = matmul(centred, lax.transpose(conjugated, (1, 0)))
    out = lax.div(products, lax.convert_element_type(freedom, products.dtype))
    return lax.reshape(out, ()) if out.size == 1 else out


def _variables(m: Any, rowvar: bool) -> Array:
    """Variables in rows, in a floating or complex dtype."""
    m = as_array("cov", inexact("cov", m))
    if m.ndim > 2:
        raise ShapeError(
            f"cov: takes vectors and matrices, got shape {m.shape}", mend="pass a matrix"
        )
    x = atleast_2d(m)
    return lax.transpose(x, (1, 0)) if not rowvar and m.ndim == 2 else x


def _weights(fweights: Any, aweights: Any, count: int, dtype: np.dtype[Any]) -> Array | None:
    """The product of both kinds of weights, or None."""
    total: Any = None
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        if weights is None:
            continue
        weights = as_array("cov", weights)
        if weights.shape != (count,):
            raise ShapeError(
                f"cov: {name} of shape {weights.shape} for {count} observations",
                mend="pass a vector with one weight for each observation",
            )
        if name == "fweights" and weights.dtype.kind not in "iu":
            raise ArgumentError(
                f"cov: fweights must be integers, got {weights.aval}", mend="use aweights"
            )
        weights = lax.convert_element_type(weights, dtype)
        total = weights if total is None else lax.mul(total, weights)
    return total


def corrcoef(m: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Array:
    """The correlation coefficients of variables, from -1 to 1; see `cov` for the arguments."""
    c = cov(m, y, rowvar, dtype=dtype)
    if not c.ndim:
        return lax.div(c, c)
    deviations = lax.sqrt(lax.real(diagonal(c)) if dtypes.is_complex(c.dtype) else diagonal(c))
    deviations = lax.convert_element_type(deviations, c.dtype)
    c = lax.div(c, lax.expand_dims(deviations, (1,)))
    c = lax.div(c, lax.expand_dims(deviations, (0,)))
    if dtypes.is_complex(c.dtype):
        return lax.complex(lax.clamp(-1.0, lax.real(c), 1.0), lax.clamp(-1.0, lax.imag(c), 1.0))
    return lax.clamp(-1.0, c, 1.0)
