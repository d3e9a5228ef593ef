"""Elementwise comparisons, logic, and choice by condition."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, ConcreteArray, shape_of
from funcflow.core.eager import fast_binary, fast_unary, is_eager, keeps_dtype
from funcflow.core.errors import ShapeError
from funcflow.lax.shape import broadcast_shapes_of
from funcflow.numpy.arithmetic import absolute
from funcflow.numpy.floating import isfinite, isnan
from funcflow.numpy.promotion import (
    as_array,
    check_arraylike,
    convert,
    is_complex,
    lattice_type,
    promote,
    promote_inexact,
)

# --- comparisons ------------------------------------------------------------------------------


@fast_binary(np.equal, "fciub")
def equal(x: Any, y: Any, /) -> Array:
    """`x == y`, elementwise."""
    return lax.eq(*promote("equal", x, y))


@fast_binary(np.not_equal, "fciub")
def not_equal(x: Any, y: Any, /) -> Array:
    """`x != y`, elementwise."""
    return lax.ne(*promote("not_equal", x, y))


def _ordered(name: str, compare: Any, x: Any, y: Any) -> Array:
    """Compare real numbers, or complex ones by real part first, then imaginary part."""
    x, y = promote(name, x, y)
    if not is_complex(x):
        return compare(x, y)
    x, y = as_array(name, x), as_array(name, y)
    (a, b), (c, d) = (lax.real(x), lax.imag(x)), (lax.real(y), lax.imag(y))
    return lax.select(lax.eq(a, c), compare(b, d), compare(a, c))


@fast_binary(np.less, "fiub")
def less(x: Any, y: Any, /) -> Array:
    """`x < y`, elementwise; complex numbers by real part, then imaginary part."""
    return _ordered("less", lax.lt, x, y)


@fast_binary(np.less_equal, "fiub")
def less_equal(x: Any, y: Any, /) -> Array:
    """`x <= y`, elementwise; complex numbers by real part, then imaginary part."""
    return _ordered("less_equal", lax.le, x, y)


@fast_binary(np.greater, "fiub")
def greater(x: Any, y: Any, /) -> Array:
    """`x > y`, elementwise; complex numbers by real part, then imaginary part."""
    return _ordered("greater", lax.gt, x, y)


@fast_binary(np.greater_equal, "fiub")
def greater_equal(x: Any, y: Any, /) -> Array:
    """`x >= y`, elementwise; complex numbers by real part, then imaginary part."""
    return _ordered("greater_equal", lax.ge, x, y)


# --- logic ------------------------------------------------------------------------------------


def truth(name: str, x: Any) -> Array:
    """Whether each element is not zero."""
    x = as_array(name, x)
    return x if x.dtype == np.bool_ else lax.ne(x, 0)


@fast_binary(np.logical_and, "fciub")
def logical_and(x: Any, y: Any, /) -> Array:
    """Whether both are true (not zero), elementwise."""
    return lax.bitwise_and(truth("logical_and", x), truth("logical_and", y))


@fast_binary(np.logical_or, "fciub")
def logical_or(x: Any, y: Any, /) -> Array:
    """Whether one or both are true (not zero), elementwise."""
    return lax.bitwise_or(truth("logical_or", x), truth("logical_or", y))


@fast_binary(np.logical_xor, "fciub")
def logical_xor(x: Any, y: Any, /) -> Array:
    """Whether exactly one is true (not zero), elementwise."""
    return lax.bitwise_xor(truth("logical_xor", x), truth("logical_xor", y))


@fast_unary(np.logical_not, "fciub")
def logical_not(x: Any, /) -> Array:
    """Whether `x` is false (zero), elementwise."""
    return lax.bitwise_not(truth("logical_not", x))


# --- choice -----------------------------------------------------------------------------------


def choose_where(condition: Any, x: Any, y: Any) -> Array:
    """`where` with three arguments."""
    if is_eager(condition) and condition._value.dtype == np.bool_:
        cases = _eager_cases(x, y)
        if cases is not None:
            try:
                return ConcreteArray(np.where(condition._value, *cases))
            except (ValueError, OverflowError):  # the general way has a better message
                pass
    chosen = truth("where", condition)
    x, y = promote("where", x, y)
    broadcast_shapes_of("where", [chosen.shape, shape_of(x), shape_of(y)])
    return lax.select(chosen, x, y)


def _eager_cases(x: Any, y: Any) -> tuple[Any, Any] | None:
    """What `np.where` may choose from: eager arrays of one dtype, or one and a number."""
    if is_eager(x):
        if is_eager(y):
            return (x._value, y._value) if x._value.dtype is y._value.dtype else None
        return (x._value, y) if _keeps_numpy_dtype(x, y) else None
    return (x, y._value) if is_eager(y) and _keeps_numpy_dtype(y, x) else None


def _keeps_numpy_dtype(x: Array, number: Any) -> bool:
    """Whether NumPy too leaves the array its dtype: of bfloat16 and a number it makes float64."""
    return x.dtype != dtypes.bfloat16 and keeps_dtype(x, number)


# --- equality of arrays -----------------------------------------------------------------------


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Array:
    """Whether `|a - b| <= atol + rtol * |b|`, elementwise.

    Infinities are close to themselves alone, NaN to nothing unless `equal_nan`. Integers are
    compared as floats.

    Example:
        >>> fnp.isclose(fnp.array([1.0, 1e-10]), fnp.array([1.000001, 0.0]))
        Array([ True,  True], dtype=bool)
    """
    a, b = promote("isclose", a, b)
    dtype, _ = lattice_type(a)
    if dtype == np.bool_:
        return lax.eq(a, b)
    a, b = promote_inexact("isclose", a, b)
    dtype = dtypes.real_of(lattice_type(a)[0])
    rtol, atol = convert(rtol, dtype), convert(atol, dtype)
    near = lax.le(absolute(lax.sub(a, b)), lax.add(atol, lax.mul(rtol, absolute(b))))
    finite = lax.bitwise_and(isfinite(a), isfinite(b))
    close = lax.select(finite, near, lax.eq(a, b))
    if equal_nan:
        close = lax.bitwise_or(close, lax.bitwise_and(isnan(a), isnan(b)))
    return close


def allclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether all elements are close; see `isclose`."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


def _all(x: Array) -> Array:
    return lax.reduce_and(x, tuple(range(x.ndim)))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Array:
    """Whether two arrays have the same shape and equal elements."""
    check_arraylike("array_equal", a1, a2)
    if np.shape(a1) != np.shape(a2):
        return as_array("array_equal", False)
    same = equal(a1, a2)
    if equal_nan:
        same = lax.bitwise_or(same, lax.bitwise_and(isnan(a1), isnan(a2)))
    return _all(same)


def array_equiv(a1: Any, a2: Any) -> Array:
    """Whether two arrays broadcast to one shape and have equal elements there."""
    check_arraylike("array_equiv", a1, a2)
    try:
        lax.broadcast_shapes(np.shape(a1), np.shape(a2))
    except ShapeError:
        return as_array("array_equiv", False)
    return _all(equal(a1, a2))
