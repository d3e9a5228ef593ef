"""Expansions of operations on bits."""

from collections.abc import Callable

import numpy as np
import pytest

Check = Callable[..., None]
SIGNED = ["int8", "int16", "int32", "int64"]
INTEGERS = SIGNED + [f"u{name}" for name in SIGNED]
SHIFTS = ["shift_left", "shift_right_logical", "shift_right_arithmetic"]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", SHIFTS)
def test_shifts_by_any_count(name: str, dtype: str, check: Check) -> None:
    check(name, dtype, dtype)


@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_all_shifts_of_bytes(name: str, dtype: str, check_on: Check) -> None:
    every = np.arange(256, dtype=np.uint8).view(dtype)
    check_on(name, np.repeat(every, 256), np.tile(every, 256))


@pytest.mark.parametrize("dtype", ["bool", *INTEGERS])
@pytest.mark.parametrize("name", ["and", "or", "xor"])
def test_binary_operations(name: str, dtype: str, check: Check) -> None:
    check(name, dtype, dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["not", "population_count", "clz"])
def test_unary_operations(name: str, dtype: str, check: Check) -> None:
    check(name, dtype)


def test_negation_of_booleans(check: Check) -> None:
    check("not", "bool")
