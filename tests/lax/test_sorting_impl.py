"""Orders and greatest places are those of NumPy's stable sort, however they are found."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from funcflow import lax
from funcflow.lax.sorting_impl import places_of_greatest, stable_order

Elements = np.ndarray[Any, Any]

BF16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [
    *map(np.dtype, ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")),
    *map(np.dtype, ("uint64", "float16", "float32", "float64")),
    BF16,
]
# short lanes, few elements, packed ones, and lanes that are searched by blocks
SHAPES = [(5,), (0,), (3, 0), (0, 100), (1500,), (30, 70), (70, 30), (3, 500, 2), (2, 3000)]


def elements(dtype: np.dtype[Any], shape: tuple[int, ...], few: bool) -> Elements:
    """Random bits; or few different numbers, with everything that is special in floats."""
    rng = np.random.default_rng(0)
    count = int(np.prod(shape))
    if dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(dtype)
    if not few:
        return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).reshape(shape)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        numbers = np.array([limits.min, limits.min + 1, 0, 1, 7, limits.max], dtype)
    else:
        tiny = ml_dtypes.finfo(dtype).smallest_subnormal
        nan, inf = np.nan, np.inf
        numbers = np.array([nan, -nan, inf, -inf, 0, -0.0, tiny, -tiny, 1, -1, 2, -2], dtype)
    return numbers[rng.integers(0, len(numbers), shape)]


def comparable(x: Elements) -> Elements:
    return x.astype(np.float32) if x.dtype == BF16 else x


def expected_greatest(x: Elements, k: int, axis: int) -> Elements:
    order = np.argsort(np.flip(comparable(x), axis), axis=axis, kind="stable")
    return np.take(x.shape[axis] - 1 - np.flip(order, axis), range(k), axis)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("few", [True, False])
def test_stable_order(dtype: np.dtype[Any], few: bool) -> None:
    for shape in SHAPES:
        x = elements(dtype, shape, few)
        for axis in range(x.ndim):
            found = stable_order(np, x, axis)
            expected = np.argsort(comparable(x), axis=axis, kind="stable")
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("few", [True, False])
def test_places_of_greatest(dtype: np.dtype[Any], few: bool) -> None:
    for shape in SHAPES:
        x = elements(dtype, shape, few)
        for axis in range(x.ndim):
            extent = x.shape[axis]
            for k in {k for k in (0, 1, 3, extent // 2, extent) if k <= extent}:
                found = places_of_greatest(np, x, k, axis)
                np.testing.assert_array_equal(found, expected_greatest(x, k, axis))


@pytest.mark.parametrize("extent", [1023, 1024, 10_007])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_greatest_of_long_lanes(extent: int, k: int) -> None:
    rng = np.random.default_rng(1)
    ascending = np.arange(extent, dtype=np.float32)
    for x in (ascending, -ascending, 0 * ascending, rng.integers(0, 50, extent)):
        found = places_of_greatest(np, x, k, 0)
        np.testing.assert_array_equal(found, expected_greatest(x, k, 0))


def test_operands_are_neither_changed_nor_need_be_contiguous() -> None:
    x = elements(np.dtype(np.float32), (40, 60), few=True)
    x.flags.writeable = False
    for y in (x.T, x[::-1, ::-1], np.broadcast_to(x[:, :1], (40, 60))):
        np.testing.assert_array_equal(stable_order(np, y, 1), np.argsort(y, 1, kind="stable"))
        found = places_of_greatest(np, y, 2, 0)
        np.testing.assert_array_equal(found, expected_greatest(y, 2, 0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
def test_zeros_keep_their_order_and_signs(dtype: Any, axis: int) -> None:
    x = elements(np.dtype(dtype), (200, 300), few=True)
    x = np.where(np.isnan(x), dtype(3), x)
    found = np.asarray(lax.sort(x, axis))
    assert found.tobytes() == np.sort(x, axis=axis, kind="stable").tobytes()
