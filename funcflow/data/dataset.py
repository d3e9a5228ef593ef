"""Data sets: what is read, in which order, in which batches, and what is made of them."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from funcflow import random
from funcflow.core import pytree
from funcflow.core.errors import ArgumentError, DataFormatError
from funcflow.core.typing import PyTree
from funcflow.data.feeds import Feed, IndexedFeed, sequential
from funcflow.data.order import InOrder
from funcflow.data.prefetch import prefetched
from funcflow.data.sources import ArraySource, Source, is_source

# What is made of a step: a function of the epoch, the number of the step, and what was read.
Stage: TypeAlias = Callable[[int, int, PyTree], PyTree]


class Position(NamedTuple):
    """A place in the training: how many epochs are over, and how many steps of the next one."""

    epoch: int
    step: int


class Epoch(Iterator[PyTree]):
    """The batches of an epoch, one after the other.

    `epoch` and `step` say where it is: `dataset.epoch(epoch, start=step)` goes on from there, in
    this process or in another one. It is a context manager, too, which ends the thread of
    `prefetch`; letting go of the iterator does the same.
    """

    def __init__(self, steps: Generator[PyTree], epoch: int, step: int) -> None:
        self._steps = steps
        self.epoch = epoch
        self.step = step

    @property
    def position(self) -> Position:
        """Where the next batch lies."""
        return Position(self.epoch, self.step)

    def __next__(self) -> PyTree:
        batch = next(self._steps)
        self.step += 1
        return batch

    def close(self) -> None:
        """Give no more batches, and wait for the thread that works ahead, if there is one."""
        self._steps.close()

    def __enter__(self) -> "Epoch":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A pipeline from a source to batches, made by `from_arrays`, `from_source`, `from_generator`.

    It is a value: each method returns another data set. Methods apply in the order in which they
    are called: `shuffle`, `take`, `skip` and `repeat` deal with elements in front of `batch`, and
    with batches behind it.

    The batches of an epoch depend on the data set, its keys, and the number of the epoch, on
    nothing else. So a training that stopped can be resumed at any step, and sees what it would
    have seen.

    Example:
        >>> numbers = ff.data.from_arrays(np.arange(5)).shuffle(ff.random.key(0)).batch(2)
        >>> [batch.tolist() for batch in numbers.epoch(0)]
        [[0, 2], [4, 1], [3]]
        >>> [batch.tolist() for batch in numbers.epoch(0, start=1)]
        [[4, 1], [3]]
    """

    feed: Feed
    stages: tuple[Stage, ...] = ()
    ahead: int = 0

    # --- how much there is ----------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches (elements, without `batch`) an epoch has; None if that is not known."""
        return self.feed.length

    def __len__(self) -> int:
        if self.feed.length is None:
            raise TypeError("this data set does not know its length: pass it to from_generator")
        return self.feed.length

    def __bool__(self) -> bool:
        return True  # it has steps, or it would not have been made

    # --- which elements, in which order ---------------------------------------------------------

    def shuffle(self, key: Any) -> "Dataset":
        """Take elements (or batches) in random order, another one in each epoch.

        Args:
            key: a key; it decides the order of epoch e together with e.

        Raises:
            ArgumentError: the elements come from a generator, one after the other.
        """
        return replace(self, feed=self.feed.shuffle(key))

    def take(self, count: int) -> "Dataset":
        """The first `count` elements (or batches), or all if there are fewer.

        Raises:
            ArgumentError: the count is not positive.
        """
        _check_positive("take", "count", count)
        return replace(self, feed=self.feed.slice(0, count))

    def skip(self, count: int) -> "Dataset":
        """All but the first `count` elements (or batches).

        Raises:
            ArgumentError: the count is negative, or nothing is left.
        """
        length = self.feed.length
        if count < 0 or (length is not None and count >= length):
            raise ArgumentError(
                f"skip: count={count} of {length} leaves nothing, or is negative",
                mend="skip at least 0, and fewer than there are",
            )
        return replace(self, feed=self.feed.slice(count, None))

    def repeat(self, count: int) -> "Dataset":
        """`count` epochs as one; what is shuffled before is so for each of them anew.

        Raises:
            ArgumentError: the count is not positive.
        """
        _check_positive("repeat", "count", count)
        return replace(self, feed=self.feed.repeat(count))

    def batch(self, size: int, *, drop_remainder: bool = False, pad: bool = False) -> "Dataset":
        """Take elements `size` at a time, along a new leading axis.

        Args:
            size: how many elements make a batch.
            drop_remainder: leave the last batch out if it has fewer elements.
            pad: fill the last batch up with copies of its last element, so that all batches have
                one shape (and a jitted step is compiled once). Each batch then has weights,
                float32 of shape (size,), 1 for elements and 0 for copies: as a further entry if it
                is a tuple, `(x, y)` becomes `(x, y, weights)`; anything else becomes a pair.

        Raises:
            ArgumentError: the size is not positive, the elements are in batches already, or no
                batch is left.
            ShapeError: while running, elements of a generator differ in shape.

        Example:
            >>> batches = ff.data.from_arrays(np.arange(3)).batch(2, pad=True)
            >>> for numbers, weights in batches:
            ...     print(numbers, weights)
            [0 1] [1. 1.]
            [2 2] [1. 0.]
        """
        _check_positive("batch", "size", size)
        if self.feed.batched:
            raise ArgumentError("batch: the elements are in batches already", mend="batch once")
        feed = self.feed.batch(size, drop_remainder)
        if feed.length == 0:
            raise ArgumentError(
                f"batch: {len(self)} elements fill no batch of {size}, and drop_remainder is true",
                mend="use smaller batches, or keep the remainder",
            )
        stages = self.stages
        if pad:
            stages = (*stages, lambda epoch, step, batch: _padded(batch, size))
        return replace(self, feed=feed, stages=stages)

    # --- what is made of a batch ----------------------------------------------------------------

    def map(self, function: Callable[..., PyTree], key: Any = None) -> "Dataset":
        """Apply a function to each batch.

        Args:
            function: called as `function(batch)`, or `function(key, batch)` if a key is given. It
                may compute with NumPy or funcflow.
            key: a key; each step of each epoch gets one of its own made from it.

        Raises:
            ArgumentError: there are no batches yet.

        Example:
            >>> def noisy(key, x):
            ...     return x + ff.random.normal(key, x.shape)
            >>> data = ff.data.from_arrays(np.zeros((4, 2))).batch(2).map(noisy, ff.random.key(0))
            >>> [batch.shape for batch in data]
            [(2, 2), (2, 2)]
        """
        if not self.feed.batched:
            raise ArgumentError(
                "map: takes functions of batches, and there are none yet",
                mend="call batch before map; ff.vmap makes a function of an element one of batches",
            )

        def stage(epoch: int, step: int, batch: PyTree) -> PyTree:
            if key is None:
                return function(batch)
            return function(random.fold_in(random.fold_in(key, epoch), step), batch)

        return replace(self, stages=(*self.stages, stage))

    def prefetch(self, size: int = 2) -> "Dataset":
        """Read and map in a background thread, up to `size` batches ahead of the loop.

        What is raised there is raised in the loop, where the batch would have come. The thread
        ends when the loop lets go of its iterator, is left by an error, or the program ends.

        Raises:
            ArgumentError: the size is not positive.
        """
        _check_positive("prefetch", "size", size)
        return replace(self, ahead=size)

    # --- running --------------------------------------------------------------------------------

    def epoch(self, epoch: int, start: int = 0) -> Epoch:
        """The batches of an epoch, from step `start` on.

        With random access nothing before `start` is read; a generator is run through.

        Args:
            epoch: the number of the epoch, from 0.
            start: how many steps to leave out.

        Raises:
            ArgumentError: the epoch is negative, or there are not so many steps.
            DataFormatError: while running, a file turns out damaged, or a generator gives nothing,
                or not as many elements as was said.
        """
        length = self.feed.length
        if epoch < 0 or start < 0 or (length is not None and start > length):
            raise ArgumentError(
                f"epoch: there is no step {start} in epoch {epoch}, epochs have {length} steps",
                mend="count both from 0",
            )

        def steps() -> Generator[PyTree]:
            for step, rows in enumerate(self.feed.steps(epoch, start), start):
                for stage in self.stages:
                    rows = stage(epoch, step, rows)
                yield rows

        return Epoch(prefetched(steps, self.ahead) if self.ahead else steps(), epoch, start)

    def __iter__(self) -> Epoch:
        """The batches of epoch 0."""
        return self.epoch(0)


