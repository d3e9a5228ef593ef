"""Layers that sum up places: of windows, of all there are, or of as many parts as wanted."""

import math
from typing import Any, ClassVar

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.lax.monoid import max_identity
from funcflow.nn.layers.spatial import (
    Extents,
    Padding,
    Pairs,
    canonical_padding,
    extents,
    spatial_input,
)
from funcflow.nn.module import Module, static


class _Pool(Module):
    """Windows that slide over the spatial axes."""

    _rank: ClassVar[int]

    window: int | tuple[int, ...] = static()
    strides: int | tuple[int, ...] | None = static(default=None)
    padding: str | Pairs = static(default="VALID")

    def __init__(
        self, window: Extents, *, strides: Extents | None = None, padding: Padding = "VALID"
    ) -> None:
        sizes = extents("window", window, self._rank)
        steps = sizes if strides is None else extents("strides", strides, self._rank)
        self.window = window if isinstance(window, int) else sizes
        self.strides = strides if strides is None or isinstance(strides, int) else steps
        self.padding = canonical_padding(padding, self._rank)
        if not isinstance(self.padding, str):
            for size, ends in zip(sizes, self.padding, strict=True):
                if max(ends) >= size:
                    raise ArgumentError(
                        f"the padding {ends} gives windows of extent {size} with nothing in them",
                        mend="pad by less than the window's extent",
                    )

    def _windows(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...], Pairs]:
        """Windows, strides and padding for images of a shape, along the spatial axes."""
        window = extents("window", self.window, self._rank)
        strides = window if self.strides is None else extents("strides", self.strides, self._rank)
        if isinstance(self.padding, str):
            pads = lax.padtype_to_pads(shape[1:-1], window, strides, self.padding)
            return window, strides, tuple(pads)
        return window, strides, self.padding


class _MaxPool(_Pool, init=False):
    def __call__(self, x: Any) -> Array:
        x = spatial_input(x, self._rank)
        return _reduce(x, max_identity(x.dtype), lax.max, *self._windows(x.shape))


class MaxPool1d(_MaxPool, init=False):
    """The maximum of each window, along one axis: inputs (batch, length, channels).

    Args:
        window: the window's extent.
        strides: how far the window moves from place to place; its extent by default.
        padding: "VALID" (windows lie within the input), "SAME" (an axis of extent n gets an output
            of `ceil(n / stride)`), "SAME_LOWER", or how many places to add: a number for both
            ends, or a pair (low, high). What is added is never the maximum.

    Raises:
        ArgumentError: an argument is not what is said above, or the padding could fill a window.
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.MaxPool1d(2)(fnp.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
        Array([3., 2.], dtype=float32)
    """

    _rank = 1


class MaxPool2d(_MaxPool, init=False):
    """The maximum of each window of images (batch, height, width, channels).

    The arguments are those of `MaxPool1d`: a single number counts for both axes, else there is one,
    or a pair, for each.

    Example:
        >>> nn.MaxPool2d(3, strides=2, padding=1)(fnp.ones((1, 8, 8, 4))).shape
        (1, 4, 4, 4)
    """

    _rank = 2


class MaxPool3d(_MaxPool, init=False):
    """The maximum of each window of volumes (batch, depth, height, width, channels).

    The arguments are those of `MaxPool1d`: a single number counts for all axes, else there is one,
    or a pair, for each.

    Example:
        >>> nn.MaxPool3d((1, 2, 2))(fnp.ones((1, 4, 8, 8, 4))).shape
        (1, 4, 4, 4, 4)
    """

    _rank = 3


class _AvgPool(_Pool):
    count_include_pad: bool = static(default=True)

    def __init__(
        self,
        window: Extents,
        *,
        strides: Extents | None = None,
        padding: Padding = "VALID",
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(window, strides=strides, padding=padding)
        self.count_include_pad = count_include_pad

    def __call__(self, x: Any) -> Array:
        x = _inexact(spatial_input(x, self._rank))
        window, strides, pads = self._windows(x.shape)
        total = _reduce(x, np.zeros((), x.dtype), lax.add, window, strides, pads)
        if self.count_include_pad or not any(map(any, pads)):
            return total * (1 / math.prod(window))
        counts = np.ones((), x.dtype)
        for axis, (size, stride, (low, _)) in enumerate(zip(window, strides, pads, strict=True), 1):
            starts = np.arange(total.shape[axis]) * stride - low
            within = np.minimum(starts + size, x.shape[axis]) - np.maximum(starts, 0)
            counts = counts * within.astype(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - axis))
        return total / counts


