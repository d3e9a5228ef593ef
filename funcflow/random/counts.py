"""Counts: Poisson, binomial and multinomial variates, drawn by rejection in a loop.

Each has two methods, one for small means, which counts events, and one for large means, which
rejects. Both run for all elements; the elements that the other method serves get parameters for
which they are done soon.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.aval import Shape
from funcflow.lax.creation import canonical_shape
from funcflow.random.arguments import float_dtype, inexact, integer_dtype, sample_shape
from funcflow.random.keys import Words, key_words, random_words, split_words
from funcflow.random.uniform import unit_uniform

# --- Poisson --------------------------------------------------------------------------------


def poisson(
    key: Any, lam: Any, shape: int | Sequence[int] | None = None, dtype: Any = None
) -> Array:
    """Poisson variates: `P(k) = lam^k exp(-lam) / k!`.

    Args:
        key: a key.
        lam: the mean; broadcasts to `shape`, which is its own by default.
        shape: the result's shape.
        dtype: an integer dtype; the default one if None.

    Raises:
        DtypeError: the dtype is not an integer dtype.
        ShapeError: `lam` does not broadcast to `shape`, or `key` is not a single key.
    """
    words = key_words("poisson", key)
    dtype = integer_dtype("poisson", dtype)
    shape = sample_shape("poisson", shape, np.shape(lam))
    lam = lax.broadcast_to(lax.convert_element_type(lam, np.float32), shape)
    small = lax.bitwise_or(lax.ne(lam, lam), lax.lt(lam, 10.0))
    counted = _poisson_knuth(words, lax.select(small, lam, lax.full_like(lam, 0.0)), dtype)
    drawn = _poisson_rejection(words, lax.select(small, lax.full_like(lam, 1e5), lam), dtype)
    found = lax.select(small, counted, drawn)
    return lax.select(lax.eq(lam, 0.0), lax.full_like(found, 0), found)


def _poisson_knuth(words: Words, lam: Any, dtype: np.dtype[Any]) -> Any:
    """Count how many uniform variates it takes until their product falls below `exp(-lam)`.

    D. Knuth, The Art of Computer Programming, vol. 2, section 3.4.1.
    """

    def more(state: Any) -> Any:
        _, _, log_product = state
        return fnp.any(log_product > -lam)

    def draw(state: Any) -> Any:
        words, count, log_product = state
        words, u_key = split_words(words)
        count = lax.select(log_product > -lam, count + 1, count)
        return words, count, log_product + lax.log(unit_uniform(u_key, lam.shape, lam.dtype))

    start = (words, lax.full(lam.shape, 0, dtype), lax.full_like(lam, 0.0))
    _, count, _ = lax.while_loop(more, draw, start)
    return count - 1


def _poisson_rejection(words: Words, lam: Any, dtype: np.dtype[Any]) -> Any:
    """Transformed rejection, algorithm PTRS.

    W. Hormann, "The transformed rejection method for generating Poisson random variables"
    (Insurance: Mathematics and Economics, 1993).
    """
    log_lam = lax.log(lam)
    b = 0.931 + 2.53 * lax.sqrt(lam)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2)

    def propose(u: Any, v: Any) -> tuple[Any, Any]:
        us = 0.5 - abs(u)
        k = lax.floor((2 * a / us + b) * u + lam + 0.43)
        s = lax.log(v * inverse_alpha / (a / (us * us) + b))
        t = -lam + k * log_lam - lax.lgamma(k + 1)
        reject = (k < 0) | ((us < 0.013) & (v > us))
        return k, ((us >= 0.07) & (v <= v_r)) | (~reject & (s <= t))

    return lax.convert_element_type(_rejection(words, lam, propose), dtype)


def _rejection(words: Words, like: Any, propose: Callable[[Any, Any], tuple[Any, Any]]) -> Any:
    """Draw `u` from [-1/2, 1/2) and `v` from [0, 1) until every proposal has been accepted."""

    def more(state: Any) -> Any:
        _, _, accepted = state
        return fnp.any(~accepted)

    def draw(state: Any) -> Any:
        words, out, accepted = state
        words, u_key, v_key = split_words(words, 3)
        u = unit_uniform(u_key, like.shape, like.dtype) - 0.5
        k, accept = propose(u, unit_uniform(v_key, like.shape, like.dtype))
        return words, lax.select(accept, k, out), accepted | accept

    start = (words, lax.full_like(like, -1), lax.full_like(like, False, bool))
    _, out, _ = lax.while_loop(more, draw, start)
    return out


# --- binomial -------------------------------------------------------------------------------


def binomial(
    key: Any,
    n: Any,
    p: Any,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
) -> Array:
    """Binomial variates: how many of `n` trials succeed, each with probability `p`.

    Args:
        key: a key.
        n: how many trials; fractions are dropped. NaN for `n < 0`, inf for infinite `n`.
        p: the probability of success; `n` and `p` broadcast to `shape`, which is their own by
            default.
        shape: the result's shape.
        dtype: a floating dtype; the default one if None.

    Raises:
        DtypeError: the dtype is not floating.
        ShapeError: `n` and `p` do not broadcast to `shape`, or `key` is not a single key.
    """
    words = key_words("binomial", key)
    dtype = float_dtype("binomial", dtype)
    shape = sample_shape("binomial", shape, np.shape(n), np.shape(p))
    return _binomial_of(words, n, inexact("binomial", "p", p), shape, dtype)


def _binomial_of(words: Words, n: Any, p: Any, shape: Shape, dtype: np.dtype[Any]) -> Any:
    count = lax.broadcast_to(lax.convert_element_type(n, p.dtype), shape)
    prob = lax.broadcast_to(lax.convert_element_type(p, p.dtype), shape)
    # of success or failure, count the rarer one
    rare = prob < 0.5
    q = lax.select(rare, prob, 1.0 - prob)
    bad_count, bad_q = ~(count >= 0.0), ~(q >= 0.0)
    q = lax.select(bad_q, lax.full_like(q, 0.01), q)
    small = bad_count | (count * q <= 10.0)
    count = lax.floor(count)
    counted = _binomial_inversion(words, lax.select(small, count, lax.full_like(count, 0.0)), q)
    drawn = _binomial_rejection(
        words,
        lax.select(small, lax.full_like(count, 1e4), count),
        lax.select(small, lax.full_like(q, 0.5), q),
    )
    found = lax.convert_element_type(lax.select(small, counted, drawn), dtype)
    infinite = count == np.inf
    found = lax.select(rare | infinite, found, lax.convert_element_type(count, dtype) - found)
    found = lax.select(infinite, lax.full_like(found, np.inf), found)
    return lax.select(bad_count | bad_q, lax.full_like(found, np.nan), found)


def _binomial_inversion(words: Words, count: Any, prob: Any) -> Any:
    """Count how many geometric waiting times fit into `count` trials."""
    log_failure = lax.log1p(-prob)

    def more(state: Any) -> Any:
        _, _, trials = state
        return fnp.any(trials <= count)

    def draw(state: Any) -> Any:
        words, successes, trials = state
        u_key, words = split_words(words)
        successes = lax.select(trials <= count, successes + 1, successes)
        u = unit_uniform(u_key, prob.shape, prob.dtype)
        return words, successes, trials + lax.ceil(lax.log(u) / log_failure)

    start = (words, lax.full_like(prob, 0.0), lax.full_like(prob, 0.0))
    _, successes, _ = lax.while_loop(more, draw, start)
    return successes - 1


def _binomial_rejection(words: Words, count: Any, prob: Any) -> Any:
    """Transformed rejection, algorithm BTRS.

    W. Hormann, "The generation of binomial random variates" (J. Stat. Comput. Simul., 1993).
    """
    stddev = lax.sqrt(count * prob * (1 - prob))
    b = 1.15 + 2.53 * stddev
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    c = count * prob + 0.5
    v_r = 0.92 - 4.2 / b
    r = prob / (1 - prob)
    alpha = (2.83 + 5.1 / b) * stddev
    m = lax.floor((count + 1) * prob)

    def propose(u: Any, v: Any) -> tuple[Any, Any]:
        us = 0.5 - abs(u)
        k = lax.floor((2 * a / us + b) * u + c)
        reject = (k < 0) | (k > count)
        bound = (
            (m + 0.5) * lax.log((m + 1) / (r * (count - m + 1)))
            + (count + 1) * lax.log((count - m + 1) / (count - k + 1))
            + (k + 0.5) * lax.log(r * (count - k + 1) / (k + 1))
            + _stirling_tail(m)
            + _stirling_tail(count - m)
            - _stirling_tail(k)
            - _stirling_tail(count - k)
        )
        s = lax.log(v * alpha / (a / (us * us) + b))
        return k, ((us >= 0.07) & (v <= v_r)) | (~reject & (s <= bound))

    return _rejection(words, prob, propose)


_STIRLING_TAIL = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
    0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
    0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_tail(k: Any) -> Any:
    """`log(k!)` minus Stirling's formula `log(sqrt(2 pi)) + (k + 1/2) log(k + 1) - (k + 1)`."""
    square = (k + 1) * (k + 1)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)
    table = fnp.asarray(np.asarray(_STIRLING_TAIL, k.dtype))
    index = lax.convert_element_type(lax.clamp(0.0, k, 9.0), np.int32)
    return lax.select(k <= 9, table[index], series)


