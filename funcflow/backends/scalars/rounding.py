"""Rounding to integers, and the neighbours of floating-point numbers."""

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.registry import expansion
from funcflow.lax.rounding import RoundingMethod


@expansion("round", "f")
def round(build: Builder, x: Value, *, rounding_method: RoundingMethod) -> Value:
    """The nearest integer, halves away from 0 or to the even one."""
    if rounding_method == RoundingMethod.TO_NEAREST_EVEN:
        return build.let("rint", x)
    # floor(|x| + 1/2) would be wrong for the number just below 1/2
    whole = build.let("trunc", x)
    fraction = build.let("abs", build.let("sub", x, whole))
    away = build.let("ge", fraction, build.const(0.5, x.dtype))
    one = build.let("copysign", build.const(1, x.dtype), x)
    return build.let("select", away, build.let("add", whole, one), whole)


@expansion("is_finite", "f")
def is_finite(build: Builder, x: Value) -> Value:
    """Whether |x| is below infinity, which no NaN is."""
    return build.let("lt", build.let("abs", x), build.const(np.inf, x.dtype))


# Each of these has its own neighbours, so float16 is not served by float32.
@expansion("nextafter", "float16", "bfloat16", "float32", "float64")
def nextafter(build: Builder, x: Value, y: Value) -> Value:
    """The number next to `x` in the direction of `y`.

    Neighbours have neighbouring bit patterns, and those of the larger number are the larger ones,
    but for the sign bit.
    """
    integer = np.dtype(f"i{x.dtype.itemsize}")
    zero = build.const(0, x.dtype)
    inwards = build.let("xor", build.let("lt", x, y), build.let("gt", x, zero))
    step = build.let("select", inwards, build.const(-1, integer), build.const(1, integer))
    bits = build.let("add", build.let("bitcast", x, dtype=integer), step)
    neighbour = build.let("bitcast", bits, dtype=x.dtype)
    smallest = build.let("bitcast", build.const(1, integer), dtype=x.dtype)
    smallest = build.let("copysign", smallest, y)
    neighbour = build.let("select", build.let("eq", x, zero), smallest, neighbour)
    # float16 returns its own zero where the other one is the goal
    same = x if x.dtype == np.float16 else y
    neighbour = build.let("select", build.let("eq", x, y), same, neighbour)
    unordered = build.let("or", build.let("ne", x, x), build.let("ne", y, y))
    return build.let("select", unordered, build.let("add", x, y), neighbour)
