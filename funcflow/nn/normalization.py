"""Functions that weigh the elements along an axis against each other.

In all of them `axis` is an axis, a tuple of axes or None for all, and `where` is a mask that
broadcasts with the array: what it excludes counts neither in the value nor in any derivative.
"""

import math
from functools import partial
from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.averages import count
from funcflow.numpy.logic import truth
from funcflow.numpy.promotion import Axis, as_array, promote_inexact
from funcflow.numpy.reductions import reduced_axes
from funcflow.transforms.custom_jvp import custom_jvp


def _arrays(function: str, *args: Any) -> list[Array]:
    return [as_array(function, x) for x in promote_inexact(function, *args)]


def _largest(x: Array, axes: tuple[int, ...]) -> Array:
    """The largest real part along the axes, kept; 0 where there is none, or it is infinite.

    It is subtracted before exponentials are taken, which changes no result: hence no derivative.
    """
    found = fnp.max(lax.stop_gradient(x.real), axes, keepdims=True, initial=-fnp.inf)
    return fnp.where(fnp.isfinite(found), found, 0)


def softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """`exp(x)`, scaled so that the sum along the axis is 1.

    Args:
        x: an array; integers become floats.
        axis: where the sum is 1: an axis, a tuple of axes, or None for all.
        where: which elements take part; the others get 0, also where none is left.

    Returns:
        An array of the shape of `x`, between 0 and 1; NaN beside an infinite element.

    Raises:
        AxisError: an axis is out of range or named twice.
        ShapeError: `where` does not broadcast with `x`.

    Example:
        >>> ff.nn.softmax(fnp.array([0.0, 1000.0]))
        Array([0., 1.], dtype=float32)
        >>> ff.nn.softmax(fnp.ones(4), where=fnp.array([True, True, False, False]))
        Array([0.5, 0.5, 0. , 0. ], dtype=float32)
    """
    (x,) = _arrays("softmax", x)
    axes = reduced_axes("softmax", axis, x.ndim)
    if where is None:
        return _softmax(axes, x)
    where = _mask("softmax", where, x)
    return fnp.where(where, _softmax(axes, _excluded(x, where, axes)), 0)


def _mask(function: str, where: Any, x: Array) -> Array:
    where = truth(function, where)
    if lax.broadcast_shapes(where.shape, x.shape) != x.shape:
        raise ShapeError(
            f"{function}: where must broadcast to the shape of the array, {x.shape}, "
            f"got {where.aval}",
            mend="give the mask the array's shape, or extents of 1",
        )
    return lax.broadcast_to(where, x.shape)


def _excluded(x: Array, where: Array, axes: tuple[int, ...]) -> Array:
    """`x` with -inf where it is masked, or with zeros where nothing else would be left."""
    some = fnp.any(where, axes, keepdims=True)
    return fnp.where(where, x, fnp.where(some, -fnp.inf, 0))


@partial(custom_jvp, nondiff_argnums=(0,))
def _softmax(axes: tuple[int, ...], x: Any) -> Array:
    weights = fnp.exp(x - fnp.max(x, axes, keepdims=True, initial=-fnp.inf))
    return weights / fnp.sum(weights, axes, keepdims=True)


@_softmax.defjvp
def _softmax_jvp(axes: tuple[int, ...], primals: Any, tangents: Any) -> tuple[Array, Array]:
    # one product for each element, and no quotient of numbers that may underflow
    out = _softmax(axes, *primals)
    scaled = out * tangents[0]
    return out, scaled - out * fnp.sum(scaled, axes, keepdims=True)


def log_softmax(x: Any, axis: Axis = -1, where: Any = None) -> Array:
    """`log(softmax(x))`, exact also where `softmax` underflows; excluded elements get -inf.

    The arguments are those of `softmax`.

    Example:
        >>> ff.nn.log_softmax(fnp.array([0.0, 1000.0]))
        Array([-1000.,     0.], dtype=float32)
    """
    (x,) = _arrays("log_softmax", x)
    axes = reduced_axes("log_softmax", axis, x.ndim)
    if where is not None:
        where = _mask("log_softmax", where, x)
        x = _excluded(x, where, axes)
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
        (a,) = _arrays("logsumexp", a)
        counts: Any = True
    else:
        a, b = fnp.broadcast_arrays(*_arrays("logsumexp", a, b))
        counts = b != 0
    axes = reduced_axes("logsumexp", axis, a.ndim)
    if where is not None:
        where = _mask("logsumexp", where, a)
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


def logmeanexp(x: Any, axis: Axis = None, where: Any = None, keepdims: bool = False) -> Array:
    """`log(mean(exp(x)))`, without overflow; NaN for no elements.

    The arguments are those of `logsumexp`.
    """
    (x,) = _arrays("logmeanexp", x)
    if where is not None:
        where = _mask("logmeanexp", where, x)
    number = as_array("logmeanexp", count("logmeanexp", x, axis, keepdims, where))
    logarithm = fnp.log(number.astype(dtypes.accumulator(dtypes.real_of(x.dtype))))
    return logsumexp(x, axis, keepdims=keepdims, where=where) - logarithm.astype(x.dtype)


def standardize(
    x: Any,
    axis: Axis = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Array:
    """`(x - mean) / sqrt(variance + epsilon)`: mean 0 and variance 1 along the axis.

    Args:
        x: an array; integers become floats.
        axis: an axis, a tuple of axes, or None for all.
        mean: the mean, where it is known; it broadcasts with `x`.
        variance: the variance, where it is known.
        epsilon: keeps the quotient finite where all elements are equal.
        where: which elements the mean and the variance are taken of.
        algorithm: "fast" or "stable". Both name the same: the variance is the mean of the squared
            distances from the mean, since a difference of means of squares loses all digits
            where the mean is large.

    Raises:
        ArgumentError: there is no such algorithm.
        AxisError: an axis is out of range or named twice.

    Example:
        >>> ff.nn.standardize(fnp.array([1.0, 3.0]), epsilon=0.0)
        Array([-1.,  1.], dtype=float32)
    """
    if algorithm not in ("fast", "stable"):
        raise ArgumentError(
            f"standardize: there is no algorithm {algorithm!r}", mend="use 'fast' or 'stable'"
        )
    (x,) = _arrays("standardize", x)
    axes = reduced_axes("standardize", axis, x.ndim)
    if where is not None:
        where = _mask("standardize", where, x)
    if mean is None:
        mean = fnp.mean(x, axes, keepdims=True, where=where)
    centered = x - mean
    if variance is None:
        squares = fnp.square(fnp.abs(centered)) if dtypes.is_complex(x.dtype) else centered**2
        variance = fnp.mean(squares, axes, keepdims=True, where=where)
    return centered * lax.rsqrt(as_array("standardize", variance + epsilon))
