"""Elementwise losses of numbers: closed forms, torch, laws, extremes, shapes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses
from funcflow.errors import ShapeError
from funcflow.testing import check_laws
from funcflow.testing.strategies import arrays, shapes

LOSSES = ["squared_error", "l2_loss", "absolute_error", "huber_loss", "log_cosh"]
X = np.array([[-3.5, 0.3, 0.8], [1.5, -0.2, 20.0]])
Y = np.array([[-3.0, 0.7, -0.9], [1.0, 2.2, -5.0]])


@pytest.mark.parametrize("name", LOSSES)
@given(st.data())
def test_not_negative_symmetric_and_zero_where_equal(name, data):
    shape = data.draw(shapes())
    x, y = (data.draw(arrays("float64", shape)) for _ in range(2))
    loss = getattr(losses, name)
    assert fnp.all(loss(x, y) >= 0)
    assert loss(x, y).shape == shape
    np.testing.assert_array_equal(loss(x, x), np.zeros(shape))
    np.testing.assert_array_equal(loss(x, y), loss(y, x))
    np.testing.assert_array_equal(loss(x, y), loss(x - y))


@pytest.mark.parametrize("name", LOSSES)
def test_laws(name):
    check_laws(getattr(losses, name), (X.astype("float32"), Y.astype("float32")))


def test_agreement_with_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    x, y = torch.tensor(X), torch.tensor(Y)
    expected = functional.mse_loss(x, y, reduction="none")
    np.testing.assert_allclose(losses.squared_error(X, Y), expected)
    np.testing.assert_allclose(losses.l2_loss(X, Y), expected / 2)
    expected = functional.l1_loss(x, y, reduction="none")
    np.testing.assert_allclose(losses.absolute_error(X, Y), expected)
    expected = functional.huber_loss(x, y, reduction="none", delta=0.6)
    np.testing.assert_allclose(losses.huber_loss(X, Y, delta=0.6), expected)


def test_huber_has_the_clipped_gradient_of_l2():
    gradient = ff.grad(lambda x: fnp.sum(losses.huber_loss(x, Y, delta=0.5)))(X)
    np.testing.assert_allclose(gradient, np.clip(X - Y, -0.5, 0.5), rtol=1e-12)
    kinks = fnp.array([-1.0, 0.0, 1.0])
    assert ff.vmap(ff.grad(losses.huber_loss))(kinks).tolist() == [-1, 0, 1]
    check_laws(lambda delta: losses.huber_loss(X, Y, delta), (np.float64(0.7),))


def test_log_cosh_is_exact_near_zero_and_far_from_it():
    x = np.array([0.0, 1e-12, 1e-4, 0.5, 0.999, 1.001, 5.0, 1e300])
    expected = [0, 5e-25, 5e-9 - 1e-16 / 12, *map(math.log, np.cosh(x[3:7])), 1e300]
    np.testing.assert_allclose(losses.log_cosh(x), expected, rtol=1e-12)
    np.testing.assert_allclose(ff.vmap(ff.grad(losses.log_cosh))(x), np.tanh(x), rtol=1e-12)
    single = losses.log_cosh(fnp.asarray(x[:7], "float32"))
    np.testing.assert_allclose(single, expected[:7], rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_shapes_are_not_broadcast(name):
    loss = getattr(losses, name)
    message = rf"{name}: predictions and targets must have one shape, got f32"
    with pytest.raises(ShapeError, match=message):
        loss(fnp.ones((3, 1)), fnp.ones(3))
    np.testing.assert_array_equal(loss(fnp.full((2, 1), 0.5), 0.5), np.zeros((2, 1)))
    assert loss(np.arange(3), np.arange(3)).dtype.kind == "f"
