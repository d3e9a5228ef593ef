"""Affine maps of the last axis, and look-ups, which are affine maps of one-hot vectors."""

from typing import Any

import funcflow.numpy as fnp
from funcflow import random
from funcflow.core.array import Array
from funcflow.nn import initializers
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.arguments import expect_features, expect_integers
from funcflow.nn.module import Module


class Linear(Module):
    """An affine map: `x @ kernel + bias`.

    Args:
        in_features: the extent of the input's last axis.
        out_features: that of the output's.
        use_bias: whether a bias is added.
        kernel_init: draws the kernel, of shape `(in_features, out_features)`.
        bias_init: draws the bias, of shape `(out_features,)`.
        dtype: of both; float32 if None.
        key: for the initializers.

    Raises:
        ShapeError: at a call, if the last axis of the input has another extent.

    Example:
        >>> layer = nn.Linear(3, 2, key=ff.random.key(0))
        >>> layer
        Linear(kernel=f32[3,2], bias=f32[2])
        >>> layer(fnp.ones((5, 3))).shape
        (5, 2)
    """

    kernel: Array
    bias: Array | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        use_bias: bool = True,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        kernel_key, bias_key = random.split(key)
        self.kernel = kernel_init(kernel_key, (in_features, out_features), dtype)
        self.bias = bias_init(bias_key, (out_features,), dtype) if use_bias else None

    def __call__(self, x: Any) -> Array:
        expect_features(x, self.kernel.shape[0])
        y = x @ self.kernel
        return y if self.bias is None else y + self.bias


class Embedding(Module):
    """A table of vectors, one for each of a number of symbols.

    Args:
        num_embeddings: how many symbols there are.
        features: the vectors' length.
        embedding_init: draws the table, of shape `(num_embeddings, features)`.
        dtype: of the table; float32 if None.
        key: for the initializer.

    Raises:
        DtypeError: at a call, if the symbols are no integers.
        OutOfBoundsError: at a call, if a symbol is out of range (negative ones count from the end);
            in traced functions only within `ff.debug_indices()`, else they take the nearest row.

    Example:
        >>> layer = nn.Embedding(10, 4, key=ff.random.key(0))
        >>> layer(fnp.array([[1, 2, 3]])).shape
        (1, 3, 4)
    """

    embedding: Array

    def __init__(
        self,
        num_embeddings: int,
        features: int,
        *,
        embedding_init: Initializer = initializers.normal(1.0),
        dtype: Any = None,
        key: Any,
    ) -> None:
        self.embedding = embedding_init(key, (num_embeddings, features), dtype)

    def __call__(self, indices: Any) -> Array:
        expect_integers(indices)
        return fnp.asarray(self.embedding)[fnp.asarray(indices)]

    def attend(self, x: Any) -> Array:
        """The inner products of vectors with all rows: logits, with the table tied to the input's.

        Args:
            x: an array of shape `(..., features)`.

        Returns:
            An array of shape `(..., num_embeddings)`.
        """
        expect_features(x, self.embedding.shape[1])
        return x @ self.embedding.T


Dense = Linear
