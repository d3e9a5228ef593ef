"""Scales by moments: first steps in closed form, and limits. Whole runs are in test_optimizers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim

G = np.array([-3.0, 1e-3, 2.0])
numbers = st.floats(0.01, 100) | st.floats(-100, -0.01)


@pytest.mark.parametrize(
    "make", [optim.scale_by_adam, optim.scale_by_amsgrad, optim.scale_by_adamax]
)
@given(g=st.lists(numbers, min_size=1, max_size=4), b1=st.floats(0, 0.99), b2=st.floats(0, 0.9999))
def test_the_first_step_is_the_sign(make, g, b1, b2):
    tx = make(b1, b2, eps=0.0)
    updates, _ = tx.update(fnp.asarray(g, "float64"), tx.init(fnp.zeros(len(g), "float64")))
    np.testing.assert_allclose(updates, np.sign(g), rtol=1e-9)


@pytest.mark.parametrize("make", [optim.scale_by_adam, optim.scale_by_amsgrad])
def test_the_size_of_the_gradient_does_not_count(make):
    def run(factor):
        tx = make(eps=0.0)
        state = tx.init(fnp.asarray(G))
        for g in (G, 2 * G, -G):
            updates, state = tx.update(fnp.asarray(factor * g), state)
        return updates

    np.testing.assert_allclose(run(1e6), run(1.0), rtol=1e-10)


def test_zero_gradients_give_zero_updates():
    for make in (optim.scale_by_adam, optim.scale_by_amsgrad, optim.scale_by_adamax):
        for dtype in ("float16", "bfloat16", "float32"):
            tx = make()
            zeros = fnp.zeros(2, dtype)
            updates, _ = tx.update(zeros, tx.init(zeros))
            np.testing.assert_array_equal(updates, 0)


def test_both_epsilons():
    tx = optim.scale_by_adam(eps=0.5, eps_root=1.0)
    updates, _ = tx.update(fnp.asarray(G), tx.init(fnp.asarray(G)))
    np.testing.assert_allclose(updates, G / (np.sqrt(G**2 + 1) + 0.5), rtol=1e-12)


def test_with_eps_root_the_derivative_at_zero_is_finite():
    def first(g):
        tx = optim.scale_by_adam(eps_root=1e-8)
        return tx.update(g, tx.init(fnp.zeros(())))[0]

    np.testing.assert_allclose(ff.grad(first)(0.0), 1 / (1e-4 + 1e-8), rtol=1e-5)


def test_amsgrad_remembers_the_largest_square():
    tx = optim.scale_by_amsgrad(b2=0.5)
    state = tx.init(fnp.zeros(1))
    for g in (1.0, 10.0, 1.0, 1.0):
        _, state = tx.update(fnp.array([g]), state)
    assert state.nu_max[0] > state.nu[0]
    np.testing.assert_allclose(state.nu_max, (0.5 * 0.5 * 1 + 0.5 * 100) / 0.75)


def test_lion_looks_at_the_gradient_and_the_average():
    tx = optim.scale_by_lion(b1=0.5, b2=0.9)
    state = tx.init(fnp.zeros(1))
    _, state = tx.update(fnp.array([10.0]), state)  # the average is 1
    np.testing.assert_allclose(state.mu, [1.0])
    assert tx.update(fnp.array([-0.5]), state)[0][0] == 1
    assert tx.update(fnp.array([-1.5]), state)[0][0] == -1
    assert state.count == 1