# --- multinomial ----------------------------------------------------------------------------


def multinomial(
    key: Any,
    n: Any,
    p: Any,
    *,
    shape: int | Sequence[int] | None = None,
    dtype: Any = None,
    unroll: int | bool = 1,
) -> Array:
    """Multinomial variates: how often each outcome occurs in `n` trials.

    Args:
        key: a key.
        n: how many trials; broadcasts to the leading axes of the result.
        p: the outcomes' probabilities along the last axis.
        shape: the result's shape; that of `p` by default.
        dtype: a floating dtype; the default one if None.
        unroll: how many outcomes to treat in one step of the loop.

    Returns:
        Counts along the last axis, whose sum is `n`.

    Raises:
        DtypeError: the dtype is not floating.
        ShapeError: `p` does not broadcast to `shape`, or `key` is not a single key.
    """
    words = key_words("multinomial", key)
    dtype = float_dtype("multinomial", dtype)
    p = fnp.asarray(inexact("multinomial", "p", p))
    full = p.shape if shape is None else canonical_shape(shape, "multinomial")
    probabilities = fnp.moveaxis(fnp.broadcast_to(p, full), -1, 0)
    trials = fnp.broadcast_to(lax.convert_element_type(n, p.dtype), full[:-1])
    remaining = lax.cumsum(probabilities, 0, reverse=True)
    ratios = probabilities / lax.select(remaining == 0, lax.full_like(remaining, 1), remaining)
    keys = random_words(words, ratios.shape[:1])

    def step(remainder: Any, outcome: Any) -> Any:
        ratio, k0, k1 = outcome
        ratio = lax.clamp(0.0, ratio, 1.0)
        count = _binomial_of((k0, k1), remainder, ratio, full[:-1], remainder.dtype)
        return remainder - count, count

    _, counts = lax.scan(step, trials, (ratios, *keys), unroll=unroll)
    return lax.convert_element_type(fnp.moveaxis(counts, 0, -1), dtype)
