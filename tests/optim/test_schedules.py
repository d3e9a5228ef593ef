"""Schedules at their ends, by closed form, and within their bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError

values = st.floats(-10, 10, width=32)
counts = st.integers(1, 1000)


def test_constant():
    got = optim.constant_schedule(0.25)(fnp.arange(3))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [0.25, 0.25, 0.25])


@given(a=values, b=values, power=st.floats(0.5, 3), n=counts, begin=st.integers(0, 100))
def test_polynomial(a, b, power, n, begin):
    schedule = optim.polynomial_schedule(a, b, power, n, begin)
    count = np.arange(n + begin + 5)
    left = np.clip(1 - (count - begin) / n, 0, 1)
    np.testing.assert_allclose(schedule(count), b + (a - b) * left**power, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(schedule(0), a, atol=1e-5)
    assert schedule(n + begin) == schedule(n + begin + 4) == np.float32(b)


@given(a=values, b=values, n=counts)
def test_linear(a, b, n):
    count = np.arange(n + 3)
    want = a + (b - a) * np.minimum(count / n, 1)
    np.testing.assert_allclose(optim.linear_schedule(a, b, n)(count), want, rtol=1e-5, atol=1e-5)


@given(a=st.floats(0.1, 10), rate=st.floats(0.1, 2), n=st.integers(1, 50), begin=st.integers(0, 20))
def test_exponential(a, rate, n, begin):
    count = np.arange(100)
    passed = np.maximum((count - begin) / n, 0)
    got = optim.exponential_decay(a, n, rate, begin)(count)
    np.testing.assert_allclose(got, a * rate**passed, rtol=1e-3)
    assert got[0] == pytest.approx(a)
    steps = optim.exponential_decay(a, n, rate, begin, staircase=True)(count)
    assert len(np.unique(steps)) <= 100 // n + 1
    np.testing.assert_allclose(steps[begin::n], got[begin::n], rtol=1e-3)


@pytest.mark.parametrize(("rate", "end"), [(0.5, 0.2), (2.0, 5.0)])
def test_exponential_ends(rate, end):
    got = optim.exponential_decay(1.0, 1, rate, end_value=end)(fnp.arange(10))
    np.testing.assert_allclose(got[:3], [1, rate, max(rate**2, end) if rate < 1 else 4], rtol=1e-6)
    np.testing.assert_allclose(got[3:], end, rtol=1e-6)


@given(a=values, alpha=st.floats(0, 1), n=counts, power=st.floats(0.5, 2))
def test_cosine(a, alpha, n, power):
    schedule = optim.cosine_decay_schedule(a, n, alpha, power)
    count = np.arange(n + 3)
    falling = (0.5 + 0.5 * np.cos(np.pi * np.minimum(count / n, 1))) ** power
    want = a * (alpha + (1 - alpha) * falling)
    # The root of a number close to zero has half its digits.
    np.testing.assert_allclose(schedule(count), want, rtol=1e-3, atol=1e-2)
    assert math.isclose(schedule(0), a, abs_tol=1e-5)
    assert math.isclose(schedule(n), a * alpha, abs_tol=1e-5)


SCHEDULES = [
    optim.constant_schedule(0.3),
    optim.polynomial_schedule(1.0, 0.1, 2, 10, 3),
    optim.linear_schedule(0.0, 1.0, 7),
    optim.exponential_decay(1.0, 5, 0.5, staircase=True, end_value=0.1),
    optim.cosine_decay_schedule(1.0, 10, 0.1),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_arrays_jit_and_vmap_agree_with_single_counts(schedule):
    count = fnp.arange(15)
    single = [schedule(i) for i in range(15)]
    for got in (schedule(count), ff.jit(schedule)(count), ff.vmap(schedule)(count)):
        np.testing.assert_allclose(got, single, rtol=1e-6, atol=1e-7)


def test_values_may_be_traced():
    def at_half(value):
        return optim.cosine_decay_schedule(value, 10)(5)

    np.testing.assert_allclose(ff.vmap(at_half)(fnp.array([1.0, 2.0])), [0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(ff.grad(at_half)(3.0), 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.polynomial_schedule(1.0, 0.0, 1, 0),
        lambda: optim.linear_schedule(1.0, 0.0, -1),
        lambda: optim.exponential_decay(1.0, 0, 0.5),
        lambda: optim.cosine_decay_schedule(1.0, 0),
    ],
)
def test_schedules_take_time(make):
    with pytest.raises(ArgumentError, match="must be positive, got"):
        make()


def test_a_decay_rate_is_not_zero():
    with pytest.raises(ArgumentError, match="decay_rate must not be 0"):
        optim.exponential_decay(1.0, 1, 0.0)
