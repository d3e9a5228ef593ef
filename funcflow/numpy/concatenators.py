"""Indices and arrays written in brackets: `s_`, `index_exp`, `r_` and `c_`."""

from typing import Any

import numpy as np

from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.numpy.arguments import static_int
from funcflow.numpy.joining import concatenate
from funcflow.numpy.manipulation import moveaxis, reshape
from funcflow.numpy.promotion import as_array
from funcflow.numpy.ranges import arange, linspace


class _IndexExpression:
    """`s_[1:3, ...]`: the index as an object; `index_exp` makes it a tuple."""

    def __init__(self, as_tuple: bool) -> None:
        self._as_tuple = as_tuple

    def __getitem__(self, item: Any) -> Any:
        return (item,) if self._as_tuple and not isinstance(item, tuple) else item


s_ = _IndexExpression(False)
index_exp = _IndexExpression(True)


class _Concatenator:
    """`r_[1:4, 0, x]`: numbers, ranges and arrays one after the other.

    A range with an imaginary step `n * 1j` has `n` numbers and includes its end. A string
    "axis,ndmin,start" in front says along which axis to join, to how many axes to bring each
    part, and where a part's own axes go among them; "r" or "c" makes a matrix of one row or
    column.
    """

    def __init__(self, name: str, axis: int, ndmin: int, start: int) -> None:
        self._name = name
        self._defaults = axis, ndmin, start

    def __repr__(self) -> str:
        return f"funcflow.numpy.{self._name}"

    def __getitem__(self, key: Any) -> Array:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, ndmin, start = self._defaults
        if items and isinstance(items[0], str):
            text = items.pop(0)
            if text in ("r", "c"):
                row = concatenate([self._part(item, 1, -1) for item in items])
                return reshape(row, (1, -1) if text == "r" else (-1, 1))
            try:
                given = [int(part) for part in text.split(",")]
                axis, ndmin, start = (*given, *self._defaults[len(given) :])
            except ValueError:
                raise ArgumentError(
                    f"{self._name}: {text!r} is no directive", mend="write e.g. '0,2'"
                ) from None
        return concatenate([self._part(item, ndmin, start) for item in items], axis)

    def _part(self, item: Any, ndmin: int, start: int) -> Array:
        if isinstance(item, slice):
            array = _range(self._name, item)
        else:
            array = as_array(self._name, item)
        if not array.ndim:
            array = reshape(array, (1,))
        missing = ndmin - array.ndim
        if missing <= 0:
            return array
        grown = reshape(array, (1,) * missing + array.shape)
        # the part's own axes start at `start`, counted in the result
        first = start if start >= 0 else missing + 1 + start
        own = tuple(range(missing, grown.ndim))
        return moveaxis(grown, own, tuple(range(first, first + array.ndim)))


def _range(function: str, item: slice) -> Array:
    start = 0 if item.start is None else item.start
    if isinstance(item.step, complex):
        return linspace(start, item.stop, int(abs(item.step)))
    if item.stop is None:
        raise ArgumentError(f"{function}: the range {item} has no end", mend="write an end")
    if not isinstance(item.stop, float | np.floating | Array):
        static_int(function, "the end of a range", item.stop)
    return arange(start, item.stop, 1 if item.step is None else item.step)


r_ = _Concatenator("r_", 0, 1, -1)
c_ = _Concatenator("c_", -1, 2, 0)
