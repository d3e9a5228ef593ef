import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError, ShapeError

UP = {1: nn.UpSample1d, 2: nn.UpSample2d, 3: nn.UpSample3d}
PAD = {1: nn.ZeroPad1d, 2: nn.ZeroPad2d, 3: nn.ZeroPad3d}
CROP = {1: nn.Crop1d, 2: nn.Crop2d, 3: nn.Crop3d}

factors = st.integers(1, 5)


@pytest.mark.parametrize("rank", PAD)
@given(data=st.data())
def test_cropping_inverts_padding(rank, data):
    ends = [tuple(data.draw(st.integers(0, 3)) for _ in "ab") for _ in range(rank)]
    x = ff.random.normal(ff.random.key(0), (2, *range(1, 1 + rank), 2))
    padded = PAD[rank](ends)(x)
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), *ends, (0, 0)]))
    np.testing.assert_array_equal(CROP[rank](ends)(padded), x)


@pytest.mark.parametrize("rank", UP)
@given(data=st.data())
def test_nearest_repeats(rank, data):
    by = tuple(data.draw(factors) for _ in range(rank))
    x = ff.random.normal(ff.random.key(0), (2, *range(1, 1 + rank), 2))
    expected = np.asarray(x)
    for axis, factor in enumerate(by, 1):
        expected = np.repeat(expected, factor, axis)
    np.testing.assert_array_equal(UP[rank](by)(x), expected)


def interpolated(x, factor, axis):
    """Values lie in the middle of their intervals, and are constant beyond the ends."""
    n = x.shape[axis]
    at = (np.arange(n * factor) + 0.5) / factor - 0.5
    return np.apply_along_axis(lambda line: np.interp(at, np.arange(n), line), axis, x)


@pytest.mark.parametrize("rank", UP)
@given(data=st.data())
def test_linear_lies_between_neighbours(rank, data):
    by = tuple(data.draw(factors) for _ in range(rank))
    x = ff.random.normal(ff.random.key(0), (2, *range(1, 1 + rank), 2))
    expected = np.asarray(x)
    for axis, factor in enumerate(by, 1):
        expected = interpolated(expected, factor, axis)
    np.testing.assert_allclose(UP[rank](by, method="linear")(x), expected, 1e-5, 1e-6)


def test_upsampling_keeps_integers_if_it_repeats():
    x = fnp.arange(2).reshape(1, 2, 1)
    assert nn.UpSample1d(2)(x).dtype == x.dtype
    np.testing.assert_array_equal(
        nn.UpSample1d(2, method="linear")(x)[0, :, 0], [0.0, 0.25, 0.75, 1.0]
    )


def test_all_can_be_cropped_but_not_more():
    x = fnp.ones((1, 3, 1))
    assert nn.Crop1d([(1, 2)])(x).shape == (1, 0, 1)
    with pytest.raises(ShapeError, match=r"crops \(\(2, 2\),\) of the spatial extents \(3,\)"):
        nn.Crop1d(2)(x)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.ZeroPad2d(-1), "padding must be an integer from 0 up"),
        (lambda: nn.Crop2d((1, 2, 3)), "cropping must be"),
        (lambda: nn.Crop1d([(1, 2, 3)]), "cropping must be"),
        (lambda: nn.UpSample2d(0), "factor must be a positive integer"),
        (lambda: nn.UpSample2d(2, method="cubic"), "'cubic' is not known"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
