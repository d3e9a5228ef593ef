"""Expansions of integer arithmetic."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Check = Callable[..., None]
SIGNED = ["int8", "int16", "int32", "int64"]
INTEGERS = SIGNED + [f"u{name}" for name in SIGNED]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["div", "rem", "mulhi", "add", "sub", "mul", "max", "min"])
def test_binary_operations_agree_bit_for_bit(name: str, dtype: str, check: Check) -> None:
    check(name, dtype, dtype)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["sign", "abs", "neg"])
def test_unary_operations_agree_bit_for_bit(name: str, dtype: str, check: Check) -> None:
    check(name, dtype)


@pytest.mark.parametrize("name", ["div", "rem", "mulhi"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_all_pairs_of_bytes_agree(name: str, dtype: str, check_on: Check) -> None:
    every = np.arange(256, dtype=np.uint8).view(dtype)
    check_on(name, np.repeat(every, 256), np.tile(every, 256))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", ["div", "rem"])
def test_quotients_next_to_integers_agree(name: str, dtype: str, check_on: Check) -> None:
    # a multiple of the divisor, and the numbers on either side: here rounding could go wrong
    rng = np.random.default_rng(0)

    def any_length(count: int) -> Any:
        limits = np.iinfo(dtype)
        numbers = rng.integers(limits.min, limits.max, count, dtype, endpoint=True)
        return numbers >> rng.integers(0, limits.bits, count).astype(dtype)

    divisor, quotient = any_length(5000), any_length(5000)
    for offset in (-1, 0, 1):
        check_on(name, divisor * quotient + np.array(offset).astype(dtype), divisor)
