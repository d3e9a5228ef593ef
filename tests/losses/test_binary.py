"""Losses of two classes: closed forms, torch, laws, extremes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses
from funcflow.errors import ShapeError
from funcflow.testing import check_laws
from funcflow.testing.strategies import arrays

LOGITS = np.array([-30.0, -2.0, -0.3, 0.4, 3.0, 25.0])
HARD = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])
SOFT = np.array([0.9, 0.2, 0.5, 0.7, 0.1, 0.3])
SIGNS = np.array([1, -1, 1, -1, 1, -1])
NAMES = ["sigmoid_binary_cross_entropy", "sigmoid_focal_loss", "hinge_loss", "perceptron_loss"]


def probability(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("labels", [HARD, SOFT], ids=["hard", "soft"])
def test_cross_entropy_by_its_definition(labels):
    p = probability(LOGITS)
    expected = -labels * np.log(p) - (1 - labels) * np.log(probability(-LOGITS))
    got = losses.sigmoid_binary_cross_entropy(LOGITS, labels)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    gradient = ff.vmap(ff.grad(losses.sigmoid_binary_cross_entropy))(LOGITS, labels)
    np.testing.assert_allclose(gradient, p - labels, rtol=1e-11)


@given(st.data())
def test_losses_are_not_negative(data):
    logits = data.draw(arrays("float32", (5,)))
    labels = data.draw(arrays("float32", (5,), min_value=0, max_value=1))
    assert fnp.all(losses.sigmoid_binary_cross_entropy(logits, labels) >= 0)
    focal = losses.sigmoid_focal_loss(logits, labels)
    assert fnp.all(focal >= 0)
    assert fnp.all(focal <= losses.sigmoid_binary_cross_entropy(logits, labels))
    assert fnp.all(losses.hinge_loss(logits, 1) >= losses.perceptron_loss(logits, 1))
    assert fnp.all(losses.perceptron_loss(logits, -1) >= 0)


@pytest.mark.parametrize("labels", [HARD, SOFT], ids=["hard", "soft"])
def test_focal_loss_by_its_definition(labels):
    p = probability(LOGITS)
    missed = p * (1 - labels) + probability(-LOGITS) * labels
    entropy = np.asarray(losses.sigmoid_binary_cross_entropy(LOGITS, labels))
    for gamma in (0.0, 0.5, 2.0):
        got = losses.sigmoid_focal_loss(LOGITS, labels, gamma=gamma)
        np.testing.assert_allclose(got, missed**gamma * entropy, rtol=1e-12)
    weights = 0.25 * labels + 0.75 * (1 - labels)
    got = losses.sigmoid_focal_loss(LOGITS, labels, alpha=0.25)
    np.testing.assert_allclose(got, weights * missed**2 * entropy, rtol=1e-12)
    got = losses.sigmoid_focal_loss(LOGITS, labels, alpha=-1)
    np.testing.assert_allclose(got, missed**2 * entropy, rtol=1e-12)


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, y = torch.tensor(LOGITS), torch.tensor(SOFT)
    expected = functional.binary_cross_entropy_with_logits(x, y, reduction="none")
    np.testing.assert_allclose(losses.sigmoid_binary_cross_entropy(LOGITS, SOFT), expected)
    # torch's margin_ranking_loss(x, 0, y, margin) is max(0, margin - y * x)
    signs, zeros = torch.tensor(SIGNS), torch.zeros(6)
    for loss, margin in ((losses.hinge_loss, 1.0), (losses.perceptron_loss, 0.0)):
        ranking = functional.margin_ranking_loss(x, zeros, signs, margin, reduction="none")
        np.testing.assert_allclose(loss(LOGITS, SIGNS), ranking)


@pytest.mark.parametrize("name", NAMES)
def test_laws(name):
    labels = SIGNS if name in ("hinge_loss", "perceptron_loss") else SOFT
    check_laws(getattr(losses, name), (LOGITS[1:5], labels[1:5].astype("float64")))
    check_laws(lambda x: getattr(losses, name)(x, 1), (LOGITS[1:5].astype("float32"),))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_gradients_are_finite_at_extreme_logits(dtype, gamma):
    largest = fnp.finfo(dtype).max
    logits = fnp.array([-largest, -1e3, 0, 1e3, largest]).astype(dtype)

    def both(x, y):
        focal = losses.sigmoid_focal_loss(x, y, 0.5, gamma)
        return losses.sigmoid_binary_cross_entropy(x, y), focal

    for label in (0.0, 1.0):
        values = both(logits, label)
        assert all(v.dtype == logits.dtype and fnp.all(fnp.isfinite(v)) for v in values)
        for i in range(2):
            gradient = ff.vmap(ff.grad(lambda x, i=i, y=label: both(x, y)[i]))(logits)
            assert fnp.all(fnp.isfinite(gradient))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_not_broadcast(name):
    with pytest.raises(ShapeError, match=rf"{name}: .* must have one shape"):
        getattr(losses, name)(LOGITS[:, None], HARD)
