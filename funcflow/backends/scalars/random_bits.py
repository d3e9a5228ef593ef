"""`threefry2x32`: random bits as a hash of a key and a counter.

J. Salmon, M. Moraes, R. Dror and D. Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.registry import expansion

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


@expansion("threefry2x32")
def threefry2x32(build: Builder, k0: Value, k1: Value, x0: Value, x1: Value) -> tuple[Value, Value]:
    """The two words of a counter's hash, in 20 rounds."""

    def word(number: int) -> Value:
        return build.const(number, k0.dtype)

    keys = k0, k1, build.let("xor", build.let("xor", k0, k1), word(_PARITY))
    a, b = build.let("add", x0, k0), build.let("add", x1, k1)
    for i in range(5):
        for rotation in _ROTATIONS[i % 2]:
            a = build.let("add", a, b)
            upper = build.let("shift_left", b, word(rotation))
            lower = build.let("shift_right_logical", b, word(32 - rotation))
            b = build.let("xor", build.let("or", upper, lower), a)
        a = build.let("add", a, keys[(i + 1) % 3])
        b = build.let("add", build.let("add", b, keys[(i + 2) % 3]), word(i + 1))
    return a, b
