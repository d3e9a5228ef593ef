"""Functions made of `conv_general_dilated`."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.errors import ShapeError
from funcflow.lax.convolution import conv_general_dilated
from funcflow.lax.convolution_shapes import (
    ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers,
    Padding,
    conv_dimension_numbers,
    dilated,
    permuted,
    transpose_pads,
    unpermuted,
)
from funcflow.lax.dot import dot_general
from funcflow.lax.precision import PrecisionLike
from funcflow.lax.shape import transpose
from funcflow.lax.slicing import rev


def conv(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: str,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """Convolve images (N, C, *spatial) with kernels (O, C, *window); see `conv_general_dilated`."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_with_general_padding(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """`conv`, with dilations and any padding; see `conv_general_dilated`."""
    return conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int],
    padding: Padding,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    transpose_kernel: bool = False,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
    use_consistent_padding: bool = False,
) -> Any:
    """Transposed convolution ("deconvolution"): images are dilated by the strides first.

    Args:
        lhs: images, with a batch axis, a feature axis and spatial axes.
        rhs: kernels, of the same dtype.
        strides: how far the images' elements are pulled apart, along each spatial axis.
        padding: "SAME" or "VALID": the shape of the result is one from which a convolution with
            these strides and this padding gives the images' shape. Or pairs (low, high) for the
            dilated images, see `use_consistent_padding`.
        rhs_dilation: the dilation of the kernels.
        dimension_numbers: the layout, see `conv_dimension_numbers`; ("NHWC", "HWIO", "NHWC") and
            its like by default.
        transpose_kernel: flip the kernels and let their input and output features change places,
            so that the result is the derivative of the convolution with these kernels.
        precision: see `lax.Precision`.
        preferred_element_type: see `conv_general_dilated`.
        use_consistent_padding: the pairs in `padding` are those of the convolution that this one
            transposes.

    Returns:
        The array of results, of spatial extents `extent * stride` for "SAME".

    Raises:
        ShapeError, ArgumentError, DtypeError: as `conv_general_dilated`.

    Example:
        >>> ff.lax.conv_transpose(fnp.ones((1, 4, 2)), fnp.ones((3, 2, 5)), (2,), "SAME").shape
        (1, 8, 5)
    """
    ndim = ndim_of(lhs)
    if dimension_numbers is None:
        spatial = tuple(range(1, ndim - 1))
        images = (0, ndim - 1, *spatial)
        kernels = (ndim - 1, ndim - 2, *range(ndim - 2))
        dimension_numbers = ConvDimensionNumbers(images, kernels, images)
    numbers = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    window = permuted(shape_of(rhs), numbers.rhs_spec)[2:]
    steps = [1] * len(window) if rhs_dilation is None else rhs_dilation
    extents = list(map(dilated, window, steps))
    if isinstance(padding, str):
        padding = [transpose_pads(k, s, padding) for k, s in zip(extents, strides, strict=True)]
    elif use_consistent_padding:
        padding = [
            (k - 1 - low, k - 1 - high) for k, (low, high) in zip(extents, padding, strict=True)
        ]
    if transpose_kernel:
        out_features, in_features, *places = numbers.rhs_spec
        rhs = rev(rhs, places)
        numbers = numbers._replace(rhs_spec=(in_features, out_features, *places))
    return conv_general_dilated(
        lhs,
        rhs,
        (1,) * len(window),
        padding,
        strides,
        rhs_dilation,
        numbers,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_patches(
    lhs: Any,
    filter_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """The elements that a convolution's window meets at each place, as features.

    Args:
        lhs: images, with a batch axis, a feature axis and spatial axes.
        filter_shape: the window's extents.
        window_strides: as for `conv_general_dilated`, and so the further arguments.
        padding: as above.
        lhs_dilation: as above.
        rhs_dilation: as above.
        dimension_numbers: as above; the kernel's part gives the order of the spatial axes.
        precision: as above.
        preferred_element_type: as above.

    Returns:
        An array like the convolution's result, with features C * window size: for each feature of
        the images in turn, the elements of the window in row-major order.

    Example:
        >>> x = fnp.arange(9.0).reshape(1, 1, 3, 3)
        >>> ff.lax.conv_general_dilated_patches(x, (2, 2), (1, 1), "VALID")[0, :, 0, 0]
        Array([0., 1., 3., 4.], dtype=float32)
    """
    filter_shape = tuple(map(int, filter_shape))
    size = math.prod(filter_shape)
    ndim = 2 + len(filter_shape)
    numbers = conv_dimension_numbers(shape_of(lhs), (1,) * ndim, dimension_numbers)
    features = shape_of(lhs)[numbers.lhs_spec[1]]
    # one kernel for each element of the window, for each feature; in the layout (O, I, *window)
    picks = np.tile(np.eye(size, dtype=aval_of(lhs).dtype), (features, 1))
    kernels = picks.reshape(features * size, 1, *filter_shape)
    numbers = numbers._replace(rhs_spec=tuple(range(ndim)))
    return conv_general_dilated(
        lhs,
        kernels,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        numbers,
        feature_group_count=features,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def conv_general_dilated_local(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    filter_shape: Sequence[int],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    precision: PrecisionLike = None,
) -> Any:
    """A convolution whose kernels differ from place to place.

    Args:
        lhs: images, with a batch axis, a feature axis and spatial axes.
        rhs: kernels, with axes for output features, for the elements of a patch (features times
            window size, ordered as by `conv_general_dilated_patches`) and for the places.
        window_strides: as for `conv_general_dilated`, and so the further arguments.
        padding: as above.
        filter_shape: the window's extents.
        lhs_dilation: as above.
        rhs_dilation: as above.
        dimension_numbers: as above.
        precision: as above.

    Returns:
        An array like the convolution's result.

    Raises:
        ShapeError: `rhs` does not have one kernel per place.
    """
    patches = conv_general_dilated_patches(
        lhs, filter_shape, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers
    )
    numbers = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    _, features, *places = numbers.out_spec
    _, elements, *kernel_places = numbers.rhs_spec
    expected = permuted(shape_of(patches), (features, *places))
    given = permuted(shape_of(rhs), (elements, *kernel_places))
    if given != expected:
        raise ShapeError(
            f"conv_general_dilated_local: the kernels have (elements, *places) {given}, the "
            f"patches {expected}",
            mend="give rhs one kernel per place, of features * window size elements",
        )
    # the result: places, then output features, then the batch
    pairs = ((elements,), (features,)), (tuple(kernel_places), tuple(places))
    out = dot_general(rhs, patches, pairs, precision)
    n = len(places)
    canonical = transpose(out, (n + 1, n, *range(n)))
    return transpose(canonical, unpermuted(range(n + 2), numbers.out_spec))
