"""pow, cbrt."""

import math

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.exponential import exp2_near_0, rounded
from funcflow.backends.scalars.forms import (
    Floats,
    Pair,
    fast_two_sum,
    pair_product,
    two_product,
)
from funcflow.backends.scalars.logarithm import split
from funcflow.backends.scalars.registry import expansion

# The first coefficients of log2((1 + s) / (1 - s)) = s (a + b s^2 + s^4 P(s^2)), in two parts:
# a = 2 / log(2), b = a / 3.
_A_SINGLE = (2.885390043258667, 3.851925982253235e-08)
_A_DOUBLE = (2.8853900817779268, 4.0710547481862066e-17)
_B_SINGLE = (0.9617967009544373, -7.028461650952758e-09)
_B_DOUBLE = (0.9617966939259756, 5.0577616648125907e-17)
# P for s^2 in [0, 0.0295], highest power first. Error relative to log2: 2^-36.2 and 2^-73.0.
_P_SINGLE = (0.33787572, 0.4118474, 0.5770802)
_P_DOUBLE = (
    0.1729853548957257, 0.16842957522137822, 0.19240251066926276, 0.22195223590978033,
    0.2623081992312737, 0.3205988979073509, 0.4121985831113726, 0.5770780163555851,
)  # fmt: skip

# a - bits(x) / 3 are the bits of a number near x^(-1/3): within 3.5 % for this a.
_CBRT_SINGLE, _CBRT_DOUBLE = 0x54A1F671, 0x553EE978D4FDF400


@expansion("pow", "f")
def pow(build: Builder, x: Value, y: Value) -> Value:
    """x^y = 2^(y log2 |x|) within 1.2 ulp; the limits are those of C99.

    The logarithm and its product with y have twice the digits of the format.
    """
    f = Floats(build, x)
    if y.dtype != x.dtype:
        y = build.let("convert", y, dtype=x.dtype)
    log = _log2(f, f("abs", x))
    product, error = _exponent(f, log, y)
    usual = f("and", f("gt", x, 0.0), f("lt", x, math.inf))
    usual = f("and", usual, f("lt", f("abs", product), float(f.bias - 2)))
    whole, n = rounded(f, product, 1.0, f.bias)
    power = exp2_near_0(f, f("add", f("sub", product, whole), error))
    out = f("mul", power, f.from_bits(f("shift_left", n, f.digits)))
    (out,) = f.rarely(f("not", usual), lambda f: (_unusual(f, log, x, y),), out)
    return out


def _exponent(f: Floats, log: Pair, y: Value) -> Pair:
    """The product of a logarithm and y, as a number and what it lacks."""
    product, error = two_product(f, y, log[0])
    return product, f("fma", y, log[1], error)


def _unusual(f: Floats, log: Pair, x: Value, y: Value) -> Value:
    """Powers of what is not positive and finite, and those that are very large or small."""
    size = f("abs", x)
    out = _power(f, log, y)
    # 0 and infinity have no logarithm: their powers are one or the other
    at_zero, at_infinity = f("eq", size, 0.0), f("eq", size, math.inf)
    is_negative = f("lt", y, 0.0)
    limit = f.choose(f("xor", at_infinity, is_negative), math.inf, 0.0)
    out = f.choose(f("or", at_zero, at_infinity), limit, out)
    # of negative x: whole y are even or odd, and for others there is no power
    half = f("mul", y, 0.5)
    is_whole, is_even = f("eq", f("rint", y), y), f("eq", f("rint", half), half)
    is_odd = f("and", is_whole, f("not", is_even))
    out = f("copysign", out, f.choose(is_odd, x, 1.0))
    has_none = f("and", f("and", f("lt", x, 0.0), f("not", is_whole)), f("lt", size, math.inf))
    out = f.choose(has_none, math.nan, out)
    # NaN, unless y = 0 or x = 1
    is_nan = f("or", f("ne", x, x), f("ne", y, y))
    out = f.choose(is_nan, math.nan, out)
    return f.choose(f("or", f("eq", y, 0.0), f("eq", x, 1.0)), 1.0, out)


