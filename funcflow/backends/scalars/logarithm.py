"""log, log1p.

x = 2^n m with m in [sqrt(1/2), sqrt(2)), so log(x) = n log(2) + log(1 + (m - 1)).
"""

import math

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.forms import Floats
from funcflow.backends.scalars.registry import expansion

# log(2) in two parts, of which the first times an exponent is exact
_LOG2_SINGLE = (0.693145751953125, 1.42860682e-06)
_LOG2_DOUBLE = (0.6931471803691238, 1.9082149292705877e-10)

# P of log(1 + s) = s - s^2/2 + s^3 P(s) on [-0.293, 0.4143], highest power first.
# Error relative to s: 2^-30.4.
_SINGLE = (
    0.069166556, -0.11791745, 0.11873437, -0.12384074, 0.14218566, -0.16669261, 0.20002231,
    -0.24999987, 0.3333331,
)  # fmt: skip
# R of 2 artanh(t) = 2 t + t^3 R(t^2) for t^2 in [0, 0.0295]. Error relative to 2 t: 2^-59.5.
_DOUBLE = (
    0.14797510179747114, 0.15313902953024489, 0.1818356975334816, 0.22222198475682856,
    0.2857142874326603, 0.3999999999941108, 0.6666666666666735,
)  # fmt: skip


@expansion("log", "f")
def log(build: Builder, x: Value) -> Value:
    """The natural logarithm within 1 ulp."""
    f = Floats(build, x)
    exponent, mantissa = split(f, x)
    out = _combined(f, f.to_float(exponent), f("sub", mantissa, 1.0))
    return _with_limits(f, x, x, out)


@expansion("log1p", "f")
def log1p(build: Builder, x: Value) -> Value:
    """log(1 + x) within 1.5 ulp."""
    f = Floats(build, x)
    # what 1 + x loses is added to the mantissa less 1; for n = 0 that gives x itself
    total = f("add", x, 1.0)
    lost = f("sub", x, f("sub", total, 1.0))
    exponent, mantissa = split_normal(f, total)
    inverse = f("sub", f.bias << f.digits, f("shift_left", exponent, f.digits))
    inverse = f.from_bits(f("max", inverse, 0))  # 2^-n, where it matters
    small = f("fma", lost, inverse, f("sub", mantissa, 1.0))
    out = _combined(f, f.to_float(exponent), small)
    out = _with_limits(f, total, x, out)
    return f.choose(f("lt", f("abs", x), 2.0 ** -(f.digits + 2)), x, out)


# --- parts ------------------------------------------------------------------------------------


def split(f: Floats, x: Value) -> tuple[Value, Value]:
    """The integer n and the float m of a positive finite `x`, also a subnormal one."""
    is_small = f("lt", x, f.tiny)
    scaled = f.choose(is_small, f("mul", x, 2.0 ** (f.digits + 1)), x)
    exponent, mantissa = split_normal(f, scaled)
    shift = f.build.let(
        "select", is_small, f.constant(f.digits + 1, f.integer), f.constant(0, f.integer)
    )
    return f("sub", exponent, shift), mantissa


def split_normal(f: Floats, x: Value) -> tuple[Value, Value]:
    """The integer n and the float m of a positive normal `x`."""
    bits = f.bits(x)
    lowest = f.pick(0x3F3504F3, 0x3FE6A09E667F3BCD)  # the bits of sqrt(1/2)
    exponent = f("shift_right_arithmetic", f("sub", bits, lowest), f.digits)
    return exponent, f.from_bits(f("sub", bits, f("shift_left", exponent, f.digits)))


def _combined(f: Floats, n: Value, s: Value) -> Value:
    """The sum n log(2) + log(1 + s)."""
    high, low = f.pick(_LOG2_SINGLE, _LOG2_DOUBLE)
    square = f("mul", s, s)
    if f.single:
        rest = f("mul", f("mul", square, s), f.horner(s, _SINGLE))
        rest = f("fma", n, low, rest)
        rest = f("fma", square, -0.5, rest)
    else:
        # with t = s / (2 + s): log(1 + s) = s - s^2/2 + t (s^2/2 + t^2 R(t^2))
        t = f("div", s, f("add", s, 2.0))
        t_square = f("mul", t, t)
        half = f("mul", square, 0.5)
        series = f("fma", t_square, f.horner(t_square, _DOUBLE), half)
        rest = f("sub", f("fma", t, series, f("mul", n, low)), half)
    return f("fma", n, high, f("add", s, rest))


def _with_limits(f: Floats, argument: Value, at_infinity: Value, out: Value) -> Value:
    """The logarithm, where the argument is infinite, 0 or negative, as it must be."""
    out = f.choose(f("lt", argument, math.inf), out, at_infinity)  # NaN too
    edge = f.choose(f("eq", argument, 0.0), -math.inf, math.nan)
    return f.choose(f("gt", argument, 0.0), out, edge)
