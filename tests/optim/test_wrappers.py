"""Several gradients for a step; no step for a bad gradient."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim

GRADIENTS = np.random.default_rng(0).standard_normal((12, 3))
START = np.ones(3)


def run(optimizer, gradients):
    def step(carry, gradient):
        x, state = carry
        updates, state = optimizer.update(gradient, state, x)
        x = optim.apply_updates(x, updates)
        return (x, state), x

    start = fnp.asarray(START), optimizer.init(START)
    (_, state), xs = ff.jit(lambda g: ff.lax.scan(step, start, g))(gradients)
    return np.asarray(xs), state


@pytest.mark.parametrize("make", [optim.adamw, optim.sgd, optim.lion])
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_a_step_of_several_gradients_is_one_of_their_mean(make, k, mean):
    got, state = run(optim.MultiSteps(make(0.1), k, mean), GRADIENTS)
    groups = GRADIENTS.reshape(-1, k, 3)
    want, inner = run(make(0.1), groups.mean(1) if mean else groups.sum(1))
    np.testing.assert_allclose(got[k - 1 :: k], want, rtol=1e-9)
    if k > 1:
        np.testing.assert_array_equal(got[: k - 1], np.tile(START, (k - 1, 1)))
    assert state.gradient_step == len(want) and state.mini_step == 0
    for a, b in zip(ff.tree.leaves(state.inner_opt_state), ff.tree.leaves(inner), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_the_number_of_gradients_may_follow_a_schedule():
    """1, 2, 3, ... gradients for a step."""
    optimizer = optim.MultiSteps(optim.sgd(1.0), lambda steps: steps + 1)
    state = optimizer.init(START)
    updated = []
    for gradient in GRADIENTS[:10]:
        _, state = optimizer.update(gradient, state)
        updated.append(bool(optimizer.has_updated(state)))
    assert np.flatnonzero(updated).tolist() == [0, 2, 5, 9]


def test_as_a_part_of_a_chain_it_hands_on_keywords():
    inner = optim.chain(optim.sgd(1.0), optim.reduce_on_plateau())
    tx = optim.chain(optim.scale(2.0), optim.MultiSteps(inner, 2).gradient_transformation())
    state = tx.init(START)
    for _ in range(2):
        updates, state = tx.update({"w": START}["w"], state, value=1.0)
    np.testing.assert_allclose(updates, -2 * START)


def test_parameters_without_updates():
    optimizer = optim.MultiSteps(optim.sgd(1.0), 2)
    params = {"a": START, "b": START}
    updates, state = optimizer.update({"a": START, "b": None}, optimizer.init(params), params)
    assert updates["b"] is None
    np.testing.assert_array_equal(state.acc_grads["b"], 0)
    np.testing.assert_array_equal(state.acc_grads["a"], START)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_gradients_change_nothing(bad):
    gradients = GRADIENTS.copy()
    gradients[[3, 4, 8], [0, 1, 2]] = bad
    got, state = run(optim.apply_if_finite(optim.adam(0.1), 5), gradients)
    good = np.delete(GRADIENTS, [3, 4, 8], axis=0)
    want, inner = run(optim.adam(0.1), good)
    np.testing.assert_allclose(np.delete(got, [3, 4, 8], axis=0), want, rtol=1e-12)
    np.testing.assert_array_equal(got[[3, 4, 8]], got[[2, 2, 7]])
    assert (state.total_notfinite, state.notfinite_count, state.last_finite) == (3, 0, True)
    assert state.inner_state[0].count == inner[0].count == 9


def test_too_many_bad_gradients_in_a_row_come_to_light():
    got, state = run(optim.apply_if_finite(optim.sgd(0.1), 2), np.full((3, 3), np.nan))
    np.testing.assert_array_equal(got[1], START)
    assert np.isnan(got[2]).all()
    assert (state.notfinite_count, state.last_finite) == (3, False)


def test_one_bad_leaf_is_enough():
    optimizer = optim.apply_if_finite(optim.sgd(1.0), 2)
    params = {"a": START, "b": None, "c": START}
    gradients = {"a": START, "b": None, "c": START * np.nan}
    updates, _ = optimizer.update(gradients, optimizer.init(params))
    np.testing.assert_array_equal(updates["a"], 0)
    assert updates["b"] is None
