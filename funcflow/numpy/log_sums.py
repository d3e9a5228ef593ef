"""Sums of exponentials, as logarithms: what `nn` offers by these names, and `losses` are made of.

In all of them `axis` is an axis, a tuple of axes or None for all, and `where` is a mask that
broadcasts with the array: what it excludes counts neither in the value nor in any derivative.
"""

import math
from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ShapeError
from funcflow.numpy.arguments import broadcasts_to
from funcflow.numpy.logic import truth
from funcflow.numpy.promotion import Axis, as_array, promote_inexact
from funcflow.numpy.reductions import reduced_axes


def floats(function: str, *args: Any) -> list[Array]:
    """The arguments as arrays of one inexact dtype."""
    return [as_array(function, x) for x in promote_inexact(function, *args)]


def mask(function: str, where: Any, x: Array) -> Array:
    """Which elements of `x` take part, as an array of its shape."""
    where = truth(function, where)
    if not broadcasts_to(where.shape, x.shape):
        raise ShapeError(
            f"{function}: where must broadcast to the shape of the array, {x.shape}, "
            f"got {where.aval}",
            mend="give the mask the array's shape, or extents of 1",
        )
    return lax.broadcast_to(where, x.shape)


def excluded(x: Array, where: Array, axes: tuple[int, ...]) -> Array:
    """`x` with -inf where it is masked, or with zeros where nothing else would be left."""
    some = fnp.any(where, axes, keepdims=True)
    return fnp.where(where, x, fnp.where(some, -fnp.inf, 0))


def _largest(x: Array, axes: tuple[int, ...]) -> Array:
    """The largest real part along the axes, kept; 0 where there is none, or it is infinite.

    It is subtracted before exponentials are taken, which changes no result: hence no derivative.
    """
    found = fnp.max(lax.stop_gradient(x.real), axes, keepdims=True, initial=-fnp.inf)
    return fnp.where(fnp.isfinite(found), found, 0)


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """`log(softmax(x))`, exact also where `softmax` underflows; excluded elements get -inf.

    The arguments are those of `softmax`.

    Example:
        >>> ff.nn.log_softmax(fnp.array([0.0, 1000.0]))
        Array([-1000.,     0.], dtype=float32)
    """
    (x,) = floats("log_softmax", x)
    axes = reduced_axes("log_softmax", axis, x.ndim)
    if where is not None:
        where = mask("log_softmax", where, x)
        x = excluded(x, where, axes)
    shifted = x - _largest(x, axes)
    out = shifted - fnp.log(fnp.sum(fnp.exp(shifted), axes, keepdims=True))
    return out if where is None else fnp.where(where, out, -fnp.inf)


def logsumexp(
    a: Any,
    axis: Axis = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """`log(sum(b * exp(a)))`, without overflow.

    Args:
        a: an array of exponents.
        axis: an axis, a tuple of axes, or None for all.
        b: weights, of any sign; 1 by default. They broadcast with `a`.
        keepdims: whether the axes stay, with extent 1.
        return_sign: whether to return the pair of the logarithm of the sum's absolute value and
            its sign (a unit complex number for complex arrays).
        where: which elements to sum.

    Returns:
        An array: -inf for an empty sum, NaN for a negative one unless `return_sign`.

    Raises:
        AxisError: an axis is out of range or named twice.
        ShapeError: the shapes do not broadcast.

    Example:
        >>> ff.nn.logsumexp(fnp.array([1000.0, -1000.0]))
        Array(1000., dtype=float32)
    """
    if b is None:
        (a,) = floats("logsumexp", a)
        counts: Any = True
    else:
        a, b = fnp.broadcast_arrays(*floats("logsumexp", a, b))
        counts = b != 0
    axes = reduced_axes("logsumexp", axis, a.ndim)
    if where is not None:
        where = mask("logsumexp", where, a)
        a = fnp.where(where, a, 0)
        counts = fnp.logical_and(where, counts)
    largest = _largest(a if counts is True else fnp.where(counts, a, -fnp.inf), axes)
    shifted = a - largest
    if b is None:
        terms = fnp.exp(shifted)
    else:
        # a term of weight 0 may be larger than the largest: its exponential must not overflow
        limit = math.log(float(fnp.finfo(a.dtype).max)) / 2
        idle = fnp.logical_and(b == 0, shifted.real > limit)
        terms = b * fnp.exp(fnp.where(idle, limit, shifted))
    total = fnp.sum(terms, axes, keepdims=True, where=where)
    if not return_sign:
        out = _log(total) + largest
        return out if keepdims else fnp.squeeze(out, axes)
    out, sign = _log(fnp.abs(total)) + largest, fnp.sign(total)
    return (out, sign) if keepdims else (fnp.squeeze(out, axes), fnp.squeeze(sign, axes))


def _log(x: Array) -> Array:
    """The logarithm, whose derivative at 0 is 0: a sum of exponentials is 0 where none counts."""
    none = x == 0
    return fnp.where(none, -fnp.inf, fnp.log(fnp.where(none, 1, x)))
