"""Abstract values: equality, text, and what they say of arrays."""

import numpy as np
import pytest

from funcflow.core.aval import ShapedArray, ShapeDtypeStruct, UndefinedPrimal, Zero, is_undefined
from funcflow.core.dtypes import bfloat16, float0
from funcflow.core.errors import DtypeError

F32 = np.dtype("float32")


def test_sizes():
    aval = ShapedArray((3, 0, 2), F32)
    assert (aval.ndim, aval.size) == (3, 0)
    assert (ShapedArray((), F32).ndim, ShapedArray((), F32).size) == (0, 1)


def test_equality_and_hash():
    aval = ShapedArray((2, 3), F32)
    assert aval == ShapedArray((2, 3), np.dtype("float32"))
    assert hash(aval) == hash(ShapedArray((2, 3), F32))
    for other in (
        ShapedArray((3, 2), F32),
        ShapedArray((2, 3), np.dtype("float64")),
        ShapedArray((2, 3), F32, weak_type=True),
        "f32[2,3]",
    ):
        assert aval != other


@pytest.mark.parametrize(
    ("aval", "text"),
    [
        (ShapedArray((), F32), "f32[]"),
        (ShapedArray((2, 3), bfloat16), "bf16[2,3]"),
        (ShapedArray((2,), float0), "float0[2]"),
        (ShapedArray((2,), np.dtype(bool), True), "bool[2]"),
    ],
)
def test_text(aval, text):
    assert str(aval) == aval.str_short() == text
    assert text in repr(aval)
    assert ("weak_type=True" in repr(aval)) == aval.weak_type


def test_update():
    aval = ShapedArray((2,), F32, True)
    assert aval.update() == aval
    assert aval.update(shape=()) == ShapedArray((), F32, True)
    assert aval.update(dtype=np.dtype("int8"), weak_type=False) == ShapedArray(
        (2,), np.dtype("int8")
    )
    assert aval.strip_weak_type() == ShapedArray((2,), F32)


def test_shape_dtype_struct():
    struct = ShapeDtypeStruct([np.int64(2), 3], "bfloat16")
    assert (struct.shape, struct.dtype, struct.ndim, struct.size) == ((2, 3), bfloat16, 2, 6)
    assert repr(struct) == "ShapeDtypeStruct(shape=(2, 3), dtype=bfloat16)"
    assert struct == ShapeDtypeStruct((2, 3), bfloat16)
    assert hash(struct) == hash(ShapeDtypeStruct((2, 3), bfloat16))
    assert struct != ShapeDtypeStruct((2, 3), "float32")
    assert struct != ShapeDtypeStruct((2, 3), bfloat16, weak_type=True)
    assert repr(ShapeDtypeStruct((), int, weak_type=True)) == (
        "ShapeDtypeStruct(shape=(), dtype=int32, weak_type=True)"
    )
    with pytest.raises(DtypeError):
        ShapeDtypeStruct((2,), "text")


def test_placeholders():
    aval = ShapedArray((2,), F32)
    assert is_undefined(UndefinedPrimal(aval))
    assert not is_undefined(Zero(aval))
    assert (repr(Zero(aval)), repr(UndefinedPrimal(aval))) == (
        "Zero(f32[2])",
        "UndefinedPrimal(f32[2])",
    )
