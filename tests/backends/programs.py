"""Random programs for the compiler: elementwise operations, reductions and views of many shapes.

All numbers that occur are small multiples of 1/4, so sums are exact in any order.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.staging import stage_out

SHAPES = [(4, 6), (4, 1), (6,), (2, 3, 4)]
FLOAT = np.dtype(np.float32)


def arguments(seed: int) -> list[np.ndarray[Any, Any]]:
    """Arguments of a random program."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, shape).astype(FLOAT) for shape in SHAPES]


def random_jaxpr(seed: int, steps: int = 14) -> ClosedJaxpr:
    """A program of that many operations, with a few of its values as results."""

    def program(*args: Any) -> list[Any]:
        rng = np.random.default_rng(seed)
        values = list(args)
        for _ in range(steps):
            recent = values[max(0, len(values) - 6) :]
            x, y = (recent[int(rng.integers(len(recent)))] for _ in range(2))
            operation = OPERATIONS[int(rng.integers(len(OPERATIONS)))]
            values.append(operation(rng, x, y))
        kept = rng.integers(len(args), len(values), 3)
        return [*(values[int(i)] for i in kept), values[-1]]

    return stage_out(program, [ShapedArray(shape, FLOAT) for shape in SHAPES])


# --- operations: each takes a generator and two values, and gives a value ---------------------


def _like(x: Any, shape: tuple[int, ...]) -> Any:
    """Some value of a shape, made of another one: a slice of it that repeats."""
    if x.shape == shape:
        return x
    first = lax.reshape(x, (x.size,))[:1]
    if shape and x.ndim == 1 and x.shape[0] == shape[-1]:
        return x
    return lax.reshape(first, ())


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda rng, x, y: function(x, _like(y, x.shape))


def _axes(rng: Any, x: Any) -> tuple[int, ...]:
    return tuple(i for i in range(x.ndim) if rng.random() < 0.6) or tuple(range(x.ndim))[:1]


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def operation(rng: Any, x: Any, y: Any) -> Any:
        x = lax.clamp(np.float32(-4), x, np.float32(4))
        axes = _axes(rng, x)
        return function(x, axes) if axes else x

    return operation


def _centred(rng: Any, x: Any, y: Any) -> Any:
    """A value of a row, used with the row again."""
    if not x.ndim:
        return x
    top = lax.reduce_max(x, (x.ndim - 1,))
    return lax.sub(x, lax.expand_dims(top, (x.ndim - 1,)))


def _position(rng: Any, x: Any, y: Any) -> Any:
    if not x.ndim:
        return x
    found = lax.argmax(x, int(rng.integers(x.ndim)), np.int32)
    return lax.convert_element_type(found, FLOAT)


def _reshaped(rng: Any, x: Any, y: Any) -> Any:
    shape = [(x.size,), (1, x.size), (*x.shape, 1), (2, x.size // 2), (x.size // 3, 3)]
    chosen = shape[int(rng.integers(5))]
    return lax.reshape(x, chosen) if np.prod(chosen) == x.size else x


def _repeated(rng: Any, x: Any, y: Any) -> Any:
    if x.size > 24:
        return x
    place = int(rng.integers(x.ndim + 1))
    shape = (*x.shape[:place], 2, *x.shape[place:])
    return lax.broadcast_in_dim(x, shape, [i for i in range(len(shape)) if i != place])


def _sliced(rng: Any, x: Any, y: Any) -> Any:
    limits = [int(rng.integers((n + 1) // 2, n + 1)) for n in x.shape]
    return lax.slice(x, [n - m for n, m in zip(x.shape, limits, strict=True)], x.shape)


def _padded(rng: Any, x: Any, y: Any) -> Any:
    if not x.ndim or x.size > 24:
        return x
    return lax.pad(x, np.float32(1), [(1, 0, 1), *[(0, 0, 0)] * (x.ndim - 1)])


def _joined(rng: Any, x: Any, y: Any) -> Any:
    """Values that are computed where they are joined."""
    if not x.ndim or x.size > 24:
        return x
    parts = [lax.abs(x), lax.max(lax.neg(x), _like(y, x.shape))]
    return lax.concatenate(parts, int(rng.integers(x.ndim)))


OPERATIONS: list[Callable[..., Any]] = [
    _binary(lambda x, y: lax.clamp(np.float32(-64), lax.add(x, y), np.float32(64))),
    _binary(lax.sub),
    _binary(lax.max),
    _binary(lambda x, y: lax.select(lax.lt(x, y), x, lax.mul(x, np.float32(-1)))),
    _binary(lambda x, y: lax.floor(lax.mul(lax.add(x, y), np.float32(0.5)))),
    lambda rng, x, y: lax.abs(x),
    lambda rng, x, y: lax.add(x, lax.broadcasted_iota(FLOAT, x.shape, 0) if x.ndim else x),
    _reduced(lax.reduce_sum),
    _reduced(lax.reduce_max),
    _reduced(lax.reduce_min),
    _centred,
    _position,
    _reshaped,
    _repeated,
    _sliced,
    _padded,
    lambda rng, x, y: lax.transpose(x, rng.permutation(x.ndim)),
    lambda rng, x, y: lax.rev(x, _axes(rng, x)) if x.ndim else x,
    lambda rng, x, y: lax.concatenate([x, x], 0) if x.ndim and x.size <= 24 else x,
    _joined,
]
