"""Expansions of comparisons, of arithmetic on booleans, and of choices."""

from collections.abc import Callable

import pytest

Check = Callable[..., None]
DTYPES = ["bool", "int8", "uint16", "int32", "uint64", "float16", "bfloat16", "float32", "float64"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name: str, dtype: str, check: Check) -> None:
    check(name, dtype, dtype)


@pytest.mark.parametrize("name", ["add", "mul", "max", "min"])
def test_arithmetic_of_booleans(name: str, check: Check) -> None:
    check(name, "bool", "bool")


@pytest.mark.parametrize("dtype", DTYPES)
def test_clamp(dtype: str, check: Check) -> None:
    check("clamp", dtype, dtype, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cases", [1, 2])
def test_select_by_boolean(cases: int, dtype: str, check: Check) -> None:
    check("select_n", "bool", *[dtype] * cases)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cases", [1, 2, 3, 5])
def test_select_by_number_takes_the_nearest_case(cases: int, dtype: str, check: Check) -> None:
    check("select_n", "int32", *[dtype] * cases)
