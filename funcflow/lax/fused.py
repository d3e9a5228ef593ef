"""`fma`: the fused multiply-add, `a * b + c` with one rounding.

Compilers contract products and sums where the processor can. Where bits matter (random streams
are the same everywhere), the contraction is asked for by name.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import Array
from funcflow.lax.arithmetic import mul
from funcflow.lax.forms import FLOATS, elementwise, same_dtype

_SPLITTER = 2.0**27 + 1


def fused(xp: Any, a: Any, b: Any, c: Any) -> Any:
    """The reference implementation, on buffers.

    The product of two narrower floats is exact in double precision. bfloat16 has no fused
    operations: it is rounded twice.
    """
    dtype = a.dtype
    if dtype == np.float64:
        return _fused_double(xp, a, b, _halves(b), c)
    if dtype.kind != "f":
        return a * b + c
    return (a.astype(np.float64) * b.astype(np.float64) + c).astype(dtype)


def horner(xp: Any, x: Any, *polynomials: Sequence[float]) -> Any:
    """Polynomials of a one-dimensional buffer in fused multiply-adds.

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


def _fused_double(xp: Any, a: Any, b: Any, b_halves: Any, c: Any) -> Any:
    """T. Dekker's product and D. Knuth's sum, with their errors.

    See S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums" (2008). Where
    that overflows, the result is the plain formula's.
    """
    product = a * b
    a_high, a_low = _halves(a)
    b_high, b_low = b_halves
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    added = total - product
    error = error + ((product - (total - added)) + (c - added))
    corrected = total + error
    return xp.where(xp.isfinite(corrected), corrected, total)


def _halves(x: Any) -> tuple[Any, Any]:
    """Doubles as sums of two numbers of half their digits."""
    scaled = x * _SPLITTER
    high = scaled - (scaled - x)
    return high, x - high


fma_p = elementwise(
    "fma",
    fused,
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
