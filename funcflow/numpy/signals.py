"""Sampled functions: interpolation, convolution, correlation."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.arguments import buffer_of, cast, is_known
from funcflow.numpy.joining import concatenate
from funcflow.numpy.promotion import as_array, promote_inexact
from funcflow.numpy.selection import take
from funcflow.numpy.sorting import searchsorted


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Array:
    """The piecewise linear function through the points `(xp, fp)`, at `x`.

    Args:
        x: where to evaluate it.
        xp: the points' coordinates, a vector in increasing order.
        fp: their values, of the same shape; may be complex.
        left: the value below `xp[0]`: `fp[0]` by default; "extrapolate" continues the line.
        right: the value above `xp[-1]`: `fp[-1]` by default, or "extrapolate".
        period: the period of the function; then `xp` need not be sorted, and `left` and `right`
            do not matter.

    Example:
        >>> fnp.interp(0.5, fnp.array([0.0, 1.0]), fnp.array([10.0, 20.0]))
        Array(15., dtype=float32)
    """
    x, xp, fp = (as_array("interp", a) for a in promote_inexact("interp", x, xp, fp))
    if dtypes.is_complex(x.dtype):
        x, xp = lax.real(x), lax.real(xp)
    if xp.ndim != 1 or xp.shape != fp.shape or not xp.size:
        raise ShapeError(
            f"interp: xp and fp must be vectors of one length, at least 1, got shapes {xp.shape} "
            f"and {fp.shape}",
            mend="pass one value for each coordinate",
        )
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, period)
    if xp.size == 1:
        xp, fp = concatenate([xp, xp]), concatenate([fp, fp])
    i = lax.clamp(1, searchsorted(xp, x, "right"), xp.size - 1)
    x0, x1 = take(xp, lax.sub(i, 1), mode="clip"), take(xp, i, mode="clip")
    f0, f1 = take(fp, lax.sub(i, 1), mode="clip"), take(fp, i, mode="clip")
    width = lax.sub(x1, x0)
    # where two coordinates coincide there is no slope; their later value counts
    same = lax.eq(width, 0)
    fraction = lax.div(lax.sub(x, x0), lax.select(same, 1.0, width))
    fraction = lax.select(same, lax.full_like(fraction, 1), fraction)
    line = lax.add(f0, lax.mul(lax.convert_element_type(fraction, fp.dtype), lax.sub(f1, f0)))
    if period is not None:
        return line
    first, last = (lax.index_in_dim(a, k, keepdims=False) for a in (fp,) for k in (0, fp.size - 1))
    low, high = (lax.index_in_dim(xp, k, keepdims=False) for k in (0, xp.size - 1))
    line = _outside(line, lax.lt(x, low), left, first)
    return _outside(line, lax.gt(x, high), right, last)


def _outside(line: Array, beyond: Array, value: Any, default: Array) -> Array:
    if isinstance(value, str):
        if value != "extrapolate":
            raise ArgumentError(
                f"interp: left or right is {value!r}", mend="pass a number or 'extrapolate'"
            )
        return line
    value = default if value is None else as_array("interp", value)
    return lax.select(beyond, lax.convert_element_type(value, line.dtype), line)


def _periodic(x: Array, xp: Array, fp: Array, period: Any) -> tuple[Array, Array, Array]:
    """Everything brought into one period, with the neighbours of its ends added."""
    if is_known(period) and not np.all(buffer_of(period)):
        raise ArgumentError("interp: period is 0", mend="pass a period other than 0")
    period = lax.abs(cast("interp", period, x.dtype))
    x, xp = _modulo(x, period), _modulo(xp, period)
    order = lax.sort((xp, lax.iota("int32", xp.size)), 0)[1]
    xp, fp = take(xp, order, mode="clip"), take(fp, order, mode="clip")
    first, last = lax.slice_in_dim(xp, 0, 1), lax.slice_in_dim(xp, xp.size - 1, xp.size)
    xp = concatenate([lax.sub(last, period), xp, lax.add(first, period)])
    fp = concatenate([lax.slice_in_dim(fp, fp.size - 1, fp.size), fp, lax.slice_in_dim(fp, 0, 1)])
    return x, xp, fp


def _modulo(x: Array, period: Array) -> Array:
    remainder = lax.rem(x, period)
    return lax.select(lax.lt(remainder, 0), lax.add(remainder, period), remainder)


# --- convolution ----------------------------------------------------------------------------


def convolve(
    a: Any,
    v: Any,
    mode: str = "full",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The convolution of two vectors: `out[k] = sum over i of a[i] v[k - i]`.

    Args:
        a: a vector.
        v: a vector.
        mode: "full": all places where they overlap; "same": of the longer one's length; "valid":
            only where they overlap completely.
        precision: see `lax.Precision`.
        preferred_element_type: see `lax.conv_general_dilated`.

    Returns:
        A vector of floating or complex dtype.
    """
    return _convolved("convolve", a, v, mode, False, precision, preferred_element_type)


def correlate(
    a: Any,
    v: Any,
    mode: str = "valid",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """The cross-correlation of two vectors: `out[k] = sum over i of a[i + k] conj(v[i])`.

    See `convolve` for the arguments.
    """
    return _convolved("correlate", a, v, mode, True, precision, preferred_element_type)


def _convolved(
    function: str,
    a: Any,
    v: Any,
    mode: str,
    correlation: bool,
    precision: Any,
    preferred_element_type: Any,
) -> Array:
    a, v = (as_array(function, x) for x in promote_inexact(function, a, v))
    if a.ndim != 1 or v.ndim != 1 or not a.size or not v.size:
        raise ShapeError(
            f"{function}: takes vectors that are not empty, got shapes {a.shape} and {v.shape}",
            mend="ravel the arrays",
        )
    if correlation:
        v = lax.rev(lax.conj(v) if dtypes.is_complex(v.dtype) else v, (0,))
    swapped = a.size < v.size
    if swapped:  # convolution is symmetric
        a, v = v, a
    n, m = a.size, v.size
    if mode == "full":
        padding = (m - 1, m - 1)
    elif mode == "same":
        padding = (m // 2, m - m // 2 - 1)
        if correlation and swapped:
            padding = padding[::-1]
    elif mode == "valid":
        padding = (0, 0)
    else:
        raise ArgumentError(f"{function}: mode={mode!r}", mend="use 'full', 'same' or 'valid'")
    out = lax.conv_general_dilated(
        lax.reshape(a, (1, 1, n)),
        lax.reshape(lax.rev(v, (0,)), (1, 1, m)),
        (1,),
        [padding],
        precision=precision,
        preferred_element_type=preferred_element_type,
    )
    return lax.reshape(out, (out.size,))
