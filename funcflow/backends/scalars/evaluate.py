"""Straight lines of `MACHINE_OPS` evaluated with NumPy: what they mean, without a code generator.

Tests compare approximations with exact values through this file, and printers with this file.
"""

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np

from funcflow.backends.loop_ir import Guard, Let, Statement, Value
from funcflow.core import dtypes

Elements: TypeAlias = np.ndarray[Any, Any]


def evaluate_ops(body: Iterable[Statement], inputs: dict[Value, Elements]) -> dict[Value, Elements]:
    """All values of a body of operations and guards, given its free values, elementwise.

    `scalar` and `index` have no meaning here: they must be among the inputs.

    Raises:
        NotImplementedError: a statement is no machine operation on elements.
    """
    values = dict(inputs)
    with np.errstate(all="ignore"):
        for s in body:
            if isinstance(s, Guard):
                inner = evaluate_ops(s.body, values)
                for result, value, other in zip(s.results, s.values, s.others, strict=True):
                    values[result] = np.where(values[s.mask], inner[value], values[other])
                continue
            if not isinstance(s, Let) or s.op not in _MEANINGS:
                raise NotImplementedError(f"evaluate_ops: {s} is not an operation on elements")
            if s.op == "const":
                values[s.out] = np.asarray(s.params["value"])
                continue
            args = [values[v] for v in s.args]
            if s.op in ("convert", "bitcast"):
                values[s.out] = _MEANINGS[s.op](args[0], s.out.dtype)
            else:
                values[s.out] = _MEANINGS[s.op](*args)
    return values


# --- the fused multiply-add -------------------------------------------------------------------


def exact_fma(a: Elements, b: Elements, c: Elements) -> Elements:
    """`a * b + c` of floats, rounded once."""
    a, b, c = np.broadcast_arrays(a, b, c)
    with np.errstate(all="ignore"):
        if a.dtype == np.float64:
            return _fma_double(a, b, c)
        # the product is exact in double precision; the sum keeps what the last rounding must know
        total, error = _two_sum(a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64))
        total = _rounded_to_odd(total, error)
        if a.dtype == dtypes.bfloat16:  # is reached through float32
            single = total.astype(np.float32)
            total = _rounded_to_odd(single, total - single)
        return total.astype(a.dtype)


def _two_sum(a: Elements, b: Elements) -> tuple[Elements, Elements]:
    """The rounded sum and its error (D. Knuth)."""
    total = a + b
    added = total - a
    return total, (a - (total - added)) + (b - added)


def _two_product(a: Elements, b: Elements) -> tuple[Elements, Elements]:
    """The rounded product and its error (T. Dekker)."""
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return product, error


def _halves(x: Elements) -> tuple[Elements, Elements]:
    scaled = x * (2.0**27 + 1)
    high = scaled - (scaled - x)
    return high, x - high


def _rounded_to_odd(total: Elements, error: Elements) -> Elements:
    """`total + error`; where that is inexact, the neighbour whose last bit is 1.

    A further rounding to two bits less, or fewer, is then the rounding of the exact sum.
    """
    is_even = (total.view(f"i{total.itemsize}") & 1) == 0
    inexact = (error != 0) & np.isfinite(error)
    away = np.nextafter(total, np.where(error > 0, np.inf, -np.inf).astype(total.dtype))
    return np.where(inexact & is_even, away, total)


def _fma_double(a: Elements, b: Elements, c: Elements) -> Elements:
    """After S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums" (2008).

    Where exponents are extreme, their sums lose digits, and fractions are used.
    """
    product, error = _two_product(a, b)
    total, rest = _two_sum(product, c)
    out = total + _rounded_to_odd(*_two_sum(error, rest))
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    exact = finite & (a * b == 0) & ((a == 0) | (b == 0))
    out = np.where(exact | ~finite, a * b + c, out)
    # a finite product may be too large for the format
    out = np.where(np.isfinite(a) & np.isfinite(b) & ~np.isfinite(c), c, out)
    sizes = np.array([abs(a), abs(b), abs(product), np.where(c == 0, 1, abs(c))])
    extreme = ~((sizes > 2.0**-300) & (sizes < 2.0**300)).all(axis=0) & finite & ~exact
    if extreme.any():
        rows = np.stack([a[extreme], b[extreme], c[extreme]], axis=1).tolist()
        out[extreme] = [_fraction_fma(*row) for row in rows]
    return out


def _fraction_fma(a: float, b: float, c: float) -> float:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return a * b + c  # the sign of the zero
    try:
        return float(exact)
    except OverflowError:
        return np.inf if exact > 0 else -np.inf


# --- the table ----------------------------------------------------------------------------------


def _shift_right_logical(x: Elements, count: Elements) -> Elements:
    unsigned = np.dtype(f"u{x.dtype.itemsize}")
    return (x.view(unsigned) >> count.view(unsigned)).view(x.dtype)


def _count_ones(x: Elements) -> Elements:
    # NumPy counts the ones of the absolute value, in uint8
    return np.bitwise_count(x.view(f"u{x.dtype.itemsize}")).astype(x.dtype)


def _count_leading_zeros(x: Elements) -> Elements:
    bits = 8 * x.dtype.itemsize
    lengths = [(int(v) % 2**bits).bit_length() for v in x.ravel()]
    return bits - np.array(lengths, x.dtype).reshape(x.shape)


def _quotient(x: Elements, y: Elements) -> Elements:
    """`x / y`, of integers towards 0."""
    if x.dtype.kind not in "iu":
        return x / y
    whole = x // y
    return (whole + ((whole < 0) & (whole * y != x))).astype(x.dtype)


def _bitcast(x: Elements, dtype: Any) -> Elements:
    return x.view(np.uint8 if dtype == np.bool_ else dtype)


_MEANINGS: dict[str, Callable[..., Elements]] = {
    "const": np.asarray,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _quotient,
    "rem": lambda x, y: x - _quotient(x, y) * y if x.dtype.kind in "iu" else np.fmod(x, y),
    "neg": np.negative,
    "abs": np.absolute,
    "max": np.maximum,
    "min": np.minimum,
    # of a NaN, the other argument: an expansion that relies on either is caught
    "fast_max": lambda x, y: np.where(x > y, x, y),
    "fast_min": lambda x, y: np.where(x < y, x, y),
    "sqrt": np.sqrt,
    "fma": exact_fma,
    "scale": lambda n, m, x: np.ldexp(x, np.nan_to_num(n).astype(np.int64)),
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "rint": np.rint,
    "copysign": np.copysign,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "not": np.invert,
    "shift_left": np.left_shift,
    "shift_right_arithmetic": np.right_shift,
    "shift_right_logical": _shift_right_logical,
    "population_count": _count_ones,
    "clz": _count_leading_zeros,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "select": lambda condition, x, y: np.where(condition, x, y),
    "convert": lambda x, dtype: x.astype(dtype),
    "bitcast": _bitcast,
}
