"""Images moved, turned and stretched: affine maps of their coordinates, sampled bilinearly.

All functions take one image of shape (height, width, channels), floating or integer, and return one
of the same shape and dtype; `batched` and `ff.vmap` make functions of batches of them.

What lies outside the image is decided by `mode`, as in `scipy.ndimage`:
    "nearest": the nearest pixel, a a a | a b c d | d d d;
    "constant": `cval` (there "grid-constant"), k k k | a b c d | k k k;
    "reflect": the mirror image, c b a | a b c d | d c b;
    "wrap": the image again (there "grid-wrap"), b c d | a b c d | a b c.
"""

from typing import Any, Literal, TypeAlias

import numpy as np

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.numpy.promotion import as_array

FillMode: TypeAlias = Literal["nearest", "constant", "reflect", "wrap"]
MODES = ("nearest", "constant", "reflect", "wrap")


def affine_transform(
    image: Any,
    matrix: Any,
    offset: Any = (0.0, 0.0),
    *,
    mode: FillMode = "nearest",
    cval: Any = 0.0,
) -> Array:
    """The image whose pixel at p is the given one's at `matrix @ p + offset`.

    Between pixels, the four around are weighted by their nearness. The results of integer images
    are rounded, and cut off at the ends of the dtype.

    Args:
        image: (height, width, channels).
        matrix: (2, 2), of rows and columns.
        offset: (2,), in pixels.
        mode: what lies outside (see the module `funcflow.data.affine`): "nearest", "constant",
            "reflect" or "wrap".
        cval: the value outside, for the mode "constant".

    Returns:
        An image of the shape and dtype of `image`.

    Raises:
        ArgumentError: there is no such mode.
        ShapeError: the image does not have three axes.

    Example:
        >>> image = fnp.arange(3.0).reshape(1, 3, 1)
        >>> ff.data.affine_transform(image, fnp.eye(2), (0.0, 0.5))[0, :, 0]
        Array([0.5, 1.5, 2. ], dtype=float32)
    """
    image = as_image("affine_transform", image)
    if mode not in MODES:
        raise ArgumentError(f"affine_transform: mode={mode!r}", mend=f"use one of {MODES}")
    matrix, offset = fnp.asarray(matrix), fnp.asarray(offset)
    height, width, channels = image.shape
    rows, columns = fnp.arange(height)[:, None], np.arange(width)

    def source(columns: Any) -> tuple[Array, Array]:
        """Where in the image the pixels of these columns lie."""
        return (
            matrix[0, 0] * rows + matrix[0, 1] * columns + offset[0],
            matrix[1, 0] * rows + matrix[1, 1] * columns + offset[1],
        )

    i, j = (fnp.floor(place).astype(np.int32) for place in source(columns))
    # Weights are computed for each number, not for each pixel, so that whole lines are blended.
    down, right = (place - fnp.floor(place) for place in source(np.repeat(columns, channels)))

    def pixels(i: Array, j: Array) -> Array:
        """The pixels of these rows and columns, which may lie outside, in lines of floats."""
        found = _pixels(image, i, j, mode, cval, fnp.promote_types(image.dtype, down.dtype))
        return found.reshape(height, width * channels)

    upper = pixels(i, j) * (1 - right) + pixels(i, j + 1) * right
    lower = pixels(i + 1, j) * (1 - right) + pixels(i + 1, j + 1) * right
    return in_dtype_of(image, upper * (1 - down) + lower * down).reshape(image.shape)


def shift(image: Any, shift: Any, *, mode: FillMode = "nearest", cval: Any = 0.0) -> Array:
    """An image moved by so many rows down and columns to the right, which may be fractions.

    Args:
        image: (height, width, channels).
        shift: (2,), in pixels.
        mode: what moves in (see `affine_transform`).
        cval: the value outside, for the mode "constant".

    Raises:
        ArgumentError: there is no such mode.
        ShapeError: the image does not have three axes.

    Example:
        >>> image = fnp.arange(3).reshape(1, 3, 1)
        >>> ff.data.shift(image, (0, 1), mode="wrap")[0, :, 0]
        Array([2, 0, 1], dtype=int32)
    """
    offset = -fnp.asarray(shift)
    return affine_transform(image, fnp.eye(2), offset, mode=mode, cval=cval)


