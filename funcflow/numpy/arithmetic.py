"""Elementwise arithmetic: sums, products, quotients, powers, extrema, integer divisors."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.eager import fast_binary, fast_unary
from funcflow.core.errors import ArgumentError, DtypeError
from funcflow.numpy.promotion import (
    as_array,
    check_arraylike,
    convert,
    inexact,
    is_complex,
    lattice_type,
    numeric,
    promote,
    promote_inexact,
    promote_numeric,
)

# --- sums, products, quotients --------------------------------------------------------------


@fast_binary(np.add, "fciub")
def add(x: Any, y: Any, /) -> Array:
    """The sum `x + y`, elementwise; "or" for booleans.

    The arguments are promoted to one dtype and broadcast.

    Example:
        >>> fnp.add(fnp.arange(3), 0.5)
        Array([0.5, 1.5, 2.5], dtype=float32, weak_type=True)
    """
    return lax.add(*promote("add", x, y))


@fast_binary(np.subtract, "fciu")
def subtract(x: Any, y: Any, /) -> Array:
    """The difference `x - y`, elementwise.

    Raises:
        DtypeError: both are boolean.
    """
    return lax.sub(*promote("subtract", x, y))


@fast_binary(np.multiply, "fciub")
def multiply(x: Any, y: Any, /) -> Array:
    """The product `x * y`, elementwise; "and" for booleans."""
    x, y = promote("multiply", x, y)
    return lax.bitwise_and(x, y) if lattice_type(x)[0] == np.bool_ else lax.mul(x, y)


@fast_binary(np.true_divide, "fc")
def true_divide(x: Any, y: Any, /) -> Array:
    """The quotient `x / y`, elementwise; integers are divided as floats."""
    return lax.div(*promote_inexact("true_divide", x, y))


divide = true_divide


@fast_binary(np.floor_divide, "fiu")
def floor_divide(x: Any, y: Any, /) -> Array:
    """The quotient rounded down, elementwise, in the dtype of the arguments.

    It is consistent with `remainder`: `x == y * floor_divide(x, y) + remainder(x, y)`. Divided
    by zero, floats give what `x / y` gives, integers 0.

    Raises:
        DtypeError: an argument is complex.
    """
    x, y = _real("floor_divide", *promote_numeric("floor_divide", x, y))
    is_float = dtypes.is_float(lattice_type(y)[0])
    by_zero = lax.eq(y, 0)
    divisor = lax.select(by_zero, 1, y)
    rest = lax.rem(x, divisor)
    whole = lax.div(lax.sub(x, rest), divisor)
    if is_float:
        # exact up to rounding, so the nearest integer is the one meant
        whole = lax.round(whole, lax.RoundingMethod.TO_NEAREST_EVEN)
    floor = lax.select(_wrong_sign(rest, divisor), lax.sub(whole, 1), whole)
    return lax.select(by_zero, lax.div(x, y) if is_float else 0, floor)


@fast_binary(np.remainder, "fiu")
def remainder(x: Any, y: Any, /) -> Array:
    """The remainder of `floor_divide`, elementwise: it has the sign of `y`.

    Where `y` is 0, it is NaN for floats and 0 for integers.

    Raises:
        DtypeError: an argument is complex.
    """
    x, y = _real("remainder", *promote_numeric("remainder", x, y))
    rest = _truncated_remainder(x, y)
    return lax.select(_wrong_sign(rest, y), lax.add(rest, y), rest)


mod = remainder


@fast_binary(np.fmod, "fiu")
def fmod(x: Any, y: Any, /) -> Array:
    """The remainder of truncated division, elementwise: it has the sign of `x`."""
    return _truncated_remainder(*_real("fmod", *promote_numeric("fmod", x, y)))


def _truncated_remainder(x: Any, y: Any) -> Array:
    if dtypes.is_integer(lattice_type(y)[0]):
        y = lax.select(lax.eq(y, 0), 1, y)
    return lax.rem(x, y)


def _wrong_sign(rest: Any, y: Any) -> Array:
    """Whether a remainder is not zero and has not the sign of the divisor."""
    return lax.bitwise_and(lax.ne(rest, 0), lax.ne(lax.lt(rest, 0), lax.lt(y, 0)))


def _real(name: str, *args: Any) -> Sequence[Any]:
    if any(map(is_complex, args)):
        raise DtypeError(
            f"{name}: takes real numbers, got complex ones",
            mend="apply it to the real and imaginary parts",
        )
    return args


def divmod(x: Any, y: Any, /) -> tuple[Array, Array]:
    """The pair `(floor_divide(x, y), remainder(x, y))`."""
    return floor_divide(x, y), remainder(x, y)


@fast_unary(np.negative, "fciu")
def negative(x: Any, /) -> Array:
    """`-x`, elementwise."""
    return lax.neg(*promote("negative", x))


def positive(x: Any, /) -> Array:
    """`x` itself, as an array."""
    return as_array("positive", x)


@fast_unary(np.absolute, "fciu")
def absolute(x: Any, /) -> Array:
    """The absolute value, elementwise; real for complex numbers. The derivative at 0 is 1."""
    x = as_array("absolute", x)
    return x if dtypes.kind(x.dtype) in "bu" else lax.abs(x)


abs = absolute


def fabs(x: Any, /) -> Array:
    """The absolute value, elementwise, of real numbers, as floats."""
    return lax.abs(*_real("fabs", inexact("fabs", x)))


@fast_unary(np.sign, "fi")
def sign(x: Any, /) -> Array:
    """-1, 0 or 1, elementwise; `x / abs(x)` for complex numbers. The derivative is 0."""
    return lax.sign(*promote("sign", x))


@fast_binary(np.hypot, "f")
def hypot(x: Any, y: Any, /) -> Array:
    """`sqrt(x**2 + y**2)`, elementwise, without overflow on the way.

    The derivative at the origin is 0, the least of the subgradients.

    Raises:
        DtypeError: an argument is complex.
    """
    x, y = _real("hypot", *promote_inexact("hypot", x, y))
    x, y = lax.abs(x), lax.abs(y)
    longer, shorter = lax.max(x, y), lax.min(x, y)
    at_origin = lax.eq(longer, 0)
    safe = lax.select(at_origin, 1, longer)
    length = lax.mul(safe, lax.sqrt(lax.add(lax.square(lax.div(shorter, safe)), 1.0)))
    infinite = lax.bitwise_or(lax.eq(x, math.inf), lax.eq(y, math.inf))
    return lax.select(at_origin, 0, lax.select(infinite, math.inf, length))


# --- powers -----------------------------------------------------------------------------------


@fast_unary(np.square, "fciu")
def square(x: Any, /) -> Array:
    """`x * x`, elementwise."""
    return lax.square(numeric("square", x))


@fast_unary(np.sqrt, "fc")
def sqrt(x: Any, /) -> Array:
    """The square root, elementwise; NaN for negative real numbers."""
    return lax.sqrt(inexact("sqrt", x))


@fast_unary(np.cbrt, "f")
def cbrt(x: Any, /) -> Array:
    """The cube root, elementwise, of real numbers."""
    return lax.cbrt(inexact("cbrt", x))


@fast_unary(np.reciprocal, "fc")
def reciprocal(x: Any, /) -> Array:
    """`1 / x`, elementwise."""
    return lax.integer_pow(inexact("reciprocal", x), -1)


def _power_ufunc(x: Any, y: Any) -> Any:
    return np.square(x) if type(y) is int and y == 2 else np.power(x, y)


@fast_binary(_power_ufunc, "fiu")
def power(x1: Any, x2: Any, /) -> Array:
    """`x1 ** x2`, elementwise.

    A Python int as exponent means repeated multiplication, in the dtype of `x1`. Of two integer
    arrays the result is an integer, too; negative exponents then give the truncated result.

    Raises:
        ArgumentError: integers are raised to a negative Python int.
    """
    check_arraylike("power", x1, x2)
    if type(x2) is int:
        return _power_static(numeric("power", x1), x2)
    x1, x2 = promote_numeric("power", x1, x2)
    if dtypes.is_integer(lattice_type(x1)[0]):
        return _power_of_integers(x1, x2)
    return lax.pow(x1, x2)


pow = power


def _power_static(x: Any, exponent: int) -> Array:
    if exponent < 0 and dtypes.is_integer(lattice_type(x)[0]):
        raise ArgumentError(
            f"power: integers cannot be raised to the negative power {exponent}",
            mend="convert the base with .astype(float)",
        )
    return lax.integer_pow(x, exponent)


def _power_of_integers(x: Any, y: Any) -> Array:
    """Repeated squaring over the bits of the exponent."""
    shape = lax.broadcast_shapes(np.shape(x), np.shape(y))

    def unfinished(state: Any) -> Any:
        return lax.reduce_or(lax.ne(state[2], 0), tuple(range(len(shape))))

    def step(state: Any) -> Any:
        power, base, bits = state
        odd = lax.ne(lax.bitwise_and(bits, 1), 0)
        power = lax.select(odd, lax.mul(power, base), power)
        return power, lax.mul(base, base), lax.shift_right_logical(bits, 1)

    start = [lax.broadcast_to(v, shape) for v in (convert(1, lattice_type(x)[0]), x, y)]
    power = lax.while_loop(unfinished, step, tuple(start))[0]
    # 1 / x**n truncates to 0 but for x = 1 and x = -1
    is_unit = lax.eq(absolute(x), 1)
    return lax.select(lax.bitwise_and(lax.lt(y, 0), lax.bitwise_not(is_unit)), 0, power)


def float_power(x: Any, y: Any, /) -> Array:
    """`x ** y`, elementwise, of floats; integers become floats first."""
    return lax.pow(*promote_inexact("float_power", x, y))


# --- extrema ----------------------------------------------------------------------------------


@fast_binary(np.maximum, "fiub")
def maximum(x: Any, y: Any, /) -> Array:
    """The larger of the two, elementwise; NaN where either is NaN.

    Complex numbers are compared by real part, then imaginary part. Where both are equal, each
    gets half of the derivative.
    """
    return lax.max(*promote("maximum", x, y))


@fast_binary(np.minimum, "fiub")
def minimum(x: Any, y: Any, /) -> Array:
    """The smaller of the two, elementwise; otherwise as `maximum`."""
    return lax.min(*promote("minimum", x, y))


@fast_binary(np.fmax, "fiu")
def fmax(x1: Any, x2: Any, /) -> Array:
    """The larger of the two, elementwise; where one is NaN, the other."""
    return _ignoring_nan(lax.max, *promote("fmax", x1, x2))


@fast_binary(np.fmin, "fiu")
def fmin(x1: Any, x2: Any, /) -> Array:
    """The smaller of the two, elementwise; where one is NaN, the other."""
    return _ignoring_nan(lax.min, *promote("fmin", x1, x2))


def _ignoring_nan(extremum: Any, x: Any, y: Any) -> Array:
    return lax.select(lax.ne(x, x), y, lax.select(lax.ne(y, y), x, extremum(x, y)))


def clip(arr: Any, /, min: Any = None, max: Any = None) -> Array:
    """`arr` limited to the interval from `min` to `max`, elementwise.

    Args:
        arr: real numbers.
        min: the lower limit, or None for none.
        max: the upper limit, or None for none. It wins where the limits are crossed.

    Raises:
        DtypeError: an argument is complex.

    Example:
        >>> fnp.clip(fnp.array([-1.0, 0.5, 2.0]), 0.0, 1.0)
        Array([0. , 0.5, 1. ], dtype=float32)
    """
    arr = as_array("clip", arr)
    given = [x for x in (arr, min, max) if x is not None]
    check_arraylike("clip", *given)
    _real("clip", *given)
    if min is not None:
        arr = maximum(min, arr)
    return arr if max is None else minimum(max, arr)


# --- divisors ---------------------------------------------------------------------------------


def gcd(x1: Any, x2: Any) -> Array:
    """The greatest common divisor of integers, elementwise, by Euclid's algorithm."""
    return _gcd(*_integers("gcd", x1, x2))


