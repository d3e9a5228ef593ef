"""Layers that change extents: padding with zeros, cropping, upsampling."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.nn.layers.spatial import Extents, Pairs, extents, pairs, spatial_input
from funcflow.nn.module import Module, static


class _ZeroPad(Module):
    _rank: ClassVar[int]

    padding: Pairs = static()

    def __init__(self, padding: int | Sequence[int | Sequence[int]]) -> None:
        self.padding = pairs("padding", padding, self._rank)

    def __call__(self, x: Any) -> Array:
        return fnp.pad(spatial_input(x, self._rank), ((0, 0), *self.padding, (0, 0)))


class ZeroPad1d(_ZeroPad, init=False):
    """Puts zeros around: inputs (batch, length, channels).

    Args:
        padding: how many zeros: a number for both ends, or for the axis a pair (low, high).

    Raises:
        ArgumentError: `padding` is something else, or negative.
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.ZeroPad1d([(1, 2)])(fnp.ones((1, 2, 1)))[0, :, 0]
        Array([0., 1., 1., 0., 0.], dtype=float32)
    """

    _rank = 1


class ZeroPad2d(_ZeroPad, init=False):
    """Puts zeros around images (batch, height, width, channels).

    Args:
        padding: how many zeros: a number for all ends, or for each axis a number or a pair
            (low, high).

    Raises:
        ArgumentError: `padding` is something else, or negative.
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.ZeroPad2d((1, (0, 2)))(fnp.ones((1, 8, 8, 3))).shape
        (1, 10, 10, 3)
    """

    _rank = 2


class ZeroPad3d(_ZeroPad, init=False):
    """Puts zeros around volumes (batch, depth, height, width, channels); see `ZeroPad2d`.

    Example:
        >>> nn.ZeroPad3d(1)(fnp.ones((1, 4, 8, 8, 3))).shape
        (1, 6, 10, 10, 3)
    """

    _rank = 3


class _Crop(Module):
    _rank: ClassVar[int]

    cropping: Pairs = static()

    def __init__(self, cropping: int | Sequence[int | Sequence[int]]) -> None:
        self.cropping = pairs("cropping", cropping, self._rank)

    def __call__(self, x: Any) -> Array:
        x = spatial_input(x, self._rank)
        spatial = x.shape[1:-1]
        for extent, ends in zip(spatial, self.cropping, strict=True):
            if sum(ends) > extent:
                raise ShapeError(
                    f"the layer crops {self.cropping} of the spatial extents {spatial}",
                    mend="crop no more than there is",
                )
        kept = (
            slice(low, extent - high)
            for extent, (low, high) in zip(spatial, self.cropping, strict=True)
        )
        return x[(slice(None), *kept)]


class Crop1d(_Crop, init=False):
    """Cuts off ends: inputs (batch, length, channels).

    Args:
        cropping: how much: a number for both ends, or for the axis a pair (low, high).

    Raises:
        ArgumentError: `cropping` is something else, or negative.
        ShapeError: at a call, if the input has another rank, or less than is to be cut off.

    Example:
        >>> nn.Crop1d([(1, 2)])(fnp.arange(5.0).reshape(1, 5, 1))[0, :, 0]
        Array([1., 2.], dtype=float32)
    """

    _rank = 1


class Crop2d(_Crop, init=False):
    """Cuts off ends of images (batch, height, width, channels).

    Args:
        cropping: how much: a number for all ends, or for each axis a number or a pair (low, high).

    Raises:
        ArgumentError: `cropping` is something else, or negative.
        ShapeError: at a call, if the input has another rank, or less than is to be cut off.

    Example:
        >>> nn.Crop2d((1, (0, 2)))(fnp.ones((1, 8, 8, 3))).shape
        (1, 6, 6, 3)
    """

    _rank = 2


class Crop3d(_Crop, init=False):
    """Cuts off ends of volumes (batch, depth, height, width, channels); see `Crop2d`.

    Example:
        >>> nn.Crop3d(1)(fnp.ones((1, 4, 8, 8, 3))).shape
        (1, 2, 6, 6, 3)
    """

    _rank = 3


class _UpSample(Module):
    _rank: ClassVar[int]

    factor: int | tuple[int, ...] = static()
    method: str = static(default="nearest")

    def __init__(self, factor: Extents, *, method: str = "nearest") -> None:
        if method not in ("nearest", "linear"):
            raise ArgumentError(f"the method {method!r} is not known", mend='"nearest" or "linear"')
        factors = extents("factor", factor, self._rank)
        self.factor = factor if isinstance(factor, int) else factors
        self.method = method

    def __call__(self, x: Any) -> Array:
        x = spatial_input(x, self._rank)
        factors = extents("factor", self.factor, self._rank)
        return _repeated(x, factors) if self.method == "nearest" else _interpolated(x, factors)


class UpSample1d(_UpSample, init=False):
    """More places: (batch, length, channels) to (batch, length * factor, channels).

    Places count as intervals, and values lie in their middle: the first of 2 * n places is at -1/4
    between the n old ones.

    Args:
        factor: how many places to make of one.
        method: "nearest" repeats values, "linear" lies on a line between the neighbours, and
            beyond the ends is constant.

    Raises:
        ArgumentError: the factor is no positive integer, or the method unknown.
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> x = fnp.array([[[0.0], [4.0]]])
        >>> nn.UpSample1d(2)(x)[0, :, 0]
        Array([0., 0., 4., 4.], dtype=float32)
        >>> nn.UpSample1d(2, method="linear")(x)[0, :, 0]
        Array([0., 1., 3., 4.], dtype=float32)
    """

    _rank = 1


class UpSample2d(_UpSample, init=False):
    """Larger images: heights and widths of (batch, height, width, channels) grow by factors.

    See `UpSample1d`; there is one factor for both axes, or one for each. "linear" is also known as
    bilinear.

    Example:
        >>> nn.UpSample2d(2)(fnp.ones((1, 8, 8, 3))).shape
        (1, 16, 16, 3)
    """

    _rank = 2


class UpSample3d(_UpSample, init=False):
    """Larger volumes: the extents of (batch, depth, height, width, channels) grow by factors.

    See `UpSample1d`; there is one factor for all axes, or one for each. "linear" is also known as
    trilinear.

    Example:
        >>> nn.UpSample3d((1, 2, 2))(fnp.ones((1, 4, 8, 8, 3))).shape
        (1, 4, 16, 16, 3)
    """

    _rank = 3


def _repeated(x: Array, factors: tuple[int, ...]) -> Array:
    """Each place as a block; a view that is written once."""
    shape, batch, channels = x.shape[1:-1], x.shape[0], x.shape[-1]
    apart = [k for n in shape for k in (n, 1)]
    blocks = [k for pair in zip(shape, factors, strict=True) for k in pair]
    grown = [n * factor for n, factor in zip(shape, factors, strict=True)]
    x = fnp.broadcast_to(x.reshape(batch, *apart, channels), (batch, *blocks, channels))
    return x.reshape(batch, *grown, channels)


def _interpolated(x: Array, factors: tuple[int, ...]) -> Array:
    """Linear interpolation: a transposed convolution of each channel with a tent.

    Values are pulled apart by the factor, and a tent of twice that width reaches from each to its
    neighbours; where the factor is even its top is between two places. At the ends, values are
    repeated first.
    """
    x = x if dtypes.is_inexact(x.dtype) else x.astype(dtypes.default_float())
    rank, channels = len(factors), x.shape[-1]
    kernel = np.ones((), x.dtype)
    for factor in factors:
        kernel = kernel[..., None] * _tent(factor).astype(x.dtype)
    kernel = np.broadcast_to(kernel[..., None, None], (*kernel.shape, 1, channels))
    images = "N" + "DHW"[-rank:] + "C"
    return lax.conv_general_dilated(
        fnp.pad(x, ((0, 0), *[(1, 1)] * rank, (0, 0)), mode="edge"),
        kernel,
        (1,) * rank,
        [(factor // 2 - 1, factor // 2 - 1) for factor in factors],
        lhs_dilation=factors,
        dimension_numbers=(images, "DHW"[-rank:] + "IO", images),
        feature_group_count=channels,
    )


def _tent(factor: int) -> np.ndarray[Any, Any]:
    """What a value weighs at the places around it that are nearer than its neighbours."""
    width = 2 * factor - factor % 2
    return 1 - np.abs(np.arange(width) - (width - 1) / 2) / factor
