"""Which elements are read when: the order of an epoch, with random access to its batches.

Nothing is read here. An `Order` is made of the orders before it (shuffled, batched, ...), and gives
for each epoch a `Schedule`, in which any batch can be looked up at once. So an epoch can be resumed
at any batch, and comes out the same whenever it is asked for.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from funcflow import random


@dataclass(frozen=True, eq=False)
class Schedule:
    """The steps of one epoch: step i reads the elements `numbers[starts[i]:stops[i]]`."""

    numbers: np.ndarray
    starts: np.ndarray
    stops: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, step: int) -> np.ndarray:
        return self.numbers[self.starts[step] : self.stops[step]]

    def select(self, steps: Any) -> "Schedule":
        """Some of the steps, in another order."""
        return Schedule(self.numbers, self.starts[steps], self.stops[steps])

    @classmethod
    def join(cls, parts: list["Schedule"]) -> "Schedule":
        """The steps of one after those of another."""
        shifts = np.cumsum([0, *(len(part.numbers) for part in parts[:-1])])
        pairs = list(zip(parts, shifts, strict=True))
        return cls(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.starts + shift for part, shift in pairs]),
            np.concatenate([part.stops + shift for part, shift in pairs]),
        )


class Order(ABC):
    """The order of the steps of each epoch. A step is one element, or a batch of them."""

    @abstractmethod
    def __len__(self) -> int:
        """How many steps an epoch has."""

    @abstractmethod
    def schedule(self, epoch: int) -> Schedule:
        """The steps of an epoch."""


@dataclass(frozen=True, eq=False)
class InOrder(Order):
    """All elements of a source, as they come."""

    length: int

    def __len__(self) -> int:
        return self.length

    def schedule(self, epoch: int) -> Schedule:
        numbers = np.arange(self.length)
        return Schedule(numbers, numbers, numbers + 1)


@dataclass(frozen=True, eq=False)
class Shuffled(Order):
    """The steps in an order that a key and the number of the epoch decide."""

    before: Order
    key: Any

    def __len__(self) -> int:
        return len(self.before)

    def schedule(self, epoch: int) -> Schedule:
        steps = random.permutation(random.fold_in(self.key, epoch), len(self))
        return self.before.schedule(epoch).select(np.asarray(steps))


@dataclass(frozen=True, eq=False)
class Sliced(Order):
    """The steps from one to another."""

    before: Order
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def schedule(self, epoch: int) -> Schedule:
        return self.before.schedule(epoch).select(slice(self.start, self.stop))


@dataclass(frozen=True, eq=False)
class Repeated(Order):
    """All epochs' steps, several epochs at a time."""

    before: Order
    count: int

    def __len__(self) -> int:
        return len(self.before) * self.count

    def schedule(self, epoch: int) -> Schedule:
        first = epoch * self.count
        return Schedule.join([self.before.schedule(first + i) for i in range(self.count)])


@dataclass(frozen=True, eq=False)
class Batched(Order):
    """Steps of `size` elements; the last one may have fewer, or is left out."""

    before: Order
    size: int
    drop_remainder: bool

    def __len__(self) -> int:
        rounded = len(self.before) if self.drop_remainder else len(self.before) + self.size - 1
        return rounded // self.size

    def schedule(self, epoch: int) -> Schedule:
        steps = self.before.schedule(epoch)
        numbers = steps.numbers[steps.starts]  # each step before is a single element
        starts = np.arange(len(self)) * self.size
        return Schedule(numbers, starts, np.minimum(starts + self.size, len(numbers)))