def lcm(x1: Any, x2: Any) -> Array:
    """The least common multiple of integers, elementwise."""
    x1, x2 = _integers("lcm", x1, x2)
    divisor = _gcd(x1, x2)
    safe = lax.select(lax.eq(divisor, 0), 1, divisor)
    return absolute(lax.mul(lax.div(x1, safe), x2))


def _integers(name: str, *args: Any) -> Any:
    args = tuple(promote_numeric(name, *args))
    dtype, _ = lattice_type(args[0])
    if not dtypes.is_integer(dtype):
        raise DtypeError(f"{name}: takes integers, got {dtype.name}", mend="convert the arguments")
    return [convert(x, dtype) for x in args]


def _gcd(x: Any, y: Any) -> Array:
    shape = lax.broadcast_shapes(np.shape(x), np.shape(y))

    def unfinished(pair: Any) -> Any:
        return lax.reduce_or(lax.ne(pair[1], 0), tuple(range(len(shape))))

    def step(pair: Any) -> Any:
        x, y = pair
        done = lax.eq(y, 0)
        rest = lax.rem(x, lax.select(done, 1, y))
        return lax.select(done, x, y), lax.select(done, 0, rest)

    start = tuple(lax.broadcast_to(absolute(v), shape) for v in (x, y))
    return lax.while_loop(unfinished, step, start)[0]
