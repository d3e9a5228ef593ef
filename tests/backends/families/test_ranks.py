"""Ranks are in the order of the keys, and tell them."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as draw

from funcflow.backends.families.ranks import (
    key_of,
    rank_bits,
    rank_dtype,
    rank_of,
    with_zeros_joined,
)
from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.evaluate import evaluate_ops
from funcflow.core import dtypes
from funcflow.lax.sorting_impl import stable_order
from funcflow.testing import strategies as st


def computed(function: Any, x: np.ndarray) -> np.ndarray:
    """A function of a builder and a value, on an array."""
    build, value = Builder(), Value(x.dtype)
    result = function(build, value)
    return np.asarray(evaluate_ops(build.body, {value: x})[result])


def ranks(x: np.ndarray, *, join_zeros: bool) -> np.ndarray:
    return computed(lambda build, key: rank_of(build, key, join_zeros=join_zeros), x)


@given(data=draw.data())
def test_ranks_have_the_order_of_the_keys(data: Any) -> None:
    dtype = data.draw(st.dtypes("biuf"))
    x = np.asarray(data.draw(st.arrays(dtype, (8,), special=True)))
    found = ranks(x, join_zeros=True)
    assert found.dtype == rank_dtype(dtype)
    np.testing.assert_array_equal(np.argsort(found, kind="stable"), stable_order(np, x, 0))
    same = [(x == y) | ((x != x) & (y != y)) for y in x]
    np.testing.assert_array_equal(found == found[:, None], same)


@given(data=draw.data())
def test_ranks_tell_their_keys(data: Any) -> None:
    dtype = data.draw(st.dtypes("biuf"))
    x = np.asarray(data.draw(st.arrays(dtype, (8,), special=True)))
    apart = ranks(x, join_zeros=False)
    found = computed(lambda build, rank: key_of(build, rank, dtype), apart)
    assert found.dtype == dtype
    np.testing.assert_array_equal(
        *(v.astype(np.float64) if v.dtype.kind in "fV" else v for v in (found, x))
    )
    if dtypes.is_float(dtype):
        number = x == x
        np.testing.assert_array_equal(np.signbit(found)[number], np.signbit(x)[number])
        joined = computed(with_zeros_joined, apart)
        np.testing.assert_array_equal(joined, ranks(x, join_zeros=True))


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL if d.kind != "c"], ids=str)
def test_ranks_have_so_many_bits(dtype: np.dtype[Any]) -> None:
    extremes = np.array([0, 1], dtype)
    if dtype.kind in "iu":
        extremes = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    if dtypes.is_float(dtype):
        extremes = np.array([-np.inf, np.nan], dtype)
    assert int(ranks(extremes, join_zeros=True).max()) < 2 ** rank_bits(dtype)
