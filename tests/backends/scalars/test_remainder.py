"""The exact remainder of floats."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

Check = Callable[..., None]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
COUNT = 20_000


def bit_patterns(dtype: str, seed: int) -> Any:
    """Floats of all exponents, as unsigned integers."""
    width = np.dtype(dtype).itemsize
    return np.frombuffer(np.random.default_rng(seed).bytes(COUNT * width), f"u{width}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_edge_cases_with_each_other(dtype: str, check: Check) -> None:
    check("rem", dtype, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_all_exponents(dtype: str, check_on: Check) -> None:
    check_on("rem", bit_patterns(dtype, 1).view(dtype), bit_patterns(dtype, 2).view(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_subnormal_and_tiny_divisors(dtype: str, check_on: Check) -> None:
    bits = bit_patterns(dtype, 3)
    digits = ml_dtypes.finfo(dtype).nmant
    lengths = np.random.default_rng(4).integers(0, digits + 2, COUNT).astype(bits.dtype)
    divisors = bits & ((bits.dtype.type(1) << lengths) - bits.dtype.type(1))
    check_on("rem", bit_patterns(dtype, 5).view(dtype), divisors.view(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_divisors_with_the_largest_significands(dtype: str, check_on: Check) -> None:
    bits = bit_patterns(dtype, 6)
    ones = bits.dtype.type((1 << ml_dtypes.finfo(dtype).nmant) - 1)
    near = (bits | ones) - (bits_of_position(bits) & bits.dtype.type(7))
    check_on("rem", bit_patterns(dtype, 7).view(dtype), near.view(dtype))


def bits_of_position(bits: Any) -> Any:
    """0, 1, 2, ... in the dtype of the bits."""
    return np.arange(len(bits)).astype(bits.dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_multiples_leave_a_zero_with_the_sign_of_x(dtype: str, check_on: Check) -> None:
    bits = bit_patterns(dtype, 8)
    # half of the divisor's digits are 0, so the products are exact
    digits = ml_dtypes.finfo(dtype).nmant // 2
    divisors = (bits & ~bits.dtype.type((1 << digits) - 1)).view(dtype)
    factors = (np.arange(COUNT) % 15 - 7).astype(dtype)
    with np.errstate(all="ignore"):
        check_on("rem", divisors * factors, divisors)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_quotients_next_to_whole_numbers(dtype: str, check_on: Check) -> None:
    # where they round up to the whole number, and where they become too large to be exact
    rng, d = np.random.default_rng(9), np.dtype(dtype)
    digits = np.finfo(d).nmant
    divisors = rng.uniform(1, 2, COUNT).astype(d)
    factors = np.exp2(rng.uniform(0, digits + 3, COUNT)).round().astype(d)
    products = factors * divisors
    for x in (products, np.nextafter(products, d.type(0)), np.nextafter(products, d.type(np.inf))):
        check_on("rem", x, divisors)