def _power(f: Floats, log: Pair, y: Value) -> Value:
    """x^y for positive finite x, from the logarithm of x."""
    # |log2(x)| >= 2^-digits where it is not 0, so for larger y the result is 0, 1 or infinite
    bound = 2.0 ** (f.digits + f.pick(10, 13))
    y = f("fast_max", f("fast_min", y, bound), -bound)
    product, error = _exponent(f, log, y)
    edge = f.pick(152.0, 1077.0)
    clamped = f("fast_max", f("fast_min", product, edge), -edge)
    whole, n = rounded(f, clamped, 1.0, 2 * f.bias)
    r = f("add", f("sub", clamped, whole), error)
    r = f("fast_max", f("fast_min", r, 0.51), -0.51)  # the errors of huge products are large
    return f("scale", whole, n, exp2_near_0(f, r))


def _log2(f: Floats, x: Value) -> Pair:
    """log2 of positive finite x to almost twice the format's digits."""
    exponent, m = split(f, x)
    # s = (m - 1) / (m + 1)
    above = f("sub", m, 1.0)
    below, below_low = fast_two_sum(f, 1.0, m)  # m < 2, so its exponent is not above that of 1
    inverse = f("div", 1.0, below)
    s = f("mul", above, inverse)
    error = f("fma", f("neg", s), below_low, f("fma", f("neg", s), below, above))
    s_pair = s, f("mul", error, inverse)
    square, square_error = two_product(f, s, s)
    square_pair = square, f("fma", f("add", s, s), s_pair[1], square_error)
    b, b_low = f.pick(_B_SINGLE, _B_DOUBLE)
    tail = f("mul", square, f.horner(square, f.pick(_P_SINGLE, _P_DOUBLE)))
    inner, inner_low = fast_two_sum(f, b, tail)
    term = pair_product(f, square_pair, (inner, f("add", inner_low, b_low)))
    a, a_low = f.pick(_A_SINGLE, _A_DOUBLE)
    outer, outer_low = fast_two_sum(f, a, term[0])
    factor = outer, f("add", outer_low, f("add", term[1], a_low))
    log, log_low = pair_product(f, s_pair, factor)
    high, high_low = fast_two_sum(f, f.to_float(exponent), log)
    return high, f("add", high_low, log_low)


@expansion("cbrt", "f")
def cbrt(build: Builder, x: Value) -> Value:
    """The cube root within 1 ulp."""
    f = Floats(build, x)
    size = f("abs", x)
    is_small = f("lt", size, f.tiny)
    scale = 3 * (f.digits // 3 + 1)
    normal = f.choose(is_small, f("mul", size, 2.0**scale), size)
    root = _cbrt_normal(f, normal)
    root = f.choose(is_small, f("mul", root, 2.0 ** (-scale // 3)), root)
    # 0, infinity and NaN are their own cube roots
    is_plain = f("and", f("gt", size, 0.0), f("lt", size, math.inf))
    return f.choose(is_plain, f("copysign", root, x), x)


def _cbrt_normal(f: Floats, x: Value) -> Value:
    third = f.to_float(f.bits(x))
    start = f.pick(_CBRT_SINGLE, _CBRT_DOUBLE)
    guess = f("fma", third, -1 / 3, float(start))
    y = f.from_bits(f.build.let("convert", guess, dtype=f.integer))
    # y -> x^(-1/3): with e = 1 - x y^3, y (1 - e)^(-1/3)
    for _ in range(2 if f.single else 3):
        e = f("fma", f("mul", f("neg", x), y), f("mul", y, y), 1.0)
        y = f("fma", f("mul", y, e), f.horner(e, (14 / 81, 2 / 9, 1 / 3)), y)
    # z = x y^2 is the root; one step more corrects its rounding
    square = f("mul", y, y)
    z = f("mul", x, square)
    z_square, z_error = two_product(f, z, z)
    excess = f("fma", z_error, z, f("fma", z_square, z, f("neg", x)))
    return f("fma", excess, f("mul", square, -1 / 3), z)
