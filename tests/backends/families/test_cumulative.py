from typing import Any

import numpy as np
import pytest

from funcflow import lax
from funcflow.core.dtypes import as_dtype

NAMES = ["cumsum", "cumprod", "cummax", "cummin"]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["int8", "uint32", "float16", "bfloat16", "float32", "float64"])
def test_along_each_axis(check: Any, numbers: Any, dtype: str, name: str, reverse: bool) -> None:
    x = numbers.array(5, 6, 70, dtype=as_dtype(dtype))

    def along_all(x: Any) -> Any:
        return [getattr(lax, name)(x, axis, reverse=reverse) for axis in range(3)]

    check(along_all, x)


@pytest.mark.parametrize("name", [*NAMES, "cumlogsumexp"])
def test_special_values(check: Any, name: str) -> None:
    values = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, 1e-40]
    x = np.array([[a, b, c] for a in values for b in values for c in values], np.float32)
    rtol = 1e-6 if name == "cumlogsumexp" else 0
    check(lambda x: [getattr(lax, name)(x, 1), getattr(lax, name)(x.T, 0)], x, rtol=rtol)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float16", 2e-3), ("float32", 1e-6), ("float64", 1e-13)]
)
def test_log_sum_exp(check: Any, numbers: Any, dtype: str, rtol: float) -> None:
    x = numbers.array(40, 50, dtype=dtype)
    check(lambda x: [lax.cumlogsumexp(x, axis) for axis in (0, 1)], x, rtol=rtol)
    check(lambda x: lax.cumlogsumexp(x * 100, 0, reverse=True), x, rtol=rtol)


@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_bools(check: Any, numbers: Any, name: str) -> None:
    check(lambda x: getattr(lax, name)(x, 1), numbers.indices(0, 2, 5, 20, dtype=bool))


def test_complex_numbers(check: Any, numbers: Any) -> None:
    x = numbers.array(7, 9, dtype="complex64")
    check(lambda x: [lax.cumsum(x, 0), lax.cumsum(x, 1, reverse=True)], x)
    check(lambda x: lax.cumprod(x, 0), x, hosts=("cumprod",))


def test_rows_run_side_by_side(check: Any, numbers: Any) -> None:
    for axis in (0, 1):
        program = check(lambda x, a=axis: lax.cumsum(x, a), numbers.array(40, 50))
        assert program.steps[-1].work.split
    assert not check(lax.cumsum, numbers.array(1000)).steps[-1].work.split


def test_axes_of_extent_one_and_empty_arrays(check: Any, numbers: Any) -> None:
    check(lambda x: [lax.cumsum(x, axis) for axis in range(3)], numbers.array(1, 5, 1))
    assert not check(lambda x: lax.cumsum(x, 0), numbers.array(0, 3)).steps


def test_views(check: Any, numbers: Any) -> None:
    check(lambda x: lax.cumsum(x[::2, 1:].T, 0, reverse=True), numbers.array(8, 9))
