"""What gives a data set its steps: elements or batches, from a source or from an iterable.

A source with random access is read in an order that is known before (`data/order.py`). An iterable
is run through, anew for each epoch.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from funcflow.core import pytree
from funcflow.core.errors import ArgumentError, DataFormatError, ShapeError
from funcflow.core.typing import PyTree
from funcflow.data.order import Batched, Order, Repeated, Shuffled, Sliced
from funcflow.data.sources import Source


class Feed(ABC):
    """The steps of each epoch. A step is an element, or a batch of them once `batched` is true."""

    batched: bool

    @property
    @abstractmethod
    def length(self) -> int | None:
        """How many steps an epoch has; None if that is not known."""

    @abstractmethod
    def steps(self, epoch: int, start: int) -> Iterator[PyTree]:
        """What is read in an epoch, from step `start` on."""

    @abstractmethod
    def shuffle(self, key: Any) -> "Feed":
        """The steps in random order."""

    @abstractmethod
    def slice(self, start: int, stop: int | None) -> "Feed":
        """The steps from one to another."""

    @abstractmethod
    def repeat(self, count: int) -> "Feed":
        """Several epochs as one."""

    @abstractmethod
    def batch(self, size: int, drop_remainder: bool) -> "Feed":
        """The elements in batches."""


@dataclass(frozen=True, eq=False)
class IndexedFeed(Feed):
    """A source that is read in some order."""

    source: Source
    order: Order
    batched: bool = False

    @property
    def length(self) -> int:
        return len(self.order)

    def steps(self, epoch: int, start: int) -> Iterator[PyTree]:
        schedule = self.order.schedule(epoch)
        for step in range(start, len(schedule)):
            rows = self.source[schedule[step]]
            yield rows if self.batched else pytree.tree_map(lambda leaf: leaf[0], rows)

    def _with(self, order: Order, batched: bool) -> "IndexedFeed":
        return IndexedFeed(self.source, order, batched)

    def shuffle(self, key: Any) -> Feed:
        return self._with(Shuffled(self.order, key), self.batched)

    def slice(self, start: int, stop: int | None) -> Feed:
        stop = self.length if stop is None else min(stop, self.length)
        return self._with(Sliced(self.order, start, stop), self.batched)

    def repeat(self, count: int) -> Feed:
        return self._with(Repeated(self.order, count), self.batched)

    def batch(self, size: int, drop_remainder: bool) -> Feed:
        return self._with(Batched(self.order, size, drop_remainder), batched=True)


@dataclass(frozen=True, eq=False)
class SequentialFeed(Feed):
    """Steps that come one after the other; `run(epoch)` gives them from the first one on."""

    run: Callable[[int], Iterator[PyTree]]
    steps_known: int | None
    batched: bool = False

    @property
    def length(self) -> int | None:
        return self.steps_known

    def steps(self, epoch: int, start: int) -> Iterator[PyTree]:
        return itertools.islice(self.run(epoch), start, None)

    def _map_length(self, f: Callable[[int], int]) -> int | None:
        return None if self.steps_known is None else f(self.steps_known)

    def shuffle(self, key: Any) -> Feed:
        raise ArgumentError(
            "shuffle: elements that come one after the other cannot be put into another order",
            mend="shuffle within the generator, or use a source with random access",
        )

    def slice(self, start: int, stop: int | None) -> Feed:
        def run(epoch: int) -> Iterator[PyTree]:
            return itertools.islice(self.run(epoch), start, stop)

        length = self._map_length(lambda n: len(range(n)[start:stop]))
        return SequentialFeed(run, length, self.batched)

    def repeat(self, count: int) -> Feed:
        def run(epoch: int) -> Iterator[PyTree]:
            return itertools.chain.from_iterable(self.run(epoch * count + i) for i in range(count))

        return SequentialFeed(run, self._map_length(lambda n: n * count), self.batched)

    def batch(self, size: int, drop_remainder: bool) -> Feed:
        def run(epoch: int) -> Iterator[PyTree]:
            elements = self.run(epoch)
            while group := list(itertools.islice(elements, size)):
                if len(group) == size or not drop_remainder:
                    yield _stacked(group)

        length = self._map_length(lambda n: n // size if drop_remainder else -(-n // size))
        return SequentialFeed(run, length, batched=True)


def _stacked(elements: list[PyTree]) -> PyTree:
    """Elements along a new leading axis."""

    def stack(path: pytree.KeyPath, *leaves: Any) -> np.ndarray:
        arrays = [np.asarray(leaf) for leaf in leaves]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            at = f" at {pytree.keystr(path)}" if path else ""
            raise ShapeError(
                f"batch: the elements of a batch have different shapes{at}: "
                f"{', '.join(map(str, sorted(shapes)))}",
                mend="bring them to one shape in the generator, e.g. with pad_sequences",
            )
        return np.stack(arrays)

    return pytree.tree_map_with_path(stack, elements[0], *elements[1:])


def sequential(
    restart: Callable[[], Iterable[PyTree]], length: int | None, batched: bool
) -> SequentialFeed:
    """The feed of an iterable that `restart` gives for each epoch."""

    def run(epoch: int) -> Generator[PyTree]:
        count = 0
        for item in restart():
            count += 1
            if length is not None and count > length:
                break
            yield item
        if not count or (length is not None and count != length):
            found = f"more than {length}" if length is not None and count > length else str(count)
            raise DataFormatError(
                f"epoch {epoch}: expected {length or 'some'} elements, found {found}",
                mend="pass what can be iterated again for each epoch, and its true length",
            )

    return SequentialFeed(run, length, batched)
