"""erf_inv of float32, to the last bit as `lax/erf_inv_impl.py` computes it, which has the sources.

Random normals depend on every bit. The float64 function has none of the last bits of its logarithms
in its own hands, and is no expansion.
"""

import math

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.forms import Floats
from funcflow.backends.scalars.registry import expansion
from funcflow.lax import erf_inv_impl as reference


@expansion("erf_inv", "float32")
def erf_inv(build: Builder, x: Value) -> Value:
    """The inverse error function, with the bits of `impl`."""
    f = Floats(build, x)
    centre, tail = reference._SINGLE
    w = f("neg", _log1p(f, f("mul", x, f("neg", x))))
    near = f.horner(f("sub", w, centre.shift), centre.polynomial)

    def far(f: Floats) -> tuple[Value]:
        factor = f.horner(f("sub", f("sqrt", w), tail.shift), tail.polynomial)
        return (f.choose(f("eq", w, math.inf), math.inf, factor),)

    (factor,) = f.rarely(f("ge", w, centre.below), far, near)
    return f("mul", x, factor)


def _log1p(f: Floats, x: Value) -> Value:
    is_small = f("lt", f("abs", x), reference._LOG1P_SMALL)
    return f.choose(is_small, _log1p_small(f, x), _log(f, f("add", x, 1.0)))


def _log1p_small(f: Floats, x: Value) -> Value:
    square = f("mul", x, x)
    ratio = f("div", f.horner(x, reference._LOG1P_P), f.horner(x, reference._LOG1P_Q))
    return f("add", x, f("fma", square, -0.5, f("mul", f("mul", x, square), ratio)))


def _log(f: Floats, x: Value) -> Value:
    bits = f.bits(x)
    mantissa = f.from_bits(f("or", f("and", bits, 0x007FFFFF), 0x3F000000))
    biased = f("shift_right_arithmetic", bits, f.digits)
    exponent = f.to_float(f("sub", biased, 126))
    below = f("lt", mantissa, float(reference._SQRT_HALF))
    r = f("add", f("sub", mantissa, 1.0), f.choose(below, mantissa, 0.0))
    exponent = f.choose(below, f("sub", exponent, 1.0), exponent)
    square = f("mul", r, r)
    cube = f("mul", square, r)
    a, b, c = (f.horner(r, part) for part in (reference._LOG_A, reference._LOG_B, reference._LOG_C))
    rest = f("fma", f("fma", a, cube, b), cube, c)
    rest = f("fma", rest, cube, f("mul", exponent, float(reference._LOG2_LOW)))
    near = f("add", f("fma", square, -0.5, r), rest)
    out = f("fma", exponent, float(reference._LOG2_HIGH), near)
    out = f.choose(f("eq", x, 0.0), -math.inf, out)
    return f.choose(f("ge", x, 0.0), out, math.nan)
