"""Cosines and triplets: closed forms, torch, scaling, zeros, masks, laws."""

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

X = np.array([[1.0, -2.0, 0.5], [0.3, 0.4, -2.0]])
Y = np.array([[0.2, 1.0, 2.5], [-0.3, 1.4, 1.0]])
Z = np.array([[1.2, -1.0, 0.1], [0.7, -1.4, 0.3]])


@given(arrays("float64", (3, 4), smooth=True), arrays("float64", (3, 4), smooth=True), st.data())
def test_cosines_are_bounded_and_do_not_see_lengths(x, y, data):
    scale = data.draw(st.sampled_from([1e-3, 0.5, 7.0, 1e5]))
    cosine = losses.cosine_similarity(x, y)
    assert fnp.all(fnp.abs(cosine) <= 1 + 1e-12)
    np.testing.assert_allclose(losses.cosine_similarity(scale * x, y), cosine, atol=1e-12)
    np.testing.assert_allclose(losses.cosine_similarity(-x, y), -cosine, atol=1e-12)
    np.testing.assert_allclose(losses.cosine_distance(x, scale * x), np.zeros(3), atol=1e-12)
    np.testing.assert_allclose(losses.cosine_distance(x, y), 1 - cosine)


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, y, z = map(torch.tensor, (X, Y, Z))
    expected = functional.cosine_similarity(x, y)
    np.testing.assert_allclose(losses.cosine_similarity(X, Y), expected)
    expected = functional.cosine_embedding_loss(x, y, torch.ones(2), reduction="none")
    np.testing.assert_allclose(losses.cosine_distance(X, Y), expected)
    expected = functional.triplet_margin_loss(x, y, z, 2.0, eps=0, reduction="none")
    got = losses.triplet_margin_loss(X, Y, Z, margin=2.0, eps=0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    expected = functional.triplet_margin_loss(x, z, y, 9.0, p=3, eps=0, reduction="none")
    got = losses.triplet_margin_loss(X, Z, Y, norm_degree=3, margin=9.0, eps=0)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_laws():
    check_laws(losses.cosine_similarity, (X, Y))
    check_laws(lambda x, y: losses.cosine_distance(x, y, epsilon=0.3, axis=0), (X, Y))
    check_laws(losses.triplet_margin_loss, (X, Y, Z))
    check_laws(lambda *x: losses.triplet_margin_loss(*x, axis=0, norm_degree=3), (X, Y, Z))


def test_a_vector_of_zeros_has_no_angle_and_no_gradient():
    zeros = fnp.zeros(3)
    total = ff.value_and_grad(losses.cosine_similarity, argnums=(0, 1))
    value, gradients = total(zeros, fnp.ones(3))
    assert value == 0
    np.testing.assert_array_equal(gradients, np.zeros((2, 3)))


def test_epsilon_bounds_the_squared_lengths():
    x, y = fnp.array([0.3, 0.0]), fnp.array([2.0, 0.0])
    np.testing.assert_allclose(losses.cosine_similarity(x, y, epsilon=0.25), 0.6, rtol=1e-6)


def test_what_is_excluded_has_no_influence():
    where = np.array([[True, True, False], [False, True, True]])
    bad = np.where(where, X, np.nan)
    expected = [losses.cosine_similarity(X[0, :2], Y[0, :2]), None]
    expected[1] = losses.cosine_similarity(X[1, 1:], Y[1, 1:])
    got = losses.cosine_similarity(bad, Y, where=where)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    rows = losses.cosine_similarity(X, Y, where=np.array([True, False]))
    np.testing.assert_allclose(rows, [losses.cosine_similarity(X[0], Y[0]), 0], rtol=1e-12)
    gradient = ff.grad(lambda x: losses.cosine_similarity(x, Y, where=where).sum())(bad)
    assert fnp.all(fnp.isfinite(gradient))


def test_triplets_at_rest():
    value, gradients = ff.value_and_grad(losses.triplet_margin_loss, (0, 1, 2))(X[0], X[0], X[0])
    assert value == 1  # the margin
    assert all(fnp.all(fnp.isfinite(g)) for g in gradients)
    assert losses.triplet_margin_loss(X[0], X[0], X[0] + 5) == 0


def test_shapes_are_not_broadcast():
    with pytest.raises(ShapeError, match="cosine_similarity: predictions and targets must have"):
        losses.cosine_similarity(X, Y[0])
    with pytest.raises(ShapeError, match="triplet_margin_loss: anchors and negatives must have"):
        losses.triplet_margin_loss(X, Y, Z[0])
