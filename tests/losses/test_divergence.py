"""Divergences: definitions, SciPy, torch, zeros, masks, laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses, nn
from funcflow.errors import ShapeError
from funcflow.testing import check_laws
from funcflow.testing.strategies import arrays

RANDOM = np.random.default_rng(0)
P, Q = RANDOM.dirichlet(np.full(4, 9.0), (2, 3))
SPARSE = np.array([[0.5, 0.5, 0, 0], [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4]])


def log(x):
    with np.errstate(divide="ignore"):
        return np.log(x)


@pytest.mark.parametrize("p", [P, SPARSE], ids=["dense", "sparse"])
def test_agreement_with_scipy(p):
    expected = special.rel_entr(p, Q).sum(-1)
    np.testing.assert_allclose(losses.kl_divergence(log(Q), p), expected, rtol=1e-12)
    got = losses.kl_divergence_with_log_targets(log(Q), log(p))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    expected = special.kl_div(3 * p, Q).sum(-1)
    got = losses.generalized_kl_divergence(log(Q), 3 * p)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    kl_div = torch.nn.functional.kl_div
    q, p = torch.tensor(log(Q)), torch.tensor(SPARSE)
    expected = kl_div(q, p, reduction="none").sum(-1)
    np.testing.assert_allclose(losses.kl_divergence(log(Q), SPARSE), expected)
    expected = kl_div(q, torch.tensor(log(P)), reduction="none", log_target=True).sum(-1)
    np.testing.assert_allclose(losses.kl_divergence_with_log_targets(log(Q), log(P)), expected)


@given(st.data())
def test_not_negative_and_zero_for_equal_distributions(data):
    log_p, log_q = (nn.log_softmax(data.draw(arrays("float64", (2, 3)))) for _ in range(2))
    p = fnp.exp(log_p)
    assert fnp.all(losses.kl_divergence(log_q, p) >= -1e-15)
    np.testing.assert_allclose(losses.kl_divergence(log_p, p), np.zeros(2), atol=1e-15)
    entropy = -fnp.sum(p * log_p, -1)
    by_entropies = losses.softmax_cross_entropy(log_q, p) - entropy
    np.testing.assert_allclose(losses.kl_divergence(log_q, p), by_entropies, atol=1e-12)
    scale = data.draw(st.floats(0.1, 10))
    assert fnp.all(losses.generalized_kl_divergence(log_q, scale * p) >= -1e-14)
    same = losses.generalized_kl_divergence(log_p + fnp.log(scale), scale * p)
    np.testing.assert_allclose(same, np.zeros(2), atol=1e-13)


def test_laws():
    check_laws(losses.kl_divergence, (log(Q), P))
    check_laws(losses.kl_divergence_with_log_targets, (log(Q), log(P)))
    check_laws(losses.generalized_kl_divergence, (log(Q), P))
    where = RANDOM.random((3, 4)) < 0.7
    check_laws(lambda q, p: losses.kl_divergence(q, p, 0, where), (log(Q), P))


def test_zeros_count_nothing():
    half, impossible = fnp.array([0.5, 0.5, 0.0]), fnp.array([np.log(0.5), np.log(0.5), -np.inf])
    value, gradients = ff.value_and_grad(losses.kl_divergence, (0, 1))(impossible, half)
    assert value == 0
    assert all(fnp.all(fnp.isfinite(g)) for g in gradients)
    value, gradients = ff.value_and_grad(losses.kl_divergence_with_log_targets, (0, 1))(
        impossible, impossible
    )
    assert value == 0
    assert all(fnp.all(fnp.isfinite(g)) for g in gradients)
    assert losses.kl_divergence(impossible, fnp.full(3, 1 / 3)) == np.inf


def test_masks():
    where = np.array([[True, False, True, True]] * 3)
    bad = np.where(where, log(Q), np.nan)
    expected = losses.kl_divergence(log(Q)[:, [0, 2, 3]], P[:, [0, 2, 3]])
    got = losses.kl_divergence(bad, P, where=where)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    got = losses.kl_divergence(log(Q), P, where=np.array([True, False, True]))
    expected = np.where(np.array([1, 0, 1]), losses.kl_divergence(log(Q), P), 0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_other_names_and_shapes():
    assert losses.convex_kl_divergence is losses.generalized_kl_divergence
    np.testing.assert_allclose(
        losses.kl_divergence(log(Q).T, P.T, axis=0), losses.kl_divergence(log(Q), P)
    )
    with pytest.raises(ShapeError, match="kl_divergence: targets must have the shape of"):
        losses.kl_divergence(log(Q), P[0])
