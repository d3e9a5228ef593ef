"""Gamma variates and their derivative with respect to the shape parameter.

Sampling is the squeezed rejection method of G. Marsaglia and W. W. Tsang, "A simple method for
generating gamma variables" (ACM TOMS 26, 2000), one key per element. The derivative is the
implicit one of M. Figurnov, S. Mohamed and A. Mnih, "Implicit reparameterization gradients"
(NeurIPS 2018): with the probability `u = P(a, x)` held fixed, `dx/da = -(dP/da) / p(x; a)`.
"""

import functools
from typing import Any

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import DtypeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define
from funcflow.lax.arithmetic import add, mul, neg, sub
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, le, select
from funcflow.lax.creation import full_like
from funcflow.lax.forms import FLOATS, elementwise, elementwise_batch, partials_jvp
from funcflow.lax.prng import hash_words, unit_floats
from funcflow.lax.shape import broadcast_shapes
from funcflow.lax.special import digamma, erf_inv_p
from funcflow.lax.transcendental import exp, log

# The two words of each key.
_Key = tuple[Any, Any]

_ZERO = np.zeros(1, np.uint32)

random_gamma_p = Primitive("random_gamma")


def random_gamma(k0: Any, k1: Any, a: Any, *, log_space: bool = False) -> Any:
    """Gamma variates with shape parameter `a` and scale 1, one for each key.

    Args:
        k0: the keys' first words, uint32.
        k1: their second words.
        a: positive floats; the three arguments broadcast.
        log_space: return the variates' logarithms, which do not underflow for small `a`.

    Returns:
        An array of the dtype of `a`, differentiable with respect to `a`. NaN where `a < 0`.
    """
    return random_gamma_p.bind(k0, k1, a, log_space=log_space)


def _abstract(k0: ShapedArray, k1: ShapedArray, a: ShapedArray, *, log_space: bool) -> ShapedArray:
    if k0.dtype != np.uint32 or k1.dtype != np.uint32 or not dtypes.is_float(a.dtype):
        raise DtypeError(
            f"random_gamma: takes uint32 key words and a floating parameter, got {k0}, {k1}, {a}",
            mend="convert the arguments with .astype(...)",
        )
    return ShapedArray(broadcast_shapes(k0.shape, k1.shape, a.shape), a.dtype)


def _impl(xp: Any, k0: Any, k1: Any, a: Any, *, log_space: bool) -> Any:
    shape = np.broadcast_shapes(k0.shape, k1.shape, a.shape)
    k0, k1, a = (xp.broadcast_to(x, shape).reshape(-1) for x in (k0, k1, a))
    # half precision: float32 variates, rounded
    wide = a.astype(a.dtype if a.dtype.itemsize >= 4 else np.float32)
    return _variates(xp, (k0, k1), wide, log_space).astype(a.dtype).reshape(shape)


def _variates(xp: Any, key: _Key, a: Any, log_space: bool) -> Any:
    one = a.dtype.type(1)
    a = xp.where(a < 0, a.dtype.type(np.nan), a)
    # below 1 the method needs a boost: Gamma(a) ~ Gamma(a + 1) * Uniform()^(1 / a)
    plain = a >= one
    key, boost_key = _split(xp, key, 2)
    d = xp.where(plain, a, a + one) - a.dtype.type(1 / 3)
    v = _accepted(xp, key, d)
    u = _uniform(xp, boost_key, a.dtype)
    if not log_space:
        return d * v * xp.where(plain, one, (one - u) ** (one / a))
    log_u = xp.log1p(-u)
    boost = xp.where(plain | (log_u == 0), one * 0, log_u * (one / a))
    return xp.log(d) + xp.log(v) + boost


def _accepted(xp: Any, key: _Key, d: Any) -> Any:
    """The variates divided by `d`. Lanes whose proposal was rejected try again."""
    number = d.dtype.type
    c = number(1 / 3) / xp.sqrt(d)
    out = xp.empty_like(d)
    lanes = xp.arange(d.size)
    while lanes.size:
        key, proposal_key, u_key = _split(xp, key, 3)
        x, v = _proposal(xp, proposal_key, c[lanes])
        u = _uniform(xp, u_key, d.dtype)
        square = x * x
        bound = square * number(0.5) + d[lanes] * ((1 - v) + xp.log(v))
        rejected = (u >= 1 - number(0.0331) * (square * square)) & (xp.log(u) >= bound)
        out[lanes] = v
        lanes = lanes[rejected]
        key = key[0][rejected], key[1][rejected]
    return out


def _proposal(xp: Any, key: _Key, c: Any) -> tuple[Any, Any]:
    """A normal `x` and `v = (1 + c x)^3`, drawn until `v > 0`."""
    x = xp.empty_like(c)
    lanes = xp.arange(c.size)
    while lanes.size:
        key, normal_key = _split(xp, key, 2)
        x[lanes] = _normal(xp, normal_key, c.dtype)
        rejected = 1 + x[lanes] * c[lanes] <= 0
        lanes = lanes[rejected]
        key = key[0][rejected], key[1][rejected]
    v = 1 + x * c
    return x, v * v * v


