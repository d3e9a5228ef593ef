import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError

KEY = ff.random.key(0)
RANKS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def correlated(x, kernel, strides, pads, dilation, groups):
    """The definition: a sum over the window, at each place."""
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    *window, inputs, outputs = kernel.shape
    counts = [
        (n - (w - 1) * d - 1) // s + 1
        for n, w, s, d in zip(x.shape[1:-1], window, strides, dilation, strict=True)
    ]
    result = np.zeros((len(x), *counts, outputs))
    for offset in itertools.product(*map(range, window)):
        places = tuple(
            slice(o * d, o * d + (c - 1) * s + 1, s)
            for o, c, s, d in zip(offset, counts, strides, dilation, strict=True)
        )
        part, weights = x[(slice(None), *places)], kernel[offset]
        for g in range(groups):
            of_inputs = slice(g * inputs, (g + 1) * inputs)
            of_outputs = slice(g * outputs // groups, (g + 1) * outputs // groups)
            result[..., of_outputs] += part[..., of_inputs] @ weights[:, of_outputs]
    return result


@st.composite
def layouts(draw, rank):
    one = st.integers(1, 3)
    return {
        "kernel_size": tuple(draw(one) for _ in range(rank)),
        "strides": tuple(draw(one) for _ in range(rank)),
        "dilation": tuple(draw(st.integers(1, 2)) for _ in range(rank)),
        "padding": tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank)),
    }


@pytest.mark.parametrize("rank", RANKS)
@given(data=st.data())
def test_it_is_the_sum_over_the_window(rank, data):
    layout, groups = data.draw(layouts(rank)), data.draw(st.sampled_from([1, 2]))
    layer = RANKS[rank](
        2, 4, **layout, groups=groups, bias_init=nn.initializers.normal(1.0), key=KEY
    )
    x = ff.random.normal(ff.random.key(1), (2, *range(5, 5 + rank), 2))
    expected = correlated(
        np.asarray(x, "float64"),
        np.asarray(layer.kernel, "float64"),
        layout["strides"],
        layout["padding"],
        layout["dilation"],
        groups,
    )
    np.testing.assert_allclose(layer(x), expected + np.asarray(layer.bias), 1e-4, 1e-4)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("extent", [5, 6, 7])
