"""Expansions of floating-point arithmetic."""

from collections.abc import Callable

import numpy as np
import pytest

Check = Callable[..., None]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint16", "int32", "uint64"])
@pytest.mark.parametrize("y", [0, 1, 2, 3, 5, 6, 7, 13])
def test_powers_multiply_in_the_same_order(y: int, dtype: str, check: Check) -> None:
    check("integer_pow", dtype, y=y)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("y", [-1, -2, -3])
def test_negative_powers_are_reciprocals(y: int, dtype: str, check: Check) -> None:
    check("integer_pow", dtype, y=y)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["square", "sign", "rsqrt", "sqrt", "abs", "neg"])
def test_unary_operations_agree_bit_for_bit(name: str, dtype: str, check: Check) -> None:
    check(name, dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64"])
def test_square_of_integers_wraps(dtype: str, check: Check) -> None:
    check("square", dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_binary_operations_agree_bit_for_bit(name: str, dtype: str, check: Check) -> None:
    check(name, dtype, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_fma_of_narrow_floats(dtype: str, check: Check) -> None:
    check("fma", dtype, dtype, dtype)


def test_fma_of_float16_is_rounded_once(check_on: Check) -> None:
    # the product is a tie between two float16 numbers, from which the sum departs by little
    x = np.array([1 + 2**-10], np.float16)
    check_on("fma", x, x, np.array([2.0**-24], np.float16))
