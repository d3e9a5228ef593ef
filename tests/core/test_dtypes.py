"""Dtypes and their promotion, against tables recorded from jax 0.10 with 64-bit types enabled."""

import itertools
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from funcflow.core import dtypes
from funcflow.core.config import config
from funcflow.core.errors import DtypeError

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "promotion.json").read_text())
SCALARS = {"bool": bool, "int": int, "float": float, "complex": complex}
NAMES = [dtype.name for dtype in dtypes.ALL]


def name(dtype):
    return np.dtype(dtype).name


@pytest.mark.parametrize("a", NAMES)
def test_promotion_of_arrays(a):
    with config(default_float="float64", default_int="int64"):
        for b in NAMES:
            got = dtypes.promote((dtypes.as_dtype(a), False), (dtypes.as_dtype(b), False))
            assert (got[0].name, got[1]) == (RECORDED["strong"][a][b], got[1]), (a, b)


@pytest.mark.parametrize("scalar", SCALARS)
def test_promotion_with_python_scalars(scalar):
    with config(default_float="float64", default_int="int64"):
        weak = (dtypes.scalar_dtype(SCALARS[scalar]), scalar != "bool")
        for a in NAMES:
            dtype, _ = dtypes.promote((dtypes.as_dtype(a), False), weak)
            assert dtype.name == RECORDED["weak"][scalar][a], a


def test_promotion_is_a_join():
    types = [(dtype, weak) for dtype in dtypes.ALL for weak in (False, True)]
    for a, b in itertools.product(types, types):
        assert dtypes.promote(a, b) == dtypes.promote(b, a)
    for a in types:
        assert dtypes.promote(a) == dtypes.promote(a, a) == a
    # the least upper bound of three is that of two and the third, unless it passes a weak type
    strong = [t for t in types if not t[1] and t[0] != np.dtype("uint64")]
    for a, b, c in itertools.product(strong, strong, strong):
        left = dtypes.promote(dtypes.promote(a, b), c)
        assert left == dtypes.promote(a, dtypes.promote(b, c)) == dtypes.promote(a, b, c)


@pytest.mark.parametrize(
    ("types", "expected", "weak"),
    [
        ([("int32", True), ("int32", True)], "int32", True),
        ([("int32", True), ("float32", True)], "float32", True),
        ([("float32", True), ("complex64", True)], "complex64", True),
        ([("float64", True), ("float32", True)], "float64", True),
        ([("float16", True), ("bfloat16", True)], "float32", True),
        ([("float16", True), ("int32", False)], "float32", True),
        ([("bool", False), ("int32", True)], "int32", True),
        ([("int8", False), ("float32", True)], "float32", True),
        ([("uint64", False), ("int8", False)], "float32", True),
        ([("float16", False), ("bfloat16", False)], "float32", False),
        ([("float16", False), ("complex64", True)], "complex64", False),
        ([("float64", False), ("complex64", True)], "complex128", False),
    ],
)
def test_weak_types(types, expected, weak):
    got = dtypes.promote(*((dtypes.as_dtype(t), w) for t, w in types))
    assert got == (np.dtype(expected), weak)


def test_defaults_follow_the_settings():
    found = (dtypes.default_int(), dtypes.default_float(), dtypes.default_complex())
    assert list(map(name, found)) == ["int32", "float32", "complex64"]
    with config(default_float="float64", default_int="int64"):
        found = [dtypes.scalar_dtype(t) for t in (bool, int, float, complex)]
        assert list(map(name, found)) == ["bool", "int64", "float64", "complex128"]
        assert dtypes.promote((np.dtype("int64"), False), (np.dtype("float64"), True)) == (
            np.dtype("float64"),
            True,
        )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("float16", "float16"),
        ("f8", "float64"),
        (np.int8, "int8"),
        (np.dtype("uint32"), "uint32"),
        ("bfloat16", "bfloat16"),
        (ml_dtypes.bfloat16, "bfloat16"),
        (float, "float32"),
        (int, "int32"),
        (bool, "bool"),
        (complex, "complex64"),
        (None, "float32"),
    ],
)
def test_as_dtype(given, expected):
    assert dtypes.as_dtype(given).name == expected


@pytest.mark.parametrize("given", ["text", object, "S3", ">f4", "float128", "datetime64[s]", 3])
def test_what_is_no_dtype(given):
    with pytest.raises(DtypeError, match="dtype"):
        dtypes.as_dtype(given)


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
def test_kinds(dtype):
    kind = dtypes.kind(dtype)
    assert kind == {"bfloat16": "f"}.get(dtype.name, dtype.kind)
    assert dtypes.is_float(dtype) == (kind == "f")
    assert dtypes.is_complex(dtype) == (kind == "c")
    assert dtypes.is_integer(dtype) == (kind in "iu")
    assert dtypes.is_inexact(dtype) == (kind in "fc")


def test_float0_is_of_no_kind():
    assert dtypes.kind(dtypes.float0) == "V"
    assert not dtypes.is_inexact(dtypes.float0)
    assert np.zeros(3, dtypes.float0).nbytes == 0


def test_parts_of_complex_numbers():
    assert [dtypes.real_of(np.dtype(t)).name for t in ("complex64", "complex128", "float16")] == [
        "float32",
        "float64",
        "float16",
    ]
    names = [dtypes.complex_of(dtypes.as_dtype(t)).name for t in ("float16", "float32", "float64")]
    assert names == ["complex64", "complex64", "complex128"]


def test_accumulators():
    assert dtypes.accumulator(dtypes.bfloat16) == np.float32
    assert dtypes.accumulator(np.dtype("float16")) == np.float32
    assert dtypes.accumulator(np.dtype("int8")) == np.int8


def test_short_names_are_inverse():
    assert len(dtypes.ALL) == 15
    for dtype in dtypes.ALL:
        assert dtypes.FROM_SHORT_NAME[dtypes.SHORT_NAME[dtype]] == dtype
