"""The functions that the source of a kernel calls, printed above it where they are needed.

They run with and without Numba, which would compute an unsigned number and a plain literal in
double precision: so literals have the dtype of what they meet, wherever that may be unsigned.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

_FUNCTIONS = '''\
def maximum(x, y):
    """The larger one; NaN if either is NaN."""
    return x if x > y or x != x else y


def minimum(x, y):
    """The smaller one; NaN if either is NaN."""
    return x if x < y or x != x else y


def quotient(x, y):
    """x / y of signed integers, rounded towards zero."""
    down = x // y
    return down + 1 if down < 0 and down * y != x else down


def remainder(x, y):
    """What the quotient leaves: it has the sign of x."""
    return x - y * quotient(x, y)


def population_count(x):
    """How many bits are one."""
    count = 0
    while x != np.uint64(0):
        x &= x - np.uint64(1)
        count += 1
    return count


def clz(x, bits):
    """How many bits above the highest one are zero."""
    while x != np.uint64(0):
        x >>= np.uint64(1)
        bits -= 1
    return bits


def odd_sum(x, y):
    """x + y rounded to the neighbour whose last bit is 1, so that it can be rounded once more."""
    total = np.float64(x + y)
    added = total - x
    error = (x - (total - added)) + (y - added)
    if np.isfinite(total) and error != 0.0 and total.view(np.int64) % 2 == 0:
        return np.nextafter(total, np.inf if error > 0.0 else -np.inf)
    return total


def narrow_fma(a, b, c):
    """a * b + c, to be rounded to a dtype of at most 32 bits."""
    return odd_sum(np.float64(a) * np.float64(b), np.float64(c))


def halves(x):
    """A double as the sum of two numbers of half its digits."""
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    return high, x - high


def fma(a, b, c):
    """a * b + c of doubles, rounded once, where nothing overflows or underflows.

    S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums" (2008).
    """
    product = a * b
    a_high, a_low = halves(a)
    b_high, b_low = halves(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    if error == 0.0 or not np.isfinite(error):
        return product + c
    low = c + error
    added = low - c
    low_error = (c - (low - added)) + (error - added)
    high = product + low
    added = high - product
    high_error = (product - (high - added)) + (low - added)
    return high + odd_sum(low_error, high_error)


def integer_power(x, n, one):
    """The n-th power of x: the product of the squares x, x^2, x^4, ... that n's bits name."""
    out = one
    first = True
    while n > 0:
        if n % 2 == 1:
            out = x if first else out * x
            first = False
        n //= 2
        x = x * x
    return out


def rounded_away(x, one):
    """The nearest whole number, halves away from zero."""
    whole = np.trunc(x)
    return whole + np.copysign(one, x) if abs(x - whole) * 2.0 >= 1.0 else whole


def log_gamma(x):
    """The logarithm of |gamma(x)|, infinite at its poles."""
    if x == np.inf or (x <= 0.0 and x == np.floor(x)):
        return np.inf
    return math.lgamma(x)


def better_max(x, i, y, j):
    """Whether x at i comes before y at j: NaNs first, then large numbers, then small indices."""
    if (x != x) != (y != y):
        return x != x
    return i < j if x == y or x != x else x > y


def better_min(x, i, y, j):
    """Whether x at i comes before y at j: NaNs first, then small numbers, then small indices."""
    if (x != x) != (y != y):
        return x != x
    return i < j if x == y or x != x else x < y
'''

_MERGE = '''\
def merge_{merge}(lanes):
    """What is left when the upper half of the lanes is merged into the lower half, repeatedly."""
    half = len(lanes) // 2
    while half > 0:
        for lane in range(half):
            lanes[lane] = {merged}
        half //= 2
    return lanes[0]
'''

_MERGE_PAIRS = '''\
def merge_arg{best}(lanes, indices):
    """What is left when the upper half of the lanes is merged into the lower half, repeatedly."""
    half = len(lanes) // 2
    while half > 0:
        for lane in range(half):
            other = lane + half
            if better_{best}(lanes[other], indices[other], lanes[lane], indices[lane]):
                lanes[lane], indices[lane] = lanes[other], indices[other]
        half //= 2
    return lanes[0], indices[0]
'''

_MERGED = {
    "add": "lanes[lane] + lanes[lane + half]",
    "mul": "lanes[lane] * lanes[lane + half]",
    "and": "lanes[lane] & lanes[lane + half]",
    "or": "lanes[lane] | lanes[lane + half]",
    "xor": "lanes[lane] ^ lanes[lane + half]",
    "max": "maximum(lanes[lane], lanes[lane + half])",
    "min": "minimum(lanes[lane], lanes[lane + half])",
    "half_max": "np.maximum(lanes[lane], lanes[lane + half])",
    "half_min": "np.minimum(lanes[lane], lanes[lane + half])",
}


def merging(merge: str, dtype: np.dtype[Any]) -> str:
    """The function that merges the lanes of a reduction.

    Of two zeros NumPy returns the second, but of those in half precision the first.
    """
    half = dtype == np.float16 and merge in ("max", "min")
    return f"merge_half_{merge}" if half else f"merge_{merge}"


def _by_name(functions: Iterable[str]) -> dict[str, str]:
    return {text.removeprefix("def ").partition("(")[0]: text.strip() for text in functions}


_HELPERS = _by_name(
    [
        *_FUNCTIONS.split("\n\n\n"),
        *(_MERGE.format(merge=merge, merged=merged) for merge, merged in _MERGED.items()),
        *(_MERGE_PAIRS.format(best=best) for best in ("max", "min")),
    ]
)


def helpers(text: str) -> list[str]:
    """The functions that a piece of Python calls, and those that they call, in a fixed order."""
    needed: set[str] = set()
    texts = [text]
    while texts:
        called = set(re.findall(r"\b(\w+)\(", texts.pop())) & _HELPERS.keys()
        texts += [_HELPERS[name] for name in called - needed]
        needed |= called
    return [helper for name, helper in _HELPERS.items() if name in needed]
