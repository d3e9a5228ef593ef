"""Sorts as kernels: short rows count, long ones are moved digit by digit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

import funcflow as ff
from funcflow import lax
from funcflow.core import dtypes
from funcflow.testing import strategies as st

ALL = [dtype.name for dtype in dtypes.ALL]


def mixed(seed: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Numbers with ties, and all that floats have besides; large ones of any size."""
    dtype = dtypes.as_dtype(dtype)
    rng = np.random.default_rng(seed)
    kind = dtypes.kind(dtype)
    if kind == "b":
        return rng.random(shape) < 0.5
    if kind in "iu":
        info = np.iinfo(dtype)
        few = rng.integers(0, 3, shape, dtype)
        many = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        return np.where(rng.random(shape) < 0.3, few, many)
    if kind == "c":
        parts = [mixed(seed + i, shape, dtypes.real_of(dtype)) for i in range(2)]
        return np.stack(parts, -1).view(dtype)[..., 0]
    x = np.where(rng.random(shape) < 0.5, rng.standard_normal(shape), rng.integers(-2, 3, shape))
    special = rng.choice([np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-7], shape)
    return np.where(rng.random(shape) < 0.4, special, x).astype(dtype)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(3, 1), (7,), (2, 3, 17), (40, 3), (3, 150), (2, 1000)], ids=str)
def test_one_array(check: Any, dtype: str, shape: tuple[int, ...]) -> None:
    x = mixed(0, shape, dtype)
    check(lambda x: [lax.sort(x, axis) for axis in range(x.ndim)], x)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(6, 5), (4, 150), (200, 2)], ids=str)
def test_several_arrays(check: Any, dtype: str, shape: tuple[int, ...]) -> None:
    arrays = [mixed(0, shape, dtype), mixed(1, shape, "bool"), mixed(2, shape, "complex128")]

    def sorted_by(x: Any, y: Any, z: Any) -> Any:
        return [
            lax.sort(operands, axis, num_keys=keys)
            for axis in range(2)
            for operands in ((x, z), (y, x, z))
            for keys in range(1, len(operands) + 1)
        ]

    check(sorted_by, *arrays)


@settings(max_examples=60, deadline=None)
@given(data=draw.data())
def test_all_values(check: Any, data: Any) -> None:
    shape = data.draw(st.shapes(min_dims=1))
    x = data.draw(st.arrays(data.draw(st.dtypes()), shape, special=True))
    axis = data.draw(st.axis(len(shape)))
    places = lax.broadcasted_iota("int32", shape, axis)
    check(lambda x: [lax.sort(x, axis), lax.sort((x, places), axis)[1]], x)


@settings(max_examples=25, deadline=None)
@given(
    seed=draw.integers(0, 2**32),
    length=draw.integers(2, 400),
    chosen=draw.lists(st.dtypes("biuf"), min_size=1, max_size=3),
)
def test_any_length_and_keys(check: Any, seed: int, length: int, chosen: list[Any]) -> None:
    keys = [mixed(seed + i, (3, length), dtype) for i, dtype in enumerate(chosen)]
    places = np.broadcast_to(np.arange(length), (3, length))
    check(lambda *keys: lax.sort((*keys, places), num_keys=len(keys)), *keys)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
@pytest.mark.parametrize("rows", [1, 3])
def test_few_long_rows_are_cut(check: Any, dtype: str, rows: int) -> None:
    x = mixed(0, (rows, 270_001), dtype)
    program = check(lambda x: [lax.sort(x), lax.sort((x, -x))[1]], x)
    moves = [step for step in program.steps if step.note.startswith("move")]
    assert moves and all(step.work.split and step.extent == 16 for step in moves)


def test_equal_keys_keep_their_order(check: Any) -> None:
    for length in (50, 500):
        x = np.zeros(length, np.float32)
        x[::3] = -0.0
        check(lambda x: [lax.sort(x), lax.sort((x, lax.iota("int32", x.size)))[1]], x)


@pytest.mark.parametrize("length", [20, 200])
def test_views(check: Any, length: int) -> None:
    x = mixed(0, (2 * length, 5, 3), "float32")
    check(lambda x: lax.sort(x[::-2, 1:].T, 2), x)
    check(lambda x: lax.sort((x[::-2, 1:].T, x.T[:, 1:, ::2]), 2, num_keys=2), x)
    check(lambda x: lax.sort((x, lax.broadcast_in_dim(x[:, 0, 0], x.shape, (0,)))), x)


def test_rows_run_side_by_side(check: Any, numbers: Any) -> None:
    for shape in ((9, 10), (9, 300)):
        x = numbers.array(*shape)
        program = check(lambda x: [lax.sort(x), *lax.sort((x, -x))], x)
        assert all(step.work.split for step in program.steps)


def test_lengths_share_their_kernels(check: Any, numbers: Any) -> None:
    texts = []
    for shape in ((3, 300), (3, 3000)):
        x = numbers.array(*shape)
        program = check(lambda x: [lax.sort(x), *lax.sort((x, -x))], x)
        texts.append({step.work.text for step in program.steps})
    assert texts[0] == texts[1]


def test_nothing_to_sort(check: Any, numbers: Any) -> None:
    for shape in ((0, 3), (3, 0), (3, 1)):
        x = numbers.array(*shape)
        program = check(lambda x: lax.sort((x, x), 1), x)
        assert all("copy" in step.note for step in program.steps)


def test_derivatives(check: Any, numbers: Any) -> None:
    x, t = numbers.array(4, 100), numbers.array(4, 100)
    check(lambda x, t: ff.jvp(lambda x: lax.sort(x, 0), (x,), (t,)), x, t)
    check(ff.grad(lambda x, t: (lax.sort(x) * t).sum()), x, t, rtol=1e-6)
