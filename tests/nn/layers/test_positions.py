"""Positions: the published formulas, and what rotary ones are for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError, OutOfBoundsError, ShapeError

KEY = ff.random.key(0)
Q, K = (ff.random.normal(ff.random.key(i), (1, 1, 2, 8), "float64") for i in (1, 2))


@settings(max_examples=40)
@given(place=st.integers(0, 500), other=st.integers(0, 500), shift=st.integers(-10000, 10000))
def test_rotary_products_depend_on_the_difference_only(place, other, shift):
    def product(i, j):
        turned = (nn.apply_rotary(x, fnp.array([float(n)])) for x, n in ((Q, i), (K, j)))
        return np.sum(np.prod(np.stack([*turned]), 0), -1)

    np.testing.assert_allclose(
        product(place, other), product(place + shift, other + shift), atol=1e-8
    )


def test_rotary_turns_points_of_planes():
    x = np.asarray(ff.random.normal(KEY, (2, 5, 3, 8)))
    turned = np.asarray(nn.apply_rotary(x, fnp.arange(5), base=100.0))
    angles = np.arange(5)[:, None] * 100.0 ** (-2 * np.arange(4) / 8)
    points = (x[..., :4] + 1j * x[..., 4:]) * np.exp(1j * angles)[:, None]
    np.testing.assert_allclose(turned, np.concatenate([points.real, points.imag], -1), atol=1e-5)


def test_rotary_positions_may_differ_between_sequences():
    x = ff.random.normal(KEY, (2, 3, 2, 4))
    positions = np.array([[0, 1, 2], [7, 8, 9]])
    rotary = nn.RotaryEmbedding(base=50.0)
    got = rotary(x, positions)
    for i in range(2):
        np.testing.assert_allclose(got[i], rotary(x[i], positions[i]), rtol=1e-6)
    np.testing.assert_allclose(got[0], rotary(x)[0], rtol=1e-6)


def test_rotary_angles_are_precise_in_half_precision():
    x = fnp.ones((1, 1, 1, 4), "bfloat16")
    got = nn.apply_rotary(x, fnp.array([1001]))
    assert got.dtype == "bfloat16"
    exact = nn.apply_rotary(x.astype("float64"), fnp.array([1001]))
    np.testing.assert_allclose(got.astype("float64"), exact, atol=1e-2)


def test_sinusoids():
    x = np.asarray(ff.random.normal(KEY, (2, 5, 6)))
    place, i = np.arange(5)[:, None], np.arange(6)
    angles = place / 10000 ** (2 * (i // 2) / 6)
    expected = x + np.where(i % 2 == 0, np.sin(angles), np.cos(angles))
    layer = nn.SinusoidalPositions(6)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    np.testing.assert_allclose(layer(x[:, 3:], np.arange(3, 5)), expected[:, 3:], atol=1e-5)


def test_learned_positions():
    layer, x = nn.LearnedPositions(8, 3, key=KEY), fnp.zeros((2, 5, 3))
    np.testing.assert_array_equal(layer(x)[1], layer.embedding[:5])
    np.testing.assert_array_equal(layer(x[:, :2], np.array([6, 7]))[0], layer.embedding[6:])


def test_errors():
    with pytest.raises(ShapeError, match="even number of features"):
        nn.apply_rotary(fnp.ones((1, 2, 1, 3)), fnp.arange(2))
    with pytest.raises(ArgumentError, match="even number of features"):
        nn.SinusoidalPositions(3)
    with pytest.raises(ShapeError, match="4 features"):
        nn.SinusoidalPositions(4)(fnp.ones((2, 3, 5)))
    learned = nn.LearnedPositions(4, 3, key=KEY)
    with pytest.raises(ShapeError, match="knows 4 places"):
        learned(fnp.ones((1, 5, 3)))
    with pytest.raises(OutOfBoundsError):
        learned(fnp.ones((1, 1, 3)), np.array([4]))