def _check_positive(function: str, name: str, value: int) -> None:
    if value < 1:
        raise ArgumentError(
            f"{function}: expected a positive {name}, got {value}", mend="use at least 1"
        )


def _padded(batch: PyTree, size: int) -> PyTree:
    """A batch of `size` rows, and which of them count."""
    rows = len(pytree.tree_leaves(batch)[0])
    weights = (np.arange(size) < rows).astype(np.float32)
    picked = np.minimum(np.arange(size), rows - 1)
    if rows < size:
        batch = pytree.tree_map(lambda leaf: leaf[picked], batch)
    return (*batch, weights) if type(batch) is tuple else (batch, weights)


# --- making data sets ---------------------------------------------------------------------------


def from_source(source: Source) -> Dataset:
    """The elements of a source with random access.

    Raises:
        DataFormatError: the source has no elements.
    """
    if not len(source):
        raise DataFormatError(
            f"from_source: expected at least one element, found none in {source!r}",
            mend="pass a source that is not empty",
        )
    return Dataset(IndexedFeed(source, InOrder(len(source))))


def from_arrays(arrays: PyTree) -> Dataset:
    """The rows of arrays.

    Args:
        arrays: a pytree of arrays whose leading axes have one extent, e.g. `(images, labels)`.

    Raises:
        DataFormatError: there are no rows.
        LeafTypeError: a leaf is no array.
        ShapeError: the leading axes differ, or a leaf has no axis.

    Example:
        >>> data = ff.data.from_arrays((np.eye(4), np.arange(4))).batch(3)
        >>> len(data)
        2
        >>> [labels.tolist() for rows, labels in data]
        [[0, 1, 2], [3]]
    """
    return from_source(ArraySource(arrays))


