"""Masks of steps, from lengths and from masks."""

import numpy as np
import pytest

from funcflow.errors import DtypeError, ShapeError
from funcflow.nn.layers.masks import time_mask

SHAPE = (2, 3)
MASK = np.array([[True, False, True], [True, True, True]])


def test_without_either_all_steps_count():
    assert time_mask(SHAPE, None, None) is None


def test_lengths_and_masks_count_together():
    lengths = np.array([3, 1])
    within = np.array([[True, True, True], [True, False, False]])
    np.testing.assert_array_equal(time_mask(SHAPE, lengths, None), within)
    np.testing.assert_array_equal(time_mask(SHAPE, None, MASK), MASK)
    np.testing.assert_array_equal(time_mask(SHAPE, lengths, MASK), MASK & within)


@pytest.mark.parametrize(
    "lengths, mask, error, message",
    [
        (np.array([1.0, 2.0]), None, DtypeError, "lengths must be integers"),
        (np.array([1, 2, 3]), None, ShapeError, r"lengths must be integers of shape \(2,\)"),
        (None, np.ones(SHAPE), DtypeError, "mask must be booleans"),
        (None, MASK[:, :2], ShapeError, r"mask must be booleans of shape \(2, 3\)"),
    ],
)
def test_errors(lengths, mask, error, message):
    with pytest.raises(error, match=message):
        time_mask(SHAPE, lengths, mask)
