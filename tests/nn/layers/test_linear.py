import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import DtypeError, OutOfBoundsError

KEY = ff.random.key(0)


def test_a_linear_layer_is_a_product_and_a_sum():
    layer = nn.Linear(3, 2, bias_init=nn.initializers.normal(1.0), key=KEY)
    x = ff.random.normal(KEY, (4, 5, 3))
    expected = np.asarray(x) @ np.asarray(layer.kernel) + np.asarray(layer.bias)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(x[0, 0]), expected[0, 0], rtol=1e-5, atol=1e-6)


def test_an_embedding_is_an_affine_map_of_one_hot_vectors():
    layer = nn.Embedding(7, 3, key=KEY)
    symbols = fnp.array([[0, 6], [2, 2]])
    np.testing.assert_allclose(layer(symbols), nn.one_hot(symbols, 7) @ layer.embedding)
    np.testing.assert_allclose(layer.attend(layer(symbols)), layer(symbols) @ layer.embedding.T)


def test_gradients_of_repeated_symbols_add_up():
    gradient = ff.grad(lambda m: m(fnp.array([1, 1, 3])).sum())(nn.Embedding(4, 2, key=KEY))
    np.testing.assert_array_equal(gradient.embedding, [[0, 0], [2, 2], [0, 0], [1, 1]])


def test_symbols_are_integers_in_range():
    layer = nn.Embedding(7, 3, key=KEY)
    with pytest.raises(DtypeError, match="takes integers, got float32"):
        layer(fnp.ones(3))
    with pytest.raises(OutOfBoundsError):
        layer(fnp.array([7]))
