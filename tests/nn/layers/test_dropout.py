import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError

KEY = ff.random.key(0)
X = fnp.ones((100, 20, 10))


def test_inference_passes_the_input():
    assert nn.Dropout(0.5)(X) is X


def test_a_part_is_dropped_and_the_mean_stays():
    y = np.asarray(nn.Dropout(0.25)(X, key=KEY))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.75)}
    np.testing.assert_allclose(np.mean(y == 0), 0.25, atol=0.01)


def test_nothing_is_dropped_and_no_key_needed_at_rate_0():
    y, _ = nn.training(lambda m, x: m(x))(nn.Dropout(0.0), X)
    assert y is X


def test_axes_are_dropped_together():
    y = np.asarray(nn.Dropout(0.5, broadcast_axes=(1,))(X, key=KEY)) != 0
    assert (y == y[:, :1]).all() and 0.4 < y.mean() < 0.6


def test_the_gradient_has_the_mask_of_the_value_which_is_drawn_once():
    def loss(x, key):
        y, _ = nn.training(lambda m, x: m(x))(nn.Dropout(0.5), x, key=key)
        return fnp.sum(y), y

    step = ff.grad(loss, has_aux=True)
    gradient, y = step(X, KEY)
    np.testing.assert_array_equal(gradient, y)
    hashes = [eqn.outvars[0].aval.size for eqn in equations(ff.make_jaxpr(step)(X, KEY))]
    assert hashes == [1, X.size]  # the key of the layer, and the mask


def equations(closed):
    return [eqn for eqn in closed.jaxpr.eqns if eqn.primitive.name == "threefry2x32"]


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_the_rate_is_a_probability(rate):
    with pytest.raises(ArgumentError, match="the rate must be from 0 to below 1"):
        nn.Dropout(rate)