def rotate(image: Any, degrees: Any, *, mode: FillMode = "nearest", cval: Any = 0.0) -> Array:
    """An image turned about its centre, counterclockwise as one looks at it.

    Args:
        image: (height, width, channels); its corners are cut off.
        degrees: the angle, a number.
        mode: what turns in (see `affine_transform`).
        cval: the value outside, for the mode "constant".

    Raises:
        ArgumentError: there is no such mode.
        ShapeError: the image does not have three axes.

    Example:
        >>> ff.data.rotate(fnp.array([[[1], [2]], [[3], [4]]]), 90.0)[..., 0]
        Array([[2, 4],
               [1, 3]], dtype=int32)
    """
    angle = fnp.deg2rad(degrees)
    cosine, sine = fnp.cos(angle), fnp.sin(angle)
    matrix = fnp.stack([fnp.stack([cosine, sine]), fnp.stack([-sine, cosine])])
    return _about_centre(image, matrix, mode, cval)


def zoom(image: Any, zoom: Any, *, mode: FillMode = "nearest", cval: Any = 0.0) -> Array:
    """An image stretched from its centre, in the frame that it had.

    Args:
        image: (height, width, channels).
        zoom: (2,), the factors of height and width, or one for both; 2 doubles what is seen.
        mode: what lies around where a factor is less than 1 (see `affine_transform`).
        cval: the value outside, for the mode "constant".

    Raises:
        ArgumentError: there is no such mode.
        ShapeError: the image does not have three axes.
    """
    factors = fnp.broadcast_to(1.0 / fnp.asarray(zoom), (2,))
    return _about_centre(image, fnp.diag(factors), mode, cval)


def as_image(function: str, image: Any) -> Array:
    """An argument as an image of three axes."""
    image = as_array(function, image)
    if image.ndim != 3:
        raise ShapeError(
            f"{function}: expected one image (height, width, channels), got {image.aval}",
            mend="for a batch of images use ff.data.batched or ff.vmap; "
            "for one without channels image[..., None]",
        )
    return image


def in_dtype_of(image: Array, values: Array) -> Array:
    """Computed values in the dtype of an image: rounded and cut off if it holds integers."""
    if dtypes.is_inexact(image.dtype):
        return values.astype(image.dtype)
    info = np.iinfo(image.dtype)
    return fnp.clip(fnp.rint(values), info.min, info.max).astype(image.dtype)


def _about_centre(image: Any, matrix: Array, mode: FillMode, cval: Any) -> Array:
    image = as_image("affine_transform", image)
    height, width, _ = image.shape
    centre = fnp.array([(height - 1) / 2, (width - 1) / 2], matrix.dtype)
    return affine_transform(image, matrix, centre - matrix @ centre, mode=mode, cval=cval)


def _pixels(image: Array, i: Array, j: Array, mode: str, cval: Any, dtype: Any) -> Array:
    """The pixels of these rows and columns, in a floating dtype, which may hold `cval`."""
    height, width, channels = image.shape
    places = _inside(i, height, mode) * width + _inside(j, width, mode)
    found = image.reshape(-1, channels).at[places].get(mode="promise_in_bounds").astype(dtype)
    if mode != "constant":
        return found
    known = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    return fnp.where(known[..., None], found, cval)


def _inside(i: Array, extent: int, mode: str) -> Array:
    """Indices brought to 0 ... extent - 1."""
    if mode == "wrap":
        return i % extent
    if mode == "reflect":
        i = i % (2 * extent)
        return fnp.where(i < extent, i, 2 * extent - 1 - i)
    return fnp.clip(i, 0, extent - 1)
