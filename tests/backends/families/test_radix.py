"""Rows and their blocks, and the passes that sort them."""

import numpy as np
import pytest

from funcflow.backends.families.radix import Rows, rows_to_sort
from funcflow.backends.program import View, dense_view


def places(rows: Rows, view: View) -> np.ndarray:
    """Where the elements of a view lie in its buffer."""
    grid = np.indices(view.shape)
    return view.offset + sum(g * s for g, s in zip(grid, view.strides, strict=True))


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_rows_lie_one_after_the_other(blocks: int) -> None:
    rows = Rows((2, 5), 10, blocks)
    count, cut, length = rows.shape
    assert (count, cut) == (10, blocks) and cut * length >= 10 > cut * (length - 1)
    view = dense_view("temporary", rows.shape, np.uint32)
    elements = rows.elements(view)
    assert elements.shape == (2, 5, 10)
    found = places(rows, elements).reshape(10, 10)
    np.testing.assert_array_equal(found, np.arange(10)[:, None] * cut * length + np.arange(10))


def test_few_long_rows_are_cut() -> None:
    assert rows_to_sort((2,), 1 << 20).blocks == 16
    assert rows_to_sort((), 1 << 20).blocks == 16
    assert rows_to_sort((8,), 1 << 20).blocks == 1
    assert rows_to_sort((2,), 1 << 17).blocks == 1
