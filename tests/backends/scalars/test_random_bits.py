"""The expansion of the random generator."""

from collections.abc import Callable

import numpy as np

Check = Callable[..., None]


def test_threefry_hashes_as_the_reference(check: Check) -> None:
    check("threefry2x32", *["uint32"] * 4)


def test_threefry_of_a_few_counters(check_on: Check) -> None:
    # the reference takes another way for these
    zero, ones = np.zeros(3, np.uint32), np.full(3, 0xFFFFFFFF, np.uint32)
    check_on("threefry2x32", zero, zero, zero, zero)
    check_on("threefry2x32", ones, ones, ones, ones)
