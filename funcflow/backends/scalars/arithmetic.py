"""Arithmetic of floats that is exact, or rounded step by step as the primitives say."""

from functools import reduce

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.casting import converted
from funcflow.backends.scalars.registry import expansion

# --- powers and roots -------------------------------------------------------------------------


@expansion("square")
def square(build: Builder, x: Value) -> Value:
    """`x * x`."""
    return build.let("mul", x, x)


@expansion("integer_pow")
def integer_pow(build: Builder, x: Value, *, y: int) -> Value:
    """The product of those squares x, x^2, x^4, ... that the bits of `y` name, smallest first."""
    one = build.const(1, x.dtype)
    exponent, factors = abs(y), []
    while exponent:
        if exponent & 1:
            factors.append(x)
        exponent >>= 1
        if exponent:
            x = build.let("mul", x, x)
    power = reduce(lambda a, b: build.let("mul", a, b), factors) if factors else one
    return build.let("div", one, power) if y < 0 else power


@expansion("rsqrt")
def rsqrt(build: Builder, x: Value) -> Value:
    """`1 / sqrt(x)`, rounded twice."""
    return build.let("div", build.const(1, x.dtype), build.let("sqrt", x))


# --- sign -------------------------------------------------------------------------------------


@expansion("sign", "f")
def sign(build: Builder, x: Value) -> Value:
    """-1 or 1, 0 for either zero, NaN for NaN."""
    zero = build.const(0, x.dtype)
    return _sign(build, x, build.let("add", x, zero))  # -0 + 0 is 0


@expansion("sign", "bfloat16")
def sign_bfloat16(build: Builder, x: Value) -> Value:
    """The same, except that -0 stays as it is."""
    return _sign(build, x, x)


def _sign(build: Builder, x: Value, otherwise: Value) -> Value:
    """-1 or 1, and `otherwise` where `x` is zero or NaN."""
    nonzero = build.let("gt", build.let("abs", x), build.const(0, x.dtype))
    unit = build.let("copysign", build.const(1, x.dtype), x)
    return build.let("select", nonzero, unit, otherwise)


# --- fma --------------------------------------------------------------------------------------


@expansion("fma", "float16")
def fma_float16(build: Builder, a: Value, b: Value, c: Value) -> Value:
    """`a * b + c` in double precision, where nothing is lost that float16 would need."""
    a, b, c = [converted(build, x, np.dtype(np.float64)) for x in (a, b, c)]
    total = build.let("add", build.let("mul", a, b), c)
    return converted(build, total, np.dtype(np.float16))


@expansion("fma", "bfloat16")
def fma_bfloat16(build: Builder, a: Value, b: Value, c: Value) -> Value:
    """`a * b + c`, rounded twice: bfloat16 has no fused operations."""
    return build.let("add", build.let("mul", a, b), c)