def test_named_paddings(stride, extent):
    x = fnp.ones((1, extent, 2))

    def length(padding):
        return nn.Conv1d(2, 2, 3, strides=stride, padding=padding, key=KEY)(x).shape[1]

    assert length("SAME") == length("same_lower") == -(-extent // stride)
    assert length("VALID") == length(0) == (extent - 3) // stride + 1


def test_the_base_takes_its_rank_from_the_window():
    layer = nn.Conv(2, 3, (1, 2, 3, 1), key=KEY)
    assert layer(fnp.ones((1, 2, 2, 2, 2, 2))).shape == (1, 2, 2, 2, 2, 3)
    with pytest.raises(ArgumentError, match=r"does not say how many[\s\S]*\(3, 3\)"):
        nn.Conv(2, 3, 3, key=KEY)


def test_a_depthwise_convolution_sees_one_channel_each():
    layer = nn.DepthwiseConv2d(3, 2, multiplier=2, key=KEY)
    x = fnp.zeros((1, 4, 4, 3)).at[..., 1].set(1.0)
    seen = np.any(np.asarray(layer(x)) != 0, axis=(0, 1, 2))
    np.testing.assert_array_equal(seen, [False, False, True, True, False, False])


def test_a_separable_convolution_is_two():
    layer = nn.SeparableConv2d(3, 5, 3, multiplier=2, use_bias=False, key=KEY)
    x = ff.random.normal(KEY, (2, 4, 4, 3))
    depthwise = np.asarray(layer.depthwise(x))
    np.testing.assert_allclose(layer(x), depthwise @ layer.pointwise.kernel[0, 0], 1e-4, 1e-5)
    assert layer.pointwise.bias is None


@pytest.mark.parametrize("rank", TRANSPOSED)
@given(data=st.data())
def test_a_transposed_convolution_is_the_adjoint(rank, data):
    """With a flipped kernel whose features change places: <T y, x> = <y, C x>."""
    layout = data.draw(layouts(rank))
    options = {**layout, "use_bias": False, "dtype": "float64", "key": KEY}
    forward, back = RANKS[rank](2, 3, **options), TRANSPOSED[rank](3, 2, **options)
    flipped = fnp.flip(forward.kernel, tuple(range(rank))).swapaxes(-1, -2)
    y = ff.random.normal(ff.random.key(1), (1, *[5] * rank, 3), "float64")
    result = back.replace(kernel=flipped)(y)
    x = ff.random.normal(ff.random.key(2), result.shape, "float64")
    np.testing.assert_allclose(fnp.vdot(result, x), fnp.vdot(y, forward(x)), 1e-9, 1e-9)


@pytest.mark.parametrize("rank", TRANSPOSED)
@given(data=st.data())
def test_groups_of_a_transposed_convolution_are_layers_of_their_own(rank, data):
    layout = {**data.draw(layouts(rank)), "dtype": "float64", "key": KEY}
    layer = TRANSPOSED[rank](4, 6, groups=2, **layout)
    x = ff.random.normal(ff.random.key(1), (1, *[4] * rank, 4), "float64")
    parts = [
        TRANSPOSED[rank](2, 3, **layout).replace(kernel=kernel, bias=bias)(part)
        for part, kernel, bias in zip(
            *(fnp.split(a, 2, -1) for a in (x, layer.kernel, layer.bias)), strict=True
        )
    ]
    np.testing.assert_allclose(layer(x), fnp.concatenate(parts, -1), 1e-9, 1e-9)


@pytest.mark.parametrize("window, stride, dilation", [(3, 2, 1), (2, 3, 1), (3, 2, 2), (1, 1, 1)])
def test_extents_of_transposed_convolutions(window, stride, dilation):
    def extent(padding):
        layer = nn.ConvTranspose1d(
            2, 2, window, strides=stride, dilation=dilation, padding=padding, key=KEY
        )
        return layer(fnp.ones((1, 5, 2))).shape[1]

    whole = (window - 1) * dilation + 1
    assert extent("SAME") == 5 * stride
    assert extent("VALID") == 5 * stride + max(whole - stride, 0)
    assert extent(0) == 4 * stride + whole


def test_kernel_and_bias_are_drawn_apart():
    normal = nn.initializers.normal(1.0)
    for layer in (
        nn.Conv1d(1, 4, 1, kernel_init=normal, bias_init=normal, key=KEY),
        nn.ConvTranspose1d(1, 4, 1, kernel_init=normal, bias_init=normal, key=KEY),
        nn.Linear(1, 4, kernel_init=normal, bias_init=normal, key=KEY),
    ):
        assert not np.array_equal(np.ravel(layer.kernel), np.ravel(layer.bias))


def test_the_window_counts_in_the_fan_of_the_initializer():
    kernel = nn.Conv2d(16, 256, 5, key=KEY).kernel
    np.testing.assert_allclose(np.std(kernel), (25 * 16) ** -0.5, rtol=0.02)


def test_images_of_integers_and_other_precisions_are_promoted():
    layer = nn.Conv1d(1, 1, 1, key=KEY)
    assert layer(fnp.ones((1, 2, 1), fnp.uint8)).dtype == fnp.float32
    assert layer(fnp.ones((1, 2, 1), fnp.bfloat16)).dtype == fnp.float32


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2, key=KEY), "3 channels to 4 do not fall into 2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2, key=KEY), "4 channels to 3 do not fall into 2"),
        (lambda: nn.ConvTranspose2d(4, 3, 3, groups=2, key=KEY), "4 channels to 3 do not fall"),
        (lambda: nn.Conv2d(3, 4, 0, key=KEY), "kernel_size must be a positive integer or 2"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3), key=KEY), "kernel_size must be .* got \\(3, 3, 3\\)"),
        (lambda: nn.Conv1d(3, 4, 3, strides=0, key=KEY), "strides must be .*got 0"),
        (lambda: nn.Conv1d(3, 4, 3, dilation=1.5, key=KEY), "dilation must be"),
        (lambda: nn.Conv2d(3, 4, 3, padding="FULL", key=KEY), "'FULL' is not known"),
        (lambda: nn.Conv2d(3, 4, 3, padding=(1, 2, 3), key=KEY), "padding must be"),
        (lambda: nn.Conv2d(3, 4, 3, padding=-1, key=KEY), "padding must be"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="same_lower", key=KEY), "no padding"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
