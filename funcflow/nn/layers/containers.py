"""Modules made of modules."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import funcflow.numpy as fnp
from funcflow.core.array import Array
from funcflow.core.errors import ShapeError
from funcflow.nn.module import Module, static


class Activation(Module):
    """A function without parameters as a layer.

    `Sequential` and `Residual` take functions as they are; this gives one a place in `summary`.

    Example:
        >>> nn.Activation(nn.relu)(fnp.array([-1.0, 1.0]))
        Array([0., 1.], dtype=float32)
    """

    function: Callable[..., Any] = static()

    def __call__(self, x: Any) -> Array:
        return self.function(x)


class Sequential(Module):
    """Layers one after another.

    Args:
        layers: modules, and functions of one argument, which become `Activation`s.

    Example:
        >>> k1, k2 = ff.random.split(ff.random.key(0))
        >>> model = nn.Sequential([nn.Linear(4, 8, key=k1), nn.relu, nn.Linear(8, 1, key=k2)])
        >>> model(fnp.ones((3, 4))).shape
        (3, 1)
        >>> model[0].kernel.shape, len(model)
        ((4, 8), 3)
    """

    layers: tuple[Module, ...]

    def __init__(self, layers: Sequence[Callable[..., Any]]) -> None:
        self.layers = tuple(map(as_module, layers))

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x

    def __getitem__(self, index: Any) -> Any:
        found = self.layers[index]
        return Sequential(found) if isinstance(index, slice) else found

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Residual(Module):
    """Adds what a branch gives to what it is given: `shortcut(x) + branch(x)`.

    Args:
        branch: a module or function.
        shortcut: another for the other way, such as a convolution that changes the shape; the
            input itself if None.

    Example:
        >>> nn.Residual(nn.relu)(fnp.array([-1.0, 1.0]))
        Array([-1.,  2.], dtype=float32)
    """

    branch: Module
    shortcut: Module | None

    def __init__(
        self, branch: Callable[..., Any], shortcut: Callable[..., Any] | None = None
    ) -> None:
        self.branch = as_module(branch)
        self.shortcut = None if shortcut is None else as_module(shortcut)

    def __call__(self, x: Any) -> Array:
        return (x if self.shortcut is None else self.shortcut(x)) + self.branch(x)


class Flatten(Module):
    """Puts all axes but the first into one.

    Raises:
        ShapeError: at a call, if the input is a single number.

    Example:
        >>> nn.Flatten()(fnp.ones((2, 3, 4))).shape
        (2, 12)
    """

    def __call__(self, x: Any) -> Array:
        shape = fnp.shape(x)
        if not shape:
            raise ShapeError(
                "Flatten takes an input with a batch axis, got one of shape ()",
                mend="x[None] adds an axis",
            )
        return fnp.reshape(x, (shape[0], math.prod(shape[1:])))


def as_module(layer: Callable[..., Any]) -> Module:
    """A module as it is, a function as an `Activation`."""
    return layer if isinstance(layer, Module) else Activation(layer)
