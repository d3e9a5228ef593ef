"""Where elements come from: sources with random access, and parts of them.

A source has a length, and `source[indices]` gives the elements of these numbers as a pytree of
NumPy arrays whose leading axis counts them.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from funcflow import random
from funcflow.core import pytree
from funcflow.core.errors import ArgumentError, DataFormatError, LeafTypeError, ShapeError
from funcflow.core.typing import PyTree


@runtime_checkable
class Source(Protocol):
    """What a data set needs of a source with random access."""

    def __len__(self) -> int:
        """How many elements there are; at least one."""
        ...

    def __getitem__(self, indices: Any, /) -> PyTree:
        """The elements of these numbers, an array of integers of shape (n,).

        Returns:
            A pytree of NumPy arrays of shape (n, ...), always of the same structure.
        """
        ...


class ArraySource:
    """The rows of arrays that lie in memory.

    Args:
        arrays: a pytree of arrays with leading axes of one extent, which counts the elements.

    Raises:
        DataFormatError: there are no elements.
        LeafTypeError: a leaf is no array.
        ShapeError: the leading axes differ, or a leaf has no axis.

    Example:
        >>> source = ff.data.ArraySource({"x": np.eye(3), "y": np.arange(3)})
        >>> len(source)
        3
        >>> source[[2, 0]]["y"]
        array([2, 0])
    """

    def __init__(self, arrays: PyTree) -> None:
        self.arrays = pytree.tree_map_with_path(_as_rows, arrays)
        extents = {
            pytree.keystr(path): len(leaf)
            for path, leaf in pytree.tree_leaves_with_path(self.arrays)
        }
        if len(set(extents.values())) > 1:
            shown = ", ".join(f"{n} at {path}" for path, n in extents.items())
            raise ShapeError(
                f"ArraySource: the leading axes have different extents: {shown}",
                mend="pass arrays with one row for each element",
            )
        self._length = next(iter(extents.values()), 0)
        if not self._length:
            raise DataFormatError(
                f"ArraySource: expected at least one element, found none in {arrays!r}",
                mend="pass arrays with rows",
            )

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, indices: Any) -> PyTree:
        return pytree.tree_map(lambda leaf: np.take(leaf, indices, axis=0), self.arrays)


def _as_rows(path: pytree.KeyPath, leaf: Any) -> np.ndarray:
    at = f" at {pytree.keystr(path)}" if path else ""
    if not hasattr(leaf, "__array__"):
        raise LeafTypeError(
            f"ArraySource: expected an array{at}, got {type(leaf).__name__}",
            mend="convert it with np.asarray",
        )
    array = np.asarray(leaf)
    if not array.ndim:
        raise ShapeError(
            f"ArraySource: the array{at} has no axis, so no rows",
            mend="pass arrays with one row for each element",
        )
    return array


class Subset:
    """Some elements of a source, in the order of their numbers.

    Args:
        source: a source with random access.
        indices: the numbers of the elements, an array of integers of shape (n,).
    """

    def __init__(self, source: Source, indices: Any) -> None:
        self.source = source
        self.indices = np.asarray(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: Any) -> PyTree:
        return self.source[self.indices[indices]]


def as_source(data: Any) -> Source:
    """A source as it is, a pytree of arrays as its rows."""
    return data if is_source(data) else ArraySource(data)


def is_source(data: Any) -> bool:
    """Whether something is a source, and no array or container, which have the same methods."""
    return isinstance(data, Source) and pytree.all_leaves([data]) and not hasattr(data, "__array__")


def train_test_split(data: Any, test_size: float = 0.25, *, key: Any) -> tuple[Subset, Subset]:
    """Two random parts that have no element in common, and all together.

    Args:
        data: a source, or a pytree of arrays whose leading axis counts the elements.
        test_size: the share of the second part, between 0 and 1, rounded to the nearest number of
            elements; or the number itself, an integer.
        key: the key that decides which elements go where.

    Returns:
        The source to train on and the one to test on.

    Raises:
        ArgumentError: a part would have no elements.

    Example:
        >>> train, test = ff.data.train_test_split(np.arange(10), 0.2, key=ff.random.key(0))
        >>> len(train), len(test)
        (8, 2)
    """
    source = as_source(data)
    total = len(source)
    count = test_size if isinstance(test_size, int) else round(test_size * total)
    if not 0 < count < total:
        raise ArgumentError(
            f"train_test_split: test_size={test_size} gives {count} of {total} elements to the "
            "second part, so that one is empty",
            mend=f"use a share between 0 and 1, or a number from 1 to {total - 1}",
        )
    order = np.asarray(random.permutation(key, total))
    return Subset(source, order[count:]), Subset(source, order[:count])
