import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, nn, train

KEYS = ff.random.split(ff.random.key(0), 2)


def test_layers_within_layers():
    branch = nn.Sequential([nn.Linear(8, 8, key=KEYS[1]), nn.relu])
    model = nn.Sequential([nn.Linear(4, 8, key=KEYS[0]), nn.Residual(branch), nn.BatchNorm(8)])
    assert train.summary(model, ff.ShapeDtypeStruct((32, 4), fnp.float32)) == (
        """\
layer                              kind        output     parameters
--------------------------------------------------------------------
(model)                            Sequential  f32[32,8]         128
  .layers[0]                       Linear      f32[32,8]          40
  .layers[1]                       Residual    f32[32,8]          72
    .layers[1].branch              Sequential  f32[32,8]          72
      .layers[1].branch.layers[0]  Linear      f32[32,8]          72
      .layers[1].branch.layers[1]  Activation  f32[32,8]           0
  .layers[2]                       BatchNorm   f32[32,8]          16
--------------------------------------------------------------------
128 parameters, 576 bytes"""
    )


def test_a_layer_that_is_called_twice_has_two_lines():
    class Twice(nn.Module):
        layer: nn.Linear

        def __call__(self, x):
            return self.layer(self.layer(x))

    table = train.summary(Twice(nn.Linear(3, 3, key=KEYS[0])), fnp.ones((1, 3)))
    assert table.count(".layer ") == 2
    assert table.endswith("12 parameters, 48 bytes")


def test_a_shape_is_no_input():
    with pytest.raises(
        errors.ArgumentError, match=r"got \(2, 3\)[\s\S]*ShapeDtypeStruct\(\(2, 3\)"
    ):
        train.summary(nn.Linear(3, 4, key=ff.random.key(0)), (2, 3))
