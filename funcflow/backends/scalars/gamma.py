"""lgamma, digamma.

Both are computed in double precision, also of float32: near their zeros terms cancel.

lgamma has a polynomial on [1, 2], whose factors (y - 1)(y - 2) keep the zeros exact. A factor of
the argument leads there from below 8: gamma(x) = (x - 1) ... (x - n) gamma(x - n). From 8 on there
is J. Stirling's series, as for digamma, which is led there from below: digamma(x) =
digamma(x + n) - 1/x - ... - 1/(x + n - 1). L. Euler's reflection formulas serve negative numbers.
"""

import math

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.casting import converted
from funcflow.backends.scalars.forms import Floats
from funcflow.backends.scalars.logarithm import log
from funcflow.backends.scalars.registry import expansion

# From here on Stirling's series are used.
_FAR = 8

# Q of lgamma(y) = (y - 1) (y - 2) Q(y - 3/2) on [1, 2], highest power first.
# Relative error: 2^-54.1.
_NEAR_ZEROS = (
    1.1820969445467145e-05, -1.8527803997032962e-05, 1.3584275459130943e-05, -2.148770252062576e-05,
    4.281642862794779e-05, -6.793733027397047e-05, 0.00010541715222185904, -0.0001685717945035172,
    0.00027130273545114005, -0.00043803516132580534, 0.0007115202752051298, -0.001164411377219605,
    0.0019229162321227923, -0.0032120742206072908, 0.005446457842219553, -0.009425622444829649,
    0.01679709863121395, -0.03130848750105327, 0.06291140107456485, -0.14595989591430594,
    0.4831289505409809,
)  # fmt: skip
# R of lgamma(x) = (x - 1/2) log(x) - x + log(2 pi) / 2 + R(1 / x^2) / x for x >= 8.
# What it adds to the relative error of lgamma: 2^-63.6.
_STIRLING = (
    0.005065905360156132, -0.001890382993887715, 0.0008414700852503147, -0.0005952365845057049,
    0.0007936507897524059, -0.002777777777773988, 0.08333333333333333,
)  # fmt: skip
# D of digamma(x) = log(x) - 1 / (2 x) - D(1 / x^2) / x^2 for x >= 8.
# What it adds to the relative error of digamma: 2^-63.5.
_STIRLING_DERIVATIVE = (
    0.06362150587634356, -0.020697987372370493, 0.007571689620283902, -0.0041666448230497,
    0.0039682539119537084, -0.008333333333278636, 0.08333333333333333,
)  # fmt: skip
# sin(pi r) = r S(r^2) and cos(pi r) = C(r^2) on [-1/2, 1/2]. Error of S: 2^-54.5, relative; of C:
# 2^-53.4.
_SINE = (
    7.697826768224191e-07, -2.1903497074626018e-05, 0.0004662998161898394, -0.007370430505916944,
    0.0821458865731029, -0.5992645293189447, 2.5501640398773007, -5.167712780049969,
    3.141592653589793,
)  # fmt: skip
_COSINE = (
    -1.34352129509532e-07, 4.300724172734847e-06, -0.00010463741681752138, 0.0019295741872812349,
    -0.025806891376592964, 0.235330630357995, -1.3352627688545549, 4.058712126416768,
    -4.934802200544679, 1.0,
)  # fmt: skip


@expansion("lgamma", "f")
def lgamma(build: Builder, x: Value) -> Value:
    """The logarithm of |gamma(x)|, infinite at its poles.

    float32 within 1 ulp, positive doubles within 5 ulp. For negative doubles the error is at most 5
    ulp of the greatest of 1, lgamma(-x) and the result.
    """
    f = _doubles(build)
    wide = converted(build, x, f.dtype)
    size = f("abs", wide)
    positive = _lgamma_positive(f, size)
    (out,) = f.rarely(
        f("lt", wide, 0.0), lambda g: (_lgamma_negative(g, wide, size, positive),), positive
    )
    return converted(build, out, x.dtype)


@expansion("digamma", "f")
def digamma(build: Builder, x: Value) -> Value:
    """The derivative of `lgamma`, NaN at its poles.

    float32 within 1 ulp. For doubles the error is at most 12 ulp of the greatest of 1,
    digamma(|x|) and the result.
    """
    f = _doubles(build)
    wide = converted(build, x, f.dtype)
    size = f("abs", wide)
    positive = _digamma_positive(f, size)
    (out,) = f.rarely(
        f("le", wide, 0.0), lambda g: (_digamma_negative(g, size, positive),), positive
    )
    return converted(build, out, x.dtype)


