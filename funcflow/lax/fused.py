"""`fma`: the fused multiply-add, `a * b + c` with one rounding.

Compilers contract products and sums where the processor can. Where bits matter (random streams
are the same everywhere), the contraction is asked for by name.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from funcflow.core.array import Array
from funcflow.lax.arithmetic import mul
from funcflow.lax.forms import FLOATS, elementwise, same_dtype

_SPLITTER = 2.0**27 + 1
# The last digits of a double that is halfway between two floats of single precision.
_LAST_DIGITS, _HALF = 2**29 - 1, 2**28
# What takes a double to a number halfway between two others has few digits, and zeros here.
_BEYOND_HALF = 2**40 - 1
# Within these limits no part of a product is lost or overflows.
_TINY, _HUGE = 2.0**-960, 2.0**960


def fused(xp: Any, a: Any, b: Any, c: Any) -> Any:
    """`a * b + c` on buffers, rounded once but for rare results: `fma` is slower and has none.

    The product of two narrower floats is exact in double precision; of the sums of float32 about
    one in 2^29 comes to lie halfway between two floats and is rounded twice. Doubles are rounded
    twice if they are very great or small. bfloat16 has no fused operations: it is always rounded
    twice.
    """
    dtype = a.dtype
    if dtype == np.float64:
        return _fused_double(xp, a, b, _halves(b), c)
    if dtype.kind != "f":
        return a * b + c
    return (a.astype(np.float64) * b.astype(np.float64) + c).astype(dtype)


def horner(xp: Any, x: Any, *polynomials: Sequence[float]) -> Any:
    """Polynomials of a one-dimensional buffer in multiply-adds that are rounded as by `fused`.

    Of each polynomial the highest power comes first; all have the same number of terms. The
    result has one row for each polynomial.
    """
    terms = xp.asarray(polynomials, x.dtype).T[:, :, None].astype(np.float64)
    total = xp.empty((len(polynomials), x.size))
    total[...] = terms[0]
    if x.dtype == np.float64:
        halves = _halves(x)
        for term in terms[1:]:
            total = _fused_double(xp, total, x, halves, term)
        return total
    wide = x.astype(np.float64)
    rounded = xp.empty(total.shape, x.dtype)
    for term in terms[1:]:
        total *= wide
        total += term
        rounded[...] = total
        total[...] = rounded
    return rounded


def _fma(xp: Any, a: Any, b: Any, c: Any) -> Any:
    """The reference implementation of `fma`."""
    if a.dtype == np.float32:
        return _fma_single(xp, a, b, c)
    # what a sum of float16 loses in double precision, no rounding to float16 would notice
    return _fma_double(xp, a, b, c) if a.dtype == np.float64 else fused(xp, a, b, c)


# --- single precision ---------------------------------------------------------------------------


def _fma_single(xp: Any, a: Any, b: Any, c: Any) -> Any:
    """The sum in double precision, rounded to odd where narrowing might otherwise go wrong.

    It does only if that sum is halfway between two floats. Below the normal numbers that is not
    seen from the last digits.
    """
    total = xp.asarray(a.astype(np.float64) * b.astype(np.float64) + c)
    doubtful = (total.view(np.int64) & _LAST_DIGITS) == _HALF
    doubtful |= (abs(total) < 2.0**-126) & (total != 0)
    if doubtful.any():
        a, b, c = (xp.broadcast_to(x, total.shape)[doubtful] for x in (a, b, c))
        product = a.astype(np.float64) * b.astype(np.float64)
        total[doubtful] = _odd_sum(xp, product, c.astype(np.float64))
    return total.astype(np.float32)


def _odd_sum(xp: Any, a: Any, b: Any) -> Any:
    """`a + b`; where that is inexact, the neighbouring double whose last bit is 1."""
    total, error = _two_sum(a, b)
    is_even = (total.view(np.int64) & 1) == 0
    inexact = (error != 0) & xp.isfinite(error)
    away = xp.nextafter(total, xp.copysign(np.inf, error))
    return xp.where(inexact & is_even, away, total)


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum and its error (D. Knuth)."""
    total = a + b
    added = total - a
    return total, (a - (total - added)) + (b - added)


# --- double precision ---------------------------------------------------------------------------


def _fma_double(xp: Any, a: Any, b: Any, c: Any) -> Any:
    out = xp.asarray(_fused_double(xp, a, b, _halves(b), c))
    product, factors = abs(a * b), xp.maximum(abs(a), abs(b))
    is_usual = (xp.maximum(product, factors) < _HUGE) & (abs(c) < _HUGE)
    is_usual &= (product > _TINY) | (a == 0) | (b == 0)
    unusual = ~is_usual & (factors < np.inf)
    if unusual.any():
        rows = zip(
            *[xp.broadcast_to(x, out.shape)[unusual].tolist() for x in (a, b, c)], strict=True
        )
        out[unusual] = xp.asarray([_fma_of_numbers(*row) for row in rows])
    return out


def _fused_double(xp: Any, a: Any, b: Any, b_halves: Any, c: Any) -> Any:
    """T. Dekker's product and D. Knuth's sum with their errors, added with rounding to odd.

    See S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums" (2008). Where
    that overflows, the result is the plain formula's.
    """
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = b_halves
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total, rest = _two_sum(product, c)
    correction = xp.asarray(error + rest)
    # other sums come out right without it; a correction is exact if it is 0
    halfway = ((correction.view(np.int64) & _BEYOND_HALF) == 0) & (correction != 0)
    if halfway.any():
        error, rest = xp.broadcast_arrays(error, rest)
        correction[halfway] = _odd_sum(xp, error[halfway], rest[halfway])
    out = total + correction
    return xp.where(xp.isfinite(out) & (correction != 0), out, total)  # keeps the sign of zeros


def _halves(x: Any) -> tuple[Any, Any]:
    """Doubles as sums of two numbers of half their digits."""
    scaled = x * _SPLITTER
    high = scaled - (scaled - x)
    return high, x - high


def _fma_of_numbers(a: float, b: float, c: float) -> float:
    """`a * b + c` for finite `a` and `b` of any size."""
    if not math.isfinite(c):
        return c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c  # for the sign
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


fma_p = elementwise(
    "fma",
    _fma,
    takes=FLOATS,
    partials=[
        lambda t, out, a, b, c: mul(t, b),
        lambda t, out, a, b, c: mul(t, a),
        lambda t, out, a, b, c: t,
    ],
)


def fma(a: Any, b: Any, c: Any) -> Array:
    """`a * b + c`, elementwise, with one rounding (bfloat16: two, as it has no such operation).

    Example:
        >>> from funcflow.lax.fused import fma
        >>> x = np.float32(1 + 2**-12)
        >>> fma(x, x, -x * x)
        Array(5.9604645e-08, dtype=float32)
    """
    return fma_p.bind(*same_dtype(a, b, c))
