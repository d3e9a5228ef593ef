"""Expansions of rounding and of what looks at neighbouring floats."""

from collections.abc import Callable

import numpy as np
import pytest

from funcflow.lax.rounding import RoundingMethod

Check = Callable[..., None]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("method", RoundingMethod)
def test_round(method: RoundingMethod, dtype: str, check: Check) -> None:
    check("round", dtype, rounding_method=method)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["floor", "ceil", "is_finite"])
def test_unary_operations_agree_bit_for_bit(name: str, dtype: str, check: Check) -> None:
    check(name, dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nextafter(dtype: str, check: Check) -> None:
    check("nextafter", dtype, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("goal", [np.inf, -np.inf, 0.0, 1.0])
def test_nextafter_of_each_narrow_float(goal: float, dtype: str, check_on: Check) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(dtype)
    check_on("nextafter", every, np.full_like(every, goal))
