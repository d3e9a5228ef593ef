"""Decaying sums and moving averages."""

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow import optim

VALUES = np.random.default_rng(0).standard_normal((6, 3))


@pytest.mark.parametrize("nesterov", [False, True])
def test_trace_is_a_decaying_sum(nesterov):
    tx = optim.trace(0.8, nesterov)
    state = tx.init(fnp.zeros(3, "float64"))
    for value in VALUES:
        updates, state = tx.update(value, state)
    total = 0.8 ** np.arange(5, -1, -1) @ VALUES
    np.testing.assert_allclose(state.trace, total, rtol=1e-12)
    np.testing.assert_allclose(updates, VALUES[-1] + 0.8 * total if nesterov else total, rtol=1e-12)


@pytest.mark.parametrize("debias", [False, True])
def test_ema_is_an_exponential_average(debias):
    tx = optim.ema(0.8, debias)
    state = tx.init(fnp.zeros(3, "float64"))
    for value in VALUES:
        updates, state = tx.update(value, state)
    weights = 0.2 * 0.8 ** np.arange(5, -1, -1)
    want = weights @ VALUES
    np.testing.assert_allclose(state.ema, want, rtol=1e-12)
    np.testing.assert_allclose(updates, want / weights.sum() if debias else want, rtol=1e-12)
    assert state.count == 6


@pytest.mark.parametrize("make", [optim.trace, optim.ema])
def test_the_memory_may_be_wider(make):
    state = make(0.9, accumulator_dtype="float32").init(fnp.zeros(2, "bfloat16"))
    assert state[-1].dtype == np.float32
    assert make(0.9).init(fnp.zeros(2, "bfloat16"))[-1].dtype == fnp.bfloat16
