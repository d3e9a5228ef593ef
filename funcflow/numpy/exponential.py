"""Elementwise exponentials and logarithms."""

import math
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.eager import fast_binary, fast_unary
from funcflow.numpy.promotion import inexact, is_complex, lattice_type, promote_inexact


@fast_unary(np.exp, "fc")
def exp(x: Any, /) -> Array:
    """The exponential, elementwise."""
    return lax.exp(inexact("exp", x))


@fast_unary(np.exp2, "f")
def exp2(x: Any, /) -> Array:
    """`2 ** x`, elementwise."""
    return lax.exp2(inexact("exp2", x))


@fast_unary(np.expm1, "fc")
def expm1(x: Any, /) -> Array:
    """`exp(x) - 1`, elementwise, exact near 0."""
    return lax.expm1(inexact("expm1", x))


@fast_unary(np.log, "fc")
def log(x: Any, /) -> Array:
    """The natural logarithm, elementwise; NaN for negative real numbers."""
    return lax.log(inexact("log", x))


@fast_unary(np.log1p, "fc")
def log1p(x: Any, /) -> Array:
    """`log(1 + x)`, elementwise, exact near 0."""
    return lax.log1p(inexact("log1p", x))


@fast_unary(np.log2, "f")
def log2(x: Any, /) -> Array:
    """The logarithm to base 2, elementwise."""
    return _log_to_base(inexact("log2", x), 2.0)


@fast_unary(np.log10, "f")
def log10(x: Any, /) -> Array:
    """The logarithm to base 10, elementwise."""
    return _log_to_base(inexact("log10", x), 10.0)


def _log_to_base(x: Any, base: float) -> Array:
    natural, divisor = lax.log(x), math.log(base)
    if is_complex(x):  # by parts, since -inf times 0i would be NaN
        real, imag = lax.div(lax.real(natural), divisor), lax.div(lax.imag(natural), divisor)
        return lax.complex(real, imag)
    return lax.div(natural, divisor)


@fast_binary(np.logaddexp, "f")
def logaddexp(x1: Any, x2: Any, /) -> Array:
    """`log(exp(x1) + exp(x2))`, elementwise, without overflow.

    Computed as `max(x1, x2) + log1p(exp(-|x1 - x2|))`. Derivatives are finite everywhere, at
    infinities too; equal finite arguments share them equally. Of complex numbers, the imaginary
    part of the result is in (-pi, pi].

    Example:
        >>> fnp.logaddexp(fnp.array([-1e4, 1e4]), 1e4)
        Array([10000.   , 10000.693], dtype=float32)
    """
    return _logaddexp(*promote_inexact("logaddexp", x1, x2))


@fast_binary(np.logaddexp2, "f")
def logaddexp2(x1: Any, x2: Any, /) -> Array:
    """`log2(2**x1 + 2**x2)`, elementwise, without overflow; see `logaddexp`."""
    x1, x2 = promote_inexact("logaddexp2", x1, x2)
    log_of_two = math.log(2.0)
    scaled = _logaddexp(lax.mul(x1, log_of_two), lax.mul(x2, log_of_two))
    return lax.div(scaled, log_of_two)


def _logaddexp(x: Any, y: Any) -> Array:
    if is_complex(x):
        return _logaddexp_complex(x, y)
    # Either branch, y + log(1 + e^(x-y)) or x + log(1 + e^(y-x)), is the same smooth function, so
    # choosing one by `select` (unlike max and abs) keeps all derivatives right where x = y.
    x_is_larger = lax.gt(x, y)
    larger, smaller = lax.select(x_is_larger, x, y), lax.select(x_is_larger, y, x)
    infinite = lax.bitwise_and(lax.eq(x, y), lax.bitwise_not(lax.is_finite(larger)))
    difference = lax.select(infinite, 0, lax.sub(smaller, larger))
    return lax.add(larger, lax.log1p(lax.exp(difference)))


def _logaddexp_complex(x: Any, y: Any) -> Array:
    # what the larger real part is does not change the result, so it need not be differentiated
    top = lax.stop_gradient(lax.max(lax.real(x), lax.real(y)))
    top = lax.select(lax.is_finite(top), top, 0)
    top = lax.convert_element_type(top, lattice_type(x)[0])
    return lax.add(top, lax.log(lax.add(lax.exp(lax.sub(x, top)), lax.exp(lax.sub(y, top)))))
