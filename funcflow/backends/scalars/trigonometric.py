"""sin, cos, tan and their inverses.

Sine and cosine come from polynomials on [-pi/4, pi/4]; which of them, and the sign, depend on the
quadrant. All floats are angles: see `reduction.py`.
"""

import math

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.forms import Floats, Pair
from funcflow.backends.scalars.reduction import reduce_angle
from funcflow.backends.scalars.registry import expansion

# P of sin(r) = r + r^3 P(r^2) on [0, pi/4], highest power first.
# Error relative to r: 2^-28.0 and 2^-58.0.
_SIN_SINGLE = (-0.00019516656, 0.008332173, -0.16666655)
_SIN_DOUBLE = (
    1.589650484931576e-10, -2.5050753262079456e-08, 2.755731366203545e-06, -0.00019841269829725116,
    0.008333333333322314, -0.16666666666666632,
)  # fmt: skip
# Q of cos(r) = 1 - r^2/2 + r^4 Q(r^2) on [0, pi/4]. Error: 2^-33.3 and 2^-64.2.
_COS_SINGLE = (2.4437752e-05, -0.0013887362, 0.041666646)
_COS_DOUBLE = (
    -1.135944885885442e-11, 2.0875719562081004e-09, -2.755731432605479e-07, 2.4801587289395008e-05,
    -0.001388888888887399, 0.0416666666666666,
)  # fmt: skip
# P of atan(q) = q + q^3 P(q^2) on [0, 1]. Error relative to q: 2^-28.7 and 2^-57.8.
_ATAN_SINGLE = (
    -0.0018272146, 0.011064447, -0.03145571, 0.05823456, -0.08419459, 0.10957576, -0.14265245,
    0.19998638, -0.33333302,
)  # fmt: skip
_ATAN_DOUBLE = (
    1.3489420701754699e-05, -0.00015479835178804926, 0.0008434901313442634, -0.0029193565010271817,
    0.0072633848739017725, -0.013995025801168806, 0.02208519566508688, -0.0299856120889342,
    0.03669355718134806, -0.042217194387016876, 0.0472329402069951, -0.05253805758438024,
    0.058805926035997304, -0.06666415006436335, 0.07692281187966737, -0.0909090711936913,
    0.11111111013657697, -0.14285714282802467, 0.1999999999995544, -0.33333333333333093,
)  # fmt: skip
# P of asin(q) = q + q^3 P(q^2) on [0, 1/2]. Error relative to q: 2^-31.7 and 2^-59.8.
_ASIN_SINGLE = (0.03763024, 0.014358383, 0.031828716, 0.044514466, 0.07500517, 0.1666666)
_ASIN_DOUBLE = (
    0.0328042618773182, -0.021276316733172436, 0.021900773394200965, 0.003628041471211985,
    0.010800702887558307, 0.011395318744800648, 0.01398125265040913, 0.01735157660067602,
    0.022372216920857335, 0.030381942640666685, 0.04464285717597585, 0.07499999999969412,
    0.16666666666666766,
)  # fmt: skip
# pi/2 in two parts
_HALF_PI_SINGLE = (1.5707963705062866, -4.371139000186243e-08)
_HALF_PI_DOUBLE = (1.5707963267948966, 6.123233995736766e-17)


@expansion("sin", "f")
def sin(build: Builder, x: Value) -> Value:
    """The sine within 1.1 ulp, of any float."""
    f = Floats(build, x)
    r, n = reduce_angle(f, f("abs", x))
    out = _by_parity(f, n, _cos_near_0(f, r), _sin_near_0(f, r))
    return _with_sign(f, out, f("xor", _sign_of(f, x), _second_bit(f, n)))


@expansion("cos", "f")
def cos(build: Builder, x: Value) -> Value:
    """The cosine within 1.1 ulp, of any float."""
    f = Floats(build, x)
    r, n = reduce_angle(f, f("abs", x))
    out = _by_parity(f, n, _sin_near_0(f, r), _cos_near_0(f, r))
    return _with_sign(f, out, _second_bit(f, f("add", n, 1)))


@expansion("tan", "f")
def tan(build: Builder, x: Value) -> Value:
    """The tangent within 2.5 ulp, of any float."""
    f = Floats(build, x)
    r, n = reduce_angle(f, f("abs", x))
    sine, cosine = _sin_near_0(f, r), _cos_near_0(f, r)
    above, below = _by_parity(f, n, cosine, sine), _by_parity(f, n, sine, cosine)
    sign = f("xor", _sign_of(f, x), _second_bit(f, f("shift_left", n, 1)))
    return _with_sign(f, f("div", above, below), sign)


@expansion("asin", "f")
def asin(build: Builder, x: Value) -> Value:
    """The inverse sine within 2.3 ulp."""
    f = Floats(build, x)
    is_small, q = _half_angle(f, x)
    near = _asin_near_0(f, q)
    high, low = f.pick(_HALF_PI_SINGLE, _HALF_PI_DOUBLE)
    far = f("add", f("fma", near, -2.0, low), high)
    return f("copysign", f.choose(is_small, near, far), x)


