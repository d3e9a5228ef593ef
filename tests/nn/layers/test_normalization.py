import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError

X = ff.random.normal(ff.random.key(0), (6, 4, 5, 8)) * 3 + 2


def call(layer, x):
    return layer(x)


def standardized(x, axes, epsilon=1e-5):
    x = np.asarray(x, "float64")
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def of_groups(x, count):
    shape = np.shape(x)
    groups = np.reshape(x, (*shape[:-1], count, -1))
    return standardized(groups, (1, 2, 4)).reshape(shape)


@pytest.mark.parametrize(
    "layer, expected",
    [
        (nn.LayerNorm(8), lambda x: standardized(x, 3)),
        (nn.LayerNorm((5, 8)), lambda x: standardized(x, (2, 3))),
        (nn.GroupNorm(8, 2), lambda x: of_groups(x, 2)),
        (nn.InstanceNorm(8), lambda x: standardized(x, (1, 2))),
        (nn.RMSNorm(8), lambda x: x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)),
    ],
    ids=lambda p: type(p).__name__ if isinstance(p, nn.Module) else "",
)
def test_each_norm_averages_over_its_axes(layer, expected):
    np.testing.assert_allclose(layer(X), expected(np.asarray(X, "float64")), 1e-4, 1e-5)


def test_batch_norm_uses_the_batch_in_training_and_averages_in_inference():
    layer = nn.BatchNorm(8, momentum=0.75)
    y, trained = nn.training(call)(layer, X)
    np.testing.assert_allclose(y, standardized(X, (0, 1, 2)), 1e-4, 1e-4)
    mean, var = np.asarray(X).mean((0, 1, 2)), np.asarray(X).var((0, 1, 2))
    np.testing.assert_allclose(trained.mean, 0.25 * mean, rtol=1e-4)
    np.testing.assert_allclose(trained.var, 0.75 + 0.25 * var, rtol=1e-4)
    expected = (X - trained.mean) / fnp.sqrt(trained.var + 1e-5)
    np.testing.assert_allclose(trained(X), expected, 1e-4, 1e-4)


def test_scale_and_bias_come_last():
    layer = nn.LayerNorm(8).replace(scale=fnp.arange(8.0), bias=fnp.ones(8))
    expected = standardized(X, 3) * np.arange(8.0) + 1
    np.testing.assert_allclose(layer(X), expected, 1e-4, 1e-4)
    bare = nn.LayerNorm(8, use_scale=False, use_bias=False)
    assert not ff.tree.leaves(bare)


def test_statistics_are_taken_over_a_named_axis():
    """A batch that is spread over a mapped axis is normalised as if it were in one place."""
    layer = nn.BatchNorm(8, axis_name="devices")
    parts = X.reshape(2, 3, 4, 5, 8)

    def loss(layer, x):
        y, trained = nn.training(call)(layer, x)
        return fnp.sum(y**3), trained

    def spread(layer, parts):
        losses, trained = ff.vmap(loss, in_axes=(None, 0), axis_name="devices")(layer, parts)
        return losses.sum(), trained

    whole = layer.replace(axis_name=None)
    (expected, once), gradient = ff.value_and_grad(loss, argnums=1, has_aux=True)(whole, X)
    (value, each), got = ff.value_and_grad(spread, argnums=1, has_aux=True)(layer, parts)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    np.testing.assert_allclose(got.reshape(X.shape), gradient, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(each.mean, fnp.stack([once.mean] * 2), rtol=1e-4)


def test_statistics_of_halves_are_taken_in_single_precision():
    x = (fnp.arange(4096) % 2 + 1000).astype(fnp.float16)
    np.testing.assert_allclose(nn.LayerNorm(4096)(x), np.where(np.arange(4096) % 2, 1, -1), 1e-3)


def test_groups_divide_the_channels():
    with pytest.raises(ArgumentError, match="8 channels do not fall into 3 groups"):
        nn.GroupNorm(8, 3)
