"""Convolution: the primitive `conv_general_dilated` and its rules."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, shape_of
from funcflow.core.aval import ShapedArray, is_undefined
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.lax.casting import convert_element_type
from funcflow.lax.convolution_impl import Axis, convolve
from funcflow.lax.convolution_shapes import (
    Axes,
    ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers,
    Padding,
    Pads,
    check_length,
    conv_dimension_numbers,
    conv_shape_tuple,
    dilated,
    padtype_to_pads,
    permuted,
    unpermuted,
)
from funcflow.lax.dot import bilinear_jvp
from funcflow.lax.forms import check_same_dtypes
from funcflow.lax.precision import (
    PrecisionLike,
    canonical_precision,
    canonical_preference,
    from_working_dtype,
    product_dtype,
    promoted_pair,
    working_dtype,
)
from funcflow.lax.shape import moveaxis, reshape, zeros
from funcflow.lax.slicing import rev

conv_general_dilated_p = Primitive("conv_general_dilated")


def conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Sequence[int],
    padding: Padding,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: ConvGeneralDilatedDimensionNumbers = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: PrecisionLike = None,
    preferred_element_type: Any = None,
) -> Any:
    """Convolve images with kernels, in any number of dimensions and any layout.

    As usual in machine learning this is a correlation: kernels are not flipped. In canonical
    order, with `x` the padded images,

        out[n, o, t] = sum over i, k of x[n, i, t * stride + k * rhs_dilation] * rhs[o, i, k]

    Args:
        lhs: images, with a batch axis, a feature axis and spatial axes.
        rhs: kernels, with axes for output and input features and spatial axes; same dtype.
        window_strides: how far the window moves from place to place, along each spatial axis.
        padding: "SAME", "SAME_LOWER", "VALID", or for each spatial axis a pair (low, high):
            how many zeros to put in front and behind, or if negative how much to cut off.
        lhs_dilation: from element to element of the image, `lhs_dilation - 1` zeros are inserted.
        rhs_dilation: the same for the kernels ("atrous" convolution).
        dimension_numbers: the layout, see `conv_dimension_numbers`; ("NCHW", "OIHW", "NCHW")
            and its like by default.
        feature_group_count: input and output features are cut into so many groups, which are
            convolved separately; `rhs` has only one group's input features.
        batch_group_count: the batch and the output features are cut into so many groups, which
            are convolved separately; the result has only one group's batch.
        precision: see `lax.Precision`.
        preferred_element_type: the dtype of the result and, if it is wider, of the sums. The
            operands' by default; float16 and bfloat16 are summed in float32.

    Returns:
        The array of results, with a batch axis, a feature axis and spatial axes of extents
        `(padded - window) // stride + 1`.

    Raises:
        ShapeError: ranks, features, groups or the lengths of arguments do not match.
        ArgumentError: a stride or dilation is less than 1, or the padding or layout is unknown.
        DtypeError: the operands' dtypes differ, or the preferred one cannot hold the result.

    Example:
        >>> images, kernels = fnp.ones((2, 8, 8, 3)), fnp.ones((3, 3, 3, 16))
        >>> layout = ("NHWC", "HWIO", "NHWC")
        >>> ff.lax.conv_general_dilated(
        ...     images, kernels, (2, 2), "SAME", dimension_numbers=layout
        ... ).shape
        (2, 4, 4, 16)
    """
    numbers = conv_dimension_numbers(shape_of(lhs), shape_of(rhs), dimension_numbers)
    spatial = permuted(shape_of(lhs), numbers.lhs_spec)[2:]
    window = permuted(shape_of(rhs), numbers.rhs_spec)[2:]
    strides = _factors("window_strides", window_strides, len(spatial))
    lhs_dilation = _factors("lhs_dilation", lhs_dilation, len(spatial))
    rhs_dilation = _factors("rhs_dilation", rhs_dilation, len(spatial))
    if isinstance(padding, str):
        if any(d != 1 for d in lhs_dilation):
            raise ArgumentError(
                f"conv_general_dilated: padding={padding!r} is ambiguous with "
                f"lhs_dilation={lhs_dilation}",
                mend="pass pairs (low, high), or use conv_transpose",
            )
        padding = padtype_to_pads(
            spatial, list(map(dilated, window, rhs_dilation)), strides, padding
        )
    check_length("padding", padding, len(spatial))
    return conv_general_dilated_p.bind(
        lhs,
        rhs,
        window_strides=strides,
        padding=tuple((int(low), int(high)) for low, high in padding),
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=numbers,
        feature_group_count=int(feature_group_count),
        batch_group_count=int(batch_group_count),
        precision=canonical_precision(precision, "conv_general_dilated"),
        preferred_element_type=canonical_preference(preferred_element_type),
    )


def _factors(what: str, given: Sequence[int] | None, count: int) -> Axes:
    """Strides or dilations, one for each spatial axis; all 1 by default."""
    if given is None:
        return (1,) * count
    check_length(what, given, count)
    if any(factor < 1 for factor in given):
        raise ArgumentError(
            f"conv_general_dilated: {what}={tuple(given)} must be positive",
            mend="pass integers from 1 up",
        )
    return tuple(map(int, given))


def _abstract(
    lhs: ShapedArray,
    rhs: ShapedArray,
    *,
    window_strides: Axes,
    padding: Pads,
    lhs_dilation: Axes,
    rhs_dilation: Axes,
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: np.dtype[Any] | None,
) -> ShapedArray:
    check_same_dtypes("conv_general_dilated", (lhs, rhs))
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    batch, features, *spatial = permuted(lhs.shape, lhs_spec)
    out_features, in_features, *window = permuted(rhs.shape, rhs_spec)
    _check_groups(
        batch, features, out_features, in_features, feature_group_count, batch_group_count
    )
    shape = conv_shape_tuple(
        (batch, features, *map(dilated, spatial, lhs_dilation)),
        (out_features, in_features, *map(dilated, window, rhs_dilation)),
        window_strides,
        padding,
        batch_group_count,
    )
    dtype = product_dtype("conv_general_dilated", lhs.dtype, rhs.dtype, preferred_element_type)
    return ShapedArray(unpermuted(shape, out_spec), dtype)


def _check_groups(
    batch: int,
    features: int,
    out_features: int,
    in_features: int,
    feature_groups: int,
    batch_groups: int,
) -> None:
    if feature_groups < 1 or batch_groups < 1 or feature_groups > 1 < batch_groups:
        raise ArgumentError(
            f"conv_general_dilated: feature_group_count={feature_groups} and "
            f"batch_group_count={batch_groups}: both must be positive, and one of them 1",
            mend="group the features or the batch",
        )
    if features != in_features * feature_groups:
        raise ShapeError(
            f"conv_general_dilated: the images have {features} features, the kernels take "
            f"{in_features} in each of {feature_groups} groups",
            mend="make the kernels' input features times feature_group_count the images' features",
        )
    for what, extent, groups, name in (
        ("output features", out_features, feature_groups, "feature_group_count"),
        ("output features", out_features, batch_groups, "batch_group_count"),
        ("images in the batch", batch, batch_groups, "batch_group_count"),
    ):
        if extent % groups:
            raise ShapeError(
                f"conv_general_dilated: {extent} {what} cannot be cut into {groups} groups",
                mend=f"use a multiple of {name}",
            )


def _impl(xp: Any, lhs: Any, rhs: Any, **params: Any) -> Any:
    """Bring the operands into the grouped form of `convolution_impl`, as views."""
    aval = _abstract(aval_of(lhs), aval_of(rhs), **params)
    lhs_spec, rhs_spec, out_spec = params["dimension_numbers"]
    batch_groups = params["batch_group_count"]
    groups = params["feature_group_count"] * batch_groups
    depth = math.prod(rhs.shape[i] for i in rhs_spec[1:])
    working = working_dtype(aval.dtype, lhs.dtype, rhs.dtype, depth)
    x = lhs.astype(working, copy=False).transpose(lhs_spec)
    w = rhs.astype(working, copy=False).transpose(rhs_spec)
    batch, features = x.shape[:2]
    if batch_groups > 1:
        x = x.reshape(groups, batch // groups, *x.shape[1:])
    else:
        x = x.reshape(batch, groups, features // groups, *x.shape[2:]).swapaxes(0, 1)
    w = w.reshape(groups, len(w) // groups, *w.shape[1:])

    # the result, its feature axis cut into groups
    channel = out_spec[1]
    shape = aval.shape
    grouped = (*shape[:channel], groups, shape[channel] // groups, *shape[channel + 1 :])
    result = xp.empty(grouped, working)
    first, _, *places = [i + (i > channel) for i in out_spec]
    out = result.transpose(channel, first, channel + 1, *places)
    axes = [
        Axis(stride, low, dilation, step)
        for stride, (low, _), dilation, step in zip(
            params["window_strides"],
            params["padding"],
            params["lhs_dilation"],
            params["rhs_dilation"],
            strict=True,
        )
    ]
    convolve(xp, x, w, out, axes)
    return from_working_dtype(result.reshape(shape), aval.dtype)


def _transpose(ctx: Any, ct: Any, lhs: Any, rhs: Any, **params: Any) -> Any:
    rule, linear, other = (
        (_transpose_lhs, lhs, rhs) if is_undefined(lhs) else (_transpose_rhs, rhs, lhs)
    )
    aval = linear.aval
    if not aval.size or not np.size(ct):
        out = zeros(aval)
    else:
        other, ct = promoted_pair(other, ct)
        out = convert_element_type(rule(ct, other, aval, **params), aval.dtype)
    return [out if x is linear else None for x in (lhs, rhs)]


def _transpose_lhs(
    ct: Any,
    rhs: Any,
    lhs: ShapedArray,
    *,
    window_strides: Axes,
    padding: Pads,
    lhs_dilation: Axes,
    rhs_dilation: Axes,
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: Any,
) -> Any:
    """The images' cotangent: the results', dilated by the stride, convolved with flipped kernels.

    The kernels' input and output features change places within each group.
    """
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    groups = feature_group_count * batch_group_count
    kernels = rev(rhs, rhs_spec[2:])
    if groups > 1:
        kernels = _split_axis(kernels, rhs_spec[0], groups)
        kernels = _merge_axis(kernels, rhs_spec[0], _after(rhs_spec[1], rhs_spec[0]))
    kernel_spec = (rhs_spec[1], rhs_spec[0], *rhs_spec[2:])
    spatial = permuted(lhs.shape, lhs_spec)[2:]
    window = list(map(dilated, permuted(shape_of(rhs), rhs_spec)[2:], rhs_dilation))
    places = list(map(dilated, permuted(shape_of(ct), out_spec)[2:], window_strides))
    pads = [
        (k - 1 - low, (size - 1) * dilation + k - t - (k - 1 - low))
        for k, t, size, dilation, (low, _) in zip(
            window, places, spatial, lhs_dilation, padding, strict=True
        )
    ]
    out = conv_general_dilated(
        ct,
        kernels,
        window_strides=lhs_dilation,
        padding=pads,
        lhs_dilation=window_strides,
        rhs_dilation=rhs_dilation,
        dimension_numbers=ConvDimensionNumbers(out_spec, kernel_spec, lhs_spec),
        feature_group_count=groups,
        precision=precision,
    )
    if batch_group_count > 1:  # the groups are among the features and belong into the batch
        out = _split_axis(out, lhs_spec[1], batch_group_count)
        out = _merge_axis(out, lhs_spec[1], _after(lhs_spec[0], lhs_spec[1]))
    return out


def _transpose_rhs(
    ct: Any,
    lhs: Any,
    rhs: ShapedArray,
    *,
    window_strides: Axes,
    padding: Pads,
    lhs_dilation: Axes,
    rhs_dilation: Axes,
    dimension_numbers: ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    precision: Any,
    preferred_element_type: Any,
) -> Any:
    """The kernels' cotangent: the images convolved with the results' cotangent.

    Batch and features change places, and so do strides and dilations of the window.
    """
    lhs_spec, rhs_spec, out_spec = dimension_numbers
    spatial = list(map(dilated, permuted(shape_of(lhs), lhs_spec)[2:], lhs_dilation))
    window = list(map(dilated, permuted(rhs.shape, rhs_spec)[2:], rhs_dilation))
    places = list(map(dilated, permuted(shape_of(ct), out_spec)[2:], window_strides))
    pads = [
        (low, k + t - 1 - size - low)
        for k, t, size, (low, _) in zip(window, places, spatial, padding, strict=True)
    ]
    return conv_general_dilated(
        lhs,
        ct,
        window_strides=rhs_dilation,
        padding=pads,
        lhs_dilation=lhs_dilation,
        rhs_dilation=window_strides,
        dimension_numbers=ConvDimensionNumbers(
            (lhs_spec[1], lhs_spec[0], *lhs_spec[2:]),
            (out_spec[1], out_spec[0], *out_spec[2:]),
            (rhs_spec[1], rhs_spec[0], *rhs_spec[2:]),
        ),
        feature_group_count=batch_group_count,
        batch_group_count=feature_group_count,
        precision=precision,
    )


def _split_axis(x: Any, axis: int, groups: int) -> Any:
    """Cut an axis into groups: two axes, groups first."""
    shape = shape_of(x)
    return reshape(x, (*shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]))


def _merge_axis(x: Any, source: int, target: int) -> Any:
    """Move axis `source` in front of axis `target` and merge the two."""
    x = moveaxis(x, source, target - (source < target))
    target -= source < target
    shape = shape_of(x)
    return reshape(x, (*shape[:target], shape[target] * shape[target + 1], *shape[target + 2 :]))


def _batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    """Fold the mapped axis into the batch, the features or the groups."""
    (lhs, rhs), (lhs_dim, rhs_dim) = args, dims
    lhs_spec, rhs_spec, out_spec = params["dimension_numbers"]
    feature_groups, batch_groups = params["feature_group_count"], params["batch_group_count"]
    groups, size = feature_groups * batch_groups, ctx.size
    lhs_mapped, rhs_mapped = (d is not None for d in dims)
    if not size:
        return zeros(_no_examples(args, dims, params)), 0

    if lhs_mapped and rhs_mapped:
        # each example is a group (of groups)
        if batch_groups > 1:
            lhs = _merge_axis(lhs, lhs_dim, _after(lhs_spec[0], lhs_dim))
            params["batch_group_count"] = batch_groups * size
        else:
            lhs = _merge_axis(lhs, lhs_dim, _after(lhs_spec[1], lhs_dim))
            params["feature_group_count"] = feature_groups * size
        rhs = _merge_axis(rhs, rhs_dim, _after(rhs_spec[0], rhs_dim))
        out = conv_general_dilated_p.bind(lhs, rhs, **params)
        return _split_axis(out, out_spec[1], size), out_spec[1]

    if lhs_mapped:
        # more images: in front of the batch, or of each group's part of it
        lhs = _merge_into_groups(lhs, lhs_dim, lhs_spec[0], batch_groups)
        out = conv_general_dilated_p.bind(lhs, rhs, **params)
        return _split_axis(out, out_spec[0], size), out_spec[0]

    # more output features, of the one group or of each
    rhs = _merge_into_groups(rhs, rhs_dim, rhs_spec[0], groups)
    out = conv_general_dilated_p.bind(lhs, rhs, **params)
    channel = out_spec[1]
    if groups == 1:
        return _split_axis(out, channel, size), channel
    out = _split_axis(_split_axis(out, channel, groups), channel + 1, size)
    return _merge_axis(out, channel, channel + 2), channel


def _no_examples(args: Any, dims: Any, params: dict[str, Any]) -> ShapedArray:
    """The type of the result of mapping over an axis of extent 0: there can be no 0 groups."""
    lhs, rhs = (
        aval.update(shape=tuple(n for i, n in enumerate(aval.shape) if i != d))
        for aval, d in zip(map(aval_of, args), dims, strict=True)
    )
    example = _abstract(lhs, rhs, **params)
    return example.update(shape=(0, *example.shape))


def _after(axis: int, dim: int) -> int:
    """Where an axis is once there is a new one at `dim`."""
    return axis + (axis >= dim)


def _merge_into_groups(x: Any, dim: int, axis: int, groups: int) -> Any:
    """Merge the mapped axis into `axis`, inside each of the groups that `axis` consists of."""
    axis = _after(axis, dim)
    if groups == 1:
        return _merge_axis(x, dim, axis)
    x = _split_axis(x, axis, groups)
    dim, axis = dim + (dim > axis), axis + 1
    x = _merge_axis(x, dim, axis)
    axis -= dim < axis
    return _merge_axis(x, axis - 1, axis)


define(
    conv_general_dilated_p,
    abstract=_abstract,
    impl=_impl,
    jvp=bilinear_jvp(conv_general_dilated_p),
    transpose=_transpose,
    batch=_batch,
)
