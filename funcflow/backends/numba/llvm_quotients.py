"""Divisions of vectors by one number, which are products where that gives the same bits.

A register of 64 bytes takes AVX-512's processors ten cycles and more to divide, and half a cycle to
multiply. With z, the float next to 1 / y, and with what it lacks, x / y is known but for half an
ulp and a little more; one correction by the remainder then gives the rounded quotient (P. Markstein,
"Computation of elementary functions on the IBM RISC System/6000 processor", 1990, theorem 7).
Remainders are exact unless numbers are very large or small. What has such numbers is divided.
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


class _Inverse(NamedTuple):
    """What quotients by a divisor share, as names of vectors.

    Attributes:
        high, low: 1 / y as a sum.
        minus: -y.
        outside: an integer of a bit for each lane: all, if y is out of range.
    """

    high: str
    low: str
    minus: str
    outside: str


class Quotients(Loops):
    """Prints divisions by what does not change in the vector loop around."""

    def __init__(self, kernel: Kernel, declares: dict[str, None]) -> None:
        super().__init__(kernel, declares)
        self.inverses: dict[tuple[Value, str], _Inverse] = {}  # by divisor and vector loop

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
        inverse, name = self.inverse(y), self.names[x]
        near = self.put(level, f"fmul {t} {name}, {inverse.low}")
        near = self.fused(element, name, inverse.high, near, level)
        rest = self.fused(element, near, inverse.minus, name, level)
        product = self.fused(element, rest, inverse.high, near, level)
        found = self.put(level, f"bitcast <{lanes} x i1> {self.beyond(s, level)} to {flags}")
        found = self.put(level, f"or {flags} {found}, {inverse.outside}")
        condition = self.put(level, f"icmp ne {flags} {found}, 0")
        before, result = self.blocks[level], self.fresh()
        self.declares[RARE] = None
        self.levels[level] += [
            f"  br i1 {condition}, label %divide{n}, label %quotient{n}, !prof !0",
            f"divide{n}:",
            f"  %ratio{n} = fdiv {t} {name}, {self.vector(y)}",
            f"  br label %quotient{n}",
            f"quotient{n}:",
            f"  {result} = phi {t} [{product}, %{before}], [%ratio{n}, %divide{n}]",
        ]
        self.blocks[level] = f"quotient{n}"
        self.define(s.out, result, level, True)

    def inverse(self, y: Value) -> _Inverse:
        """What quotients by a divisor share, before the loop."""
        key = y, self.frames[self.vector_level // 2 - 1].index
        if key not in self.inverses:
            level, name = self.level[y], self.names[y]
            element, bound = ops.register_type(y.dtype), _RANGES[y.dtype].divisor
            one, least, most = (ops.literal(y.dtype, v) for v in (1.0, 2.0**-bound, 2.0**bound))
            high = self.put(level, f"fdiv {element} {one}, {name}")
            minus = self.put(level, f"fneg {element} {name}")
            rest = self.fused(element, minus, high, one, level, lanes=1)
            low = self.put(level, f"fmul {element} {rest}, {high}")
            above = self.put(level, f"fcmp oge {element} {name}, {least}")
            below = self.put(level, f"fcmp ole {element} {name}, {most}")
            inside = self.put(level, f"and i1 {above}, {below}")
            outside = self.put(level, f"select i1 {inside}, i{self.lanes} 0, i{self.lanes} -1")
            first = max(level, self.vector_level - 1)
            vectors = [self.spread(element, part, first) for part in (high, low, minus)]
            self.inverses[key] = _Inverse(*vectors, outside)
        return self.inverses[key]

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

    def fused(self, element: str, x: str, y: str, z: str, level: int, lanes: int = 0) -> str:
        """x y + z, rounded once."""
        lanes = lanes or self.lanes
        t, symbol = ops.vector(element, lanes), f"@llvm.fma.{ops.mangled(element, lanes)}"
        self.declares[f"declare {t} {symbol}({t}, {t}, {t})"] = None
        return self.put(level, f"call {t} {symbol}({t} {x}, {t} {y}, {t} {z})")
