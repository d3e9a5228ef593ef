"""Shifts by any count.

Shifts by the width of the dtype or more, and by negative counts (whose unsigned value is as large),
push all bits out. The machine's shifts take only smaller counts.
"""

from typing import Any

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.registry import expansion


@expansion("shift_left", "i", "u")
def shift_left(build: Builder, x: Value, y: Value) -> Value:
    """`x << y`, 0 where `y` is outside `[0, bits)`."""
    return _shift_in_zeros(build, "shift_left", x, y)


@expansion("shift_right_logical", "i", "u")
def shift_right_logical(build: Builder, x: Value, y: Value) -> Value:
    """`x >> y` with zeros moving in, 0 where `y` is outside `[0, bits)`."""
    return _shift_in_zeros(build, "shift_right_logical", x, y)


@expansion("shift_right_arithmetic", "i", "u")
def shift_right_arithmetic(build: Builder, x: Value, y: Value) -> Value:
    """`x >> y` with the highest bit moving in, nothing but it where `y` is outside `[0, bits)`."""
    signed = _cast(build, x, "i")
    count = _cast(build, y, "u")
    # one less than the width leaves the highest bit alone, in all places
    count = build.let("min", count, build.const(8 * x.dtype.itemsize - 1, count.dtype))
    shifted = build.let("shift_right_arithmetic", signed, _cast(build, count, "i"))
    return _cast(build, shifted, x.dtype.kind)


def _shift_in_zeros(build: Builder, op: str, x: Value, y: Value) -> Value:
    bits = 8 * x.dtype.itemsize
    count = _cast(build, y, "u")
    short = build.let("lt", count, build.const(bits, count.dtype))
    masked = build.let("and", y, build.const(bits - 1, y.dtype))
    shifted = build.let(op, x, masked)
    return build.let("select", short, shifted, build.const(0, x.dtype))


def _cast(build: Builder, x: Value, kind: str) -> Value:
    """The integer's bits as a signed ("i") or an unsigned ("u") one."""
    dtype: np.dtype[Any] = np.dtype(f"{kind}{x.dtype.itemsize}")
    return x if x.dtype == dtype else build.let("bitcast", x, dtype=dtype)
