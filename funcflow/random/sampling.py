"""Samples of given values: permutations, choices, categories."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, aval_of
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.lax.creation import canonical_shape
from funcflow.lax.linear import canonical_axis
from funcflow.random.arguments import inexact, sample_shape
from funcflow.random.continuous import gumbel_of
from funcflow.random.keys import Words, key_words, split_words
from funcflow.random.uniform import randint, random_bits, unit_uniform


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Array:
    """The elements in random order.

    Args:
        key: a key.
        x: an array; an integer stands for `arange(x)`.
        axis: the axis to shuffle along.
        independent: shuffle each vector along the axis on its own, instead of all alike.

    Returns:
        An array of the shape and dtype of `x`.

    Raises:
        AxisError: there is no such axis.
        DtypeError: `x` is a number, but no integer.
        ShapeError: `key` is not a single key.

    Example:
        >>> ff.random.permutation(ff.random.key(0), 5)
        Array([0, 1, 4, 3, 2], dtype=int32)
    """
    words = key_words("permutation", key)
    aval = aval_of(x)
    axis = canonical_axis(axis, aval.ndim or 1, "permutation")
    if not aval.ndim:
        return _shuffle(words, fnp.arange(_population("permutation", x)), axis)
    if independent or aval.ndim == 1:
        return _shuffle(words, x, axis)
    order = _shuffle(words, fnp.arange(aval.shape[axis]), 0)
    return fnp.take(x, order, axis=axis)


def _shuffle(words: Words, x: Any, axis: int) -> Any:
    """Sort by random 32-bit numbers, so often that all elements almost surely differ in one."""
    size = math.prod(np.shape(x))
    rounds = math.ceil(3 * math.log(max(1, size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        words, bits_key = split_words(words)
        numbers = random_bits(bits_key, np.shape(x), np.dtype(np.uint32))
        _, x = lax.sort_key_val(numbers, x, axis)
    return fnp.asarray(x)


def _population(function: str, x: Any) -> int:
    if not dtypes.is_integer(aval_of(x).dtype):
        raise DtypeError(
            f"{function}: a number must be an integer, got {aval_of(x)}",
            mend="pass an array with axes, or how many elements there are",
        )
    return int(x)


def choice(
    key: Any,
    a: Any,
    shape: int | Sequence[int] = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Array:
    """Elements chosen at random from an array.

    Args:
        key: a key.
        a: an array; an integer stands for `arange(a)`.
        shape: how many elements to choose, as a shape.
        replace: whether an element may be chosen more than once.
        p: the elements' probabilities, of shape `(n,)`; equal ones by default.
        axis: the axis of `a` along which elements are chosen.
        mode: the mode of `gumbel`, which draws without replacement by the probabilities `p`.

    Returns:
        An array in which `shape` takes the place of `axis`.

    Raises:
        ArgumentError: there is nothing to choose from, or too little without replacement.
        AxisError: there is no such axis.
        ShapeError: `p` does not fit, or `key` is not a single key.
    """
    words = key_words("choice", key)
    shape = canonical_shape(shape, "choice")
    aval = aval_of(a)
    draws = math.prod(shape)
    if aval.ndim:
        axis = canonical_axis(axis, aval.ndim, "choice")
        population = aval.shape[axis]
        result = (*aval.shape[:axis], *shape, *aval.shape[axis + 1 :])
    else:
        population, result = _population("choice", a), shape
    if draws == 0:
        return fnp.zeros(result, aval.dtype)
    if population <= 0:
        raise ArgumentError("choice: there is nothing to choose from", mend="pass elements in `a`")
    if not replace and draws > population:
        raise ArgumentError(
            f"choice: {draws} draws without replacement from {population} elements",
            mend="draw less, or with replace=True",
        )
    if p is None and not replace:
        shuffled = permutation(key, a, axis)
        return fnp.reshape(lax.slice_in_dim(shuffled, 0, draws, axis=axis), result)
    if p is None:
        index = randint(key, shape, 0, population)
    else:
        index = _weighted(words, p, population, shape, replace, mode)
    if not aval.ndim:
        return fnp.reshape(index, result)
    return fnp.reshape(fnp.take(a, index, axis=axis), result)


def _weighted(
    words: Words, p: Any, population: int, shape: Any, replace: bool, mode: str | None
) -> Any:
    """Indices drawn with the probabilities `p`."""
    p = fnp.asarray(inexact("choice", "p", p))
    if p.shape != (population,):
        raise ShapeError(
            f"choice: p must have the shape {(population,)}, one number per element, got {p.shape}"
        )
    if replace:
        cumulative = fnp.cumsum(p)
        u = cumulative[-1] * (1 - unit_uniform(words, shape, p.dtype))
        index = fnp.searchsorted(cumulative, u)
    else:
        # T. Vieira, "Gumbel-max trick and weighted reservoir sampling" (2014)
        scores = gumbel_of(words, p.shape, p.dtype, mode) + lax.log(p)
        _, index = lax.top_k(scores, math.prod(shape))
    return lax.convert_element_type(index, dtypes.default_int())


def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: int | Sequence[int] | None = None,
    replace: bool = True,
    mode: str | None = None,
) -> Array:
    """Categories drawn with probabilities proportional to `exp(logits)`.

    Args:
        key: a key.
        logits: unnormalised logarithms of probabilities, floating.
        axis: the axis of `logits` that counts categories.
        shape: the result's shape; its last axes are those of `logits` without `axis`, which is
            also the default. Further axes in front are further draws.
        replace: whether these further draws may repeat a category.
        mode: the mode of `gumbel`.

    Returns:
        Indices along `axis`, of the default integer dtype.

    Raises:
        ArgumentError: more draws without replacement than there are categories.
        AxisError: there is no such axis.
        DtypeError: `logits` are not floating.
        ShapeError: `logits` do not broadcast to `shape`, or `key` is not a single key.

    Example:
        >>> ff.random.categorical(ff.random.key(0), fnp.log(fnp.array([0.1, 0.9])), shape=(5,))
        Array([1, 1, 1, 1, 1], dtype=int32)
    """
    words = key_words("categorical", key)
    logits = fnp.asarray(logits)
    if not dtypes.is_float(logits.dtype):
        raise DtypeError(
            f"categorical: logits must be floating, got {aval_of(logits)}",
            mend="take logarithms, or convert with .astype(float)",
        )
    axis = canonical_axis(axis, logits.ndim, "categorical")
    batch = (*logits.shape[:axis], *logits.shape[axis + 1 :])
    shape = sample_shape("categorical", shape, batch)
    draws = shape[: len(shape) - len(batch)]
    if replace:
        inner = shape[len(draws) :]
        scored = (*draws, *inner[:axis], logits.shape[axis], *inner[axis:])
        scores = gumbel_of(words, scored, logits.dtype, mode) + logits
        return lax.argmax(scores, len(draws) + axis, dtypes.default_int())
    count = math.prod(draws)
    if count > logits.shape[axis]:
        raise ArgumentError(
            f"categorical: {count} draws without replacement from {logits.shape[axis]} categories",
            mend="draw less, or with replace=True",
        )
    # W. Kool, H. van Hoof and M. Welling, "Stochastic beams and where to find them" (ICML 2019)
    scores = gumbel_of(words, logits.shape, logits.dtype, mode) + logits
    _, index = lax.top_k(fnp.moveaxis(scores, axis, -1), count)
    index = lax.convert_element_type(fnp.moveaxis(index, -1, 0), dtypes.default_int())
    return fnp.reshape(index, shape)