def _split(xp: Any, key: _Key, num: int) -> list[_Key]:
    """`num` new keys for each key."""
    counts = xp.arange(num, dtype=np.uint32)[:, None]
    high, low = hash_words(xp, *key, _ZERO, counts)
    return list(zip(high, low, strict=True))


def _uniform(xp: Any, key: _Key, dtype: Any) -> Any:
    """One float in [0, 1) for each key."""
    high, low = hash_words(xp, *key, _ZERO, _ZERO)
    return unit_floats(xp, high, low, dtype)


def _normal(xp: Any, key: _Key, dtype: Any) -> Any:
    low = np.nextafter(dtype.type(-1), dtype.type(0))
    u = xp.maximum(low, _uniform(xp, key, dtype) * (dtype.type(1) - low) + low)
    return dtype.type(np.sqrt(2)) * rules.impl[erf_inv_p](xp, u)


def _sample_partial(t: Any, out: Any, k0: Any, k1: Any, a: Any, *, log_space: bool) -> Any:
    derivative = log_gamma_grad(a, out) if log_space else random_gamma_grad(a, out)
    return mul(t, derivative)


define(
    random_gamma_p,
    abstract=_abstract,
    impl=_impl,
    jvp=partials_jvp(random_gamma_p, [None, None, _sample_partial]),
    transpose=NONLINEAR,
    batch=elementwise_batch(random_gamma_p),
)

# --- the derivative -------------------------------------------------------------------------


def random_gamma_grad(a: Any, sample: Any) -> Any:
    """The derivative of a gamma variate with respect to the shape parameter `a`.

    Args:
        a: positive floats.
        sample: the variates, of the same dtype.

    Returns:
        `dx/da` at fixed probability `P(a, x)`, to about 1e-10 (relative) in float64; 0 where
        the sample is 0. It can be differentiated any number of times.
    """
    zero = eq(sample, full_like(sample, 0))
    safe = select(zero, full_like(sample, 1), sample)
    return select(zero, full_like(sample, 0), mul(safe, log_gamma_grad(a, log(safe))))


def log_gamma_grad(a: Any, log_sample: Any) -> Any:
    """The derivative of the logarithm of a gamma variate with respect to `a`.

    Since `dP/da` is the integral of `(log t - digamma(a)) p(t; a)` from 0 to `x`, substituting
    `t = x exp(-s)` gives

        d(log x)/da = -((log x - digamma(a)) M_0 - M_1)

    with the moments `M_n` of `gamma_moment`. For `x > a` the integral from `x` to infinity, of
    which the other one is the negative, does not cancel; there `s` and `M_1` are negative.
    """
    dtype = aval_of(log_sample).dtype
    a, log_x = convert_element_type(a, np.float64), convert_element_type(log_sample, np.float64)
    x = exp(log_x)
    one = full_like(x, 1)
    below = le(x, select(le(a, one), one, a))
    side = select(below, one, neg(one))
    centred = sub(log_x, digamma(a))
    m0, m1 = (gamma_moment(a, x, side, order=n) for n in (0, 1))
    return convert_element_type(neg(mul(side, sub(mul(centred, m0), m1))), dtype)


def gamma_moment(a: Any, x: Any, side: Any, *, order: int) -> Any:
    """`M_n(a, x)`: the integral of `y^n exp(-a y + x (1 - exp(-y)))` over `s > 0`, `y = side s`.

    Derivatives of moments are moments: `dM_n/da = -M_(n+1)`, `dM_n/dx = M_n(a) - M_n(a + 1)`.
    """
    return gamma_moment_p.bind(a, x, side, order=order)


@functools.cache
def _quadrature() -> list[tuple[float, float]]:
    """Nodes and weights of the double exponential rule for integrands that decay like exp(-s).

    H. Takahasi and M. Mori, "Double exponential formulas for numerical integration" (1974).
    """
    step = 0.1
    t = np.arange(-35, 51) * step
    nodes = np.exp(t - np.exp(-t))
    return list(zip(nodes.tolist(), (step * (1 + np.exp(-t)) * nodes).tolist(), strict=True))


def _moment_impl(xp: Any, a: Any, x: Any, side: Any, *, order: int) -> Any:
    # the integrand decays like exp(-|a - x| s - x s^2 / 2) at first, and faster for negative y;
    # for small x it decays like exp(-a s)
    gap = abs(a - x)
    scale = 2 / (gap + xp.sqrt(gap * gap + 2 * x))
    scale = xp.where(side < 0, xp.log1p(scale), xp.where(x < 1, 1 / a, scale))
    total = xp.zeros(scale.shape, scale.dtype)
    for node, weight in _quadrature():
        y = side * scale * node
        total += weight * y**order * xp.exp(-a * y - x * xp.expm1(-y))
    return (total * scale).astype(x.dtype)


gamma_moment_p = elementwise(
    "gamma_moment",
    _moment_impl,
    takes=FLOATS,
    partials=[
        lambda t, m, a, x, side, order: neg(mul(t, gamma_moment(a, x, side, order=order + 1))),
        lambda t, m, a, x, side, order: mul(
            t, sub(m, gamma_moment(add(a, full_like(a, 1)), x, side, order=order))
        ),
        None,
    ],
)
