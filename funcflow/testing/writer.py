"""What random programs are written with: a pool of values, and choices among them.

A `Writer` is used while a program is traced. It chooses by shapes and dtypes alone, never by
values, so a seed names a program.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias, TypeVar

import numpy as np

from funcflow import lax
from funcflow.core import dtypes

Shape: TypeAlias = tuple[int, ...]
DType: TypeAlias = np.dtype[Any]
T = TypeVar("T")

# Writes one operation; returns its results, or nothing where no value suits.
Operation: TypeAlias = Callable[["Writer"], Any]

_RECENT = 6


class _NothingSuitsError(Exception):
    """No value suits an operation."""


class Writer:
    """A random program while it is written.

    Args:
        rng: makes all choices.
        operations: what to choose from, and how often: (operation, weight).
        shapes: the shapes that new values take.
        dtypes: the dtypes that new values take.
        exact: whether all results must be the same in any order of evaluation.
        limit: the greatest number of elements of a value.
        depth: how many bodies this one is inside of.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        operations: Sequence[tuple[Operation, float]],
        shapes: Sequence[Shape],
        dtypes: Sequence[DType],
        *,
        exact: bool,
        limit: int,
        depth: int = 0,
    ) -> None:
        self.rng = rng
        self.shapes = shapes
        self.dtypes = dtypes
        self.exact = exact
        self.limit = limit
        self.depth = depth
        self.values: list[Any] = []
        self._operations = operations
        weights = np.array([weight for _, weight in operations])
        self._odds = weights / weights.sum()

    def write(self, count: int) -> None:
        """Write so many operations, or fewer where no value suits what was chosen."""
        for _ in range(count):
            operation, _ = self._operations[int(self.rng.choice(len(self._odds), p=self._odds))]
            try:
                found = operation(self)
            except _NothingSuitsError:
                continue
            self.values += [] if found is None else found if isinstance(found, list) else [found]

    def body(self, arguments: Sequence[Any], count: int) -> "Writer":
        """A writer for a body, which has read its arguments and written so many operations.

        It may also read this writer's values: those become constants of the body.
        """
        inner = Writer(
            self.rng,
            self._operations,
            self.shapes,
            self.dtypes,
            exact=self.exact,
            limit=self.limit,
            depth=self.depth + 1,
        )
        captured = self.values[-2:] if self.chance(0.3) else []
        inner.values = [*captured, *arguments]
        inner.write(count)
        return inner

    # --- choices ------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        """True so often."""
        return bool(self.rng.random() < probability)

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def choose(self, items: Sequence[T]) -> T:
        """One of some things."""
        return items[self.integer(0, len(items) - 1)]

    def axes(self, ndim: int, at_least: int = 1) -> Shape:
        """Some of the axes, in order."""
        count = self.integer(min(at_least, ndim), ndim)
        return tuple(sorted(int(i) for i in self.rng.permutation(ndim)[:count]))

    # --- values -------------------------------------------------------------------------------

    def pick(self, kinds: str = "biufc", **wanted: int) -> Any:
        """As `find`; where nothing suits, the operation is given up."""
        found = self.find(kinds, **wanted)
        if found is None:
            raise _NothingSuitsError
        return found

    def find(
        self, kinds: str = "biufc", *, ndim: int = 0, elements: int = 0, room: int = 1
    ) -> Any | None:
        """A value, most often a recent one, or None.

        Args:
            kinds: the kinds of dtype that will do.
            ndim: the fewest dimensions.
            elements: the fewest elements.
            room: `room` times its elements must not exceed the limit.
        """
        suited = [
            v
            for v in self.values
            if dtypes.kind(v.dtype) in kinds
            and v.ndim >= ndim
            and v.size >= elements
            and v.size * room <= self.limit
        ]
        if not suited:
            return None
        return self.choose(suited if self.chance(0.3) else suited[-_RECENT:])

    def partner(self, x: Any) -> Any:
        """A value to combine with `x`: of its dtype, and a shape that broadcasts to its shape."""
        if self.chance(0.15):
            return self.number(x.dtype)
        recent = self.values if self.chance(0.3) else self.values[-2 * _RECENT :]
        suited = [v for v in recent if v.dtype == x.dtype and _broadcasts(v.shape, x.shape)]
        if suited and self.chance(0.85):
            return self.choose(suited)
        y = self.choose(recent)
        if _broadcasts(y.shape, x.shape):
            return self.like(y, y.shape, x.dtype)
        return self.like(y, self.choose([x.shape, ()]), x.dtype)

    def number(self, dtype: DType) -> np.generic:
        """A scalar, most often a small one."""
        kind = dtypes.kind(dtype)
        if kind == "f" and self.chance(0.08):
            return dtype.type(self.choose([-0.0, np.inf, np.nan, 1e-30]))
        if kind == "b":
            return np.bool_(self.chance(0.5))
        quarters = self.integer(0 if kind == "u" else -12, 12)
        return dtype.type(quarters / 4 if kind in "fc" else quarters)

    def like(self, x: Any, shape: Shape, dtype: Any) -> Any:
        """A value of that shape and dtype, made of another one."""
        if x.dtype != dtype:
            x = lax.convert_element_type(x, dtype)
        if x.shape == shape:
            return x
        if _broadcasts(x.shape, shape):
            return lax.broadcast_to(x, shape)
        if x.size < prod(shape):
            first = lax.reshape(x, (x.size,))[:1] if x.size else np.zeros((1,), dtype)
            return lax.broadcast_to(lax.reshape(first, ()), shape)
        return lax.reshape(lax.slice(lax.reshape(x, (x.size,)), (0,), (prod(shape),)), shape)

    def bounded(self, x: Any, low: float, high: float) -> Any:
        """`x` kept between two numbers."""
        return lax.clamp(x.dtype.type(low), x, x.dtype.type(high))

    def index(self, high: int, shape: Shape = (), *, outside: int = 1) -> Any:
        """Integers from about 0 to about `high`, made of some value."""
        source = self.find("biuf")
        if source is None:
            source = self.values[-1]
        x = self.like(source, shape, np.dtype(np.int32))
        return self.bounded(x, -outside, high + outside)


def _broadcasts(shape: Shape, to: Shape) -> bool:
    """Whether values of one shape broadcast to another one."""
    return len(shape) <= len(to) and all(
        n in (1, m) for n, m in zip(reversed(shape), reversed(to), strict=False)
    )
