"""The arithmetic of convolutions' layouts, paddings and shapes.

Here and in `convolution`, "canonical" order means batch, features, then the spatial axes for
images and results, and output features, input features, spatial axes for kernels. A
`ConvDimensionNumbers` holds, for each of the three arrays, where in it the axes of the canonical
order are.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from funcflow.core.aval import Shape
from funcflow.core.errors import ArgumentError, ShapeError

Axes: TypeAlias = tuple[int, ...]
Pads: TypeAlias = tuple[tuple[int, int], ...]
Padding: TypeAlias = str | Sequence[tuple[int, int]]


class ConvDimensionNumbers(NamedTuple):
    """The layout of a convolution.

    Attributes:
        lhs_spec: the axes of the images: batch, features, spatial axes.
        rhs_spec: the axes of the kernels: output features, input features, spatial axes.
        out_spec: the axes of the result: batch, features, spatial axes.
    """

    lhs_spec: Axes
    rhs_spec: Axes
    out_spec: Axes


ConvGeneralDilatedDimensionNumbers: TypeAlias = (
    tuple[str, str, str] | ConvDimensionNumbers | tuple[Axes, Axes, Axes] | None
)

# --- layouts --------------------------------------------------------------------------------

# The letters for the axes that are not spatial, in canonical order.
_LETTERS = (("N", "C"), ("O", "I"), ("N", "C"))
_ARRAYS = ("lhs", "rhs", "out")


def conv_dimension_numbers(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    dimension_numbers: ConvGeneralDilatedDimensionNumbers,
) -> ConvDimensionNumbers:
    """The layout of a convolution from three strings such as `("NHWC", "HWIO", "NHWC")`.

    N is the batch, C the features, O and I the kernel's output and input features; any other
    letter names a spatial axis. None stands for the canonical order, `("NCHW", "OIHW", "NCHW")`;
    a `ConvDimensionNumbers` is returned as it is.

    Raises:
        ShapeError: the arrays' ranks differ.
        ArgumentError: the strings are of another length or name other axes.

    Example:
        >>> ff.lax.conv_dimension_numbers((1, 8, 9, 3), (3, 3, 3, 4), ("NHWC", "HWIO", "NHWC"))
        ConvDimensionNumbers(lhs_spec=(0, 3, 1, 2), rhs_spec=(3, 2, 0, 1), out_spec=(0, 3, 1, 2))
    """
    ndim = len(lhs_shape)
    if len(rhs_shape) != ndim or ndim < 2:
        raise ShapeError(
            f"convolution: lhs has {ndim} dimensions and rhs {len(rhs_shape)}, both need a batch "
            "(or output feature) axis, a feature axis and the same number of spatial axes",
            mend="give lhs and rhs one rank",
        )
    if dimension_numbers is None:
        return ConvDimensionNumbers(*[tuple(range(ndim))] * 3)
    specs: tuple[Any, ...] = tuple(dimension_numbers)
    if len(specs) != 3:
        raise ArgumentError(
            f"convolution: dimension_numbers must have three parts, got {dimension_numbers!r}",
            mend='pass (lhs, rhs, out), e.g. ("NHWC", "HWIO", "NHWC")',
        )
    if all(isinstance(spec, str) for spec in specs):
        for name, spec in zip(_ARRAYS, specs, strict=True):
            if len(spec) != ndim:
                raise ArgumentError(
                    f"convolution: the dimension numbers {spec!r} of {name} name {len(spec)} axes, "
                    f"the arrays have {ndim}",
                    mend=f"use {ndim} letters",
                )
        return ConvDimensionNumbers(*conv_general_permutations(specs))
    for name, spec in zip(_ARRAYS, specs, strict=True):
        if isinstance(spec, str) or sorted(spec) != list(range(ndim)):
            raise ArgumentError(
                f"convolution: the dimension numbers {spec!r} of {name} are no permutation of "
                f"{ndim} axes",
                mend="name each axis once",
            )
    return ConvDimensionNumbers(*(tuple(map(int, spec)) for spec in specs))


def conv_general_permutations(dimension_numbers: Sequence[str]) -> tuple[Axes, Axes, Axes]:
    """The permutations that bring lhs, rhs and result into canonical order, from three strings.

    The spatial axes are in the order of the kernel's string.

    Raises:
        ArgumentError: a letter is repeated or missing, or the spatial letters differ.
    """
    lhs, rhs, out = dimension_numbers
    spatial = [letter for letter in rhs if letter not in "OI"]
    for spec, letters in zip((lhs, rhs, out), _LETTERS, strict=True):
        if sorted(spec) != sorted([*letters, *spatial]) or len(set(spec)) != len(spec):
            raise ArgumentError(
                f"convolution: the dimension numbers {tuple(dimension_numbers)} do not name "
                f"{' and '.join(letters)} and one set of spatial axes once each: see {spec!r}",
                mend='write them like ("NHWC", "HWIO", "NHWC")',
            )
    first, second, third = (
        tuple(spec.index(letter) for letter in (*letters, *spatial))
        for spec, letters in zip((lhs, rhs, out), _LETTERS, strict=True)
    )
    return first, second, third


def permuted(shape: Sequence[int], spec: Axes) -> Shape:
    """A shape in canonical order."""
    return tuple(shape[i] for i in spec)


def unpermuted(canonical: Sequence[Any], spec: Axes) -> tuple[Any, ...]:
    """What is given in canonical order, in the array's own order."""
    return tuple(canonical[spec.index(i)] for i in range(len(spec)))


