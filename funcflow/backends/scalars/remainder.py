"""The exact remainder of floats, `fmod`, without loops.

Usually the quotient is below 2^24 (float64: 2^53). Then it is exact when rounded and cut off, or
one too large, and a fused multiply-add gives the remainder, which is a float.

In general floats are integers times powers of two: |x| = a 2^i and |y| = b 2^j. Where |x| >= |y|,
also i >= j (subnormal numbers take the exponent of the smallest normal one), and |x| mod |y| is
((a 2^(i-j)) mod b) 2^j. The power of two is found modulo b by squaring: the upper five bits of
i - j name a power that fits into a word, and each further bit squares it, and doubles it if set.
Long division would take i - j steps, up to 2045.
"""

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.forms import Floats
from funcflow.backends.scalars.registry import expansion

F64 = np.dtype(np.float64)
I64 = np.dtype(np.int64)
U64 = np.dtype(np.uint64)


class _Parts:
    """|x| = significand 2^(exponent - 1) units of the smallest number, in integers."""

    def __init__(self, build: Builder, x: Value) -> None:
        integer = np.dtype(f"i{x.dtype.itemsize}")
        digits = build.const(np.finfo(x.dtype).nmant, integer)
        one = build.const(1, integer)
        bits = build.let("bitcast", build.let("abs", x), dtype=integer)
        self.exponent = build.let("max", build.let("shift_right_logical", bits, digits), one)
        # a normal number's exponent, less one, leaves the leading 1 of the significand behind
        above = build.let("shift_left", build.let("sub", self.exponent, one), digits)
        self.significand = build.let("sub", bits, above)


@expansion("rem", "f")
def rem(build: Builder, x: Value, y: Value) -> Value:
    """`x` less the multiple of `y` next towards 0, exactly; it has the sign of `x`."""
    f = Floats(build, x)
    size_x, size_y = f("abs", x), f("abs", y)
    quotient = f("div", size_x, size_y)
    rest = f("fma", f("neg", f("trunc", quotient)), size_y, size_x)
    rest = f("copysign", f.choose(f("lt", rest, 0.0), f("add", rest, size_y), rest), x)
    rest = f.choose(f("lt", size_x, size_y), x, rest)  # y may be infinite
    is_far = f("not", f("lt", quotient, 2.0 ** (f.digits + 1)))
    work = _far_single if f.single else _far_double
    (out,) = f.rarely(is_far, lambda f: (work(f.build, x, y),), rest)
    return out


def _far_single(build: Builder, x: Value, y: Value) -> Value:
    """The remainder of any float32.

    All products are integers below 2^49, so they are exact in double precision.
    """
    a, b = _Parts(build, x), _Parts(build, y)
    shift = _exponent_difference(build, a, b)
    modulus = build.let("convert", b.significand, dtype=F64)
    upper = build.let("bitcast", _shifted_right(build, shift, 3), dtype=np.uint32)
    power = build.let("shift_left", build.const(1, np.uint32), upper)
    power = _modulo(build, build.let("convert", power, dtype=F64), modulus)
    for bit in (2, 1, 0):
        factor = build.let("convert", _doubling(build, shift, bit), dtype=F64)
        squared = build.let("mul", build.let("mul", power, power), factor)
        power = _modulo(build, squared, modulus)
    product = build.let("mul", build.let("convert", a.significand, dtype=F64), power)
    rest = _modulo(build, product, modulus)
    exponent = build.let("convert", b.exponent, dtype=I64)
    # 1.0 has the exponent 127 and the significand 2^23
    unit = _power_of_two(build, build.let("sub", exponent, build.const(127 + 23, I64)))
    scaled = build.let("convert", build.let("mul", rest, unit), dtype=x.dtype)
    return _special_cases(build, x, y, scaled)


def _modulo(build: Builder, x: Value, modulus: Value) -> Value:
    """Of integers in floats: their rounded quotient cut off is exact where x + y < 2^53."""
    quotient = build.let("trunc", build.let("div", x, modulus))
    return build.let("sub", x, build.let("mul", quotient, modulus))