class AvgPool1d(_AvgPool, init=False):
    """The mean of each window, along one axis: inputs (batch, length, channels).

    Args:
        window: the window's extent.
        strides: how far the window moves from place to place; its extent by default.
        padding: as for `MaxPool1d`.
        count_include_pad: whether what is added by the padding counts as zeros; else the mean is
            that of the places within the input.

    Raises:
        ArgumentError: an argument is not what is said above, or the padding could fill a window.
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.AvgPool1d(2)(fnp.array([[[1.0], [3.0], [2.0], [0.0]]]))[0, :, 0]
        Array([2., 1.], dtype=float32)
        >>> pool = nn.AvgPool1d(3, strides=1, padding="SAME", count_include_pad=False)
        >>> pool(fnp.array([[[1.0], [3.0], [2.0]]]))[0, :, 0]
        Array([2. , 2. , 2.5], dtype=float32)
    """

    _rank = 1


class AvgPool2d(_AvgPool, init=False):
    """The mean of each window of images (batch, height, width, channels).

    The arguments are those of `AvgPool1d`: a single number counts for both axes, else there is one,
    or a pair, for each.

    Example:
        >>> nn.AvgPool2d(2)(fnp.ones((1, 8, 8, 4))).shape
        (1, 4, 4, 4)
    """

    _rank = 2


class AvgPool3d(_AvgPool, init=False):
    """The mean of each window of volumes (batch, depth, height, width, channels).

    The arguments are those of `AvgPool1d`: a single number counts for all axes, else there is one,
    or a pair, for each.

    Example:
        >>> nn.AvgPool3d(2)(fnp.ones((1, 8, 8, 8, 4))).shape
        (1, 4, 4, 4, 4)
    """

    _rank = 3


class _GlobalPool(Module):
    """All spatial axes at once."""

    _rank: ClassVar[int]

    keepdims: bool = static(default=False)

    def __init__(self, *, keepdims: bool = False) -> None:
        self.keepdims = keepdims

    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, self._rank + 1))


class _GlobalMaxPool(_GlobalPool, init=False):
    def __call__(self, x: Any) -> Array:
        return fnp.max(spatial_input(x, self._rank), self._axes(), keepdims=self.keepdims)


class GlobalMaxPool1d(_GlobalMaxPool, init=False):
    """The maximum along the length: (batch, length, channels) to (batch, channels).

    Args:
        keepdims: whether the axis stays, with the extent 1.

    Raises:
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.GlobalMaxPool1d()(fnp.array([[[1.0], [3.0], [2.0]]]))
        Array([[3.]], dtype=float32)
    """

    _rank = 1


class GlobalMaxPool2d(_GlobalMaxPool, init=False):
    """The maximum of images: (batch, height, width, channels) to (batch, channels).

    See `GlobalMaxPool1d`.

    Example:
        >>> nn.GlobalMaxPool2d(keepdims=True)(fnp.ones((2, 8, 8, 3))).shape
        (2, 1, 1, 3)
    """

    _rank = 2


class GlobalMaxPool3d(_GlobalMaxPool, init=False):
    """The maximum of volumes: (batch, depth, height, width, channels) to (batch, channels).

    See `GlobalMaxPool1d`.

    Example:
        >>> nn.GlobalMaxPool3d()(fnp.ones((2, 4, 8, 8, 3))).shape
        (2, 3)
    """

    _rank = 3


class _GlobalAvgPool(_GlobalPool, init=False):
    def __call__(self, x: Any) -> Array:
        return fnp.mean(spatial_input(x, self._rank), self._axes(), keepdims=self.keepdims)


