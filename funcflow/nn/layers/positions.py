"""Places in a sequence, made known to attention, which by itself sees a set."""

from typing import Any

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, ShapeError
from funcflow.nn import initializers
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.arguments import expect_features
from funcflow.nn.module import Module, static


def apply_rotary(x: Any, positions: Any, *, base: float = 10000.0) -> Array:
    """Turn pairs of features by angles that grow with their place.

    Feature i of the first half and feature i of the second are a point in a plane, turned by
    `position * base**(-2 * i / features)`. The inner product of two vectors that are turned so
    depends on the difference of their positions only. J. Su et al., "RoFormer", arXiv:2104.09864,
    where neighbours are pairs; halves, as in GPT-NeoX and Llama, are the same but for the order of
    features.

    Args:
        x: queries or keys, of shape `(..., time, heads, features)`.
        positions: of shape `(time,)` or `(..., time)`.
        base: of the wavelengths, which go from 2 pi up to 2 pi times it.

    Returns:
        An array of the shape and dtype of `x`; angles are computed in at least float32.

    Raises:
        ShapeError: the number of features is odd.

    Example:
        >>> x = fnp.ones((1, 3, 1, 2))
        >>> nn.apply_rotary(x, fnp.arange(3))[0, :, 0].round(2)
        Array([[ 1.  ,  1.  ],
               [-0.3 ,  1.38],
               [-1.33,  0.49]], dtype=float32)
    """
    x = fnp.asarray(x)
    half, odd = divmod(x.shape[-1], 2)
    if odd:
        raise ShapeError(
            f"apply_rotary: takes an even number of features, got {x.aval}",
            mend="choose features and heads such that their quotient is even",
        )
    wide = dtypes.accumulator(x.dtype)
    angles = _angles(positions, half, base, wide)[..., None, :]  # the same for all heads
    sine, cosine = fnp.sin(angles), fnp.cos(angles)
    first, second = x[..., :half].astype(wide), x[..., half:].astype(wide)
    turned = (first * cosine - second * sine, second * cosine + first * sine)
    return fnp.concatenate(turned, axis=-1).astype(x.dtype)


def _angles(positions: Any, count: int, base: float, dtype: Any) -> Array:
    """Positions times `count` frequencies, from 1 downwards: of shape `(..., time, count)`."""
    frequencies = base ** (-fnp.arange(count, dtype=dtype) / count)
    return fnp.asarray(positions).astype(dtype)[..., None] * frequencies


class RotaryEmbedding(Module):
    """`nn.apply_rotary` with a base: what `MultiHeadAttention` does to queries and keys.

    Args:
        base: of the wavelengths.

    Example:
        >>> rotary = nn.RotaryEmbedding()
        >>> rotary(fnp.ones((2, 5, 4, 8))).shape
        (2, 5, 4, 8)
    """

    base: float = static(default=10000.0)

    def __call__(self, x: Any, positions: Any = None) -> Array:
        positions = fnp.arange(fnp.shape(x)[-3]) if positions is None else positions
        return apply_rotary(x, positions, base=self.base)


class SinusoidalPositions(Module):
    """Adds to each vector sines and cosines of its place, of many wavelengths.

    Features 2i and 2i + 1 are the sine and the cosine of `position * base**(-2 * i / features)`.
    A. Vaswani et al., arXiv:1706.03762, section 3.5.

    Args:
        features: the extent of the last axis, an even number.
        base: of the wavelengths.

    A call takes vectors of shape `(..., time, features)` and, if they do not start at 0,
    positions of shape `(time,)` or `(..., time)`.

    Raises:
        ArgumentError: `features` is odd.
        ShapeError: at a call, if the last axis has another extent.

    Example:
        >>> nn.SinusoidalPositions(4)(fnp.zeros((1, 2, 4)))[0].round(2)
        Array([[0.  , 1.  , 0.  , 1.  ],
               [0.84, 0.54, 0.01, 1.  ]], dtype=float32)
    """

    features: int = static()
    base: float = static(default=10000.0)

    def __init__(self, features: int, *, base: float = 10000.0) -> None:
        if features % 2:
            raise ArgumentError(
                f"SinusoidalPositions: takes an even number of features, got {features}"
            )
        self.features = features
        self.base = base

    def __call__(self, x: Any, positions: Any = None) -> Array:
        expect_features(x, self.features)
        x = fnp.asarray(x)
        positions = fnp.arange(x.shape[-2]) if positions is None else positions
        angles = _angles(positions, self.features // 2, self.base, dtypes.accumulator(x.dtype))
        waves = fnp.stack([fnp.sin(angles), fnp.cos(angles)], axis=-1)
        return x + waves.reshape(*angles.shape[:-1], self.features).astype(x.dtype)


class LearnedPositions(Module):
    """Adds to each vector one that belongs to its place, a parameter.

    Args:
        max_length: how many places there are.
        features: the extent of the last axis.
        embedding_init: draws the table, of shape `(max_length, features)`.
        dtype: of the table; float32 if None.
        key: for the initializer.

    A call takes vectors of shape `(..., time, features)` and, if they do not start at 0,
    positions of shape `(time,)` or `(..., time)`.

    Raises:
        ShapeError: at a call, if the last axis has another extent, or there are more places.
        OutOfBoundsError: at a call, if a given position is out of range; in traced functions only
            within `ff.debug_indices()`, where else the nearest row is taken.

    Example:
        >>> nn.LearnedPositions(8, 4, key=ff.random.key(0))(fnp.zeros((1, 2, 4))).shape
        (1, 2, 4)
    """

    embedding: Array

    def __init__(
        self,
        max_length: int,
        features: int,
        *,
        embedding_init: Initializer = initializers.normal(0.02),
        dtype: Any = None,
        key: Any,
    ) -> None:
        self.embedding = embedding_init(key, (max_length, features), dtype)

    def __call__(self, x: Any, positions: Any = None) -> Array:
        max_length, features = self.embedding.shape
        expect_features(x, features)
        time = fnp.shape(x)[-2]
        if time > max_length:
            raise ShapeError(
                f"the layer knows {max_length} places, got an input of shape {fnp.shape(x)}",
                mend="make it with a larger max_length",
            )
        if positions is None:
            return x + self.embedding[:time]
        return x + self.embedding[positions]
