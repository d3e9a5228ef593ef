import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ShapeError

K1, K2 = ff.random.split(ff.random.key(0))
X = ff.random.normal(ff.random.key(1), (5, 3))


@pytest.fixture
def model():
    return nn.Sequential([nn.Linear(3, 4, key=K1), nn.relu, nn.Linear(4, 2, key=K2)])


def test_layers_follow_one_another(model):
    np.testing.assert_array_equal(model(X), model[2](nn.relu(model[0](X))))


def test_a_sequence_of_layers_is_one(model):
    assert len(model) == 3 and list(model) == [*model.layers]
    assert model[-1] is model.layers[2] and isinstance(model[1], nn.Activation)
    np.testing.assert_array_equal(model[1:](model[:1](X)), model(X))
    np.testing.assert_array_equal(nn.Sequential([])(X), X)


def test_an_error_names_the_place(model):
    narrow = nn.Sequential([nn.Linear(3, 2, key=K2)])
    with pytest.raises(ShapeError) as caught:
        nn.Sequential([nn.relu, model, narrow])(X)
    assert caught.value.__notes__ == ["in Sequential.layers[2].layers[0] (Linear)"]


def test_a_residual_adds_its_input_or_what_a_shortcut_makes_of_it():
    linear = nn.Linear(3, 3, key=K1)
    np.testing.assert_array_equal(nn.Residual(linear)(X), X + linear(X))
    narrow, shortcut = nn.Linear(3, 2, key=K1), nn.Linear(3, 2, key=K2)
    np.testing.assert_array_equal(nn.Residual(narrow, shortcut)(X), shortcut(X) + narrow(X))


def test_flatten_keeps_the_batch():
    x = fnp.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(nn.Flatten()(x), np.arange(24).reshape(2, 12))
    assert nn.Flatten()(fnp.ones(3)).shape == (3, 1)
    assert nn.Flatten()(fnp.ones((0, 3, 2))).shape == (0, 6)
    with pytest.raises(ShapeError, match="with a batch axis"):
        nn.Flatten()(1.0)