class GlobalAvgPool1d(_GlobalAvgPool, init=False):
    """The mean along the length: (batch, length, channels) to (batch, channels).

    Args:
        keepdims: whether the axis stays, with the extent 1.

    Raises:
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.GlobalAvgPool1d()(fnp.array([[[1.0], [3.0], [2.0]]]))
        Array([[2.]], dtype=float32)
    """

    _rank = 1


class GlobalAvgPool2d(_GlobalAvgPool, init=False):
    """The mean of images: (batch, height, width, channels) to (batch, channels).

    See `GlobalAvgPool1d`.

    Example:
        >>> nn.GlobalAvgPool2d()(fnp.ones((2, 8, 8, 3))).shape
        (2, 3)
    """

    _rank = 2


class GlobalAvgPool3d(_GlobalAvgPool, init=False):
    """The mean of volumes: (batch, depth, height, width, channels) to (batch, channels).

    See `GlobalAvgPool1d`.

    Example:
        >>> nn.GlobalAvgPool3d()(fnp.ones((2, 4, 8, 8, 3))).shape
        (2, 3)
    """

    _rank = 3


class _AdaptiveAvgPool(Module):
    """Parts whose number is given, not their extent."""

    _rank: ClassVar[int]

    output_size: int | tuple[int, ...] = static()

    def __init__(self, output_size: Extents) -> None:
        sizes = extents("output_size", output_size, self._rank)
        self.output_size = output_size if isinstance(output_size, int) else sizes

    def __call__(self, x: Any) -> Array:
        x = _inexact(spatial_input(x, self._rank))
        for axis, parts in enumerate(extents("output_size", self.output_size, self._rank), 1):
            weights = _weights_of_parts(x.shape[axis], parts).astype(x.dtype)
            x = fnp.moveaxis(fnp.tensordot(weights, x, (1, axis)), 0, axis)
        return x


class AdaptiveAvgPool1d(_AdaptiveAvgPool, init=False):
    """The means of a given number of parts: inputs (batch, length, channels).

    Of n places, part i of m is from `floor(i n / m)` to `ceil((i + 1) n / m)`, so neighbours may
    share a place.

    Args:
        output_size: the number of parts.

    Raises:
        ArgumentError: it is no positive integer.
        ShapeError: at a call, if the input has another rank.

    Example:
        >>> nn.AdaptiveAvgPool1d(2)(fnp.array([[[1.0], [3.0], [2.0]]]))[0, :, 0]
        Array([2. , 2.5], dtype=float32)
    """

    _rank = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool, init=False):
    """The means of a given number of parts of images (batch, height, width, channels).

    See `AdaptiveAvgPool1d`; there is one number for both axes, or one for each.

    Example:
        >>> nn.AdaptiveAvgPool2d(7)(fnp.ones((1, 10, 12, 3))).shape
        (1, 7, 7, 3)
    """

    _rank = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool, init=False):
    """The means of a given number of parts of volumes (batch, depth, height, width, channels).

    See `AdaptiveAvgPool1d`; there is one number for all axes, or one for each.

    Example:
        >>> nn.AdaptiveAvgPool3d((1, 4, 4))(fnp.ones((1, 3, 8, 8, 2))).shape
        (1, 1, 4, 4, 2)
    """

    _rank = 3


def _weights_of_parts(extent: int, parts: int) -> np.ndarray[Any, Any]:
    """A matrix whose product with a vector gives the means of its parts."""
    part, place = np.arange(parts)[:, None], np.arange(extent)
    starts, ends = part * extent // parts, -(-(part + 1) * extent // parts)
    return ((starts <= place) & (place < ends)) / (ends - starts)


def _inexact(x: Array) -> Array:
    return x if dtypes.is_inexact(x.dtype) else x.astype(dtypes.default_float())


def _reduce(
    x: Array,
    start: Any,
    operation: Any,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: Pairs,
) -> Array:
    """`lax.reduce_window` over the spatial axes."""
    whole = (0, 0)
    return lax.reduce_window(
        x, start, operation, (1, *window, 1), (1, *strides, 1), (whole, *pads, whole)
    )
