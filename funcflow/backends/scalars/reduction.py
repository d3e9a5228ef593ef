"""Angles reduced to the quadrant around a multiple of pi/2, for floats of any size.

Angles of moderate size lose a multiple of pi/2 that is known in three parts (W. Cody, W. Waite,
1980). Of huge ones x 2/pi is computed modulo 4, with the digits of 2/pi that matter: the digits
before them only add multiples of 4 (M. Payne, R. Hanek, 1983). Which digits matter depends on the
exponent of x. There are no tables in a vector loop, so exponents are divided into a few bands, each
with its words of digits. All that is under a guard, as most angles are not huge.
"""

from fractions import Fraction
from functools import cache

import numpy as np

from funcflow.backends.loop_ir import Value
from funcflow.backends.scalars.exponential import rounded
from funcflow.backends.scalars.forms import Floats, Pair, fast_two_sum, two_product, two_sum

# In a band x is a whole number, less than 2^_STEP times 2^digits, times a power of 2. Then _WORDS
# words have the digits for a result as small as any float's distance from a multiple of pi/2, which
# is 2^-29 in single and 2^-62 in double precision.
_STEP_SINGLE, _STEP_DOUBLE = 20, 98
_WORDS_SINGLE, _WORDS_DOUBLE = 4, 5
_PI_BITS = 1400


def reduce_angle(f: Floats, x: Value) -> tuple[Pair, Value]:
    """(r, rest) and an integer with last bits n, for x = n pi/2 + r + rest, |r| <= pi/4.

    For x >= 0. Infinite and NaN angles give NaN.
    """
    (r, rest), n = _moderate(f, x)
    is_huge = f("gt", x, f.pick(2.0**15, 2.0**27))
    r, rest, n = f.rarely(is_huge, lambda f: _huge(f, x), r, rest, n)
    return (r, rest), n


def _moderate(f: Floats, x: Value) -> tuple[Pair, Value]:
    whole, n = rounded(f, x, float(2 / _pi()), 0)
    first, second, third = _words_of(_pi() / 2, 3, f.dtype.name)
    near = f("fma", whole, -first, x)  # exact
    product, low = two_product(f, whole, -second)
    r, error = fast_two_sum(f, near, product)
    return (r, f("fma", whole, -third, f("add", error, low))), n


def _huge(f: Floats, x: Value) -> tuple[Value, Value, Value]:
    whole, words = _band(f, x)
    products = [part for word in words for part in two_product(f, whole, word)][:-1]
    # products that may exceed 4; those that are parts of a quadrant; those that correct it
    large, small, tail = products[:-4], products[-4:-2], products[-2:]
    total, *terms = [_modulo_4(f, product) for product in large] + small
    errors = []
    for term in terms:
        total, error = two_sum(f, total, term)
        errors.append(error)
    whole, n = rounded(f, total, 1.0, 0)
    part = f("sub", total, whole)
    rest = f("add", *tail)
    for term in errors:
        part, error = two_sum(f, part, term)
        rest = f("add", rest, error)
    part, rest = fast_two_sum(f, part, rest)
    high, low = _words_of(_pi() / 2, 2, f.dtype.name)
    r, error = two_product(f, part, high)
    return r, f("fma", part, low, f("fma", rest, high, error)), n


def _band(f: Floats, x: Value) -> tuple[Value, list[Value | float]]:
    """`x` as a whole number times a power of 2, and the words for that power."""
    step = int(f.pick(_STEP_SINGLE, _STEP_DOUBLE))
    scale: Value | float = 1.0
    words: list[Value | float] = list(_digits(f.dtype.name, 0))
    for shift in range(step, f.bias + 1 - f.digits, step):
        beyond = f("ge", x, 2.0 ** (f.digits + shift))
        scale = f.choose(beyond, 2.0**-shift, scale)
        new = _digits(f.dtype.name, shift)
        words = [f.choose(beyond, word, old) for word, old in zip(new, words, strict=True)]
    return f("mul", x, scale), words


def _modulo_4(f: Floats, x: Value) -> Value:
    """`x` less a multiple of 4, in [-2, 2]; exact."""
    return f("fma", f("rint", f("mul", x, 0.25)), -4.0, x)


# --- digits -------------------------------------------------------------------------------------


@cache
def _pi() -> Fraction:
    """The number pi to 1400 bits, as 16 atan(1/5) - 4 atan(1/239) (J. Machin)."""
    one = 1 << _PI_BITS

    def inverse_atan(n: int) -> int:
        total, power, k = 0, one // n, 0
        while power:
            total += (-1) ** k * power // (2 * k + 1)
            power //= n * n
            k += 1
        return total

    return Fraction(16 * inverse_atan(5) - 4 * inverse_atan(239), one)


@cache
def _digits(dtype: str, shift: int) -> tuple[float, ...]:
    """2^shift 2/pi modulo 4, as a sum of floats."""
    count = _WORDS_SINGLE if dtype == "float32" else _WORDS_DOUBLE
    return _words_of(2 / _pi() * 2**shift % 4, count, dtype)


def _words_of(number: Fraction, count: int, dtype: str) -> tuple[float, ...]:
    words = []
    for _ in range(count):
        words.append(float(np.dtype(dtype).type(float(number))))
        number -= Fraction(words[-1])
    return tuple(words)
