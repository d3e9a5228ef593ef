"""sinh, cosh, tanh and their inverses, by way of e^x - 1 and log(1 + x)."""

import math

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.exponential import exp_parts, is_tiny, twice_exp_parts
from funcflow.backends.scalars.forms import Floats
from funcflow.backends.scalars.logarithm import log1p
from funcflow.backends.scalars.registry import expansion


@expansion("sinh", "f")
def sinh(build: Builder, x: Value) -> Value:
    """(e^x - e^-x) / 2 within 2 ulp."""
    f = Floats(build, x)
    # a quarter of e^|x| does not overflow before the result does: g = (e^|x| - 1) / 4
    power, rest = exp_parts(f, _clamped_size(f, x), 0.25)
    g = f("fma", power, rest, f("sub", power, 0.25))
    twice = f("add", g, f("div", g, f("fma", g, 4.0, 1.0)))
    out = f("copysign", f("add", twice, twice), x)
    return f.choose(is_tiny(f, x), x, out)


@expansion("cosh", "f")
def cosh(build: Builder, x: Value) -> Value:
    """(e^x + e^-x) / 2 within 1.5 ulp."""
    f = Floats(build, x)
    power, rest = exp_parts(f, _clamped_size(f, x), 0.25)
    quarter = f("fma", power, rest, power)
    half = f("add", quarter, f("div", 0.0625, quarter))
    return f("add", half, half)


@expansion("tanh", "f")
def tanh(build: Builder, x: Value) -> Value:
    """(e^x - e^-x) / (e^x + e^-x) within 2.5 ulp."""
    f = Floats(build, x)
    limit = f.pick(9.1, 19.1)  # beyond, 1 is nearest
    clamped = f.at_least(f.at_most(x, limit), -limit)
    power, rest = twice_exp_parts(f, clamped)
    less_1 = f("fma", power, rest, f("sub", power, 1.0))  # e^2x - 1
    return f("copysign", f("div", less_1, f("add", less_1, 2.0)), x)


@expansion("asinh", "f")
def asinh(build: Builder, x: Value) -> Value:
    """The inverse of `sinh` within 2 ulp."""
    f = Floats(build, x)
    size = f("abs", x)
    # log(a + sqrt(a^2 + 1)) = log(1 + a + a^2 / (1 + sqrt(a^2 + 1))), and log(2 a) for large a
    is_large = _is_large(f, size)
    square = f("mul", size, size)
    root = f("sqrt", f("add", square, 1.0))
    argument = f("add", size, f("div", square, f("add", root, 1.0)))
    return f("copysign", _log1p_or_twice(f, is_large, argument, size), x)


@expansion("acosh", "f")
def acosh(build: Builder, x: Value) -> Value:
    """The inverse of `cosh` within 2 ulp."""
    f = Floats(build, x)
    # with t = x - 1: log(1 + t + sqrt(2 t + t^2)), and log(2 x) for large x
    t = f("sub", x, 1.0)
    argument = f("add", t, f("sqrt", f("fma", t, t, f("add", t, t))))
    out = _log1p_or_twice(f, _is_large(f, x), argument, x)
    return f.choose(f("lt", x, 1.0), math.nan, out)


@expansion("atanh", "f")
def atanh(build: Builder, x: Value) -> Value:
    """The inverse of `tanh` within 2.1 ulp."""
    f = Floats(build, x)
    size = f("abs", x)
    # log((1 + a) / (1 - a)) / 2 = log(1 + 2 a / (1 - a)) / 2
    quotient = f("div", f("add", size, size), f("sub", 1.0, size))
    out = f("mul", log1p(f.build, quotient), 0.5)
    out = f.choose(f("gt", size, 1.0), math.nan, out)
    return f.choose(is_tiny(f, x), x, f("copysign", out, x))


# --- parts ------------------------------------------------------------------------------------


def _clamped_size(f: Floats, x: Value) -> Value:
    return f.at_most(f("abs", x), f.pick(89.5, 710.5))


def _is_large(f: Floats, x: Value) -> Value:
    """Whether x + 1 and sqrt(x^2 + 1) round to x."""
    return f("gt", x, 2.0 ** (f.digits + 2))


def _log1p_or_twice(f: Floats, is_large: Value, argument: Value, x: Value) -> Value:
    """log(1 + argument), or log(2 x) where `is_large`."""
    out = log1p(f.build, f.choose(is_large, x, argument))
    return f("add", out, f.choose(is_large, math.log(2), 0.0))
