"""`fnp.float32` and its like, and the constants."""

import math

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import DtypeError

NAMES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_scalar_type_stands_for_its_dtype(name):
    scalar_type = getattr(fnp, name)
    numpy_type = np.dtype(name).type
    assert np.dtype(scalar_type) == name
    assert np.zeros(1, scalar_type).dtype == name
    assert fnp.ones(2, scalar_type).dtype == scalar_type
    assert scalar_type == numpy_type
    assert numpy_type == scalar_type
    assert scalar_type != np.str_
    assert {numpy_type: 1}[scalar_type] == 1
    assert isinstance(numpy_type(0), scalar_type)
    assert repr(scalar_type) == f"<class 'funcflow.numpy.{name}'>"


@pytest.mark.parametrize("name", NAMES)
def test_a_call_makes_an_array(name):
    scalar_type = getattr(fnp, name)
    for out in (scalar_type(1), scalar_type(np.ones(())), scalar_type(fnp.ones(()))):
        assert isinstance(out, ff.Array)
        assert (out.dtype, out.shape, out.weak_type) == (name, (), False)
    assert scalar_type([1, 0]).tolist() == np.array([1, 0], name).tolist()
    assert ff.jit(scalar_type)(fnp.ones(3)).dtype == name


def test_bfloat16():
    assert np.dtype(fnp.bfloat16) == ml_dtypes.bfloat16
    assert fnp.bfloat16(1.5).dtype == fnp.bfloat16


def test_other_names():
    assert fnp.bool_ is fnp.bool
    assert (fnp.single, fnp.double) == (np.float32, np.float64)
    assert (fnp.csingle, fnp.cdouble) == (np.complex64, np.complex128)


def test_default_types_follow_the_configuration():
    types = (fnp.int_, fnp.uint, fnp.float_, fnp.complex_)
    assert [np.dtype(t).name for t in types] == ["int32", "uint32", "float32", "complex64"]
    with ff.config(default_int="int64", default_float="float64"):
        assert [np.dtype(t).name for t in types] == ["int64", "uint64", "float64", "complex128"]
        assert fnp.float_(1).dtype == "float64"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", fnp.float64])
def test_finfo(dtype):
    info = fnp.finfo(dtype)
    one = fnp.ones((), dtype)
    assert one + fnp.array(info.eps, dtype) > one
    assert fnp.isfinite(fnp.array(info.max, dtype))


def test_limits():
    assert fnp.finfo("bfloat16").eps == 2**-7
    assert fnp.finfo(fnp.complex64).eps == np.finfo("float32").eps
    assert fnp.iinfo(fnp.int8).max == 127
    assert fnp.iinfo("uint16").min == 0
    with pytest.raises(DtypeError, match="finfo: int32"):
        fnp.finfo("int32")
    with pytest.raises(DtypeError, match="iinfo: float32"):
        fnp.iinfo("float32")


def test_constants():
    assert (fnp.pi, fnp.e, fnp.inf) == (math.pi, math.e, math.inf)
    assert math.isnan(fnp.nan)
    assert fnp.euler_gamma == np.euler_gamma
    assert fnp.newaxis is None
    assert fnp.dtype is np.dtype
