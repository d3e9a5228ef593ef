"""Learning rates, schedules, and ratios of norms."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError

U = {"a": fnp.array([3.0, -4.0]), "b": None}


@pytest.mark.parametrize("step", [0.5, np.float64(0.5), fnp.asarray(0.5, "float64"), np.array(0.5)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64"])
def test_numbers_widen_no_updates(step, dtype):
    for tx in (optim.scale(step), optim.scale_by_learning_rate(step, flip_sign=False)):
        updates, _ = tx.update(fnp.ones(2, dtype), tx.init(None))
        assert updates.dtype == fnp.dtype("float32" if dtype == "float16" else dtype)
        np.testing.assert_array_equal(updates, [0.5, 0.5])


def test_a_schedule_sees_the_number_of_updates_before():
    tx = optim.scale_by_learning_rate(lambda count: 1.0 + count)
    state = tx.init(U)
    for rate in (1, 2, 3):
        updates, state = ff.jit(tx.update)(U, state)
        np.testing.assert_array_equal(updates["a"], [-3.0 * rate, 4.0 * rate])
        assert updates["b"] is None
    assert state.count == 3 and state.count.dtype == np.int32


def test_the_learning_rate_may_be_traced():
    def scaled(rate):
        tx = optim.scale_by_learning_rate(rate)
        return tx.update(fnp.ones(()), tx.init(None))[0]

    np.testing.assert_array_equal(ff.vmap(scaled)(fnp.arange(3.0)), [0, -1, -2])
    np.testing.assert_array_equal(ff.jit(scaled)(2.0), -2)
    assert ff.grad(scaled)(2.0) == -1


def trust(u, p, **settings):
    tx = optim.scale_by_trust_ratio(**settings)
    return tx.update(fnp.asarray(u), tx.init(None), fnp.asarray(p))[0]


def test_the_trust_ratio_gives_the_norm_of_the_parameter():
    u, p = np.random.default_rng(0).standard_normal((2, 3, 4))
    got = trust(u, p, trust_coefficient=0.5)
    np.testing.assert_allclose(got, 0.5 * u * np.linalg.norm(p) / np.linalg.norm(u), rtol=1e-12)
    got = trust(u, p, eps=1.0)
    np.testing.assert_allclose(got, u * np.linalg.norm(p) / (np.linalg.norm(u) + 1), rtol=1e-12)
    got = trust(u, 0 * p, min_norm=100.0)
    np.testing.assert_allclose(got, u, rtol=1e-12)


@pytest.mark.parametrize(("u", "p"), [([0.0, 0.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])])
def test_without_a_norm_there_is_no_ratio(u, p):
    np.testing.assert_array_equal(trust(u, p), u)


def test_steps_in_the_size_of_the_parameter():
    tx = optim.scale_by_param_block_rms()
    state = tx.init(None)
    updates, _ = tx.update(fnp.ones(2), state, fnp.array([3.0, -3.0]))
    np.testing.assert_allclose(updates, [3, 3])
    updates, _ = tx.update(fnp.ones(2), state, fnp.zeros(2))
    np.testing.assert_allclose(updates, [1e-3, 1e-3])


@pytest.mark.parametrize("make", [optim.scale_by_trust_ratio, optim.scale_by_param_block_rms])
def test_parameters_are_needed(make):
    with pytest.raises(ArgumentError, match=f"{make.__name__}: update needs the parameters"):
        make().update(U, optim.EmptyState())
