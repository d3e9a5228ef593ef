"""Rounding."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError
from funcflow.testing import check_laws

VALUES = np.array([-2.5, -1.5, -0.5, -0.2, 0, 0.5, 1.5, 2.5, 2.7, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "round", "around"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values(agrees, name, dtype):
    agrees(lambda xp, x: getattr(xp, name)(x), VALUES.astype(dtype))


def test_fix_is_trunc():
    np.testing.assert_array_equal(fnp.fix(VALUES), fnp.trunc(VALUES))


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32"])
def test_integers_stay(name, dtype):
    x = fnp.array([0, 1, 2], dtype)
    out = getattr(fnp, name)(x)
    assert out.dtype == dtype
    assert out.tolist() == x.tolist()


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "round"])
def test_laws(name):
    check_laws(getattr(fnp, name), (fnp.array([-1.7, 0.2, 3.4]),))
    assert ff.grad(getattr(fnp, name))(0.3) == 0


@pytest.mark.parametrize("decimals", [1, 2, -1, -2])
def test_decimals(decimals):
    x = fnp.array([123.456, -0.254, 77.0])
    expected = np.round(np.asarray(x), decimals)
    np.testing.assert_allclose(fnp.round(x, decimals), expected, rtol=1e-6)
    np.testing.assert_allclose(ff.jit(lambda x: x.round(decimals))(x), expected, rtol=1e-6)


def test_decimals_of_16_bit_floats():
    x = fnp.array([1.2345, 7.0], "float16")
    assert fnp.round(x, 3).dtype == "float16"
    np.testing.assert_allclose(fnp.round(x, 3), [1.234, 7], rtol=1e-3)
    np.testing.assert_array_equal(fnp.round(fnp.array([3e4], "float16"), 5), np.float16([3e4]))


def test_complex_numbers_are_rounded_by_parts():
    z = fnp.array([1.5 + 2.5j, -0.4 - 1.26j])
    np.testing.assert_array_equal(fnp.round(z), np.complex64([2 + 2j, -0 - 1j]))
    np.testing.assert_array_equal(ff.jit(fnp.rint)(z), np.complex64([2 + 2j, -0 - 1j]))
    np.testing.assert_allclose(fnp.round(z, 1), np.complex64([1.5 + 2.5j, -0.4 - 1.3j]))
    with pytest.raises(DtypeError, match="floor: takes real numbers"):
        fnp.floor(z)


def test_integers_are_not_rounded_to_tens():
    with pytest.raises(ArgumentError, match="integers cannot be rounded to -1 decimals"):
        fnp.round(fnp.arange(3), -1)
    with pytest.raises(ArgumentError, match="out"):
        fnp.round(fnp.ones(3), out=np.ones(3))
