"""Elementwise arithmetic: values, promotion, and the laws of the transforms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError, LeafTypeError, ShapeError
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

# name: kinds of dtype that it takes and NumPy's function gives the same dtype for
BINARY = {
    "add": "biufc",
    "subtract": "iufc",
    "multiply": "biufc",
    "true_divide": "fc",
    "floor_divide": "iuf",
    "remainder": "iuf",
    "fmod": "iuf",
    "maximum": "biufc",
    "minimum": "biufc",
    "fmax": "biufc",
    "fmin": "biufc",
    "hypot": "f",
    "gcd": "iu",
    "lcm": "iu",
}
UNARY = {
    "negative": "iufc",
    "positive": "iufc",
    "absolute": "biufc",
    "fabs": "f",
    "sign": "iufc",
    "square": "iufc",
    "sqrt": "fc",
    "cbrt": "f",
    "reciprocal": "fc",
}


def small_integers(x):
    """Integers whose products and multiples don't overflow eight bits."""
    return x % np.asarray(8, x.dtype) if x.dtype.kind in "iu" else x


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=25, deadline=None)
@given(data=draws())
def test_binary_values(agrees, name, data):
    dtype = data.draw(st.dtypes(BINARY[name]).filter(lambda d: d.kind != "V"))
    pair = [data.draw(st.arrays(dtype, s)) for s in data.draw(st.broadcastable_shapes())]
    agrees(lambda xp, x, y: getattr(xp, name)(x, y), *map(small_integers, pair))


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=20, deadline=None)
@given(data=draws())
def test_unary_values(agrees, name, data):
    x = data.draw(st.arrays(data.draw(st.dtypes(UNARY[name]).filter(lambda d: d.kind != "V"))))
    agrees(lambda xp, x: getattr(xp, name)(x), x)


@pytest.mark.parametrize("name", [n for n in BINARY if "f" in BINARY[n]] + ["power"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_laws(name, dtype):
    x = fnp.array(np.array([[0.3], [1.1]]), dtype)
    y = fnp.array(np.array([0.7, 2.3, 0.4]), dtype)
    check_laws(getattr(fnp, name), (x, y))


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "true_divide"])
def test_complex_laws(name):
    x, y = fnp.array([0.3 + 1j, -2 + 0.5j]), fnp.array([1.5 - 0.2j])
    check_laws(getattr(fnp, name), (x, y))


@pytest.mark.parametrize("name", [n for n in UNARY if n != "positive"])
def test_unary_laws(name):
    check_laws(getattr(fnp, name), (fnp.array([0.4, 1.7, 3.0]),))


@pytest.mark.parametrize("name", ["add", "true_divide", "maximum", "power", "mod"])
def test_16_bit_floats(name):
    for dtype, tolerance in (("float16", 2e-3), ("bfloat16", 2e-2)):
        x, y = fnp.array([0.5, 1.25, 3.0], dtype), fnp.array([1.5, 0.75, 2.0], dtype)
        out = getattr(fnp, name)(x, y)
        assert out.dtype == dtype
        expected = getattr(np, name)(np.asarray(x, "float32"), np.asarray(y, "float32"))
        np.testing.assert_allclose(np.asarray(out, "float32"), expected, rtol=tolerance)


