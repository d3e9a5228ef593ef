"""Divisions of vectors by one number, which are products where that gives the same bits.

To divide a register of 64 bytes takes processors ten cycles and more, to multiply it half a cycle.
If z is 1 / y, rounded, and q is x z, rounded, then q + (x - q y) z is x / y, rounded once, unless
numbers are so large or small that what is in between loses digits (N. Brisebarre, J.-M. Muller and
S. Raina, "Accelerating correctly rounded floating-point division when the divisor is known in
advance", 2004). Vectors with such numbers are divided.
"""

from typing import NamedTuple

import numpy as np

from funcflow.backends.loop_ir import Kernel, Let, Value
from funcflow.backends.numba import llvm_ops as ops
from funcflow.backends.numba.llvm_loops import RARE, Loops


class _Range(NamedTuple):
    """Where quotients may be products.

    For 2^-divisor <= y <= 2^divisor, and x = 0 or 2^-dividend <= |x| < 2^dividend, neither x / y
    nor x - q y for a quotient q of the format is subnormal.
    """

    divisor: int
    dividend: int


_RANGES = {np.dtype(np.float32): _Range(20, 79), np.dtype(np.float64): _Range(100, 800)}
_LINE = 64  # bytes of a vector that is worth it
_LONG = 8  # vectors in a loop that makes up for what is done before it


class _Shared(NamedTuple):
    """What quotients by a divisor share, as names of vectors.

    Attributes:
        inside: whether y is in range. If not, the others are unknown.
        inverse, minus: 1 / y and -y.
    """

    inside: str
    inverse: str
    minus: str


class Quotients(Loops):
    """Prints divisions by what does not change in the vector loop around."""

    def __init__(self, kernel: Kernel, declares: dict[str, None]) -> None:
        super().__init__(kernel, declares)
        self.divisors: dict[tuple[Value, str], _Shared] = {}  # by divisor and vector loop

    def let(self, s: Let) -> None:
        if self.is_shared_division(s):
            self.quotient(s)
        else:
            super().let(s)

    def is_shared_division(self, s: Let) -> bool:
        """Whether all lanes of a main loop of whole registers are divided by the same number."""
        if s.op != "div" or s.out.dtype not in _RANGES or not ops.has_avx512():
            return False
        x, y = s.args
        alike = x in self.wide and self.level[y] < self.vector_level
        rare = self.mask or self.lowest  # the tail, or a guard
        return alike and not rare and self.lanes * s.out.dtype.itemsize >= _LINE

    def quotient(self, s: Let) -> None:
        x, y = s.args
        level, n, lanes = self.level[x], next(self.numbers), self.lanes
        element = ops.register_type(s.out.dtype)
        t, flags = ops.vector(element, lanes), f"i{lanes}"
        shared, name = self.shared(y), self.names[x]
        out, result = self.levels[level], self.fresh()
        self.declares[RARE] = None
        out += [f"  br i1 {shared.inside}, label %look{n}, label %divide{n}", f"look{n}:"]
        found = self.put(level, f"bitcast <{lanes} x i1> {self.beyond(s, level)} to {flags}")
        condition = self.put(level, f"icmp ne {flags} {found}, 0")
        out += [
            f"  br i1 {condition}, label %divide{n}, label %multiply{n}, !prof !0",
            f"divide{n}:",
            f"  %ratio{n} = fdiv {t} {name}, {self.vector(y)}",
            f"  br label %quotient{n}",
            f"multiply{n}:",
        ]
        near = self.put(level, f"fmul {t} {name}, {shared.inverse}")
        rest = self.fused(element, near, shared.minus, name, level)
        product = self.fused(element, rest, shared.inverse, near, level)
        out += [
            f"  br label %quotient{n}",
            f"quotient{n}:",
            f"  {result} = phi {t} [{product}, %multiply{n}], [%ratio{n}, %divide{n}]",
        ]
        self.blocks[level] = f"quotient{n}"
        self.define(s.out, result, level, True)

    def shared(self, y: Value) -> _Shared:
        """What quotients by a divisor share, before the loop: there if the loop is a long one."""
        frame = self.frames[self.vector_level // 2 - 1]
        if (y, frame.index) not in self.divisors:
            level, n = self.vector_level - 1, next(self.numbers)
            begin, _ = self.bounds(frame.axis)
            length = self.put(level, f"sub i64 {frame.end}, {begin}")
            condition = self.put(level, f"icmp sge i64 {length}, {_LONG * self.lanes}")
            before, out = self.blocks[level], self.levels[level]
            out += [f"  br i1 {condition}, label %invert{n}, label %inverted{n}", f"invert{n}:"]
            inside, *parts = self.inverted(y, level)
            out += [f"  br label %inverted{n}", f"inverted{n}:"]
            t = ops.register_type(y.dtype, self.lanes)
            inside = self.put(level, f"phi i1 [false, %{before}], [{inside}, %invert{n}]")
            parts = [
                self.put(level, f"phi {t} [poison, %{before}], [{part}, %invert{n}]")
                for part in parts
            ]
            self.blocks[level] = f"inverted{n}"
            self.divisors[y, frame.index] = _Shared(inside, *parts)
        return self.divisors[y, frame.index]

    def inverted(self, y: Value, level: int) -> list[str]:
        """The fields of `_Shared`."""
        element, name, bound = ops.register_type(y.dtype), self.names[y], _RANGES[y.dtype].divisor
        one, least, most = (ops.literal(y.dtype, v) for v in (1.0, 2.0**-bound, 2.0**bound))
        inverse = self.put(level, f"fdiv {element} {one}, {name}")
        minus = self.put(level, f"fneg {element} {name}")
        above = self.put(level, f"fcmp oge {element} {name}, {least}")
        below = self.put(level, f"fcmp ole {element} {name}, {most}")
        inside = self.put(level, f"and i1 {above}, {below}")
        return [inside, *(self.spread(element, part, level) for part in (inverse, minus))]

    def beyond(self, s: Let, level: int) -> str:
        """The lanes whose dividend is neither 0 nor in range."""
        dtype, lanes = s.out.dtype, self.lanes
        bits = np.dtype(f"i{dtype.itemsize}")
        element = ops.register_type(bits)
        t = ops.vector(element, lanes)

        def constant(number: int) -> str:
            return ops.splat(element, str(number), lanes)

        ends = [2.0**k for k in (-_RANGES[dtype].dividend, _RANGES[dtype].dividend)]
        least, end = (int(np.asarray(number, dtype).view(bits)) for number in ends)
        source = ops.register_type(dtype, lanes)
        number = self.put(level, f"bitcast {source} {self.names[s.args[0]]} to {t}")
        # -0 is not one, as a corrected quotient would be 0
        other = self.put(level, f"icmp ne {t} {number}, zeroinitializer")
        size = self.put(level, f"and {t} {number}, {constant(np.iinfo(bits).max)}")
        above = self.put(level, f"sub {t} {size}, {constant(least)}")
        far = self.put(level, f"icmp uge {t} {above}, {constant(end - least)}")
        return self.put(level, f"and <{lanes} x i1> {other}, {far}")

    def fused(self, element: str, x: str, y: str, z: str, level: int) -> str:
        """A product and a third number as a sum that is rounded once."""
        t = ops.vector(element, self.lanes)
        symbol = f"@llvm.fma.{ops.mangled(element, self.lanes)}"
        self.declares[f"declare {t} {symbol}({t}, {t}, {t})"] = None
        return self.put(level, f"call {t} {symbol}({t} {x}, {t} {y}, {t} {z})")
