"""Operations on bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import DtypeError
from funcflow.testing import strategies as st


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
@settings(max_examples=20, deadline=None)
@given(data=draws())
def test_logic(agrees, name, data):
    dtype = data.draw(st.dtypes("biu"))
    x, y = (data.draw(st.arrays(dtype, s)) for s in data.draw(st.broadcastable_shapes()))
    agrees(lambda xp, x, y: getattr(xp, name)(x, y), x, y)


@pytest.mark.parametrize("name", ["invert", "bitwise_not", "bitwise_invert"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64"])
def test_invert(agrees, name, dtype):
    agrees(lambda xp, x: getattr(xp, name)(x), np.array([0, 1, 5], dtype))


@pytest.mark.parametrize("name", ["left_shift", "right_shift"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64"])
def test_shifts(agrees, name, dtype):
    x = np.array([0, 1, 100, np.iinfo(dtype).max, np.iinfo(dtype).min], dtype)
    y = np.arange(9, dtype=dtype)[:, None]
    agrees(lambda xp, x, y: getattr(xp, name)(x, y), x, y)


def test_shifts_promote():
    assert fnp.left_shift(fnp.ones(2, "uint8"), 3).dtype == "uint8"
    assert fnp.right_shift(True, fnp.ones(2, bool)).dtype == "int32"


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "int64"])
def test_bitwise_count(dtype):
    x = fnp.array([0, 1, 7], dtype)
    for function in (fnp.bitwise_count, ff.jit(fnp.bitwise_count)):
        assert function(x).dtype == "uint8"
        assert function(x).tolist() == [int(v).bit_count() for v in x.tolist()]
    assert fnp.bitwise_count(-8) == 1


def test_floats_are_refused():
    with pytest.raises(DtypeError, match="float"):
        fnp.bitwise_and(1.0, 1)
    with pytest.raises(DtypeError, match="bitwise_count: takes integers"):
        fnp.bitwise_count(1.0)
