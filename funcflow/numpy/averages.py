"""Means, variances and weighted averages over axes.

The arguments they share with other reductions are described in `numpy.reductions`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import reduce_now
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.numpy.arithmetic import sqrt, square, subtract, true_divide
from funcflow.numpy.logic import truth
from funcflow.numpy.promotion import (
    Axis,
    as_array,
    convert,
    inexact_dtype,
    is_complex,
    promote_inexact,
    refuse_out,
)
from funcflow.numpy.reductions import operand, reduced_axes, sum


def mean(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Array:
    """The arithmetic mean over axes; NaN for no elements.

    Integers are averaged as floats, 16-bit floats in float32.

    Example:
        >>> fnp.mean(fnp.arange(4))
        Array(1.5, dtype=float32)
    """
    if dtype is None and out is None and where is None:
        done = reduce_now(np.add.reduce, a, axis, keepdims, "fc")
        if done is not None and done.size:
            return true_divide(done, a.size // done.size)
    refuse_out("mean", out)
    a = operand("mean", a)
    result = inexact_dtype(a.dtype) if dtype is None else dtypes.as_dtype(dtype)
    a = operand("mean", a, dtypes.accumulator(inexact_dtype(result)))
    total = sum(a, axis, keepdims=keepdims, where=where)
    divisor = convert(count("mean", a, axis, keepdims, where), a.dtype)
    return lax.convert_element_type(true_divide(total, divisor), result)


def count(name: str, a: Array, axis: Axis, keepdims: bool, where: Any) -> Any:
    """How many elements take part: a number, or an array if there is a mask."""
    if where is None:
        return math.prod(a.shape[i] for i in reduced_axes(name, axis, a.ndim))
    mask = lax.broadcast_to(truth(name, where), a.shape)
    return sum(mask, axis, keepdims=keepdims)


def var(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Array:
    """The variance over axes: the mean of the squared distances from the mean.

    Args:
        a: an array.
        axis: an axis, a sequence of axes, or None for all.
        dtype: the dtype of the result. 16-bit floats are always averaged in float32.
        out: not supported.
        ddof: what to subtract from the number of elements before dividing by it.
        keepdims: whether the axes stay, with extent 1.
        where: which elements take part.
        mean: the mean with `keepdims`, if it is known already.
        correction: the array API's name for `ddof`.

    Returns:
        A real array, also for complex `a`; NaN where the number of elements is not above `ddof`.

    Raises:
        ArgumentError: both `ddof` and `correction` are given.
        DtypeError: `dtype` is real and `a` complex.
    """
    refuse_out("var", out)
    if correction is not None:
        if ddof:
            raise ArgumentError("var: ddof and correction mean the same", mend="pass one of them")
        ddof = correction
    a = operand("var", a)
    if dtype is not None and is_complex(a) and not dtypes.is_complex(dtypes.as_dtype(dtype)):
        raise DtypeError(
            f"var: a real dtype for the complex array {a.aval}", mend="leave out dtype"
        )
    computed = inexact_dtype(a.dtype if dtype is None else dtypes.as_dtype(dtype))
    a = operand("var", a, dtypes.accumulator(computed))
    if mean is None:
        mean = _mean(a, axis, keepdims=True, where=where)
    centered = subtract(a, convert(as_array("var", mean), a.dtype))
    if is_complex(a):
        squares = lax.real(lax.mul(centered, lax.conj(centered)))
    else:
        squares = square(centered)
    total = sum(squares, axis, keepdims=keepdims, where=where)
    variance = _divided(total, count("var", a, axis, keepdims, where), ddof)
    return lax.convert_element_type(variance, dtypes.real_of(computed))


_mean = mean  # `var` has an argument of that name


def _divided(total: Array, elements: Any, ddof: Any) -> Array:
    """`total / (elements - ddof)`, NaN where the divisor is not positive."""
    if isinstance(elements, int) and isinstance(ddof, int | float):
        return true_divide(total, float(elements - ddof) if elements > ddof else math.nan)
    divisor = lax.sub(convert(elements, total.dtype), convert(ddof, total.dtype))
    return lax.select(lax.gt(divisor, 0), lax.div(total, divisor), math.nan)


def std(
    a: Any,
    axis: Axis = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Array:
    """The standard deviation over axes, the square root of `var`, whose arguments it has.

    Its derivative is 0 where the variance is 0.
    """
    refuse_out("std", out)
    variance = var(
        a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction
    )
    # the root's infinite slope at 0 must not meet the zero slope of the variance
    return lax.select(lax.gt(variance, 0), sqrt(variance), variance)


def average(
    a: Any,
    axis: Axis = None,
    weights: Any = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Any:
    """The weighted mean over axes.

    Args:
        a: an array.
        axis: an axis, a sequence of axes, or None for all.
        weights: an array of the shape of `a`, or a vector along the one axis; 1 by default.
        returned: whether to return the pair of the average and the sum of the weights.
        keepdims: whether the axes stay, with extent 1.

    Raises:
        ShapeError: the shape of `weights` fits neither `a` nor the axis.

    Example:
        >>> fnp.average(fnp.array([1.0, 2.0]), weights=fnp.array([3.0, 1.0]))
        Array(1.25, dtype=float32)
    """
    a = operand("average", a)
    if weights is None:
        (a,) = promote_inexact("average", a)
        result = mean(a, axis, keepdims=keepdims)
        total = lax.full_like(result, count("average", a, axis, keepdims, None))
        return (result, total) if returned else result
    a, weights = promote_inexact("average", a, as_array("average", weights))
    axes = reduced_axes("average", axis, a.ndim)
    weights = lax.broadcast_to(aligned_weights("average", weights, a.shape, axes), a.shape)
    total = sum(weights, axes, keepdims=keepdims)
    result = lax.div(sum(lax.mul(a, weights), axes, keepdims=keepdims), total)
    return (result, total) if returned else result


def aligned_weights(name: str, weights: Array, shape: Sequence[int], axes: Sequence[int]) -> Array:
    """Weights of each element, or of each place along the axes, as they broadcast to `shape`."""
    if weights.shape == tuple(shape):
        return weights
    if weights.shape != tuple(shape[i] for i in axes):
        raise ShapeError(
            f"{name}: weights of shape {weights.shape} for an array of shape {tuple(shape)} and "
            f"the axes {tuple(axes)}",
            mend="give one weight for each element, or for each place along the axes",
        )
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    weights = lax.transpose(weights, order)
    extents = [extent if i in axes else 1 for i, extent in enumerate(shape)]
    return lax.reshape(weights, extents)
