"""One-hot vectors."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import AxisError, ShapeError, UnboundAxisError
from funcflow.testing import check_laws


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -3])
def test_axes(axis):
    x = np.array([[0, 2, 3], [1, -1, 2]])
    expected = np.moveaxis((x[..., None] == np.arange(3)).astype("float32"), -1, axis)
    got = nn.one_hot(x, 3, axis=axis)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, expected)


def test_dtypes_and_empty():
    assert nn.one_hot(1, 3, dtype="int8").tolist() == [0, 1, 0]
    assert nn.one_hot(fnp.zeros((0,), int), 3).shape == (0, 3)
    assert nn.one_hot(fnp.array([1]), 0).shape == (1, 0)
    assert nn.one_hot(np.array([255], "uint8"), 300)[0, 255] == 1
    np.testing.assert_array_equal(nn.one_hot(fnp.array([0.0, 2.0]), 3), np.eye(3)[[0, 2]])


def test_named_axis():
    x = np.array([0, 2, 1])
    spread = ff.vmap(lambda x: nn.one_hot(x, 3, axis="i"), axis_name="i", in_axes=None, axis_size=3)
    np.testing.assert_array_equal(spread(x), nn.one_hot(x, 3, axis=0))
    with pytest.raises(ShapeError, match="one_hot: the axis 'i' is of size 3, num_classes is 4"):
        ff.vmap(lambda x: nn.one_hot(x, 4, axis="i"), axis_name="i")(x)
    with pytest.raises(UnboundAxisError):
        nn.one_hot(x, 3, axis="i")


def test_laws_and_errors():
    check_laws(lambda x: nn.one_hot(x, 4), (np.array([[0, 2], [3, 1]]),))
    with pytest.raises(AxisError, match="one_hot: axis 2"):
        nn.one_hot(np.arange(3), 3, axis=2)
