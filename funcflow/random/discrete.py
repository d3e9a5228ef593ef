"""Discrete distributions."""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, aval_of
from funcflow.core.aval import Shape
from funcflow.core.errors import ArgumentError, DtypeError
from funcflow.lax.creation import canonical_shape
from funcflow.random.arguments import float_dtype, inexact, integer_dtype, parameter, sample_shape
from funcflow.random.keys import Words, key_words, split_words
from funcflow.random.normal import maxwell_of
from funcflow.random.uniform import unit_uniform


def bernoulli(
    key: Any, p: Any = 0.5, shape: int | Sequence[int] | None = None, mode: str = "low"
) -> Array:
    """Booleans that are True with probability `p`.

    Args:
        key: a key.
        p: floating; broadcasts to `shape`, which is its own by default.
        shape: the result's shape.
        mode: "high" draws twice as many random bits, for probabilities below `1e-7` (in float32).

    Raises:
        ArgumentError: there is no such mode.
        DtypeError: `p` is not floating.
        ShapeError: `p` does not broadcast to `shape`, or `key` is not a single key.

    Example:
        >>> ff.random.bernoulli(ff.random.key(0), 0.5, (4,))
        Array([False, False,  True,  True], dtype=bool)
    """
    words = key_words("bernoulli", key)
    if mode not in ("low", "high"):
        raise ArgumentError(f"bernoulli: there is no mode {mode!r}", mend="use 'low' or 'high'")
    dtype = aval_of(p).dtype
    if not dtypes.is_float(dtype):
        raise DtypeError(
            f"bernoulli: p must be floating, got {aval_of(p)}",
            mend="convert it to a float",
        )
    shape = sample_shape("bernoulli", shape, np.shape(p))
    p = parameter(p, dtype)
    if mode == "low":
        return lax.lt(unit_uniform(words, shape, dtype), p)
    coarse, fine = lax.unstack(unit_uniform(words, (2, *shape), dtype))
    return lax.lt(lax.mul(fine, 2.0 ** -ml_dtypes.finfo(dtype).nmant), lax.sub(p, coarse))


def rademacher(key: Any, shape: int | Sequence[int] = (), dtype: Any = None) -> Array:
    """-1 or 1 with equal probability; `dtype` is the default integer dtype if None."""
    words = key_words("rademacher", key)
    found = dtypes.as_dtype(int if dtype is None else dtype)
    return rademacher_of(words, canonical_shape(shape, "rademacher"), found)


def rademacher_of(words: Words, shape: Shape, dtype: np.dtype[Any]) -> Any:
    """`rademacher`, for the use of samplers."""
    heads = lax.lt(unit_uniform(words, shape, dtypes.default_float()), 0.5)
    return lax.select(heads, np.asarray(1, dtype), np.asarray(-1, dtype))


def double_sided_maxwell(
    key: Any,
    loc: Any,
    scale: Any,
    shape: int | Sequence[int] = (),
    dtype: Any = None,
) -> Array:
    """Maxwell variates of random sign, times `scale`, plus `loc`.

    The result has the shape `(*shape, *s)`, where `s` is what `loc` and `scale` broadcast to
    (JAX's rule; an empty `shape` stands for `s` itself).
    """
    words = key_words("double_sided_maxwell", key)
    dtype = float_dtype("double_sided_maxwell", dtype)
    own = lax.broadcast_shapes(np.shape(loc), np.shape(scale))
    full = (*(canonical_shape(shape, "double_sided_maxwell") or own), *own)
    maxwell_key, sign_key = split_words(words)
    signed = lax.mul(rademacher_of(sign_key, full, dtype), maxwell_of(maxwell_key, full, dtype))
    return lax.add(lax.mul(signed, parameter(scale, dtype)), parameter(loc, dtype))


def geometric(
    key: Any, p: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """How many trials of success probability `p` it takes to succeed once: 1, 2, 3, ...

    Args:
        key: a key.
        p: broadcasts to `shape`, which is its own by default.
        shape: the result's shape.
        dtype: an integer dtype; the default one if None.
    """
    words = key_words("geometric", key)
    dtype = integer_dtype("geometric", dtype)
    shape = sample_shape("geometric", shape, np.shape(p))
    p = inexact("geometric", "p", p)
    u = unit_uniform(words, shape, p.dtype)
    log_u = lax.log(lax.select(lax.eq(u, 0), np.asarray(1, p.dtype), u))
    trials = lax.add(lax.floor(lax.div(log_u, lax.log1p(lax.neg(p)))), 1)
    return lax.convert_element_type(trials, dtype)
