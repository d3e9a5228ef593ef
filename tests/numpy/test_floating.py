"""NaN, infinity, signs, exponents."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError
from funcflow.testing import check_laws

FLOATS = ["float16", "float32", "float64"]
SPECIAL = np.array([0, -0.0, 1, -2.5, 7, 0.3, np.inf, -np.inf, np.nan, 1e-3, -0.5])


@pytest.mark.parametrize("name", ["isnan", "isfinite", "isinf", "isposinf", "isneginf", "signbit"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_predicates(agrees, name, dtype):
    agrees(lambda xp, x: getattr(xp, name)(x), SPECIAL.astype(dtype))


@pytest.mark.parametrize("name", ["isnan", "isfinite", "isinf"])
def test_predicates_of_other_kinds(agrees, name):
    z = np.array([1, np.nan, np.inf, 1j * np.nan, complex(np.inf, np.nan)], "complex64")
    agrees(lambda xp, x: getattr(xp, name)(x), z)
    agrees(lambda xp, x: getattr(xp, name)(x), np.arange(3))
    agrees(lambda xp, x: getattr(xp, name)(x), np.ones((2, 0), bool))


def test_predicates_of_bfloat16():
    x = fnp.array([0.0, -np.inf, np.nan, -0.0], "bfloat16")
    assert fnp.isnan(x).tolist() == [False, False, True, False]
    assert fnp.isfinite(x).tolist() == [True, False, False, True]
    assert fnp.isneginf(x).tolist() == [False, True, False, False]
    assert fnp.signbit(x).tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", ["isposinf", "isneginf", "signbit"])
def test_complex_numbers_are_refused(name):
    with pytest.raises(DtypeError, match=f"{name}: takes real numbers"):
        getattr(fnp, name)(fnp.ones(1, complex))


def test_signbit_of_integers():
    assert fnp.signbit(fnp.array([1, -1, 0])).tolist() == [False, True, False]


@pytest.mark.parametrize("dtype", [*FLOATS, "complex64"])
def test_nan_to_num(agrees, dtype):
    x = SPECIAL.astype(dtype)
    if dtype != "float16":  # whose greatest number is not that of the reference's dtype
        agrees(lambda xp, x: xp.nan_to_num(x, nan=1.5, posinf=2.5, neginf=-3.5), x)
    out = np.asarray(fnp.nan_to_num(x))
    np.testing.assert_array_equal(out, np.nan_to_num(x))
    assert out.dtype == dtype
    assert fnp.nan_to_num(fnp.arange(3)).dtype == "int32"


def test_derivative_of_nan_to_num():
    gradient = ff.grad(lambda x: fnp.sum(fnp.nan_to_num(x)))(fnp.array([np.nan, 1, np.inf]))
    assert gradient.tolist() == [0, 1, 0]


@pytest.mark.parametrize("name", ["copysign", "heaviside", "nextafter"])
def test_pairs(agrees, name):
    x, y = np.meshgrid(SPECIAL, SPECIAL)  # in double precision, for the sake of nextafter
    agrees(lambda xp, x, y: getattr(xp, name)(x, y), x, y)


def test_pairs_of_narrow_floats():
    one, two = fnp.ones((), "float32"), fnp.full((), 2, "float32")
    assert fnp.nextafter(one, two).item() == np.nextafter(np.float32(1), np.float32(2))
    assert fnp.nextafter(1, 2).weak_type
    assert fnp.copysign(fnp.array([3]), -1).tolist() == [-3.0]
    check_laws(fnp.copysign, (fnp.array([1.5, -2.5]), fnp.array([-1.0, 3.0])))


def test_spacing(agrees):
    agrees(lambda xp, x: xp.spacing(x), np.array([0, 1.0, -3, 1e300, np.inf, np.nan]))
    np.testing.assert_array_equal(fnp.spacing(np.float32(1)), np.spacing(np.float32(1)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_frexp_and_ldexp(dtype):
    info = np.finfo(dtype)
    numbers = [0, 1, -3, 0.3, info.max, -info.tiny, info.smallest_subnormal, np.inf, np.nan]
    x = np.array(numbers, dtype)
    expected = np.frexp(x)
    for function in (fnp.frexp, ff.jit(fnp.frexp)):
        mantissa, exponent = function(x)
        np.testing.assert_array_equal(mantissa, expected[0])
        np.testing.assert_array_equal(exponent[:-2], expected[1][:-2])
        assert exponent[-2:].tolist() == [0, 0]
        assert (mantissa.dtype, exponent.dtype) == (dtype, "int32")
        np.testing.assert_array_equal(fnp.ldexp(mantissa, exponent), x)


def test_ldexp_of_bfloat16():
    x = fnp.array([1.5, -3.0], "bfloat16")
    assert fnp.ldexp(x, 3).tolist() == [12.0, -24.0]
    mantissa, exponent = fnp.frexp(x)
    assert (mantissa.tolist(), exponent.tolist()) == ([0.75, -0.75], [1, 2])


@pytest.mark.parametrize("exponent", [-2000, -149, -130, 0, 127, 128, 300])
def test_ldexp_at_the_ends_of_the_range(exponent):
    x = np.float32([1.0, 1.5, 1e-45, 3e38])
    with np.errstate(all="ignore"):
        expected = np.ldexp(x, exponent)
    np.testing.assert_array_equal(fnp.ldexp(x, exponent), expected)
    np.testing.assert_array_equal(fnp.ldexp(x, np.int64(exponent)), expected)
    if exponent > 0:
        np.testing.assert_array_equal(fnp.ldexp(x, np.uint16(exponent)), expected)


def test_derivatives_of_frexp_and_ldexp():
    assert ff.grad(lambda x: fnp.frexp(x)[0])(3.0) == 0.25
    assert ff.grad(lambda x: fnp.ldexp(x, 3))(1.0) == 8
    check_laws(lambda x: fnp.ldexp(x, fnp.array([1, -2])), (fnp.array([0.7, 3.0]),))
    with pytest.raises(DtypeError, match="ldexp: the exponent must be an integer"):
        fnp.ldexp(1.0, 2.0)


@pytest.mark.parametrize("dtype", FLOATS)
def test_modf(agrees, dtype):
    agrees(lambda xp, x: xp.modf(x), SPECIAL.astype(dtype))
    assert ff.grad(lambda x: fnp.modf(x)[0])(2.5) == 1
    with pytest.raises(ArgumentError, match="modf: `out`"):
        fnp.modf(1.5, out=())
