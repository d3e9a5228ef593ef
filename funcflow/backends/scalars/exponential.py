"""exp, exp2, expm1, logistic.

x = n log(2) + r with a whole number n and |r| <= log(2) / 2, so e^x = 2^n e^r. Adding a number so
large that its last bit counts ones rounds to n, and leaves n in the last bits of the sum.
"""

import math

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.forms import Floats
from funcflow.backends.scalars.registry import expansion

# log(2) in two parts: products of the first with n, taken from x, are exact
LOG2_SINGLE = (0.6931471824645996, -1.904654323148236e-09)
LOG2_DOUBLE = (0.6931471805599453, 2.3190468138462996e-17)

# q of e^r = 1 + r + r^2 q(r) on [-0.347, 0.347], highest power first.
# Error relative to e^r: 2^-28.3 and 2^-57.9.
_EXP_SINGLE = (0.0013814479, 0.008368781, 0.041668393, 0.1666652, 0.49999994)
_EXP_DOUBLE = (
    2.500010128819069e-08, 2.763038419226322e-07, 2.7557587133026927e-06, 2.4801492749319942e-05,
    0.00019841269504680884, 0.001388888894393244, 0.008333333333495853, 0.04166666666652917,
    0.1666666666666641, 0.5000000000000011,
)  # fmt: skip
# The same, but with errors relative to e^r - 1: 2^-32.0 and 2^-61.7.
_EXPM1_SINGLE = (0.0001991438, 0.0013941101, 0.008333272, 0.041666355, 0.16666667, 0.5)
_EXPM1_DOUBLE = (
    2.092452135429032e-09, 2.5109147733279983e-08, 2.75572425060853e-07, 2.7557243910603577e-06,
    2.480158736085516e-05, 0.00019841269886402234, 0.0013888888888866685, 0.00833333333332153,
    0.0416666666666667, 0.16666666666666677, 0.5,
)  # fmt: skip
# p of 2^r = 1 + r p(r) on [-1/2, 1/2]. Error relative to 2^r: 2^-28.9 and 2^-58.0.
_EXP2_SINGLE = (0.00015484341, 0.0013400567, 0.00961798, 0.05550327, 0.24022652, 0.6931472)
_EXP2_DOUBLE = (
    4.459761801671017e-10, 7.073954462822428e-09, 1.0178031774983188e-07, 1.3215434298083952e-06,
    1.5252733899996516e-05, 0.00015403530459051648, 0.001333355814634849, 0.009618129107592625,
    0.055504108664821854, 0.24022650695910136, 0.6931471805599453,
)  # fmt: skip


@expansion("exp", "f")
def exp(build: Builder, x: Value) -> Value:
    """e^x within 1 ulp."""
    f = Floats(build, x)
    return exp_below(f, f.at_most(x, f.pick(89.0, 710.0)))


def exp_below(f: Floats, x: Value) -> Value:
    """`exp` of what is known to be less than 89 (float64: 710), or NaN."""
    x = f.at_least(x, f.pick(-176.0, -1418.0))
    r, whole, n = reduced(f, x, 2 * f.bias)
    return f("scale", whole, n, exp_near_0(f, r))


@expansion("exp2", "f")
def exp2(build: Builder, x: Value) -> Value:
    """2^x within 1.1 ulp."""
    f = Floats(build, x)
    x = f.at_most(f.at_least(x, -2.0 * f.bias), f.pick(129.0, 1025.0))
    whole, n = rounded(f, x, 1.0, 2 * f.bias)
    return f("scale", whole, n, exp2_near_0(f, f("sub", x, whole)))


@expansion("scale", "f")
def scale(build: Builder, whole: Value, n: Value, x: Value) -> Value:
    """`x` times 2^(n - 2 bias), which may be too large or too small for one factor.

    For n = 0, which is what callers make of arguments far below, both factors are 0. The result is
    0 either way, but as a product of a power of 2 it would take Intel's processors a hundred times
    as long: they leave results that are too small for a normal number to microcode.
    """
    f = Floats(build, x)
    # the exponents n // 2 and n - n // 2, in their places
    mask = (2 * f.bias + 1) << f.digits
    first = f("and", f("shift_left", n, f.digits - 1), mask)
    second = f("sub", f("shift_left", n, f.digits), first)
    return f("mul", f("mul", x, f.from_bits(first)), f.from_bits(second))