# --- promotion ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "dtype", "weak"),
    [
        (fnp.add, (fnp.arange(3), 2), "int32", False),
        (fnp.add, (fnp.arange(3), 2.5), "float32", True),
        (fnp.add, (fnp.ones(3), 2), "float32", False),
        (fnp.add, (1, 2.5), "float32", True),
        (fnp.add, (fnp.ones(3, "float16"), 1e6), "float16", False),
        (fnp.add, (fnp.ones(3, "uint8"), 2), "uint8", False),
        (fnp.add, (fnp.ones(3, "uint8"), fnp.ones(3, "int8")), "int16", False),
        (fnp.add, (fnp.ones(3, "bfloat16"), fnp.ones(3, "float16")), "float32", False),
        (fnp.add, (fnp.ones(3), np.ones(3)), "float64", False),
        (fnp.add, (fnp.ones(3, bool), 1), "int32", True),
        (fnp.add, (True, True), "bool", False),
        (fnp.multiply, (fnp.ones(2, bool), fnp.ones(2, bool)), "bool", False),
        (fnp.true_divide, (fnp.arange(3), fnp.arange(3)), "float32", False),
        (fnp.true_divide, (fnp.arange(3, dtype="int64"), 2), "float64", False),
        (fnp.true_divide, (1, 2), "float32", True),
        (fnp.floor_divide, (5, 2), "int32", True),
        (fnp.floor_divide, (5.0, 2), "float32", True),
        (fnp.remainder, (True, True), "int32", False),
        (fnp.sqrt, (4,), "float32", True),
        (fnp.square, (fnp.ones(2, bool),), "int32", False),
        (fnp.absolute, (fnp.array([3 + 4j]),), "float32", False),
        (fnp.power, (fnp.ones(2, "int8"), 2), "int8", False),
        (fnp.power, (fnp.arange(3), 2.0), "float32", True),
        (fnp.float_power, (2, 3), "float32", True),
        (fnp.hypot, (3, 4), "float32", True),
        (fnp.maximum, (fnp.arange(3), 0.5), "float32", True),
    ],
)
def test_result_dtype(function, args, dtype, weak):
    for out in (function(*args), ff.jit(lambda: function(*args))()):
        assert out.dtype == dtype
        assert out.weak_type == weak


def test_python_scalars_follow_the_configuration():
    with ff.config(default_float="float64", default_int="int64"):
        assert fnp.add(1, 2).dtype == "int64"
        assert fnp.sqrt(2).dtype == "float64"
        assert fnp.add(fnp.ones(2, "float32"), 1.5).dtype == "float32"


def test_a_python_integer_that_does_not_fit_is_refused():
    with pytest.raises(OverflowError, match="300 out of bounds for uint8"):
        fnp.add(fnp.ones(2, "uint8"), 300)


# --- division ---------------------------------------------------------------------------------


def test_floor_division_of_special_values():
    x = fnp.array([1.0, -1, 0, 3, -1, np.inf, 5.5])
    y = fnp.array([0.0, 0, 0, np.inf, np.inf, 2, -2])
    quotient = [np.inf, -np.inf, np.nan, 0, -1, np.nan, -3]
    rest = [np.nan, np.nan, np.nan, 3, np.inf, np.nan, -0.5]
    for divide in (fnp.divmod, ff.jit(fnp.divmod)):
        q, r = divide(x, y)
        np.testing.assert_array_equal(q, np.float32(quotient))
        np.testing.assert_array_equal(r, np.float32(rest))


def test_integer_division_by_zero_gives_zero():
    x, zero = fnp.array([7, -7, 0]), fnp.zeros(3, int)
    for function in (fnp.floor_divide, fnp.remainder, fnp.fmod):
        assert function(x, zero).tolist() == [0, 0, 0]
        assert ff.jit(function)(x, zero).tolist() == [0, 0, 0]


def test_signs_of_quotient_and_remainders():
    x, y = fnp.array([7, -7, 7, -7]), fnp.array([2, 2, -2, -2])
    assert fnp.floor_divide(x, y).tolist() == [3, -4, -4, 3]
    assert fnp.remainder(x, y).tolist() == [1, 1, -1, -1]
    assert fnp.fmod(x, y).tolist() == [1, -1, 1, -1]


# --- powers -----------------------------------------------------------------------------------


def test_power_of_integers():
    x, y = fnp.array([2, 3, -1, 0, 1, -1, 2]), fnp.array([-1, 4, -3, 0, -5, 2, 30])
    expected = [0, 81, -1, 1, 1, 1, 2**30]
    assert fnp.power(x, y).tolist() == expected
    assert ff.jit(fnp.power)(x, y).tolist() == expected


def test_power_of_a_python_integer():
    y = fnp.array([-1, 3])
    for out in (fnp.power(2, y), 2**y, ff.jit(lambda y: 2**y)(y)):
        assert out.tolist() == [0, 8]


