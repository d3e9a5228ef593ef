"""Copies of NumPy arrays lie where vector registers are loaded from one line of the cache."""

import numpy as np
import pytest

from funcflow.core.memory import ALIGNMENT, aligned_bytes, aligned_copy

LARGE = np.arange(6_000, dtype="f4").reshape(60, 100)


@pytest.mark.parametrize("size", [1, 63, 5_000, 200_000])
def test_bytes_are_aligned(size: int) -> None:
    memory = aligned_bytes(size)
    assert memory.size == size
    assert memory.ctypes.data % ALIGNMENT == 0


@pytest.mark.parametrize("x", [LARGE, LARGE.T, LARGE[::2, ::-1], np.asfortranarray(LARGE)])
def test_large_copies_are_aligned_and_in_order(x: np.ndarray) -> None:
    copied = aligned_copy(x)
    np.testing.assert_array_equal(copied, x, strict=True)
    assert copied.flags.c_contiguous
    assert copied.ctypes.data % ALIGNMENT == 0
    assert not np.may_share_memory(copied, x)


@pytest.mark.parametrize("x", [np.float32(1) + np.zeros(()), np.zeros((0, 3)), np.arange(3)])
def test_small_copies(x: np.ndarray) -> None:
    copied = aligned_copy(x)
    np.testing.assert_array_equal(copied, x, strict=True)
    assert not np.may_share_memory(copied, x)


def test_objects_are_copied_too() -> None:
    x = np.full(1_000, None)
    np.testing.assert_array_equal(aligned_copy(x), x, strict=True)