def _doubles(build: Builder) -> Floats:
    return Floats(build, build.const(0.0, np.dtype(np.float64)))


# --- lgamma -------------------------------------------------------------------------------------


def _lgamma_positive(f: Floats, x: Value) -> Value:
    is_far, is_below_1 = f("ge", x, float(_FAR)), f("lt", x, 1.0)
    polynomial, product = _lgamma_of_rest(f, x)
    logarithm = log(f.build, f.choose(is_far, x, f.choose(is_below_1, x, product)))
    near = f("add", polynomial, f.choose(is_below_1, f("neg", logarithm), logarithm))
    return f.choose(is_far, _lgamma_far(f, x, logarithm), near)


def _lgamma_of_rest(f: Floats, x: Value) -> tuple[Value, Value]:
    """lgamma(y) and the product that leads from there to `x` below 8, where y is in [1, 2]."""
    is_below_1 = f("lt", x, 1.0)
    # y - 1, as x + 1 may be inexact
    rest = f.choose(is_below_1, x, f("sub", x, 1.0))
    product = f.constant(1.0)
    for _ in range(_FAR - 2):
        is_above = f("ge", rest, 1.0)
        is_above = f("and", is_above, f("not", is_below_1))
        product = f.choose(is_above, f("mul", product, rest), product)
        rest = f.choose(is_above, f("sub", rest, 1.0), rest)
    series = f.horner(f("sub", rest, 0.5), _NEAR_ZEROS)
    return f("mul", f("mul", rest, f("sub", rest, 1.0)), series), product


def _lgamma_far(f: Floats, x: Value, logarithm: Value) -> Value:
    inverse = f("div", 1.0, x)
    series = f.horner(f("mul", inverse, inverse), _STIRLING)
    rest = f("fma", series, inverse, math.log(2 * math.pi) / 2 - 0.5)
    return f("fma", f("sub", x, 0.5), f("sub", logarithm, 1.0), rest)


def _lgamma_negative(f: Floats, x: Value, size: Value, positive: Value) -> Value:
    """log(pi / |sin(pi x)|) - log(-x) - lgamma(-x)."""
    is_below_1 = f("lt", size, 1.0)
    r = f("sub", size, f("rint", size))
    sine = f("abs", f("mul", r, f.horner(f("mul", r, r), _SINE)))
    # below 1 the last two logarithms are that of gamma(1 - x), a polynomial
    polynomial, _ = _lgamma_of_rest(f, size)
    factor = f.choose(is_below_1, 1.0, size)
    reflected = log(f.build, f("mul", f("mul", sine, 1 / math.pi), factor))
    out = f("neg", f("add", reflected, f.choose(is_below_1, polynomial, positive)))
    is_pole = f("or", f("eq", r, 0.0), f("eq", size, math.inf))
    return f.choose(is_pole, math.inf, out)


# --- digamma ------------------------------------------------------------------------------------


def _digamma_positive(f: Floats, x: Value) -> Value:
    # 1/x + ... + 1/(x + n - 1) as one quotient
    numerator, denominator = f.constant(0.0), f.constant(1.0)
    for _ in range(_FAR):
        is_near = f("lt", x, float(_FAR))
        numerator = f.choose(is_near, f("fma", numerator, x, denominator), numerator)
        denominator = f.choose(is_near, f("mul", denominator, x), denominator)
        x = f.choose(is_near, f("add", x, 1.0), x)
    inverse = f("div", 1.0, x)
    square = f("mul", inverse, inverse)
    rest = f("mul", square, f.horner(square, _STIRLING_DERIVATIVE))
    rest = f("fma", inverse, 0.5, rest)
    return f("sub", f("sub", log(f.build, x), rest), f("div", numerator, denominator))


def _digamma_negative(f: Floats, size: Value, positive: Value) -> Value:
    """digamma(-x) + pi cot(-pi x) - 1/x, of which the first and the last may be infinite."""
    r = f("sub", size, f("rint", size))
    square = f("mul", r, r)
    tangent = f("div", f("mul", r, f.horner(square, _SINE)), f.horner(square, _COSINE))
    cotangent = f("div", math.pi, tangent)
    inverse = f("div", 1.0, size)
    out = f("add", f("add", positive, inverse), cotangent)
    out = f.choose(f("lt", size, 2.0**-60), inverse, out)
    return f.choose(f("eq", r, 0.0), math.nan, out)