# --- padding --------------------------------------------------------------------------------


def dilated(extent: int, dilation: int) -> int:
    """The extent once `dilation - 1` zeros stand between neighbours."""
    return (extent - 1) * dilation + 1 if extent else 0


def padtype_to_pads(
    in_shape: Sequence[int],
    window_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: str,
) -> list[tuple[int, int]]:
    """How much "SAME", "SAME_LOWER" or "VALID" pads at each end of each axis.

    With "SAME" there are `ceil(extent / stride)` windows along an axis, and an odd element of
    padding goes to the end; with "SAME_LOWER" it goes to the front. "VALID" is no padding.

    Raises:
        ArgumentError: another padding.
    """
    kind = padding.upper()
    if kind == "VALID":
        return [(0, 0)] * len(tuple(in_shape))
    if kind not in ("SAME", "SAME_LOWER"):
        raise ArgumentError(
            f"the padding {padding!r} is not known",
            mend='pass "SAME", "SAME_LOWER", "VALID" or a pair (low, high) for each axis',
        )
    pads = []
    for extent, window, stride in zip(in_shape, window_shape, window_strides, strict=True):
        windows = -(-extent // stride)
        total = max((windows - 1) * stride + window - extent, 0)
        half, rest = total // 2, total - total // 2
        pads.append((half, rest) if kind == "SAME" else (rest, half))
    return pads


def transpose_pads(window: int, stride: int, padding: str) -> tuple[int, int]:
    """The padding with which a convolution of stride-dilated images inverts a shape.

    The shape is that of a convolution with this window, stride and padding, "SAME" or "VALID".
    """
    if padding.upper() == "SAME":
        total = window + stride - 2
        low = window - 1 if stride > window - 1 else -(-total // 2)
    elif padding.upper() == "VALID":
        total = window + stride - 2 + max(window - stride, 0)
        low = window - 1
    else:
        raise ArgumentError(
            f"conv_transpose: the padding {padding!r} is not known",
            mend='pass "SAME", "VALID" or a pair (low, high) for each axis',
        )
    return low, total - low


# --- shapes ---------------------------------------------------------------------------------


def windows_along(extent: int, window: int, stride: int) -> int:
    """How many windows fit along an axis; the extents are those after dilation and padding."""
    return (extent - window) // stride + 1 if extent >= window else 0


def conv_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    strides: Sequence[int],
    pads: Padding,
    batch_group_count: int = 1,
) -> Shape:
    """The shape of a convolution's result; all shapes in canonical order.

    Raises:
        ShapeError: strides or pads do not fit the shapes, or negative padding removes more than
            there is.
    """
    spatial, window = tuple(lhs_shape[2:]), tuple(rhs_shape[2:])
    check_length("window_strides", strides, len(spatial))
    if isinstance(pads, str):
        pads = padtype_to_pads(spatial, window, strides, pads)
    check_length("padding", pads, len(spatial))
    padded = [extent + low + high for extent, (low, high) in zip(spatial, pads, strict=True)]
    if min(padded, default=0) < 0:
        raise ShapeError(
            f"convolution: the padding {tuple(pads)} removes more than there is of the spatial "
            f"extents {spatial}",
            mend="crop less",
        )
    return (
        lhs_shape[0] // batch_group_count,
        rhs_shape[0],
        *map(windows_along, padded, window, strides),
    )


def check_length(what: str, given: Sequence[Any], count: int) -> None:
    """Refuse an argument that has not one entry for each spatial axis."""
    if len(given) != count:
        raise ShapeError(
            f"convolution: {what} needs one entry for each of the {count} spatial axes, got "
            f"{tuple(given)}",
            mend=f"pass {count} entries",
        )


def conv_general_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    dimension_numbers: Sequence[str],
) -> Shape:
    """The shape of a convolution's result in any layout, given as three strings."""
    lhs_spec, rhs_spec, out_spec = conv_general_permutations(dimension_numbers)
    shape = conv_shape_tuple(
        permuted(lhs_shape, lhs_spec), permuted(rhs_shape, rhs_spec), window_strides, padding
    )
    return unpermuted(shape, out_spec)


def conv_transpose_shape_tuple(
    lhs_shape: Sequence[int],
    rhs_shape: Sequence[int],
    window_strides: Sequence[int],
    padding: Padding,
    dimension_numbers: Sequence[str],
) -> Shape:
    """The shape of a transposed convolution's result in any layout, given as three strings."""
    lhs_spec, rhs_spec, out_spec = conv_general_permutations(dimension_numbers)
    batch, features, *spatial = permuted(lhs_shape, lhs_spec)
    kernel = permuted(rhs_shape, rhs_spec)
    if isinstance(padding, str):
        padding = [
            transpose_pads(window, stride, padding)
            for window, stride in zip(kernel[2:], window_strides, strict=True)
        ]
    grown = (batch, features, *map(dilated, spatial, window_strides))
    return unpermuted(conv_shape_tuple(grown, kernel, [1] * len(spatial), padding), out_spec)
