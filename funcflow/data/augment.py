"""Augmentation: images changed at random in ways that keep what they show.

An augmentation is a pure function of a key and one image (height, width, channels), floating or
integer. `functools.partial` fixes its settings, `compose` applies several, `batched` makes one of
batches:

    augment = ff.jit(ff.data.batched(ff.data.compose(
        partial(ff.data.random_shift, height=0.1, width=0.1),
        ff.data.random_flip_left_right,
    )))
    train = images.batch(32).map(lambda key, b: (augment(key, b[0]), b[1]), ff.random.key(0))
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax, random
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.data.affine import FillMode, as_image, in_dtype_of, rotate, shift, zoom
from funcflow.transforms.vmap import vmap

Augmentation: TypeAlias = Callable[[Any, Any], Any]  # of a key and an image

_PAD_MODES = {"nearest": "edge", "constant": "constant", "reflect": "symmetric", "wrap": "wrap"}


def compose(*augmentations: Augmentation) -> Augmentation:
    """One augmentation after the other, each with a key of its own.

    Example:
        >>> both = ff.data.compose(ff.data.random_flip_left_right, ff.data.random_flip_up_down)
        >>> both(ff.random.key(0), fnp.ones((4, 4, 1))).shape
        (4, 4, 1)
    """

    def composed(key: Any, image: Any) -> Any:
        for augmentation, own in zip(
            augmentations, random.split(key, len(augmentations)), strict=True
        ):
            image = augmentation(own, image)
        return image

    return composed


def batched(augmentation: Augmentation) -> Augmentation:
    """An augmentation of batches: each image of (n, height, width, channels) has its own key.

    Example:
        >>> flip = ff.data.batched(ff.data.random_flip_left_right)
        >>> flip(ff.random.key(1), fnp.arange(4).reshape(2, 1, 2, 1))[:, 0, :, 0]
        Array([[0, 1],
               [3, 2]], dtype=int32)
    """
    mapped = vmap(augmentation)

    def of_batch(key: Any, images: Any) -> Any:
        return mapped(random.split(key, len(images)), images)

    return of_batch


# --- geometry -----------------------------------------------------------------------------------


def random_shift(
    key: Any,
    image: Any,
    height: float = 0.1,
    width: float = 0.1,
    *,
    mode: FillMode = "nearest",
    cval: Any = 0.0,
) -> Array:
    """The image moved up or down and left or right.

    Args:
        key: a key.
        image: (height, width, channels).
        height: by which share of its height at most.
        width: by which share of its width at most.
        mode: what moves in (see `affine_transform`).
        cval: the value outside, for the mode "constant".
    """
    image = as_image("random_shift", image)
    most = fnp.array([height * image.shape[0], width * image.shape[1]])
    return shift(image, _up_to(key, most), mode=mode, cval=cval)


def random_rotation(
    key: Any, image: Any, degrees: float = 10.0, *, mode: FillMode = "nearest", cval: Any = 0.0
) -> Array:
    """The image turned about its centre by up to so many degrees either way.

    Args:
        key: a key.
        image: (height, width, channels).
        degrees: the largest angle.
        mode: what turns in (see `affine_transform`).
        cval: the value outside, for the mode "constant".
    """
    image = as_image("random_rotation", image)
    return rotate(image, _up_to(key, fnp.asarray(degrees)), mode=mode, cval=cval)


def random_zoom(
    key: Any,
    image: Any,
    factor: float = 0.1,
    *,
    keep_aspect: bool = True,
    mode: FillMode = "nearest",
    cval: Any = 0.0,
) -> Array:
    """The image stretched from its centre by a factor from `1 - factor` to `1 + factor`.

    Args:
        key: a key.
        image: (height, width, channels).
        factor: how far from 1 at most; less than 1.
        keep_aspect: stretch height and width alike, instead of each on its own.
        mode: what lies around a smaller image (see `affine_transform`).
        cval: the value outside, for the mode "constant".

    Raises:
        ArgumentError: the factor is not in [0, 1).
    """
    image = as_image("random_zoom", image)
    if not 0 <= factor < 1:
        raise ArgumentError(
            f"random_zoom: factor={factor}, so the image could vanish", mend="use one in [0, 1)"
        )
    most = fnp.full(1 if keep_aspect else 2, factor)
    return zoom(image, 1 + _up_to(key, most), mode=mode, cval=cval)


def random_flip_left_right(key: Any, image: Any) -> Array:
    """The image or its mirror image, with equal probability."""
    image = as_image("random_flip_left_right", image)
    return fnp.where(random.bernoulli(key), image[:, ::-1], image)


def random_flip_up_down(key: Any, image: Any) -> Array:
    """The image or the one upside down (mirrored), with equal probability."""
    image = as_image("random_flip_up_down", image)
    return fnp.where(random.bernoulli(key), image[::-1], image)


def random_crop(
    key: Any,
    image: Any,
    height: int,
    width: int,
    *,
    padding: int = 0,
    mode: FillMode = "constant",
    cval: Any = 0.0,
) -> Array:
    """A part of the image, at a random place.

    With padding, and the image's own extents, it moves the image by whole pixels, at a small part
    of the cost of `random_shift`.

    Args:
        key: a key.
        image: (height, width, channels).
        height: of the part.
        width: of the part.
        padding: how many pixels to put around the image before.
        mode: what to put there (see `affine_transform`).
        cval: the value there, for the mode "constant".

    Returns:
        An image of shape (height, width, channels).

    Raises:
        ArgumentError: the part is larger than the image with its padding; or no such mode.

    Example:
        >>> ff.data.random_crop(ff.random.key(0), fnp.ones((32, 32, 3)), 32, 32, padding=4).shape
        (32, 32, 3)
    """
    image = as_image("random_crop", image)
    if mode not in _PAD_MODES:
        raise ArgumentError(f"random_crop: mode={mode!r}", mend=f"use one of {tuple(_PAD_MODES)}")
    if padding:
        values = {"constant_values": cval} if mode == "constant" else {}
        around = ((padding, padding), (padding, padding), (0, 0))
        image = fnp.pad(image, around, _PAD_MODES[mode], **values)
    rows, columns = image.shape[0] - height, image.shape[1] - width
    if min(rows, columns) < 0 or min(height, width) < 1:
        raise ArgumentError(
            f"random_crop: there is no part {height} x {width} of an image {image.shape[0]} x "
            f"{image.shape[1]}",
            mend="use a smaller part, or more padding",
        )
    row, column = random.randint(key, (2,), 0, fnp.array([rows + 1, columns + 1]))
    return lax.dynamic_slice(image, (row, column, 0), (height, width, image.shape[2]))


def _up_to(key: Any, most: Array) -> Array:
    """Uniform numbers from `-most` to `most`."""
    return random.uniform(key, most.shape, minval=-1.0) * most


# --- colour -------------------------------------------------------------------------------------


def random_brightness(key: Any, image: Any, max_delta: float = 0.1) -> Array:
    """The image with a number added to all of it, from `-max_delta` to `max_delta`.

    Args:
        key: a key.
        image: (height, width, channels).
        max_delta: a share of what is white: of 1 for floating images, of the largest number for
            integers. Floating images are not cut off at 1.
    """
    image = as_image("random_brightness", image)
    white = 1 if dtypes.is_inexact(image.dtype) else np.iinfo(image.dtype).max
    delta = _up_to(key, fnp.asarray(max_delta)) * white
    return in_dtype_of(image, image + delta)


def random_contrast(key: Any, image: Any, lower: float = 0.9, upper: float = 1.1) -> Array:
    """The image with the distances from each channel's mean times a number.

    Args:
        key: a key.
        image: (height, width, channels).
        lower: the least factor.
        upper: the largest factor.
    """
    image = as_image("random_contrast", image)
    mean = fnp.mean(image, (0, 1), keepdims=True)
    factor = random.uniform(key, minval=lower, maxval=upper)
    return in_dtype_of(image, (image - mean) * factor + mean)
