"""The gamma distribution and what is made of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.aval import Shape
from funcflow.core.errors import ShapeError
from funcflow.lax.creation import canonical_shape
from funcflow.lax.random_gamma import random_gamma
from funcflow.random.arguments import float_dtype, parameter, sample_shape
from funcflow.random.continuous import exponential_of
from funcflow.random.discrete import rademacher_of
from funcflow.random.keys import Words, key_words, random_words, split_words
from funcflow.random.normal import normal_of


def gamma(key: Any, a: Any, shape: int | Sequence[int] | None = None, dtype: Any = None) -> Array:
    """Gamma variates: density ~ `x^(a - 1) exp(-x)` on `x >= 0`.

    Args:
        key: a key.
        a: the shape parameter, positive; broadcasts to `shape`, which is its own by default.
        shape: the result's shape.
        dtype: a floating dtype; the default one if None.

    Returns:
        An array of the given shape and dtype, differentiable with respect to `a`. Multiply it by
        a scale, or divide it by a rate.

    Raises:
        DtypeError: the dtype is not floating.
        ShapeError: `a` does not broadcast to `shape`, or `key` is not a single key.
    """
    return _checked_gamma("gamma", key, a, shape, dtype, log_space=False)


def loggamma(
    key: Any, a: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """The logarithms of gamma variates, which do not underflow for small `a`; see `gamma`."""
    return _checked_gamma("loggamma", key, a, shape, dtype, log_space=True)


def _checked_gamma(
    function: str, key: Any, a: Any, shape: Any, dtype: Any, *, log_space: bool
) -> Any:
    words = key_words(function, key)
    dtype = float_dtype(function, dtype)
    shape = sample_shape(function, shape, np.shape(a))
    return gamma_of(words, parameter(a, dtype), shape, log_space)


def gamma_of(words: Words, a: Any, shape: Shape, log_space: bool) -> Any:
    """`gamma` or `loggamma`, for the use of samplers: each element has a key of its own."""
    k0, k1 = random_words(words, shape)
    return random_gamma(k0, k1, a, log_space=log_space)


def beta(
    key: Any, a: Any, b: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """Beta variates: density ~ `x^(a - 1) (1 - x)^(b - 1)` on [0, 1].

    `a` and `b` broadcast to `shape`, which is their own by default. See `gamma` for the rest.
    """
    words = key_words("beta", key)
    dtype = float_dtype("beta", dtype)
    shape = sample_shape("beta", shape, np.shape(a), np.shape(b))
    logs = [
        gamma_of(k, parameter(x, dtype), shape, True)
        for k, x in zip(split_words(words), (a, b), strict=True)
    ]
    largest = lax.max(*logs)
    ga, gb = (lax.exp(lax.sub(x, largest)) for x in logs)
    return lax.div(ga, lax.add(ga, gb))


def dirichlet(
    key: Any, alpha: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """Dirichlet variates: vectors of probabilities with density ~ the product of `x_i^(alpha_i-1)`.

    Args:
        key: a key.
        alpha: positive, of shape `(..., n)`.
        shape: the shape of the array of vectors; by default the leading axes of `alpha`.
        dtype: a floating dtype; the default one if None.

    Returns:
        An array of shape `(*shape, n)`, differentiable with respect to `alpha`.

    Raises:
        DtypeError: the dtype is not floating.
        ShapeError: `alpha` has no axis, or its leading axes do not broadcast to `shape`.
    """
    words = key_words("dirichlet", key)
    dtype = float_dtype("dirichlet", dtype)
    sizes = np.shape(alpha)
    if not sizes:
        raise ShapeError(
            "dirichlet: alpha must have an axis, got a scalar", mend="pass one number per outcome"
        )
    full = (*sample_shape("dirichlet", shape, sizes[:-1]), sizes[-1])
    logs = gamma_of(words, parameter(alpha, dtype), full, True)
    last = (len(full) - 1,)
    shifted = lax.sub(logs, lax.stop_gradient(_keepdims(lax.reduce_max(logs, last))))
    weights = lax.exp(shifted)
    return lax.div(weights, _keepdims(lax.reduce_sum(weights, last)))


def _keepdims(x: Any) -> Any:
    return lax.expand_dims(x, (np.ndim(x),))


def chisquare(
    key: Any, df: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """Sums of squares of `df` normal variates: density ~ `x^(df / 2 - 1) exp(-x / 2)`."""
    words = key_words("chisquare", key)
    dtype = float_dtype("chisquare", dtype)
    shape = sample_shape("chisquare", shape, np.shape(df))
    return _chisquare_of(words, parameter(df, dtype), shape)


def _chisquare_of(words: Words, df: Any, shape: Shape) -> Any:
    return lax.mul(lax.exp(gamma_of(words, lax.div(df, 2), shape, True)), 2)


def f(
    key: Any,
    dfnum: Any,
    dfden: Any,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
) -> Array:
    """Ratios of two chi-square variates, each divided by its degrees of freedom."""
    words = key_words("f", key)
    dtype = float_dtype("f", dtype)
    shape = sample_shape("f", shape, np.shape(dfnum), np.shape(dfden))
    numbers = [parameter(df, dtype) for df in (dfden, dfnum)]
    den, num = (
        lax.div(_chisquare_of(k, df, shape), df)
        for k, df in zip(split_words(words), numbers, strict=True)
    )
    return lax.div(num, den)


def t(key: Any, df: Any, shape: int | Sequence[int] | None = None, dtype: Any = None) -> Array:
    """Student's t: density ~ `(1 + x^2 / df)^(-(df + 1) / 2)`."""
    words = key_words("t", key)
    dtype = float_dtype("t", dtype)
    shape = sample_shape("t", shape, np.shape(df))
    normal_key, gamma_key = split_words(words)
    half = lax.div(parameter(df, dtype), 2)
    g = gamma_of(gamma_key, half, shape, False)
    return lax.mul(normal_of(normal_key, shape, dtype), lax.sqrt(lax.div(half, g)))


