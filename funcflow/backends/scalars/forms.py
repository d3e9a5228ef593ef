"""What the expansions of floating-point functions are written with."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from funcflow.backends.loop_ir import Builder, Value

Chosen = TypeVar("Chosen")


class Floats:
    """Operations on values of one floating format, with numbers for constants.

    With `f = Floats(build, x)`, `f("fma", x, 2.0, f("sqrt", x))` is 2 x + sqrt(x), rounded once.

    Attributes:
        dtype, integer: the format, and the integers of its width.
        digits: how many bits of a mantissa are stored.
        bias: the exponent's bias; 2^0 has this number in its exponent's bits.
        tiny, largest: the smallest normal and the largest finite number.
        single: whether the format is float32, so not float64.
    """

    def __init__(self, build: Builder, like: Value) -> None:
        self.build, self.dtype = build, like.dtype
        self.single = self.dtype == np.float32
        self.integer = np.dtype(np.int32 if self.single else np.int64)
        self.digits, self.bias = (23, 127) if self.single else (52, 1023)
        self.tiny = 2.0 ** (1 - self.bias)
        self.largest = float(np.finfo(self.dtype).max)
        self._constants: dict[tuple[str, np.dtype[Any]], Value] = {}

    def __call__(self, op: str, *args: Value | float) -> Value:
        """A machine operation. Numbers among the arguments get the dtype of the last value."""
        like = [x for x in args if isinstance(x, Value)][-1].dtype
        values = [x if isinstance(x, Value) else self.constant(x, like) for x in args]
        return self.build.let(op, *values)

    def constant(self, number: float, dtype: np.dtype[Any] | None = None) -> Value:
        """A constant, of the format unless another dtype is given."""
        dtype = dtype or self.dtype
        key = (repr(number), dtype)
        if key not in self._constants:
            self._constants[key] = self.build.const(number, dtype)
        return self._constants[key]

    def pick(self, single: Chosen, double: Chosen) -> Chosen:
        """A number, or numbers, that depend on the format."""
        return single if self.single else double

    def bits(self, x: Value) -> Value:
        """The bits of a float."""
        return self.build.let("bitcast", x, dtype=self.integer)

    def from_bits(self, x: Value) -> Value:
        """The float of these bits."""
        return self.build.let("bitcast", x, dtype=self.dtype)

    def to_float(self, x: Value) -> Value:
        """An integer as a float."""
        return self.build.let("convert", x, dtype=self.dtype)

    def horner(self, x: Value, coefficients: Sequence[float]) -> Value:
        """A polynomial, its highest power's coefficient first."""
        total: Value = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self("fma", total, x, coefficient)
        return total

    def even_odd(self, x: Value, coefficients: Sequence[float]) -> Value:
        """The same of a long polynomial, as E(x^2) + x O(x^2): two chains of half the length."""
        square = self("mul", x, x)
        even, odd = coefficients[::-2][::-1], coefficients[-2::-2][::-1]
        return self("fma", x, self.horner(square, odd), self.horner(square, even))

    def at_most(self, x: Value, bound: float) -> Value:
        """The smaller of `x` and `bound`; NaN if `x` is NaN."""
        return self("select", self("gt", x, bound), bound, x)

    def at_least(self, x: Value, bound: float) -> Value:
        """The greater of `x` and `bound`; NaN if `x` is NaN."""
        return self("select", self("lt", x, bound), bound, x)

    def choose(self, condition: Value, x: Value | float, y: Value | float) -> Value:
        """`x` where the condition holds, else `y`, of the format."""
        x = x if isinstance(x, Value) else self.constant(x)
        y = y if isinstance(y, Value) else self.constant(y)
        return self.build.let("select", condition, x, y)

    def rarely(
        self, condition: Value, work: "Callable[[Floats], tuple[Value, ...]]", *others: Value
    ) -> tuple[Value, ...]:
        """What `work` computes where the condition holds, which is rare, and else the others.

        It is given `Floats` of its own, as constants inside a guard are unknown after it.
        """
        with self.build.guard(condition, *others) as guard:
            guard.take(*work(Floats(self.build, self.constant(0.0))))
        return guard.results


# --- sums of two floats: (high, low), |low| at most half an ulp of high ---------------------------

Pair = tuple[Value, Value]


def fast_two_sum(f: Floats, a: Value | float, b: Value) -> Pair:
    """`a + b` exactly, for |a| >= |b| or a = 0 (T. Dekker, 1971)."""
    total = f("add", a, b)
    return total, f("sub", b, f("sub", total, a))


def two_sum(f: Floats, a: Value, b: Value | float) -> Pair:
    """`a + b` exactly (D. Knuth, The Art of Computer Programming 2, 4.2.2)."""
    total = f("add", a, b)
    added = f("sub", total, a)
    return total, f("add", f("sub", a, f("sub", total, added)), f("sub", b, added))


def two_product(f: Floats, a: Value, b: Value | float) -> Pair:
    """`a * b` exactly."""
    product = f("mul", a, b)
    return product, f("fma", a, b, f("neg", product))


def pair_product(f: Floats, a: Pair, b: Pair) -> Pair:
    """The product of two pairs, but for the product of their low parts."""
    high, low = two_product(f, a[0], b[0])
    return high, f("fma", a[0], b[1], f("fma", a[1], b[0], low))
