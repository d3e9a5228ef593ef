import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError

MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}


def windows(x, window, strides, pads, fill):
    """The windows of images: the axes of `x`, then those of a window."""
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    axes = tuple(range(1, x.ndim - 1))
    places = tuple(slice(None, None, s) for s in strides)
    return sliding_window_view(x, window, axes)[(slice(None), *places)]


def images(rank, seed=0):
    return ff.random.normal(ff.random.key(seed), (2, *range(4, 4 + rank), 3))


@pytest.mark.parametrize("rank", MAX)
@given(data=st.data())
def test_pools_reduce_windows(rank, data):
    window = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    strides = tuple(data.draw(st.integers(1, 3)) for _ in range(rank))
    pads = tuple(tuple(data.draw(st.integers(0, w - 1)) for _ in "ab") for w in window)
    x = images(rank)
    inside = tuple(range(-rank, 0))

    def expected(fill, reduce):
        return reduce(windows(np.asarray(x), window, strides, pads, fill), inside)

    options = {"strides": strides, "padding": pads}
    np.testing.assert_array_equal(MAX[rank](window, **options)(x), expected(-np.inf, np.max))
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(AVG[rank](window, **options)(x), expected(0, np.mean), **close)
    mean_within = AVG[rank](window, **options, count_include_pad=False)
    np.testing.assert_allclose(mean_within(x), expected(np.nan, np.nanmean), **close)


@pytest.mark.parametrize("extent", [4, 5, 6])
@pytest.mark.parametrize("pool", [nn.MaxPool1d, nn.AvgPool1d])
def test_named_paddings(pool, extent):
    x = fnp.ones((1, extent, 1))
    assert pool(3)(x).shape[1] == (extent - 3) // 3 + 1  # windows side by side, none is cut
    assert pool(3, strides=2, padding="SAME")(x).shape[1] == -(-extent // 2)


def test_a_mean_that_counts_what_is_there_keeps_constants():
    pool = nn.AvgPool2d((2, 3), strides=1, padding="SAME", count_include_pad=False)
    np.testing.assert_allclose(pool(fnp.full((1, 4, 5, 1), 7.0)), np.full((1, 4, 5, 1), 7.0), 1e-6)


def test_pools_take_integers():
    x = fnp.arange(4).reshape(1, 4, 1)
    assert nn.MaxPool1d(2)(x).dtype == x.dtype
    np.testing.assert_array_equal(nn.MaxPool1d(3, strides=1, padding=1)(x)[0, :, 0], [1, 2, 3, 3])
    np.testing.assert_array_equal(nn.AvgPool1d(2)(x)[0, :, 0], [0.5, 2.5])
    np.testing.assert_array_equal(nn.AdaptiveAvgPool1d(2)(x)[0, :, 0], [0.5, 2.5])


def test_a_maximum_of_nan_is_nan():
    x = fnp.array([1.0, fnp.nan, 2.0, 3.0]).reshape(1, 4, 1)
    np.testing.assert_array_equal(nn.MaxPool1d(2)(x)[0, :, 0], [np.nan, 3.0])


def test_the_first_of_equal_maxima_has_the_derivative():
    gradient = ff.grad(lambda x: nn.MaxPool1d(2)(x).sum())(fnp.ones((1, 4, 1)))
    np.testing.assert_array_equal(gradient[0, :, 0], [1, 0, 1, 0])


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_global_pools_reduce_all_places(rank, keepdims):
    x, axes = images(rank), tuple(range(1, rank + 1))
    for name, reduce in (("Max", np.max), ("Avg", np.mean)):
        layer = getattr(nn, f"Global{name}Pool{rank}d")(keepdims=keepdims)
        expected = reduce(np.asarray(x), axes, keepdims=keepdims)
        np.testing.assert_allclose(layer(x), expected, 1e-5, 1e-6)


@given(extent=st.integers(1, 9), parts=st.integers(1, 9))
def test_adaptive_means_are_of_parts(extent, parts):
    x = np.random.default_rng(0).standard_normal((2, extent, 3)).astype("float32")
    expected = [
        x[:, i * extent // parts : -(-(i + 1) * extent // parts)].mean(1) for i in range(parts)
    ]
    got = nn.AdaptiveAvgPool1d(parts)(x)
    np.testing.assert_allclose(got, np.stack(expected, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.MaxPool2d(0), "window must be a positive integer or 2 of them"),
        (lambda: nn.MaxPool2d(2, strides=(1, 2, 3)), "strides must be"),
        (lambda: nn.AvgPool2d(2, padding=2), "windows of extent 2 with nothing in them"),
        (lambda: nn.AvgPool1d(2, padding="FULL"), "'FULL' is not known"),
        (lambda: nn.AdaptiveAvgPool2d(-1), "output_size must be"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
