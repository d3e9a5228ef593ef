"""Losses of numbers, elementwise.

All take predictions and targets of one shape, which are never broadcast; without targets, the
predictions are the errors. The result has that shape: the caller takes the mean.
"""

import math
from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.losses.arguments import pairs
from funcflow.numpy.log_sums import floats


def _errors(function: str, predictions: Any, targets: Any) -> Array:
    if targets is None:
        return floats(function, predictions)[0]
    predictions, targets = pairs(function, predictions=predictions, targets=targets)
    return predictions - targets


def squared_error(predictions: Any, targets: Any = None) -> Array:
    """`(predictions - targets)**2`; its mean is the mean squared error.

    Args:
        predictions: an array of any shape; integers become floats.
        targets: an array of the same shape, or one number; 0 by default.

    Returns:
        An array of that shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> ff.losses.squared_error(fnp.array([1.0, 5.0]), fnp.array([1.0, 2.0]))
        Array([0., 9.], dtype=float32)
    """
    return fnp.square(_errors("squared_error", predictions, targets))


def l2_loss(predictions: Any, targets: Any = None) -> Array:
    """`(predictions - targets)**2 / 2`, whose gradient is the error; see `squared_error`.

    Example:
        >>> ff.losses.l2_loss(fnp.array([1.0, 5.0]), fnp.array([1.0, 2.0]))
        Array([0. , 4.5], dtype=float32)
    """
    return 0.5 * fnp.square(_errors("l2_loss", predictions, targets))


def absolute_error(predictions: Any, targets: Any = None) -> Array:
    """`|predictions - targets|`; the derivative where they are equal is 0. See `squared_error`.

    Example:
        >>> ff.losses.absolute_error(fnp.array([1.0, 5.0]), fnp.array([1.0, 8.0]))
        Array([0., 3.], dtype=float32)
    """
    return fnp.abs(_errors("absolute_error", predictions, targets))


def huber_loss(predictions: Any, targets: Any = None, delta: Any = 1.0) -> Array:
    """Half the squared error up to an error of `delta`, and linear from there on.

    P. Huber, "Robust Estimation of a Location Parameter" (1964). The gradient is that of `l2_loss`,
    clipped to [-delta, delta].

    Args:
        predictions: an array of any shape; integers become floats.
        targets: an array of the same shape, or one number; 0 by default.
        delta: a positive number.

    Returns:
        An array of that shape.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> ff.losses.huber_loss(fnp.array([0.5, 3.0]))
        Array([0.125, 2.5  ], dtype=float32)
    """
    size = fnp.abs(_errors("huber_loss", predictions, targets))
    quadratic = fnp.minimum(size, delta)
    return 0.5 * fnp.square(quadratic) + delta * (size - quadratic)


def log_cosh(predictions: Any, targets: Any = None) -> Array:
    """`log(cosh(predictions - targets))`, smooth, about linear for large errors.

    It is about `error**2 / 2` for small errors and `|error| - log(2)` for large ones; the gradient
    is `tanh(error)`. See `squared_error` for arguments and result.

    Example:
        >>> ff.losses.log_cosh(fnp.array([0.5, 3.0])).round(3)
        Array([0.12 , 2.309], dtype=float32)
    """
    size = fnp.abs(_errors("log_cosh", predictions, targets))
    near = size < 1
    # cosh(x) = 1 + 2 sinh(x/2)**2: near 0 the other form is a difference of nearly equal numbers
    sine = fnp.sinh(fnp.where(near, size, 0) / 2)
    far = size + fnp.log1p(fnp.exp(-2 * size)) - math.log(2)
    return fnp.where(near, fnp.log1p(2 * fnp.square(sine)), far)