@expansion("acos", "f")
def acos(build: Builder, x: Value) -> Value:
    """The inverse cosine within 1.5 ulp."""
    f = Floats(build, x)
    is_small, q = _half_angle(f, x)
    near = f("copysign", _asin_near_0(f, q), x)
    high, low = f.pick(_HALF_PI_SINGLE, _HALF_PI_DOUBLE)
    right_angle = f("add", f("sub", low, near), high)
    # 2 near, and of negative x pi + 2 near
    twice = f("add", near, near)
    flat = f("add", f("add", twice, 2 * low), 2 * high)
    return f.choose(is_small, right_angle, f.choose(f("lt", x, 0.0), flat, twice))


@expansion("atan", "f")
def atan(build: Builder, x: Value) -> Value:
    """The inverse tangent within 1.5 ulp."""
    f = Floats(build, x)
    size = f("abs", x)
    is_steep = f("gt", size, 1.0)
    q = f("div", f.choose(is_steep, 1.0, size), f.choose(is_steep, size, 1.0))
    return f("copysign", _from_diagonal(f, is_steep, _atan_near_0(f, q)), x)


@expansion("atan2", "f")
def atan2(build: Builder, y: Value, x: Value) -> Value:
    """The angle of the point (x, y) within 1.6 ulp."""
    f = Floats(build, x)
    rise, run = f("abs", y), f("abs", x)
    is_steep = f("gt", rise, run)
    short, long = f.choose(is_steep, run, rise), f.choose(is_steep, rise, run)
    # the quotients 0/0 and inf/inf stand for 0 and 1
    is_open = f("or", f("eq", long, 0.0), f("eq", short, math.inf))
    at_limit = f.choose(f("eq", long, 0.0), 0.0, 1.0)
    q = f.choose(is_open, at_limit, f("div", short, long))
    angle = _from_diagonal(f, is_steep, _atan_near_0(f, q))
    high, low = f.pick(_HALF_PI_SINGLE, _HALF_PI_DOUBLE)
    behind = f("add", f("sub", 2 * low, angle), 2 * high)
    is_behind = f("lt", f.bits(x), 0)  # -0 too
    out = f("copysign", f.choose(is_behind, behind, angle), y)
    either = f("max", rise, run)  # NaN if one is
    return f.choose(f("eq", either, either), out, either)


# --- parts ------------------------------------------------------------------------------------


def _sin_near_0(f: Floats, angle: Pair) -> Value:
    r, rest = angle
    square = f("mul", r, r)
    series = f.horner(square, f.pick(_SIN_SINGLE, _SIN_DOUBLE))
    return f("add", r, f("fma", f("mul", r, square), series, rest))


def _cos_near_0(f: Floats, angle: Pair) -> Value:
    r, rest = angle
    square = f("mul", r, r)
    series = f.horner(square, f.pick(_COS_SINGLE, _COS_DOUBLE))
    # 1 - r^2/2 and what its rounding loses
    start = f("fma", square, -0.5, 1.0)
    lost = f("fma", square, -0.5, f("sub", 1.0, start))
    tail = f("fma", f("mul", square, square), series, f("fma", f("neg", r), rest, lost))
    return f("add", start, tail)


def _asin_near_0(f: Floats, q: Value) -> Value:
    square = f("mul", q, q)
    series = f.horner(square, f.pick(_ASIN_SINGLE, _ASIN_DOUBLE))
    return f("fma", f("mul", q, square), series, q)


def _atan_near_0(f: Floats, q: Value) -> Value:
    square = f("mul", q, q)
    series = f.horner(square, f.pick(_ATAN_SINGLE, _ATAN_DOUBLE))
    return f("fma", f("mul", q, square), series, q)


def _half_angle(f: Floats, x: Value) -> tuple[Value, Value]:
    # beyond 1/2, asin(|x|) = pi/2 - 2 asin(q)
    size = f("abs", x)
    is_small = f("le", size, 0.5)
    return is_small, f.choose(is_small, size, f("sqrt", f("fma", size, -0.5, 0.5)))


def _from_diagonal(f: Floats, is_steep: Value, angle: Value) -> Value:
    """pi/2 - angle where it is measured from the other axis."""
    high, low = f.pick(_HALF_PI_SINGLE, _HALF_PI_DOUBLE)
    return f.choose(is_steep, f("add", f("sub", low, angle), high), angle)


def _by_parity(f: Floats, n: Value, odd: Value, even: Value) -> Value:
    return f.choose(f("ne", f("and", n, 1), 0), odd, even)


def _second_bit(f: Floats, n: Value) -> Value:
    """The bit of value 2, in the place of the sign."""
    return f("and", f("shift_left", n, 8 * f.dtype.itemsize - 2), _sign_bit(f))


def _sign_of(f: Floats, x: Value) -> Value:
    return f("and", f.bits(x), _sign_bit(f))


def _sign_bit(f: Floats) -> int:
    return -(1 << (8 * f.dtype.itemsize - 1))


def _with_sign(f: Floats, x: Value, flip: Value) -> Value:
    return f.from_bits(f("xor", f.bits(x), flip))