def _far_double(build: Builder, x: Value, y: Value) -> Value:
    """The remainder of any float64."""
    a, b = _Parts(build, x), _Parts(build, y)
    shift = build.let("bitcast", _exponent_difference(build, a, b), dtype=U64)
    one = build.const(1, U64)
    modulus = build.let("max", build.let("bitcast", b.significand, dtype=U64), one)
    ring = _Modulus(build, modulus)
    power = build.let("shift_left", one, _shifted_right(build, shift, 6))
    power = ring.product(power, one)
    for bit in (5, 4, 3, 2, 1, 0):
        squared = ring.product(power, power)
        doubled = build.let("mul", squared, _doubling(build, shift, bit))
        power = ring.reduced(doubled, 1)
    rest = ring.product(build.let("bitcast", a.significand, dtype=U64), power)
    scaled = build.let("convert", rest, dtype=F64)
    # the power of two may be subnormal, its root is not; 1.0 has the exponent 1023 and the
    # significand 2^52
    exponent = build.let("sub", b.exponent, build.const(1023 + 52, I64))
    half = build.let("shift_right_arithmetic", exponent, build.const(1, I64))
    for part in (half, build.let("sub", exponent, half)):
        scaled = build.let("mul", scaled, _power_of_two(build, part))
    return _special_cases(build, x, y, scaled)


class _Modulus:
    """Products modulo integers below 2^53, in wrapping 64-bit integers.

    The quotient comes from floats and is wrong by a few units. What it leaves of the product is
    small, so the lowest 64 bits of it are all.
    """

    def __init__(self, build: Builder, modulus: Value) -> None:
        self.build = build
        self.modulus = modulus
        wide = build.let("convert", modulus, dtype=F64)
        self.reciprocal = build.let("div", build.const(1, F64), wide)
        self.multiples = [modulus]  # 1, 2 and 4 times the modulus
        for _ in range(2):
            self.multiples.append(build.let("add", self.multiples[-1], self.multiples[-1]))
        self.three_times = build.let("add", *self.multiples[:2])

    def product(self, a: Value, b: Value) -> Value:
        """`a b` modulo the modulus, where it is less than 2^53 times the modulus."""
        build = self.build
        wide = [build.let("convert", value, dtype=F64) for value in (a, b)]
        # three roundings of a number below 2^53: it is off by 3 at most, and by 1 more when cut
        ratio = build.let("mul", build.let("mul", *wide), self.reciprocal)
        quotient = build.let("convert", ratio, dtype=U64)
        whole = build.let("mul", quotient, self.modulus)
        rest = build.let("sub", build.let("mul", a, b), whole)
        # from -3 to 4 times the modulus
        return self.reduced(build.let("add", rest, self.three_times), 3)

    def reduced(self, x: Value, bits: int) -> Value:
        """`x` modulo the modulus, where it is less than 2^`bits` times the modulus."""
        for multiple in reversed(self.multiples[:bits]):
            # a negative difference wraps around to a huge one
            x = self.build.let("min", x, self.build.let("sub", x, multiple))
        return x


def _exponent_difference(build: Builder, a: _Parts, b: _Parts) -> Value:
    difference = build.let("sub", a.exponent, b.exponent)
    return build.let("max", difference, build.const(0, difference.dtype))


def _shifted_right(build: Builder, x: Value, count: int) -> Value:
    return build.let("shift_right_logical", x, build.const(count, x.dtype))


def _doubling(build: Builder, x: Value, bit: int) -> Value:
    """2 where a bit of `x` is set, else 1."""
    one = build.const(1, x.dtype)
    return build.let("add", build.let("and", _shifted_right(build, x, bit), one), one)


def _power_of_two(build: Builder, exponent: Value) -> Value:
    """2 to the power of an int64, for the exponents of normal doubles."""
    biased = build.let("add", exponent, build.const(1023, I64))
    return build.let("bitcast", build.let("shift_left", biased, build.const(52, I64)), dtype=F64)


def _special_cases(build: Builder, x: Value, y: Value, rest: Value) -> Value:
    """The remainder with its sign; `x` where it is the smaller; NaN where there is none."""
    size_x, size_y = build.let("abs", x), build.let("abs", y)
    signed = build.let("copysign", rest, x)
    out = build.let("select", build.let("lt", size_x, size_y), x, signed)
    finite = build.let("lt", size_x, build.const(np.inf, x.dtype))
    positive = build.let("gt", size_y, build.const(0, x.dtype))
    valid = build.let("and", finite, positive)
    return build.let("select", valid, out, build.const(np.nan, x.dtype))
