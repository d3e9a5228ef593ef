"""Functions that weigh the elements along an axis against each other.

In all of them `axis` is an axis, a tuple of axes or None for all, and `where` is a mask that
broadcasts with the array: what it excludes counts neither in the value nor in any derivative.
"""

from functools import partial
from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.numpy.averages import count
from funcflow.numpy.log_sums import excluded, floats, mask
from funcflow.numpy.log_sums import log_softmax as log_softmax
from funcflow.numpy.log_sums import logsumexp as logsumexp
from funcflow.numpy.promotion import Axis, as_array
from funcflow.numpy.reductions import reduced_axes
from funcflow.transforms.custom_jvp import custom_jvp


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
    (x,) = floats("softmax", x)
    axes = reduced_axes("softmax", axis, x.ndim)
    if where is None:
        return _softmax(axes, x)
    where = mask("softmax", where, x)
    return fnp.where(where, _softmax(axes, excluded(x, where, axes)), 0)


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


def logmeanexp(x: Any, axis: Axis = None, where: Any = None, keepdims: bool = False) -> Array:
    """`log(mean(exp(x)))`, without overflow; NaN for no elements.

    The arguments are those of `logsumexp`.
    """
    (x,) = floats("logmeanexp", x)
    if where is not None:
        where = mask("logmeanexp", where, x)
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
    (x,) = floats("standardize", x)
    axes = reduced_axes("standardize", axis, x.ndim)
    if where is not None:
        where = mask("standardize", where, x)
    if mean is None:
        mean = fnp.mean(x, axes, keepdims=True, where=where)
    centered = x - mean
    if variance is None:
        squares = fnp.square(fnp.abs(centered)) if dtypes.is_complex(x.dtype) else centered**2
        variance = fnp.mean(squares, axes, keepdims=True, where=where)
    return centered * lax.rsqrt(as_array("standardize", variance + epsilon))