def from_generator(function: Callable[[], Iterable[PyTree]], length: int | None = None) -> Dataset:
    """The elements that an iterable gives, one after the other.

    Args:
        function: called at the beginning of each epoch; it returns an iterable of pytrees of arrays
            and numbers, one for each element: a generator function, say.
        length: how many elements there are, if that is known.

    Raises:
        DataFormatError: while running, there are no elements, or not as many as `length` says.

    Example:
        >>> def squares():
        ...     for i in range(5):
        ...         yield i * i
        >>> [batch.tolist() for batch in ff.data.from_generator(squares).batch(2)]
        [[0, 1], [4, 9], [16]]
    """
    if not callable(function):
        raise ArgumentError(
            f"from_generator: expected a function that starts anew, got {type(function).__name__}",
            mend="pass the generator function itself, without calling it",
        )
    return Dataset(sequential(function, length, batched=False))


def as_dataset(data: Any, batch_size: int | None = None) -> Dataset:
    """What a training loop is given, as a data set of batches.

    Args:
        data: a data set; a source; an array, or a tuple or dict of arrays, whose rows are the
            elements; or any other iterable, whose items are batches as they are. One that can be
            iterated once only is good for one epoch.
        batch_size: how many elements make a batch; needed where `data` is not in batches.

    Raises:
        ArgumentError: the size is missing, or given for what is in batches; or `data` is none of
            these.
    """
    dataset = data if isinstance(data, Dataset) else _converted(data)
    if dataset.feed.batched and batch_size is not None:
        raise ArgumentError(
            f"as_dataset: batch_size={batch_size}, but the data is in batches already: it is "
            f"{_kind(data)}",
            mend="leave batch_size out; pass arrays whose rows are the elements as a tuple, (x, y)",
        )
    if dataset.feed.batched:
        return dataset
    if batch_size is None:
        raise ArgumentError("as_dataset: the data is not in batches", mend="give a batch_size")
    return dataset.batch(batch_size)


def _kind(data: Any) -> str:
    return "a data set of batches" if isinstance(data, Dataset) else f"a {type(data).__name__}"


def _converted(data: Any) -> Dataset:
    if is_source(data):
        return from_source(data)
    if hasattr(data, "__array__") or isinstance(data, tuple | dict):
        return from_arrays(data)
    if isinstance(data, Iterable):
        length = len(data) if isinstance(data, Sized) else None
        return Dataset(sequential(lambda: data, length, batched=True))
    raise ArgumentError(
        f"as_dataset: expected a data set, a source, arrays or an iterable of batches, got "
        f"{type(data).__name__}",
        mend="pass arrays as a tuple, e.g. (x, y)",
    )
