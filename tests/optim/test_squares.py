"""Scales by sums and averages of squares, where they have closed forms."""

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow import optim

G = np.array([-3.0, 0.5, 2.0])


def test_rss_of_equal_gradients_falls_with_the_root_of_their_number():
    tx = optim.scale_by_rss(0.0, 0.0)
    state = tx.init(fnp.asarray(G))
    for n in range(1, 6):
        updates, state = tx.update(fnp.asarray(G), state)
        np.testing.assert_allclose(updates, np.sign(G) / np.sqrt(n), rtol=1e-12)


def test_rss_of_nothing_is_zero():
    tx = optim.scale_by_rss(0.0, 1e-7)
    np.testing.assert_array_equal(tx.update(fnp.zeros(2), tx.init(fnp.zeros(2)))[0], 0)


@pytest.mark.parametrize("eps_in_sqrt", [True, False])
@pytest.mark.parametrize("bias_correction", [True, False])
def test_rms(eps_in_sqrt, bias_correction):
    tx = optim.scale_by_rms(0.9, 0.1, 2.0, eps_in_sqrt, bias_correction)
    updates, _ = tx.update(fnp.asarray(G), tx.init(fnp.asarray(G)))
    square = (0.9 * 2.0 + 0.1 * G**2) / (0.1 if bias_correction else 1)
    root = np.sqrt(square + 0.1) if eps_in_sqrt else np.sqrt(square) + 0.1
    np.testing.assert_allclose(updates, G / root, rtol=1e-12)


@pytest.mark.parametrize("bias_correction", [True, False])
def test_stddev(bias_correction):
    tx = optim.scale_by_stddev(0.5, 1e-3, bias_correction=bias_correction)
    state = tx.init(fnp.asarray(G))
    for g in (G, 3 * G):
        updates, state = tx.update(fnp.asarray(g), state)
    factor = 1 / 0.75 if bias_correction else 1
    mean, square = factor * (0.25 + 1.5) * G, factor * (0.25 + 4.5) * G**2
    np.testing.assert_allclose(updates, 3 * G / np.sqrt(square - mean**2 + 1e-3), rtol=1e-12)


def test_the_variance_of_equal_gradients_is_not_negative():
    tx = optim.scale_by_stddev(0.9, 1e-12, bias_correction=True)
    g = fnp.asarray(np.random.default_rng(0).standard_normal(1000), "float32")
    state = tx.init(g)
    for _ in range(5):
        updates, state = tx.update(g, state)
        assert np.isfinite(updates).all()


def test_adadelta_moves_as_far_as_before():
    """With no memory, the step has the size of the last one (and eps)."""
    tx = optim.scale_by_adadelta(rho=0.0, eps=1e-12)
    state = optim.ScaleByAdaDeltaState(fnp.zeros(1), fnp.full(1, 4.0))
    updates, state = tx.update(fnp.array([-100.0]), state)
    np.testing.assert_allclose(updates, [-2.0], rtol=1e-6)
    np.testing.assert_allclose(state.e_x, [4.0], rtol=1e-6)
