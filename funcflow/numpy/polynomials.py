"""Polynomials, given by their coefficients from the highest power down."""

from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.arguments import static_int
from funcflow.numpy.creation import ones, zeros
from funcflow.numpy.editing import trim_zeros
from funcflow.numpy.joining import concatenate
from funcflow.numpy.manipulation import atleast_1d
from funcflow.numpy.promotion import as_array, inexact, promote, promote_inexact
from funcflow.numpy.signals import convolve


def _coefficients(function: str, p: Any) -> Array:
    p = atleast_1d(as_array(function, p))
    if p.ndim != 1:
        raise ShapeError(
            f"{function}: coefficients must be a vector, got shape {p.shape}", mend="ravel them"
        )
    return p


def polyval(p: Any, x: Any, *, unroll: int = 16) -> Array:
    """The value of a polynomial at `x`, by Horner's rule.

    Args:
        p: the coefficients.
        x: where to evaluate it, of any shape.
        unroll: up to how many coefficients the rule is written out; longer polynomials are
            evaluated in a loop, with so many steps at a time.
    """
    p, x = (as_array("polyval", a) for a in promote("polyval", p, x))
    p = _coefficients("polyval", p)
    value = lax.full(x.shape, 0, p.dtype)
    if len(p) > unroll:

        def step(value: Any, coefficient: Any) -> tuple[Any, None]:
            return lax.add(lax.mul(value, x), coefficient), None

        return lax.scan(step, value, p, unroll=unroll)[0]
    for coefficient in lax.unstack(p):
        value = lax.add(lax.mul(value, x), coefficient)
    return value


def _aligned(function: str, a1: Any, a2: Any) -> tuple[Array, Array]:
    """Two polynomials with as many coefficients."""
    first, second = (_coefficients(function, a) for a in promote(function, a1, a2))
    length = max(len(first), len(second))

    def padded(a: Array) -> Array:
        return lax.pad(a, np.zeros((), a.dtype), [(length - len(a), 0, 0)])

    return padded(first), padded(second)


def polyadd(a1: Any, a2: Any) -> Array:
    """The sum of two polynomials."""
    return lax.add(*_aligned("polyadd", a1, a2))


def polysub(a1: Any, a2: Any) -> Array:
    """The difference of two polynomials."""
    return lax.sub(*_aligned("polysub", a1, a2))


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Array:
    """The product of two polynomials; leading zeros may be left out of known coefficients."""
    first, second = (_coefficients("polymul", a) for a in promote_inexact("polymul", a1, a2))
    if trim_leading_zeros:
        first, second = (_trimmed(a) for a in (first, second))
    if not len(first):
        first = zeros(1, first.dtype)
    if not len(second):
        second = zeros(1, second.dtype)
    return convolve(first, second)


def _trimmed(p: Array) -> Array:
    """The polynomial without leading zeros; one coefficient stays."""
    out = trim_zeros(p, "f")
    return out if len(out) else lax.slice_in_dim(p, len(p) - 1, len(p))


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Array, Array]:
    """The quotient and the remainder of two polynomials.

    Args:
        u: the coefficients of the dividend.
        v: those of the divisor, of which the first must not be zero.
        trim_leading_zeros: leave leading zeros out of the remainder (of known coefficients).
    """
    u, v = (_coefficients("polydiv", a) for a in promote_inexact("polydiv", u, v))
    count = max(len(u) - len(v) + 1, 1)
    quotient = []
    remainder = u
    leading = lax.index_in_dim(v, 0, keepdims=False)
    for k in range(len(u) - len(v) + 1):
        factor = lax.div(lax.index_in_dim(remainder, k, keepdims=False), leading)
        quotient.append(lax.reshape(factor, (1,)))
        shift = [(k, len(u) - len(v) - k, 0)]
        product = lax.mul(lax.pad(v, np.zeros((), v.dtype), shift), factor)
        remainder = lax.sub(remainder, product)
    whole = concatenate(quotient) if quotient else zeros(count, u.dtype)
    return whole, _trimmed(remainder) if trim_leading_zeros else remainder


def polyder(p: Any, m: int = 1) -> Array:
    """The coefficients of the m-th derivative."""
    p = _coefficients("polyder", inexact("polyder", p))
    m = static_int("polyder", "m", m)
    if m < 0:
        raise ArgumentError(f"polyder: m is {m}", mend="derive at least 0 times, or use polyint")
    for _ in range(m):
        powers = np.arange(len(p) - 1, 0, -1).astype(p.dtype)
        p = lax.mul(lax.slice_in_dim(p, 0, max(len(p) - 1, 0)), powers)
    return p


def polyint(p: Any, m: int = 1, k: Any = None) -> Array:
    """The coefficients of the m-th antiderivative; `k` has the constants of integration (0)."""
    p = _coefficients("polyint", inexact("polyint", p))
    m = static_int("polyint", "m", m)
    if m < 0:
        raise ArgumentError(f"polyint: m is {m}", mend="integrate at least 0 times, or use polyder")
    constants = atleast_1d(as_array("polyint", 0 if k is None else k))
    if len(constants) not in (1, m):
        raise ArgumentError(
            f"polyint: {len(constants)} constants for {m} integrations", mend="pass one for each"
        )
    for i in range(m):
        powers = np.arange(len(p), 0, -1).astype(p.dtype)
        constant = lax.slice_in_dim(constants, i, i + 1) if len(constants) > 1 else constants
        p = lax.concatenate([lax.div(p, powers), lax.convert_element_type(constant, p.dtype)], 0)
    return p


def poly(seq_of_zeros: Any) -> Array:
    """The coefficients of the polynomial that has the given zeros and the leading coefficient 1."""
    roots = _coefficients("poly", inexact("poly", seq_of_zeros))
    out = ones(1, roots.dtype)
    for root in lax.unstack(roots):
        factor = concatenate([ones(1, roots.dtype), lax.reshape(lax.neg(root), (1,))])
        out = convolve(out, factor)
    return out
