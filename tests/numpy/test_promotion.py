"""Dtypes as functions of dtypes."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((1,), "int32"),
        ((1, 2.0), "float32"),
        ((1, 2.0, np.int8(3)), "float32"),
        ((int, "float16"), "float16"),
        ((float, fnp.bfloat16), "bfloat16"),
        ((complex, fnp.float64), "complex128"),
        ((bool, fnp.int8), "int8"),
        (("uint8", "int8"), "int16"),
        ((fnp.float32, "bfloat16"), "float32"),
        (("int64", "float16"), "float16"),
        ((np.float64(1), fnp.ones(2, "float32")), "float64"),
        ((fnp.arange(3), ff.ShapeDtypeStruct((2,), "complex64")), "complex64"),
    ],
)
def test_result_type(args, expected):
    assert fnp.result_type(*args) == expected


def test_result_type_of_traced_values():
    types = []
    ff.jit(lambda x: types.append(fnp.result_type(x, 1.5)) or x)(fnp.arange(3))
    assert types == ["float32"]


def test_result_type_needs_an_argument():
    with pytest.raises(ArgumentError, match="result_type"):
        fnp.result_type()
    with pytest.raises(DtypeError, match="'text' is no dtype"):
        fnp.result_type("text")


def test_promote_types():
    assert fnp.promote_types("int32", float) == "float32"
    assert fnp.promote_types(int, "uint8") == "uint8"
    assert fnp.promote_types("int8", "uint8") == "int16"


def test_can_cast():
    assert fnp.can_cast("int8", "int16")
    assert not fnp.can_cast(fnp.int32, fnp.float32)
    assert fnp.can_cast(fnp.float32, fnp.bfloat16, casting="same_kind")
    assert fnp.can_cast(fnp.float32, fnp.int8, casting="unsafe")


@pytest.mark.parametrize(
    ("dtype", "kind", "expected"),
    [
        ("bfloat16", "floating", True),
        ("bfloat16", "inexact", True),
        ("bfloat16", "complexfloating", False),
        ("float16", "floating", True),
        ("complex64", "inexact", True),
        ("complex64", "floating", False),
        ("int8", "signedinteger", True),
        ("uint8", "signedinteger", False),
        ("uint8", "unsignedinteger", True),
        ("int8", "number", True),
        ("bool", "number", False),
        ("bool", "generic", True),
    ],
)
def test_issubdtype_of_abstract_types(dtype, kind, expected):
    assert fnp.issubdtype(dtype, getattr(fnp, kind)) == expected
    assert fnp.issubdtype(getattr(fnp, dtype), getattr(fnp, kind)) == expected
    assert fnp.issubdtype(fnp.ones(1, dtype).dtype, getattr(fnp, kind)) == expected


def test_issubdtype_of_other_types():
    assert fnp.issubdtype("float32", fnp.float32)
    assert fnp.issubdtype("float32", float)  # the default dtype of its kind
    assert fnp.issubdtype(fnp.floating, fnp.number)
    assert not fnp.issubdtype(fnp.floating, fnp.float32)
    assert not fnp.issubdtype(ff.float0, np.floating)


@pytest.mark.parametrize(
    ("dtype", "kinds"),
    [
        ("bool", {"bool"}),
        ("int8", {"signed integer", "integral", "numeric"}),
        ("uint64", {"unsigned integer", "integral", "numeric"}),
        ("bfloat16", {"real floating", "numeric"}),
        ("complex64", {"complex floating", "numeric"}),
    ],
)
def test_isdtype(dtype, kinds):
    every = [
        *("bool", "signed integer", "unsigned integer", "integral"),
        *("real floating", "complex floating", "numeric"),
    ]
    assert {kind for kind in every if fnp.isdtype(dtype, kind)} == kinds
    assert fnp.isdtype(dtype, ("bool", fnp.dtype(getattr(fnp, dtype)), "numeric"))
    assert fnp.isdtype(dtype, getattr(fnp, dtype))


def test_isdtype_refuses_unknown_kinds():
    with pytest.raises(ArgumentError, match="isdtype: no kind 'float'"):
        fnp.isdtype("float32", "float")