def generalized_normal(
    key: Any, p: Any, shape: int | Sequence[int] = (), dtype: Any = None
) -> Array:
    """Variates with the density ~ `exp(-|x|^p)`, for `p > 0`."""
    words = key_words("generalized_normal", key)
    dtype = float_dtype("generalized_normal", dtype)
    shape = sample_shape("generalized_normal", shape, np.shape(p))
    return _generalized_normal_of(words, parameter(p, dtype), shape, dtype)


def _generalized_normal_of(words: Words, p: Any, shape: Shape, dtype: np.dtype[Any]) -> Any:
    gamma_key, sign_key = split_words(words)
    inverse = lax.div(np.asarray(1, dtype), p)
    g = gamma_of(gamma_key, inverse, shape, False)
    return lax.mul(rademacher_of(sign_key, shape, dtype), lax.pow(g, inverse))


def ball(key: Any, d: int, p: Any = 2, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Vectors distributed uniformly over the unit ball of the Lp norm in `d` dimensions.

    The result has the shape `(*shape, d)`. F. Barthe, O. Guedon, S. Mendelson and A. Naor, "A
    probabilistic approach to the geometry of the l_p^n-ball" (2005).
    """
    words = key_words("ball", key)
    dtype = float_dtype("ball", dtype)
    shape = canonical_shape(shape, "ball")
    (size,) = canonical_shape(d, "ball")
    p = parameter(p, dtype)
    vector_key, radius_key = split_words(words)
    g = _generalized_normal_of(vector_key, p, (*shape, size), dtype)
    e = exponential_of(radius_key, shape, dtype)
    norm = lax.add(lax.reduce_sum(lax.pow(lax.abs(g), p), (len(shape),)), e)
    return lax.div(g, _keepdims(lax.pow(norm, lax.div(np.asarray(1, dtype), p))))
