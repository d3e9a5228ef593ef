"""Operations on the bits of integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

LOGICAL = {
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
}


@pytest.mark.parametrize("name", LOGICAL)
@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_logical_values(agrees, name, data):
    dtype = data.draw(st.dtypes("biu"))
    shapes = data.draw(st.broadcastable_shapes())
    x, y = (data.draw(st.arrays(dtype, shape, special=True)) for shape in shapes)
    agrees(getattr(lax, name), LOGICAL[name], x, y)


@settings(max_examples=30, deadline=None)
@given(x=st.arrays(st.dtypes("biu"), special=True))
def test_not(agrees, x):
    agrees(lax.bitwise_not, np.invert, x)


def _shift(name, x, y, dtype):
    """The shift of one number, by Python's integers."""
    bits = 8 * dtype.itemsize
    pattern = x % 2**bits
    negative = pattern >> (bits - 1)
    if not 0 <= y < bits:
        shifted = -negative if name == "shift_right_arithmetic" else 0
    elif name == "shift_left":
        shifted = pattern << y
    elif name == "shift_right_logical":
        shifted = pattern >> y
    else:
        shifted = (pattern - negative * 2**bits) >> y
    shifted %= 2**bits
    return shifted - 2**bits if dtype.kind == "i" and shifted >> (bits - 1) else shifted


@pytest.mark.parametrize("name", ["shift_left", "shift_right_arithmetic", "shift_right_logical"])
@settings(max_examples=60, deadline=None)
@given(data=draws())
def test_shift_values(name, data):
    dtype = data.draw(st.dtypes("iu"))
    bits = 8 * dtype.itemsize
    x = data.draw(st.arrays(dtype, (6,), special=True))
    counts = [0, 1, bits - 1, bits, bits + 3, -1 if dtype.kind == "i" else 255]
    got = getattr(lax, name)(x, np.array(counts, dtype))
    expected = [_shift(name, a, n, dtype) for a, n in zip(x.tolist(), counts, strict=True)]
    np.testing.assert_array_equal(got, np.array(expected, dtype))
    assert got.dtype == dtype


@settings(max_examples=60, deadline=None)
@given(x=st.arrays(st.dtypes("iu"), special=True))
def test_counting_bits(agrees, x):
    bits = 8 * x.dtype.itemsize
    patterns = [int(v) % 2**bits for v in np.asarray(x).ravel()]
    ones = np.reshape([bin(p).count("1") for p in patterns], x.shape)
    leading = np.reshape([bits - p.bit_length() for p in patterns], x.shape)
    agrees(lax.population_count, lambda _: ones, x)
    agrees(lax.clz, lambda _: leading, x)


@pytest.mark.parametrize("name", [*LOGICAL, "shift_left", "shift_right_arithmetic"])
def test_binary_laws(name):
    check_laws(getattr(lax, name), (np.array([[1, 5, -100]]), np.array([[3], [1]])))


@pytest.mark.parametrize("name", ["bitwise_not", "population_count", "clz"])
def test_unary_laws(name):
    check_laws(getattr(lax, name), (np.array([[1, 5, -100]], "i2"),))


def test_bad_dtypes_are_refused():
    x = np.ones(3, "f4")
    for name in LOGICAL:
        with pytest.raises(ff.errors.DtypeError, match="takes bool, signed, unsigned dtypes"):
            getattr(lax, name)(x, x)
    with pytest.raises(ff.errors.DtypeError, match="clz: takes signed, unsigned dtypes"):
        lax.clz(np.array([True]))
    with pytest.raises(ff.errors.DtypeError, match="shift_left: takes arguments of one dtype"):
        lax.shift_left(np.ones(3, "i4"), np.ones(3, "u4"))
