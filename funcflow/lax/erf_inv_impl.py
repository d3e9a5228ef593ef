"""The inverse error function, to the last bit the one that XLA computes on CPUs.

Random normals are `sqrt(2) * erf_inv(u)`, and their streams are part of what funcflow promises,
so this function must give the same bits everywhere, whatever the platform's libraries are. It is
the approximation of M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2011):
with `w = -log(1 - x^2)`, a polynomial in `w` for the centre and polynomials in `sqrt(w)` for the
tails. The logarithms are those of Cephes (S. Moshier, 1989), except for that of doubles, which is
the C library's.

XLA contracts `a * b + c` to one rounding; so does this file, with `fused` and `horner`.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funcflow.lax.fused import fused, horner


class _Region(NamedTuple):
    """`erf_inv(x) / x` for `w` below a limit: a polynomial in `w` (tails: its root) - `shift`."""

    below: float
    shift: float
    polynomial: Sequence[float]


_SINGLE = (
    _Region(5.0, 2.5, (
        2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
        -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
    )),
    _Region(math.inf, 3.0, (
        -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
        -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
    )),
)  # fmt: skip
_DOUBLE = (
    _Region(6.25, 3.125, (
        -3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18,
        1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17,
        6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14,
        2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11,
        1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08,
        4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05,
        0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533,
        0.24015818242558961693, 1.6536545626831027356,
    )),
    _Region(16.0, 3.25, (
        2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07,
        1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06,
        2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05,
        6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796,
        0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066,
        -0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334,
        3.0838856104922207635,
    )),
    _Region(math.inf, 5.0, (
        -2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09,
        -3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08,
        2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07,
        -9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05,
        7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026,
        1.0103004648645343977, 4.8499064014085844221,
    )),
)  # fmt: skip
# Elements per pass: the temporaries stay in the first caches.
_BLOCK = 1 << 13


def erf_inv(xp: Any, x: Any) -> Any:
    """The inverse error function of a float32 or float64 buffer; NaN outside of [-1, 1].

    Relative errors are about 1e-7 and 1e-15; near -1 and 1, where `1 - x^2` is rounded, they grow
    to 4e-6 and 2e-11.
    """
    out = xp.empty(x.shape, x.dtype)
    flat, flat_out = x.reshape(-1), out.reshape(-1)
    for start in range(0, x.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        flat_out[part] = _erf_inv(xp, flat[part])
    return out


def _erf_inv(xp: Any, x: Any) -> Any:
    number = x.dtype.type
    centre, *tails = _SINGLE if number is np.float32 else _DOUBLE
    w = -_log1p(xp, x * -x)
    factor = horner(xp, w - number(centre.shift), centre.polynomial)[0]
    lower = centre.below
    for tail in tails:
        # NumPy takes elements much faster by indices than by a mask
        inside = xp.flatnonzero((w >= lower) & (w < tail.below))
        lower = tail.below
        if inside.size:
            argument = xp.sqrt(w[inside]) - number(tail.shift)
            factor[inside] = horner(xp, argument, tail.polynomial)[0]
    factor[w == math.inf] = np.inf
    return x * factor


# --- logarithms -----------------------------------------------------------------------------

# log(1 + x) = x - x^2/2 + x^3 P(x)/Q(x) for small |x|
_LOG1P_P = (
    4.5270000862445199635215e-5, 4.9854102823193375972212e-1, 6.5787325942061044846969,
    29.911919328553073277375, 60.949667980987787057556, 57.112963590585538103336,
    20.039553499201281259648,
)  # fmt: skip
_LOG1P_Q = (
    1.0, 15.062909083469192043167, 83.047565967967209469434, 221.76239823732856465394,
    309.09872225312059774938, 216.42788614495947685003, 60.118660497603843919306,
)  # fmt: skip
_LOG1P_SMALL = 0.41421356237309504880  # sqrt(2) - 1
# log(1 + r) = r - r^2/2 + r^3 (A(r) r^6 + B(r) r^3 + C(r)), the parts of Cephes' polynomial
_LOG_A = (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1)
_LOG_B = (-1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1)
_LOG_C = (2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
_SQRT_HALF = np.float32(math.sqrt(0.5))
# log(2) as a sum whose first part has few digits: its products with exponents are exact
_LOG2_HIGH, _LOG2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)


def _log1p(xp: Any, x: Any) -> Any:
    """log(1 + x) for x <= 0: -inf at -1, NaN below."""
    out = xp.empty(x.shape, x.dtype)
    small = abs(x) < x.dtype.type(_LOG1P_SMALL)
    near, far = xp.flatnonzero(small), xp.flatnonzero(~small)
    out[near] = _log1p_small(xp, x[near])
    log = _log_single if x.dtype == np.float32 else _log_double
    out[far] = log(xp, x[far] + x.dtype.type(1))
    return out


def _log1p_small(xp: Any, x: Any) -> Any:
    square = x * x
    p, q = horner(xp, x, _LOG1P_P, _LOG1P_Q)
    return x + fused(xp, square, x.dtype.type(-0.5), x * square * (p / q))


def _log_double(xp: Any, x: Any) -> Any:
    # NumPy has logarithms of its own, whose last bits depend on the processor
    host = x if xp is np else x.get()
    return xp.asarray([_log(value) for value in host.tolist()], np.float64)


def _log(x: float) -> float:
    if x > 0:
        return math.log(x)
    return -math.inf if x == 0 else math.nan


def _log_single(xp: Any, x: Any) -> Any:
    bits = x.view(np.int32)
    # x = mantissa * 2^exponent with a mantissa from sqrt(1/2) to sqrt(2)
    mantissa = ((bits & 0x007FFFFF) | 0x3F000000).view(np.float32)
    exponent = ((bits >> 23) - 126).astype(np.float32)
    below = mantissa < _SQRT_HALF
    r = (mantissa - np.float32(1)) + xp.where(below, mantissa, np.float32(0))
    exponent -= below
    square = r * r
    cube = square * r
    a, b, c = horner(xp, r, _LOG_A, _LOG_B, _LOG_C)
    rest = fused(xp, fused(xp, a, cube, b), cube, c)
    rest = fused(xp, rest, cube, exponent * _LOG2_LOW)
    out = fused(xp, exponent, _LOG2_HIGH, fused(xp, square, np.float32(-0.5), r) + rest)
    out[x == 0] = -np.inf
    out[~(x >= 0)] = np.nan
    return out