@expansion("expm1", "f")
def expm1(build: Builder, x: Value) -> Value:
    """e^x - 1 within 1.5 ulp (float64: 1.9)."""
    f = Floats(build, x)
    clamped = f.at_most(f.at_least(x, f.pick(-18.0, -38.0)), f.pick(89.0, 710.0))
    power, rest = exp_parts(f, clamped, 0.5)
    half = f("fma", power, rest, f("sub", power, 0.5))
    # a half of the smallest numbers would not be exact
    return f.choose(is_tiny(f, x), x, f("add", half, half))


@expansion("logistic", "f")
def logistic(build: Builder, x: Value) -> Value:
    """1 / (1 + e^-x) within 2.2 ulp; of negative x it is e^x / (1 + e^x)."""
    f = Floats(build, x)
    power = exp_below(f, f("neg", f("abs", x)))
    above = f.choose(f("lt", x, 0.0), power, 1.0)
    return f("div", above, f("add", power, 1.0))


# --- parts ------------------------------------------------------------------------------------


def rounded(f: Floats, x: Value, scale: float, offset: int) -> tuple[Value, Value]:
    """The whole number n next to x * scale, and an integer whose last bits are n + offset."""
    magic = 1.5 * 2.0**f.digits + offset
    shifted = f("fma", x, scale, magic)
    return f("sub", shifted, magic), f.bits(shifted)


def reduced(f: Floats, x: Value, offset: int, times: float = 1.0) -> tuple[Value, Value, Value]:
    """The r and n of times * x = n log(2) + times * r, and an integer that ends in n + offset."""
    high, low = f.pick(LOG2_SINGLE, LOG2_DOUBLE)
    whole, n = rounded(f, x, times / math.log(2), offset)
    r = f("fma", whole, -high / times, x)
    return f("fma", whole, -low / times, r), whole, n


def exp_near_0(f: Floats, r: Value) -> Value:
    """e^r for |r| <= log(2) / 2."""
    return f.horner(r, (*f.pick(_EXP_SINGLE, _EXP_DOUBLE), 1.0, 1.0))


def exp2_near_0(f: Floats, r: Value) -> Value:
    """2^r for |r| <= 1/2."""
    return f.horner(r, (*f.pick(_EXP2_SINGLE, _EXP2_DOUBLE), 1.0))


def exp_parts(f: Floats, x: Value, factor: float) -> tuple[Value, Value]:
    """A power of 2, p, and s so that factor * e^x = p + p s, for clamped `x`."""
    r, _, n = reduced(f, x, f.bias + round(math.log2(factor)))
    rest = f.horner(r, f.pick(_EXPM1_SINGLE, _EXPM1_DOUBLE))
    rest = f("fma", f("mul", r, r), rest, r)
    return f.from_bits(f("shift_left", n, f.digits)), rest


def twice_exp_parts(f: Floats, x: Value) -> tuple[Value, Value]:
    """A power of 2, p, and s so that e^2x = p + p s, for clamped `x`."""
    r, _, n = reduced(f, x, f.bias, times=2.0)
    # the polynomial's coefficients are multiplied by powers of 2, instead of r
    q = f.pick(_EXPM1_SINGLE, _EXPM1_DOUBLE)
    rest = f.horner(r, [c * 2.0 ** (len(q) + 1 - k) for k, c in enumerate(q)])
    rest = f("fma", f("mul", r, r), rest, f("add", r, r))
    return f.from_bits(f("shift_left", n, f.digits)), rest


def is_tiny(f: Floats, x: Value) -> Value:
    """Whether odd functions of slope 1 and no second-order term larger than x^2 / 2 are x."""
    return f("lt", f("abs", x), 2.0 ** -(f.digits + 2))