def test_power_of_unsigned_integers_wraps_around():
    x, y = fnp.array([3, 2], "uint8"), fnp.array([7, 9], "uint8")
    assert ff.jit(fnp.power)(x, y).tolist() == [3**7 % 256, 0]


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, -1, -2, 0.5, 2.0])
def test_static_exponents(exponent):
    x = fnp.array([0.5, 1.5, 2.0])
    np.testing.assert_allclose(fnp.power(x, exponent), np.asarray(x) ** exponent, rtol=1e-6)
    check_laws(lambda x: fnp.power(x, exponent), (x,))


def test_integers_have_no_negative_static_powers():
    with pytest.raises(ArgumentError, match="power: integers cannot be raised to the negative"):
        fnp.power(fnp.arange(3), -1)


def test_derivatives_of_powers_at_zero():
    assert ff.grad(lambda x: fnp.power(x, 2.0))(0.0) == 0
    assert ff.grad(lambda x: fnp.power(x, 0.0))(0.0) == 0
    assert ff.grad(lambda y: fnp.power(0.0, y))(2.0) == 0


# --- kinks ------------------------------------------------------------------------------------


def test_derivatives_at_kinks():
    assert ff.grad(fnp.hypot, argnums=(0, 1))(0.0, 0.0) == (0, 0)
    assert ff.grad(fnp.maximum, argnums=(0, 1))(2.0, 2.0) == (0.5, 0.5)
    assert ff.grad(fnp.fmin, argnums=(0, 1))(2.0, 2.0) == (0.5, 0.5)
    assert ff.grad(fnp.fmax, argnums=(0, 1))(2.0, np.float32(np.nan)) == (1, 0)
    assert ff.grad(lambda x: fnp.clip(x, 0.0, 1.0))(0.5) == 1
    assert ff.grad(lambda x: fnp.clip(x, 0.0, 1.0))(1.5) == 0


def test_hypot_neither_overflows_nor_vanishes():
    x = fnp.array([3e30, 3e-30, np.inf, np.nan])
    y = fnp.array([4e30, 4e-30, np.nan, np.inf])
    expected = [5e30, 5e-30, np.inf, np.inf]
    np.testing.assert_allclose(fnp.hypot(x, y), expected, rtol=1e-6)
    np.testing.assert_allclose(ff.jit(fnp.hypot)(x, y), expected, rtol=1e-6)


# --- clip, extrema ----------------------------------------------------------------------------


def test_clip():
    x = fnp.arange(5)
    assert fnp.clip(x, 1, 3).tolist() == [1, 1, 2, 3, 3]
    assert fnp.clip(x, min=2).tolist() == [2, 2, 2, 3, 4]
    assert fnp.clip(x, max=2).tolist() == [0, 1, 2, 2, 2]
    assert fnp.clip(x, 3, 1).tolist() == [1] * 5
    check_laws(lambda x: fnp.clip(x, -1.0, 1.0), (fnp.array([-2.0, 0.3, 4.0]),))


def test_fmax_leaves_out_nan():
    x, y = fnp.array([np.nan, 1, np.nan]), fnp.array([2, np.nan, np.nan])
    for function in (fnp.fmax, ff.jit(fnp.fmax), fnp.fmin, ff.jit(fnp.fmin)):
        np.testing.assert_array_equal(function(x, y), np.float32([2, 1, np.nan]))


# --- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("function", [fnp.hypot, fnp.floor_divide, fnp.remainder, fnp.fmod])
def test_complex_arguments_are_refused(function):
    with pytest.raises(DtypeError, match=f"{function.__name__}: takes real numbers"):
        function(fnp.ones(2, complex), 1)


def test_lists_are_refused():
    with pytest.raises(
        LeafTypeError, match="add: takes arrays and numbers, got list at position 1"
    ):
        fnp.add(fnp.ones(2), [1, 2])


def test_arrays_of_strings_are_refused():
    with pytest.raises(DtypeError, match="<U1"):
        fnp.add(1, np.array(["a"]))


def test_shapes_must_broadcast():
    with pytest.raises(ShapeError, match="3"):
        fnp.add(fnp.ones(3), fnp.ones(4))


def test_gcd_takes_integers():
    with pytest.raises(DtypeError, match="gcd: takes integers"):
        fnp.gcd(1.0, 2)
