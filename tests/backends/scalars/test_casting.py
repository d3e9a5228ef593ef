"""Expansions of conversions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.scalars.casting import bitcast_convert_type
from funcflow.core import dtypes

Check = Callable[..., None]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
REAL = [dtype.name for dtype in dtypes.ALL if dtype.kind != "c"]


@pytest.mark.parametrize("new", REAL)
@pytest.mark.parametrize("old", REAL)
def test_convert_element_type(old: str, new: str, check: Check) -> None:
    check("convert_element_type", old, new_dtype=dtypes.as_dtype(new), weak_type=False)


@pytest.mark.parametrize("offset", [0, 1, -1])
def test_doubles_are_rounded_once_to_float16(offset: int, check_on: Check) -> None:
    # halfway between two float16 numbers, and the doubles next to that
    numbers = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    numbers = numbers[np.isfinite(numbers)]
    with np.errstate(all="ignore"):
        above = np.nextafter(numbers, np.float16(np.inf))
        halfway = (numbers.astype(np.float64) + above.astype(np.float64)) / 2
        doubles = np.nextafter(halfway, offset * np.inf) if offset else halfway
    check_on("convert_element_type", doubles, new_dtype=np.dtype(np.float16), weak_type=False)


@pytest.mark.parametrize("old", ["int32", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("new", FLOATS)
def test_integers_of_any_length_to_floats(old: str, new: str, check_on: Check) -> None:
    rng, limits = np.random.default_rng(0), np.iinfo(old)
    numbers = rng.integers(limits.min, limits.max, 5000, old, endpoint=True)
    numbers >>= rng.integers(0, limits.bits, 5000).astype(old)
    check_on("convert_element_type", numbers, new_dtype=dtypes.as_dtype(new), weak_type=False)


SAME_WIDTH = [
    (old, new)
    for old in dtypes.ALL
    for new in dtypes.ALL
    if old.itemsize == new.itemsize and (old == new or not {old.kind, new.kind} & {"b", "c"})
    if old.kind != "c"
]


@pytest.mark.parametrize(("old", "new"), SAME_WIDTH)
def test_bitcast_keeps_the_bits(old: Any, new: Any, check: Check) -> None:
    check("bitcast_convert_type", old, new_dtype=new)


def test_bitcast_to_another_width_is_refused() -> None:
    x = Value(np.dtype(np.float32))
    with pytest.raises(NotImplementedError, match="float32 to int8"):
        bitcast_convert_type(Builder(), x, new_dtype=np.dtype(np.int8))


# Formats narrower and wider than the operand's, in either part.
FORMATS = [(1, 0), (2, 1), (5, 10), (5, 2), (8, 7), (8, 23), (8, 60), (11, 52), (12, 3)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("exponent", "mantissa"), FORMATS)
def test_reduce_precision(exponent: int, mantissa: int, dtype: str, check: Check) -> None:
    check("reduce_precision", dtype, exponent_bits=exponent, mantissa_bits=mantissa)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("name", ["copy", "stop_gradient"])
def test_identities(name: str, dtype: str, check: Check) -> None:
    check(name, dtype)
