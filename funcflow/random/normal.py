"""Normal variates and what is made of them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.aval import Shape
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.lax.creation import canonical_shape
from funcflow.random.arguments import float_dtype, inexact, parameter, sample_shape
from funcflow.random.keys import Words, key_words, split_words
from funcflow.random.uniform import uniform_in, unit_uniform


def normal(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Standard normal variates: mean 0, variance 1.

    Args:
        key: a key.
        shape: the result's shape.
        dtype: a floating or complex dtype; the default floating one if None. Complex variates
            have independent parts of variance 1/2.

    Returns:
        `sqrt(2) erf_inv(u)` for uniform `u` in (-1, 1).

    Raises:
        DtypeError: the dtype is neither floating nor complex.
        ShapeError: the shape is none, or `key` is not a single key.

    Example:
        >>> ff.random.normal(ff.random.key(0), (3,))
        Array([ 1.6226422 ,  2.0252647 , -0.43359444], dtype=float32)
    """
    words = key_words("normal", key)
    found = dtypes.as_dtype(float if dtype is None else dtype)
    if not dtypes.is_inexact(found):
        raise DtypeError(
            f"normal: dtype must be floating or complex, got {found.name}",
            mend="pass e.g. dtype='float32'",
        )
    return normal_of(words, canonical_shape(shape, "normal"), found)


def normal_of(words: Words, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """`normal`, for the use of samplers."""
    if dtypes.is_complex(dtype):
        parts = [normal_of(k, shape, dtypes.real_of(dtype)) for k in split_words(words)]
        return lax.div(lax.complex(*parts), np.asarray(math.sqrt(2), dtype))
    # from just above -1 on: erf_inv(-1) is infinite
    above = np.nextafter(np.asarray(-1, dtype), np.asarray(0, dtype))
    u = lax.add(lax.mul(unit_uniform(words, shape, dtype), 2), above)
    return lax.mul(lax.erf_inv(u), np.asarray(math.sqrt(2), dtype))


def lognormal(
    key: Any,
    sigma: Any = 1.0,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
) -> Array:
    """Variates whose logarithms are normal with mean 0 and standard deviation `sigma`.

    `shape` is that of `sigma` by default. See `normal` for the other arguments and errors.
    """
    words = key_words("lognormal", key)
    dtype = float_dtype("lognormal", dtype)
    shape = sample_shape("lognormal", shape, np.shape(sigma))
    return lax.exp(lax.mul(normal_of(words, shape, dtype), parameter(sigma, dtype)))


def truncated_normal(
    key: Any,
    lower: Any,
    upper: Any,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
) -> Array:
    """Standard normal variates, given that they lie between `lower` and `upper`.

    Args:
        key: a key.
        lower: the lower bound.
        upper: the upper bound; both broadcast to `shape`, which is their own by default.
        shape: the result's shape.
        dtype: a floating dtype; the default one if None.

    Returns:
        Values in the open interval, differentiable with respect to the bounds.

    Raises:
        DtypeError: the dtype is not floating.
        ShapeError: the bounds do not broadcast to `shape`, or `key` is not a single key.
    """
    words = key_words("truncated_normal", key)
    dtype = float_dtype("truncated_normal", dtype)
    shape = sample_shape("truncated_normal", shape, np.shape(lower), np.shape(upper))
    sqrt2 = np.asarray(math.sqrt(2), dtype)
    low, high = parameter(lower, dtype), parameter(upper, dtype)
    u = uniform_in(words, shape, dtype, lax.erf(lax.div(low, sqrt2)), lax.erf(lax.div(high, sqrt2)))
    out = lax.mul(lax.erf_inv(u), sqrt2)
    # rounding must not reach the bounds
    first = lax.nextafter(lax.stop_gradient(low), np.asarray(np.inf, dtype))
    last = lax.nextafter(lax.stop_gradient(high), np.asarray(-np.inf, dtype))
    return lax.min(lax.max(out, first), last)


def multivariate_normal(
    key: Any,
    mean: Any,
    cov: Any,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
    method: str = "cholesky",
) -> Array:
    """Normal vectors with the given mean and covariance.

    Args:
        key: a key.
        mean: of shape `(..., n)`.
        cov: covariance matrices of shape `(..., n, n)`.
        shape: the shape of the array of vectors; by default what the leading axes of `mean` and
            `cov` broadcast to.
        dtype: a floating dtype; that of `mean` and `cov` by default.
        method: how to find a factor of `cov`: "cholesky" takes least time and wants positive
            definite matrices; "svd" takes singular ones too; "eigh" gives NaN where an eigenvalue
            is negative, be it by rounding. The samples differ.

    Returns:
        An array of shape `(*shape, n)`, differentiable with respect to `mean` and `cov`.

    Raises:
        ArgumentError: there is no such method.
        ShapeError: the shapes of `mean`, `cov` and `shape` do not fit together.
    """
    words = key_words("multivariate_normal", key)
    if method not in _FACTORS:
        known = ", ".join(map(repr, _FACTORS))
        raise ArgumentError(
            f"multivariate_normal: there is no method {method!r}", mend=f"use one of {known}"
        )
    mean = fnp.asarray(inexact("multivariate_normal", "mean", mean))
    cov = fnp.asarray(inexact("multivariate_normal", "cov", cov))
    if dtype is None:
        dtype = fnp.result_type(mean, cov)
    found = float_dtype("multivariate_normal", dtype)
    if mean.ndim < 1 or cov.ndim < 2 or cov.shape[-2:] != (mean.shape[-1],) * 2:
        raise ShapeError(
            "multivariate_normal: takes means of shape (..., n) and covariances of shape "
            f"(..., n, n), got {mean.shape} and {cov.shape}"
        )
    batch = sample_shape("multivariate_normal", shape, mean.shape[:-1], cov.shape[:-2])
    factor = _FACTORS[method](cov.astype(found))
    z = normal_of(words, (*batch, mean.shape[-1]), found)
    return mean.astype(found) + fnp.matmul(factor, z[..., None])[..., 0]


def _factor_by_svd(cov: Array) -> Array:
    u, s, _ = fnp.linalg.svd(cov)
    return u * fnp.sqrt(s)[..., None, :]


def _factor_by_eigh(cov: Array) -> Array:
    w, v = fnp.linalg.eigh(cov)
    return v * fnp.sqrt(w)[..., None, :]


_FACTORS = {"cholesky": fnp.linalg.cholesky, "svd": _factor_by_svd, "eigh": _factor_by_eigh}


def maxwell(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Lengths of standard normal vectors in three dimensions: density ~ `x^2 exp(-x^2 / 2)`."""
    words = key_words("maxwell", key)
    dtype = float_dtype("maxwell", dtype)
    return maxwell_of(words, canonical_shape(shape, "maxwell"), dtype)


def maxwell_of(words: Words, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """`maxwell`, for the use of samplers."""
    z = normal_of(words, (*shape, 3), dtype)
    return lax.sqrt(lax.reduce_sum(lax.mul(z, z), (len(shape),)))
