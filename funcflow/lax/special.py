"""Special functions: the error function and the gamma function with their kin.

SciPy computes them, and is imported at their first use. Values of dtypes narrower than float32
are widened and the results rounded.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow.core.array import Array
from funcflow.lax.arithmetic import constant, mul_p, neg_p, square_p
from funcflow.lax.erf_inv_impl import erf_inv as erf_inv_buffer
from funcflow.lax.forms import FLOATS, add, elementwise, same_dtype, unary
from funcflow.lax.transcendental import exp_p


def _library(xp: Any) -> Any:
    """SciPy's special functions, or CuPy's."""
    if xp is np:
        from scipy import special
    else:
        from cupyx.scipy import special
    return special


def _special(name: str) -> Callable[..., Any]:
    """The implementation that calls the library's function of this name."""
    return _widened(lambda xp, *args: getattr(_library(xp), name)(*args))


def _widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """An implementation that computes in float32 at least."""

    def impl(xp: Any, *args: Any) -> Any:
        dtype = args[0].dtype
        if dtype.itemsize < 4:
            args = tuple(x.astype(np.float32) for x in args)
        return function(xp, *args).astype(dtype, copy=False)

    return impl


# --- error function -------------------------------------------------------------------------


def _times_gaussian(t: Any, x: Any, scale: float) -> Any:
    """`t scale exp(-x^2)`."""
    gaussian = exp_p.bind(neg_p.bind(square_p.bind(x)))
    return mul_p.bind(t, mul_p.bind(gaussian, constant(scale, t)))


erf_p = unary(
    "erf",
    _special("erf"),
    takes=FLOATS,
    derivative=lambda t, out, x: _times_gaussian(t, x, 2 / math.sqrt(math.pi)),
)
erfc_p = unary(
    "erfc",
    _special("erfc"),
    takes=FLOATS,
    derivative=lambda t, out, x: _times_gaussian(t, x, -2 / math.sqrt(math.pi)),
)
erf_inv_p = unary(
    "erf_inv",
    _widened(erf_inv_buffer),  # not SciPy's: random streams depend on the last bit
    takes=FLOATS,
    derivative=lambda t, out, x: mul_p.bind(
        t, mul_p.bind(exp_p.bind(square_p.bind(out)), constant(math.sqrt(math.pi) / 2, t))
    ),
)


def erf(x: Any) -> Array:
    """The error function `2 / sqrt(pi) * integral of exp(-s^2) from 0 to x`, elementwise."""
    return erf_p.bind(x)


def erfc(x: Any) -> Array:
    """`1 - erf(x)`, elementwise, precise also for large `x`."""
    return erfc_p.bind(x)


def erf_inv(x: Any) -> Array:
    """The inverse of `erf`, elementwise: infinite at -1 and 1, NaN beyond."""
    return erf_inv_p.bind(x)


# --- gamma function -------------------------------------------------------------------------


def _lgamma(xp: Any, x: Any) -> Any:
    # gammaln(-inf) is -inf in SciPy, but poles lie arbitrarily far out
    return xp.where(x == -np.inf, xp.absolute(x), _special("gammaln")(xp, x))


def _digamma(xp: Any, x: Any) -> Any:
    # 0 is a pole like -1, -2, ...: the limits from its sides differ
    return xp.where(x == 0, x.dtype.type(np.nan), _special("psi")(xp, x))


lgamma_p = unary(
    "lgamma",
    _lgamma,
    takes=FLOATS,
    derivative=lambda t, out, x: mul_p.bind(t, digamma_p.bind(x)),
)
digamma_p = unary(
    "digamma",
    _digamma,
    takes=FLOATS,
    derivative=lambda t, out, x: mul_p.bind(t, polygamma_p.bind(constant(1, t), x)),
)
polygamma_p = elementwise(
    "polygamma",
    _special("polygamma"),
    takes=FLOATS,
    partials=[
        None,  # the order counts derivatives: it is not differentiated
        lambda t, out, m, x: mul_p.bind(t, polygamma(add(m, 1), x)),
    ],
)


def lgamma(x: Any) -> Array:
    """The logarithm of the absolute value of the gamma function, elementwise."""
    return lgamma_p.bind(x)


def digamma(x: Any) -> Array:
    """The derivative of `lgamma`, elementwise: NaN at its poles 0, -1, -2, ..."""
    return digamma_p.bind(x)


def polygamma(m: Any, x: Any) -> Array:
    """The `m`-th derivative of `digamma` at `x`, elementwise; `m` holds whole numbers.

    `m` has the dtype of `x`, and no derivative is taken with respect to it.
    """
    return polygamma_p.bind(*same_dtype(m, x))
