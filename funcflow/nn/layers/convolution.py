"""Convolutions, channels last: images (batch, *spatial, channels), kernels (*window, in, out)."""

from collections.abc import Sequence
from typing import Any, ClassVar

import funcflow.numpy as fnp
from funcflow import lax, random
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.lax.convolution_shapes import dilated, transpose_pads
from funcflow.nn import initializers
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.arguments import expect_features
from funcflow.nn.layers.spatial import (
    Extents,
    Padding,
    Pairs,
    canonical_padding,
    extents,
    spatial_input,
)
from funcflow.nn.module import Module, static


class Conv(Module):
    """A convolution along any number of spatial axes; `Conv1d` to `Conv3d` know how many.

    As usual in machine learning, kernels are not flipped: see `lax.conv_general_dilated`.

    Args:
        in_channels: the extent of the input's last axis.
        out_channels: that of the output's.
        kernel_size: the window's extent along each spatial axis.
        strides: how far the window moves from place to place; one number, or one for each axis.
        padding: "SAME" (an axis of extent n gets an output of `ceil(n / stride)`, and what is odd
            is padded at its end), "SAME_LOWER" (at its front), "VALID" (none); or the number of
            zeros: one for all ends, one for each axis, or a pair (low, high) for each.
        dilation: the distance of the window's elements in the image.
        groups: into how many groups the channels fall; each group of outputs sees one of inputs.
        use_bias: whether a bias is added.
        kernel_init: draws the kernel, of shape `(*kernel_size, in_channels // groups,
            out_channels)`.
        bias_init: draws the bias, of shape `(out_channels,)`.
        dtype: of both; float32 if None.
        key: for the initializers.

    Raises:
        ArgumentError: the numbers of channels are no multiples of `groups`; or a kernel size,
            stride, padding or dilation is not what is said above.
        ShapeError: at a call, if the input has another rank or number of channels.

    Example:
        >>> layer = nn.Conv(3, 8, (3, 5), key=ff.random.key(0))
        >>> layer(fnp.ones((2, 16, 20, 3))).shape
        (2, 16, 20, 8)
    """

    _rank: ClassVar[int | None] = None

    kernel: Array
    bias: Array | None
    strides: int | tuple[int, ...] = static(default=1)
    padding: str | Pairs = static(default="SAME")
    dilation: int | tuple[int, ...] = static(default=1)
    groups: int = static(default=1)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        *,
        strides: Extents = 1,
        padding: Padding = "SAME",
        dilation: Extents = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        window = _window(kernel_size, self._rank)
        self.strides = _checked("strides", strides, len(window))
        self.padding = canonical_padding(padding, len(window))
        self.dilation = _checked("dilation", dilation, len(window))
        self.groups = _grouping(groups, in_channels, out_channels)
        kernel_key, bias_key = random.split(key)
        shape = (*window, in_channels // groups, out_channels)
        self.kernel = kernel_init(kernel_key, shape, dtype)
        self.bias = bias_init(bias_key, (out_channels,), dtype) if use_bias else None

    def __call__(self, x: Any) -> Array:
        rank = self.kernel.ndim - 2
        x, kernel = _operands(x, self.kernel, self.kernel.shape[-2] * self.groups)
        y = lax.conv_general_dilated(
            x,
            kernel,
            extents("strides", self.strides, rank),
            self.padding,
            rhs_dilation=extents("dilation", self.dilation, rank),
            dimension_numbers=_channels_last(rank),
            feature_group_count=self.groups,
        )
        return y if self.bias is None else y + self.bias


class Conv1d(Conv, init=False):
    """A convolution along one axis: inputs (batch, length, channels). The arguments are `Conv`'s.

    Example:
        >>> layer = nn.Conv1d(3, 8, 5, strides=2, key=ff.random.key(0))
        >>> layer
        Conv1d(kernel=f32[5,3,8], bias=f32[8], strides=2)
        >>> layer(fnp.ones((2, 20, 3))).shape
        (2, 10, 8)
    """

    _rank = 1


class Conv2d(Conv, init=False):
    """A convolution of images (batch, height, width, channels). The arguments are `Conv`'s.

    Example:
        >>> layer = nn.Conv2d(3, 8, 3, padding="VALID", key=ff.random.key(0))
        >>> layer(fnp.ones((2, 32, 32, 3))).shape
        (2, 30, 30, 8)
    """

    _rank = 2


class Conv3d(Conv, init=False):
    """A convolution of volumes (batch, depth, height, width, channels). The arguments are `Conv`'s.

    Example:
        >>> layer = nn.Conv3d(1, 4, 3, strides=(1, 2, 2), key=ff.random.key(0))
        >>> layer(fnp.ones((2, 6, 8, 8, 1))).shape
        (2, 6, 4, 4, 4)
    """

    _rank = 3


class DepthwiseConv2d(Conv2d):
    """A convolution of images by kernels that see one channel each.

    Args:
        channels: the extent of the input's last axis.
        kernel_size: as for `Conv`.
        multiplier: how many outputs there are of each channel; they lie side by side.
        **options: as for `Conv`: `strides`, `padding`, `dilation`, `use_bias`, `kernel_init`,
            `bias_init`, `dtype`, `key`.

    Raises:
        ArgumentError, ShapeError: as for `Conv`.

    Example:
        >>> layer = nn.DepthwiseConv2d(4, 3, multiplier=2, key=ff.random.key(0))
        >>> layer(fnp.ones((1, 8, 8, 4))).shape
        (1, 8, 8, 8)
    """

    def __init__(
        self, channels: int, kernel_size: Extents, *, multiplier: int = 1, **options: Any
    ) -> None:
        super().__init__(channels, channels * multiplier, kernel_size, groups=channels, **options)


class SeparableConv2d(Module):
    """A depthwise convolution of images, and one of extent 1 that mixes the channels.

    From Chollet, "Xception: deep learning with depthwise separable convolutions", arXiv:1610.02357.

    Args:
        in_channels: the extent of the input's last axis.
        out_channels: that of the output's.
        kernel_size: the window's extent, of the depthwise part.
        multiplier: how many channels the depthwise part makes of each.
        strides: of the depthwise part, as for `Conv`, and so the next two.
        padding: as above.
        dilation: as above.
        use_bias: whether a bias is added at the end.
        kernel_init: draws both kernels.
        bias_init: draws the bias.
        dtype: of all parameters; float32 if None.
        key: for the initializers.

    Raises:
        ArgumentError, ShapeError: as for `Conv`.

    Example:
        >>> layer = nn.SeparableConv2d(4, 16, 3, key=ff.random.key(0))
        >>> layer(fnp.ones((1, 8, 8, 4))).shape, nn.parameter_count(layer)
        ((1, 8, 8, 16), 116)
    """

    depthwise: DepthwiseConv2d
    pointwise: Conv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        *,
        multiplier: int = 1,
        strides: Extents = 1,
        padding: Padding = "SAME",
        dilation: Extents = 1,
        use_bias: bool = True,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        depthwise_key, pointwise_key = random.split(key)
        self.depthwise = DepthwiseConv2d(
            in_channels,
            kernel_size,
            multiplier=multiplier,
            strides=strides,
            padding=padding,
            dilation=dilation,
            use_bias=False,
            kernel_init=kernel_init,
            dtype=dtype,
            key=depthwise_key,
        )
        self.pointwise = Conv2d(
            in_channels * multiplier,
            out_channels,
            1,
            use_bias=use_bias,
            kernel_init=kernel_init,
            bias_init=bias_init,
            dtype=dtype,
            key=pointwise_key,
        )

    def __call__(self, x: Any) -> Array:
        return self.pointwise(self.depthwise(x))


class ConvTranspose(Module):
    """A transposed convolution ("deconvolution"): it goes from the shape of outputs to inputs.

    An axis of extent n gets an output of extent

    - `n * stride` with the padding "SAME",
    - `n * stride + max(w - stride, 0)` with "VALID", where `w = (kernel_size - 1) * dilation + 1`
      is the extent of the dilated window,
    - `(n - 1) * stride + w - low - high` with pairs.

    `ConvTranspose1d` to `ConvTranspose3d` know how many spatial axes there are. The kernel is not
    flipped: see `lax.conv_transpose`.

    Args:
        in_channels: the extent of the input's last axis.
        out_channels: that of the output's.
        kernel_size: the window's extent along each spatial axis.
        strides: how far the input's elements are pulled apart; one number, or one for each axis.
        padding: that of the convolution whose shapes this one inverts, "SAME" or "VALID"; or how
            much is cut off the full output: a number, one for each axis, or a pair (low, high) for
            each.
        dilation: the distance of the window's elements in the output.
        groups: into how many groups the channels fall; each group of outputs sees one of inputs.
        use_bias: whether a bias is added.
        kernel_init: draws the kernel, of shape `(*kernel_size, in_channels // groups,
            out_channels)`.
        bias_init: draws the bias, of shape `(out_channels,)`.
        dtype: of both; float32 if None.
        key: for the initializers.

    Raises:
        ArgumentError: the numbers of channels are no multiples of `groups`; or a kernel size,
            stride, padding or dilation is not what is said above.
        ShapeError: at a call, if the input has another rank or number of channels.

    Example:
        >>> layer = nn.ConvTranspose(3, 8, (4, 4), strides=2, key=ff.random.key(0))
        >>> layer(fnp.ones((2, 16, 16, 3))).shape
        (2, 32, 32, 8)
    """

    _rank: ClassVar[int | None] = None

    kernel: Array
    bias: Array | None
    strides: int | tuple[int, ...] = static(default=1)
    padding: str | Pairs = static(default="SAME")
    dilation: int | tuple[int, ...] = static(default=1)
    groups: int = static(default=1)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Extents,
        *,
        strides: Extents = 1,
        padding: Padding = "SAME",
        dilation: Extents = 1,
        groups: int = 1,
        use_bias: bool = True,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        window = _window(kernel_size, self._rank)
        self.strides = _checked("strides", strides, len(window))
        self.padding = canonical_padding(padding, len(window))
        if self.padding == "SAME_LOWER":
            raise ArgumentError("a transposed convolution has no padding SAME_LOWER")
        self.dilation = _checked("dilation", dilation, len(window))
        self.groups = _grouping(groups, in_channels, out_channels)
        kernel_key, bias_key = random.split(key)
        shape = (*window, in_channels // groups, out_channels)
        self.kernel = kernel_init(kernel_key, shape, dtype)
        self.bias = bias_init(bias_key, (out_channels,), dtype) if use_bias else None

    def __call__(self, x: Any) -> Array:
        rank = self.kernel.ndim - 2
        x, kernel = _operands(x, self.kernel, self.kernel.shape[-2] * self.groups)
        strides = extents("strides", self.strides, rank)
        dilation = extents("dilation", self.dilation, rank)
        windows = list(map(dilated, kernel.shape[:-2], dilation))
        y = lax.conv_general_dilated(
            x,
            kernel,
            (1,) * rank,
            _transposed_pads(self.padding, windows, strides),
            lhs_dilation=strides,
            rhs_dilation=dilation,
            dimension_numbers=_channels_last(rank),
            feature_group_count=self.groups,
        )
        return y if self.bias is None else y + self.bias


class ConvTranspose1d(ConvTranspose, init=False):
    """A transposed convolution along one axis; the arguments are `ConvTranspose`'s.

    Example:
        >>> layer = nn.ConvTranspose1d(3, 8, 4, strides=2, padding=1, key=ff.random.key(0))
        >>> layer(fnp.ones((2, 10, 3))).shape
        (2, 20, 8)
    """

    _rank = 1


class ConvTranspose2d(ConvTranspose, init=False):
    """A transposed convolution of images; the arguments are `ConvTranspose`'s.

    Example:
        >>> layer = nn.ConvTranspose2d(8, 3, 5, padding="VALID", key=ff.random.key(0))
        >>> layer(fnp.ones((2, 4, 4, 8))).shape
        (2, 8, 8, 3)
    """

    _rank = 2


class ConvTranspose3d(ConvTranspose, init=False):
    """A transposed convolution of volumes; the arguments are `ConvTranspose`'s.

    Example:
        >>> layer = nn.ConvTranspose3d(2, 1, 2, strides=2, key=ff.random.key(0))
        >>> layer(fnp.ones((1, 3, 4, 4, 2))).shape
        (1, 6, 8, 8, 1)
    """

    _rank = 3


def _window(kernel_size: Extents, rank: int | None) -> tuple[int, ...]:
    if rank is None:
        if isinstance(kernel_size, int):
            raise ArgumentError(
                f"the kernel size {kernel_size} does not say how many spatial axes there are",
                mend=f"pass one number for each, such as {(kernel_size, kernel_size)}",
            )
        rank = len(kernel_size)
    return extents("kernel_size", kernel_size, rank)


def _checked(what: str, given: Extents, rank: int) -> int | tuple[int, ...]:
    """The argument as it is, so that a single number is shown as one."""
    numbers = extents(what, given, rank)
    return given if isinstance(given, int) else numbers


def _grouping(groups: int, in_channels: int, out_channels: int) -> int:
    """The number of groups, which must divide both numbers of channels."""
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise ArgumentError(
            f"{in_channels} channels to {out_channels} do not fall into {groups} groups",
            mend="use a number of groups that divides both",
        )
    return groups


def _transposed_pads(padding: str | Pairs, windows: Sequence[int], strides: Sequence[int]) -> Pairs:
    """The padding of the dilated image, from that of the convolution which is transposed."""
    if isinstance(padding, str):
        both = zip(windows, strides, strict=True)
        return tuple(transpose_pads(w, stride, padding) for w, stride in both)
    ends = zip(windows, padding, strict=True)
    return tuple((w - 1 - low, w - 1 - high) for w, (low, high) in ends)


def _operands(x: Any, kernel: Array, channels: int) -> tuple[Array, Array]:
    """Image and kernel in one dtype, checked."""
    x = spatial_input(x, kernel.ndim - 2)
    expect_features(x, channels)
    dtype = fnp.result_type(x, kernel)
    return x.astype(dtype), kernel.astype(dtype)


def _channels_last(rank: int) -> lax.ConvDimensionNumbers:
    spatial = tuple(range(1, rank + 1))
    images = (0, rank + 1, *spatial)
    return lax.ConvDimensionNumbers(images, (rank + 1, rank, *range(rank)), images)
