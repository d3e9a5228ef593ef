"""Rounding, and the neighbours of floating-point numbers."""

from enum import IntEnum
from typing import Any

from funcflow.core.array import Array
from funcflow.lax.forms import FLOATS, elementwise, same_dtype, to_bool, unary


class RoundingMethod(IntEnum):
    """How `round` treats numbers halfway between two integers."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def _round(xp: Any, x: Any, *, rounding_method: RoundingMethod) -> Any:
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return xp.rint(x)
    # floor(|x| + 1/2) would be wrong for the number just below 1/2
    whole = xp.trunc(x)
    away = xp.absolute(x - whole) >= x.dtype.type(0.5)
    return xp.where(away, whole + xp.copysign(x.dtype.type(1), x), whole)


round_p = unary("round", _round, takes=FLOATS)
floor_p = unary("floor", lambda xp, x: xp.floor(x), takes=FLOATS)
ceil_p = unary("ceil", lambda xp, x: xp.ceil(x), takes=FLOATS)
nextafter_p = elementwise(
    "nextafter",
    lambda xp, x, y: xp.nextafter(x, y),
    takes=FLOATS,
    partials=[lambda t, out, x, y: t, None],
)
is_finite_p = unary("is_finite", lambda xp, x: xp.isfinite(x), takes=FLOATS, out_dtype=to_bool)


def round(x: Any, rounding_method: RoundingMethod = RoundingMethod.AWAY_FROM_ZERO) -> Array:
    """The nearest integer to each element of floating `x`, in its dtype.

    Args:
        x: an array of a floating dtype.
        rounding_method: whether halves go away from zero or to the even neighbour.

    Example:
        >>> ff.lax.round(fnp.array([0.5, -0.5, 2.5]))
        Array([ 1., -1.,  3.], dtype=float32)
    """
    return round_p.bind(x, rounding_method=RoundingMethod(rounding_method))


def floor(x: Any) -> Array:
    """The largest integer not above each element of floating `x`, in its dtype."""
    return floor_p.bind(x)


def ceil(x: Any) -> Array:
    """The smallest integer not below each element of floating `x`, in its dtype."""
    return ceil_p.bind(x)


def nextafter(x1: Any, x2: Any) -> Array:
    """The floating-point number next to `x1` in the direction of `x2`, elementwise.

    The derivative with respect to `x1` is 1, the one with respect to `x2` is 0.
    """
    return nextafter_p.bind(*same_dtype(x1, x2))


def is_finite(x: Any) -> Array:
    """Whether each element of floating `x` is neither infinite nor NaN: a boolean array."""
    return is_finite_p.bind(x)
