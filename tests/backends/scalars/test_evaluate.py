"""The evaluator of straight lines, foremost its fused multiply-add."""

from fractions import Fraction

import numpy as np
import pytest

from funcflow.backends.loop_ir import Builder, Load, Value
from funcflow.backends.scalars.evaluate import evaluate_ops, exact_fma
from funcflow.core import dtypes


@pytest.mark.parametrize("size", [1, 60, 1000])
def test_fma_of_doubles_is_rounded_once(size):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 500)) * np.exp2(rng.uniform(-size / 2, size / 2, (2, 500)))
    near = -a * b * (1 + rng.integers(-2, 3, 500) * 2.0**-52)
    c = np.where(rng.random(500) < 0.5, near, rng.normal(size=500))
    found = exact_fma(a, b, c)
    numbers = zip(a.tolist(), b.tolist(), c.tolist(), strict=True)
    assert found.tolist() == [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in numbers]


def test_fma_of_floats_is_rounded_once():
    # the exact sum is just above the middle of two floats, which double precision does not see
    a = np.array([1 + 2.0**-23], np.float32)
    b = np.array([1 + 2.0**-1], np.float32)
    c = np.array([2.0**-60], np.float32)
    (found,) = exact_fma(a, b, c)
    assert Fraction(float(a[0])) * Fraction(float(b[0])) == Fraction(3, 2) + Fraction(3, 2**24)
    assert found == np.float32(1.5) + 2 * np.float32(2.0**-23)
    (found,) = exact_fma(a, b, -c)
    assert found == np.float32(1.5) + np.float32(2.0**-23)


def test_fma_of_infinities_zeros_and_overflow():
    numbers = np.array([0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e308, -1e308])
    a, b, c = (x.ravel() for x in np.meshgrid(numbers, numbers, numbers))
    with np.errstate(all="ignore"):
        plain = a * b + c
    beyond = np.isin(np.abs(a), [1e308]) & np.isin(np.abs(b), [1e308])
    for found, wanted in zip(exact_fma(a, b, c)[~beyond], plain[~beyond], strict=True):
        assert found == wanted or (np.isnan(found) and np.isnan(wanted))
        assert np.signbit(found) == np.signbit(wanted) or np.isnan(found)
    assert np.isinf(exact_fma(a, b, c)[beyond & np.isfinite(c)]).all()
    # the exact product is finite, so infinite and NaN addends win
    special = beyond & ~np.isfinite(c)
    np.testing.assert_array_equal(exact_fma(a, b, c)[special], c[special])


def test_fma_of_bfloat16_is_rounded_once():
    # just above the middle of two numbers: float32 does not see it
    a, b, c = (np.array([x], dtypes.bfloat16) for x in (1 + 2.0**-7, 1 + 2.0**-1, 2.0**-40))
    exact = Fraction(3, 2) + Fraction(3, 2**8) + Fraction(1, 2**40)
    assert Fraction(3, 2) + Fraction(2, 2**8) < exact < Fraction(3, 2) + Fraction(4, 2**8)
    assert exact_fma(a, b, c).astype(float) == 1.5 + 2.0**-6
    assert exact_fma(a, b, np.negative(c)).astype(float) == 1.5 + 2.0**-7


@pytest.mark.parametrize(
    "op, args, wanted",
    [
        ("div", ([-7, 7, -7], [2, -2, -2]), [-3, -3, 3]),
        ("rem", ([-7, 7, -7], [2, -2, -2]), [-1, 1, -1]),
        ("shift_right_logical", ([-1, 8], [28, 2]), [15, 2]),
        ("shift_right_arithmetic", ([-16, 8], [2, 2]), [-4, 2]),
        ("clz", ([1, 0, -1],), [31, 32, 0]),
        ("population_count", ([7, 0, -1],), [3, 0, 32]),
    ],
)
def test_integers(op, args, wanted):
    build, values = Builder(), [Value(np.dtype(np.int32)) for _ in args]
    out = build.let(op, *values)
    given = {v: np.array(x, np.int32) for v, x in zip(values, args, strict=True)}
    assert evaluate_ops(build.body, given)[out].tolist() == wanted


def test_guards():
    build, x = Builder(), Value(np.dtype(np.float32))
    with build.guard(build.let("gt", x, build.const(0, x.dtype)), x) as rare:
        rare.take(build.let("sqrt", x))
    (out,) = rare.results
    given = {x: np.array([-4, 0, 4], np.float32)}
    assert evaluate_ops(build.body, given)[out].tolist() == [-4, 0, 2]


def test_loads_are_refused():
    with pytest.raises(NotImplementedError, match="not an operation on elements"):
        evaluate_ops([Load(Value(np.dtype(np.float32)), 0)], {})
