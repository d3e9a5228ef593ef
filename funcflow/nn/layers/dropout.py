"""Layers that make noise, in training mode only."""

from typing import Any

import funcflow.numpy as fnp
from funcflow import random
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.nn.module import Module, static
from funcflow.nn.training import is_training, next_key


class Dropout(Module):
    """Sets elements to 0 with probability `rate`, and scales the others up by `1 / (1 - rate)`.

    That happens in training mode (`nn.training`), or if a call is given a key. Else the input
    passes unchanged. From Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15 (2014).

    Args:
        rate: the probability, from 0 to below 1.
        broadcast_axes: axes along which all elements are dropped together; `(1, 2)` drops whole
            channels of images.

    Raises:
        ArgumentError: `rate` is out of range.

    Example:
        >>> nn.Dropout(0.5)(fnp.ones(4), key=ff.random.key(0))
        Array([0., 0., 2., 2.], dtype=float32)
    """

    rate: float = static()
    broadcast_axes: tuple[int, ...] = static(default=())

    def __init__(self, rate: float, *, broadcast_axes: tuple[int, ...] = ()) -> None:
        if not 0 <= rate < 1:
            raise ArgumentError(f"Dropout: the rate must be from 0 to below 1, got {rate}")
        self.rate = rate
        self.broadcast_axes = tuple(broadcast_axes)

    def __call__(self, x: Any, *, key: Any = None) -> Array:
        if self.rate == 0 or (key is None and not is_training()):
            return x
        shape = list(fnp.shape(x))
        for axis in self.broadcast_axes:
            shape[axis] = 1
        keep = random.bernoulli(next_key() if key is None else key, 1 - self.rate, tuple(shape))
        return fnp.where(keep, x, 0) * (1 / (1 - self.rate))
