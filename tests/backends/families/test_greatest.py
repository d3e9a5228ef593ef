"""`top_k` as kernels: all elements are sorted, or those of the best blocks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

from funcflow import lax
from funcflow.core import dtypes
from funcflow.testing import strategies as st

REAL = [dtype.name for dtype in dtypes.ALL if dtype.kind != "c"]


def mixed(seed: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers with ties, NaNs and zeros of both signs."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 100, shape).astype(np.float64)
    if dtypes.is_float(dtypes.as_dtype(dtype)):
        special = rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
        x = np.where(rng.random(shape) < 0.2, special, rng.standard_normal(shape))
    return (x > 50 if dtype == "bool" else x).astype(dtypes.as_dtype(dtype))


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(
    ("shape", "k"),
    [((5, 6), 4), ((2, 6, 3, 2), 1), ((3, 200), 9), ((300, 2), 1), ((3, 2000), 3), ((5000, 2), 1)],
    ids=str,
)
def test_along_each_axis(check: Any, dtype: str, shape: tuple[int, ...], k: int) -> None:
    x = mixed(0, shape, dtype)
    check(lambda x: [lax.top_k(x, min(k, n), axis=i) for i, n in enumerate(x.shape)], x)


@settings(max_examples=50, deadline=None)
@given(data=draw.data())
def test_all_values(check: Any, data: Any) -> None:
    shape = data.draw(st.shapes(min_dims=1))
    x = data.draw(st.arrays(data.draw(st.dtypes("biuf")), shape, special=True))
    axis = data.draw(st.axis(len(shape)))
    k = data.draw(draw.integers(0, shape[axis]))
    check(lambda x: lax.top_k(x, k, axis=axis), x)


@settings(max_examples=25, deadline=None)
@given(seed=draw.integers(0, 2**32), k=draw.integers(1, 9), times=draw.floats(256, 400))
def test_few_of_many(check: Any, seed: int, k: int, times: float) -> None:
    x = mixed(seed, (2, int(k * times)), "float32")
    program = check(lambda x: lax.top_k(x, k), x)
    assert any(step.note == "the best of each block" for step in program.steps)


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("dtype", REAL)
def test_the_first_of_equal_elements(check: Any, dtype: str, value: int) -> None:
    """Also where what fills the last block has the same rank."""
    x = np.full((2, 1001), value).astype(dtypes.as_dtype(dtype))
    check(lambda x: lax.top_k(x, 3), x)
    if dtypes.is_float(x.dtype):
        check(lambda x: lax.top_k(x, 3), np.full_like(x, -np.inf))
