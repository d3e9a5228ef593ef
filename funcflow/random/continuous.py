"""Distributions whose variates are simple functions of one uniform variate."""

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.aval import Shape
from funcflow.core.errors import ArgumentError
from funcflow.lax.creation import canonical_shape
from funcflow.random.arguments import float_dtype, parameter, sample_shape
from funcflow.random.keys import Words, key_words, split_words
from funcflow.random.normal import normal_of
from funcflow.random.uniform import random_bits, uniform_in, unit_uniform


def exponential(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Variates with the density `exp(-x)` on `x >= 0`."""
    words = key_words("exponential", key)
    dtype = float_dtype("exponential", dtype)
    return exponential_of(words, canonical_shape(shape, "exponential"), dtype)


def exponential_of(words: Words, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """`exponential`, for the use of samplers."""
    return lax.neg(lax.log1p(lax.neg(unit_uniform(words, shape, dtype))))


# --- Gumbel ---------------------------------------------------------------------------------


def gumbel(
    key: Any, shape: int | Sequence[int] = (), dtype: Any = None, mode: str | None = None
) -> Array:
    """Variates with the density `exp(-(x + exp(-x)))`.

    Args:
        key: a key.
        shape: the result's shape.
        dtype: a floating dtype; the default one if None.
        mode: how far the upper tail reaches. In float32 "low" (the default) gives values up to
            about 16, "high" up to about 32 with twice as many random bits, "highest" up to about
            44 and with all 64 bits everywhere (other dtypes take "highest" for "high").

    Raises:
        ArgumentError: there is no such mode.
        DtypeError: the dtype is not floating.
        ShapeError: the shape is none, or `key` is not a single key.
    """
    words = key_words("gumbel", key)
    dtype = float_dtype("gumbel", dtype)
    return gumbel_of(words, canonical_shape(shape, "gumbel"), dtype, mode)


def gumbel_of(words: Words, shape: Shape, dtype: np.dtype[Any], mode: str | None) -> Any:
    """`gumbel`, for the use of samplers."""
    if mode not in (None, "low", "high", "highest"):
        raise ArgumentError(
            f"gumbel: there is no mode {mode!r}", mend="use 'low', 'high' or 'highest'"
        )
    if mode in (None, "low"):
        u = uniform_in(words, shape, dtype, float(ml_dtypes.finfo(dtype).tiny), 1.0)
        return _gumbel_from_uniform(u)
    if mode == "highest" and dtype == np.float32:
        return _gumbel_highest(words, shape)
    # x near 0 is drawn with a second set of bits below the first, and log(1 - x) is exact there
    high, low = lax.unstack(unit_uniform(words, (2, *shape), dtype))
    info = ml_dtypes.finfo(dtype)
    fine = lax.add(lax.add(high, lax.mul(low, 2.0**-info.nmant)), float(info.tiny))
    return _gumbel_from_complement(lax.select(lax.ge(high, 0.5), high, fine))


def _gumbel_highest(words: Words, shape: Shape) -> Any:
    high, low = lax.unstack(random_bits(words, (2, *shape), np.dtype(np.uint32)))
    high, low = (lax.convert_element_type(half, np.uint64) for half in (high, low))
    fixed = lax.bitwise_or(lax.shift_left(high, 32), low)  # x in units of 2^-64
    small = lax.lt(fixed, np.asarray(2**63, np.uint64))
    nearest = lax.select(small, fixed, lax.add(lax.bitwise_not(fixed), 1))
    x = lax.mul(lax.convert_element_type(nearest, np.float32), 2.0**-64)
    x = lax.max(x, 2.0**-65)
    return lax.select(small, _gumbel_from_complement(x), _gumbel_from_uniform(x))


def _gumbel_from_uniform(u: Any) -> Any:
    return lax.neg(lax.log(lax.neg(lax.log(u))))


def _gumbel_from_complement(x: Any) -> Any:
    return lax.neg(lax.log(lax.neg(lax.log1p(lax.neg(x)))))


# --- more -----------------------------------------------------------------------------------


def laplace(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Variates with the density `exp(-|x|) / 2`."""
    words = key_words("laplace", key)
    dtype = float_dtype("laplace", dtype)
    shape = canonical_shape(shape, "laplace")
    u = uniform_in(words, shape, dtype, -1.0 + float(ml_dtypes.finfo(dtype).epsneg), 1.0)
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


def logistic(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Variates with the distribution function `1 / (1 + exp(-x))`."""
    words = key_words("logistic", key)
    dtype = float_dtype("logistic", dtype)
    shape = canonical_shape(shape, "logistic")
    u = uniform_in(words, shape, dtype, float(ml_dtypes.finfo(dtype).tiny), 1.0)
    return lax.sub(lax.log(u), lax.log1p(lax.neg(u)))


def cauchy(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """Variates with the density `1 / (pi (1 + x^2))`."""
    words = key_words("cauchy", key)
    dtype = float_dtype("cauchy", dtype)
    shape = canonical_shape(shape, "cauchy")
    u = uniform_in(words, shape, dtype, float(ml_dtypes.finfo(dtype).eps), 1.0)
    return lax.tan(lax.mul(lax.sub(u, 0.5), math.pi))


def pareto(key: Any, b: Any, shape: int | Sequence[int] | None = None, dtype: Any = None) -> Array:
    """Variates with the density `b / x^(b + 1)` on `x >= 1`; `shape` is that of `b` by default."""
    words = key_words("pareto", key)
    dtype = float_dtype("pareto", dtype)
    shape = sample_shape("pareto", shape, np.shape(b))
    return lax.exp(lax.div(exponential_of(words, shape, dtype), parameter(b, dtype)))


def rayleigh(
    key: Any, scale: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """Variates with the density `x / s^2 exp(-x^2 / (2 s^2))` on `x >= 0`, with `s = scale`.

    `shape` is that of `scale` by default.
    """
    words = key_words("rayleigh", key)
    dtype = float_dtype("rayleigh", dtype)
    shape = sample_shape("rayleigh", shape, np.shape(scale))
    u = unit_uniform(words, shape, dtype)
    return lax.mul(lax.sqrt(lax.mul(lax.log(u), -2)), parameter(scale, dtype))


def weibull_min(
    key: Any,
    scale: Any,
    concentration: Any,
    shape: int | Sequence[int] = (),
    dtype: Any = None,
) -> Array:
    """Variates with the density ~ `x^(c - 1) exp(-(x / s)^c)` on `x > 0`.

    `s = scale` and `c = concentration` broadcast with `shape`.
    """
    words = key_words("weibull_min", key)
    dtype = float_dtype("weibull_min", dtype)
    e = exponential_of(words, canonical_shape(shape, "weibull_min"), dtype)
    power = lax.div(np.asarray(1, dtype), parameter(concentration, dtype))
    return lax.mul(lax.pow(e, power), parameter(scale, dtype))


def triangular(
    key: Any,
    left: Any,
    mode: Any,
    right: Any,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
) -> Array:
    """Variates whose density rises linearly from `left` to `mode` and falls to `right`.

    `shape` is that of the parameters by default.
    """
    words = key_words("triangular", key)
    dtype = float_dtype("triangular", dtype)
    shape = sample_shape("triangular", shape, np.shape(left), np.shape(mode), np.shape(right))
    left, mode, right = (
        lax.broadcast_to(lax.convert_element_type(x, dtype), shape) for x in (left, mode, right)
    )
    width, rise, fall = lax.sub(right, left), lax.sub(mode, left), lax.sub(right, mode)
    u = unit_uniform(words, shape, dtype)
    rest = lax.sub(np.asarray(1, dtype), u)
    lower = lax.add(left, lax.sqrt(lax.mul(lax.mul(u, width), rise)))
    upper = lax.sub(right, lax.sqrt(lax.mul(lax.mul(rest, width), fall)))
    return lax.select(lax.lt(u, lax.div(rise, width)), lower, upper)


def wald(key: Any, mean: Any, shape: int | Sequence[int] | None = None, dtype: Any = None) -> Array:
    """Variates of the inverse normal distribution with the given mean and scale 1.

    The density is `exp(-(x - m)^2 / (2 m^2 x)) / sqrt(2 pi x^3)` with `m = mean`; `shape` is that
    of `mean` by default. J. Michael, W. Schucany and R. Haas, "Generating random variates using
    transformations with multiple roots" (The American Statistician, 1976).
    """
    words = key_words("wald", key)
    dtype = float_dtype("wald", dtype)
    shape = sample_shape("wald", shape, np.shape(mean))
    m = lax.broadcast_to(lax.convert_element_type(mean, dtype), shape)
    normal_key, uniform_key = split_words(words)
    v = normal_of(normal_key, shape, dtype)
    z = unit_uniform(uniform_key, shape, dtype)
    y, m2 = lax.mul(v, v), lax.mul(m, m)
    root = lax.sqrt(lax.add(lax.mul(lax.mul(m, y), 4), lax.mul(m2, lax.mul(y, y))))
    x = lax.sub(lax.add(m, lax.div(lax.mul(m2, y), 2)), lax.mul(lax.div(m, 2), root))
    return lax.select(lax.le(z, lax.div(m, lax.add(m, x))), x, lax.div(m2, x))
