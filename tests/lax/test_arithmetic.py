"""Arithmetic, integer powers and roots."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws
from hypothesis.strategies import integers

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

# name: reference, kinds of dtype
BINARY = {
    "add": (np.add, "iufc"),
    "sub": (np.subtract, "iufc"),
    "mul": (np.multiply, "iufc"),
    "div": (np.divide, "f"),
    "max": (np.maximum, "biufc"),
    "min": (np.minimum, "biufc"),
    "rem": (np.fmod, "f"),
}
# name: reference, kinds of dtype, and the interval of arguments
UNARY = {
    "neg": (np.negative, "iufc", -8, 8),
    "abs": (np.abs, "iufc", -8, 8),
    "sign": (np.sign, "iufc", -8, 8),
    "square": (np.square, "iufc", -8, 8),
    "sqrt": (np.sqrt, "fc", 0.125, 8),
    "rsqrt": (lambda x: 1 / np.sqrt(x), "fc", 0.125, 8),
    "cbrt": (np.cbrt, "f", -8, 8),
    "reciprocal": (lambda x: 1 / x, "fc", 0.125, 8),
}


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=40, deadline=None)
@given(data=draws())
def test_binary_values(agrees, name, data):
    reference, kinds = BINARY[name]
    dtype = data.draw(st.dtypes(kinds))
    shapes = data.draw(st.broadcastable_shapes())
    special = dtype.kind in "fV" and name != "rem"
    x, y = (data.draw(st.arrays(dtype, shape, special=special)) for shape in shapes)
    agrees(getattr(lax, name), reference, x, y)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "max", "min", "rem"])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@settings(max_examples=5, deadline=None)
@given(data=draws())
def test_binary_laws(name, dtype, data):
    if name == "rem" and dtype == "complex64":
        dtype = "float64"
    first, second = data.draw(st.broadcastable_shapes(max_dims=2))
    # the second argument lies above the first: no ties, no jumps of the remainder
    x = data.draw(st.arrays(dtype, first, min_value=0.25, max_value=1.5, smooth=True))
    y = data.draw(st.arrays(dtype, second, min_value=1.75, max_value=3, smooth=True))
    check_laws(getattr(lax, name), (x, y))
    check_laws(lambda x: getattr(lax, name)(x, 2.0), (x,))


@pytest.mark.parametrize("name", UNARY)
@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_unary_values(agrees, name, data):
    reference, kinds, low, high = UNARY[name]
    dtype = data.draw(st.dtypes(kinds))
    x = data.draw(st.arrays(dtype, min_value=low, max_value=high))
    real = np.empty(0, dtype).real.dtype if name == "abs" and dtype.kind == "c" else dtype
    agrees(getattr(lax, name), reference, x, dtype=real)


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@settings(max_examples=3, deadline=None)
@given(data=draws())
def test_unary_laws(name, dtype, data):
    _, kinds, low, high = UNARY[name]
    if np.dtype(dtype).kind not in kinds:
        dtype = "float64"
    x = data.draw(st.arrays(dtype, min_value=low, max_value=high, smooth=True))
    check_laws(getattr(lax, name), (x,))


@pytest.mark.parametrize("name", ["add", "mul", "div", "sqrt", "abs", "max"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_laws_in_half_precision(name, dtype):
    x = lax.convert_element_type(np.array([0.5, 1.25, 2.0]), dtype)
    y = lax.convert_element_type(np.array([1.75]), dtype)
    check_laws(getattr(lax, name), (x,) if name in UNARY else (x, y), order=1)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "neg", "div", "rem", "max", "sign", "abs"])
@pytest.mark.parametrize("dtype", ["int8", "uint32", "int64"])
def test_laws_of_integers(name, dtype):
    x, y = np.array([[1, 5, 100]], dtype), np.array([[3], [7]], dtype)
    check_laws(getattr(lax, name), (x,) if name in UNARY else (x, y))


def test_unsigned_integers_wrap_around():
    one = np.array(1, "u1")
    assert int(lax.neg(one)) == 255
    assert int(lax.sub(one, np.array(2, "u1"))) == 255


def test_booleans():
    x, y = np.array([False, True, True]), np.array([False, False, True])
    np.testing.assert_array_equal(lax.add(x, y), [False, True, True])
    np.testing.assert_array_equal(lax.mul(x, y), [False, False, True])


# --- integer division -----------------------------------------------------------------------

LEAST = -(2**31)
NUMERATORS = np.array([7, -7, 7, -7, 5, -5, 0, LEAST, LEAST], "i4")
DENOMINATORS = np.array([2, 2, -2, -2, 0, 0, 0, -1, 1], "i4")


def test_integer_division_rounds_towards_zero():
    got = lax.div(NUMERATORS, DENOMINATORS)
    np.testing.assert_array_equal(got, [3, -3, -3, 3, -1, -1, -1, LEAST, LEAST])
    assert got.dtype == "int32"


def test_integer_remainder_has_the_sign_of_the_numerator():
    got = lax.rem(NUMERATORS, DENOMINATORS)
    np.testing.assert_array_equal(got, [1, -1, 1, -1, 5, -5, 0, 0, 0])


def test_unsigned_division_by_zero_gives_all_ones():
    x, zero = np.array([7, 5], "u1"), np.array(0, "u1")
    np.testing.assert_array_equal(lax.div(x, zero), [255, 255])
    np.testing.assert_array_equal(lax.rem(x, zero), [7, 5])


@settings(max_examples=50, deadline=None)
@given(data=draws())
def test_integer_division_is_exact(data):
    dtype = data.draw(st.dtypes("iu"))
    x, y = (np.asarray(data.draw(st.arrays(dtype, (5,), special=True))) for _ in range(2))
    quotient, rest = np.asarray(lax.div(x, y)), np.asarray(lax.rem(x, y))
    for a, b, q, r in zip(*(v.tolist() for v in (x, y, quotient, rest)), strict=True):
        if b != 0 and (a, b) != (np.iinfo(dtype).min, -1):
            assert q == abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
            assert q * b + r == a


@settings(max_examples=50, deadline=None)
@given(data=draws())
def test_mulhi_is_the_upper_half_of_the_product(data):
    dtype = data.draw(st.dtypes("iu"))
    x, y = (np.asarray(data.draw(st.arrays(dtype, (5,), special=True))) for _ in range(2))
    expected = [a * b >> 8 * dtype.itemsize for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    np.testing.assert_array_equal(lax.mulhi(x, y), np.array(expected, dtype))


# --- kinks and edges ------------------------------------------------------------------------


def test_ties_share_the_derivative_of_max_and_min():
    for extremum in (lax.max, lax.min):
        assert float(ff.grad(extremum, 0)(1.0, 1.0)) == 0.5
        assert float(ff.grad(extremum, 1)(1.0, 1.0)) == 0.5


def test_max_and_min_pass_nan_on():
    nan = np.array(np.nan, "f4")
    for extremum in (lax.max, lax.min):
        assert np.isnan(float(extremum(nan, 1.0)))
        assert np.isnan(float(extremum(1.0, nan)))


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("name", ["abs", "sign"])
def test_derivative_at_zero_is_zero(name, dtype):
    zero = np.zeros((), dtype)
    out, pullback = ff.vjp(getattr(lax, name), zero)
    assert complex(out) == 0
    assert complex(pullback(np.ones((), out.dtype))[0]) == 0


def test_gradient_of_the_modulus():
    # the transpose is not conjugated
    _, pullback = ff.vjp(lax.abs, np.array(3 + 4j, "c8"))
    np.testing.assert_allclose(pullback(np.float32(1))[0], 0.6 - 0.8j)


def test_sign_of_special_values():
    got = lax.sign(np.array([-np.inf, -0.0, 0.0, np.inf, np.nan], "f4"))
    np.testing.assert_array_equal(got, [-1, 0, 0, 1, np.nan])


def test_derivative_of_the_remainder_by_the_divisor():
    assert float(ff.grad(lax.rem, 1)(7.0, 2.0)) == -3
    assert float(ff.grad(lax.rem, 1)(-7.0, 2.0)) == 3


@pytest.mark.parametrize("y", [-3, -2, -1, 0, 1, 2, 3, 7])
@settings(max_examples=10, deadline=None)
@given(data=draws())
def test_integer_pow_values(agrees, y, data):
    x = data.draw(st.arrays(st.dtypes("fc"), min_value=0.5, max_value=2))
    tolerance = {2: 0.05 if x.dtype == "bfloat16" else 0.01}.get(x.dtype.itemsize)
    agrees(lambda x: lax.integer_pow(x, y), lambda x: x ** float(y), x, tolerance=tolerance)


@settings(max_examples=20, deadline=None)
@given(x=st.arrays(st.dtypes("iu")), y=integers(0, 9))
def test_integer_pow_of_integers_wraps_around(x, y):
    expected = np.asarray(x) ** np.array(y, x.dtype)
    np.testing.assert_array_equal(lax.integer_pow(x, y), expected)


@pytest.mark.parametrize("y", [-2, -1, 0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_integer_pow_laws(y, dtype):
    x = np.array([0.5, -1.25, 2.0], dtype)
    check_laws(lambda x: lax.integer_pow(x, y), (x,))


def test_integer_pow_at_zero():
    for y, derivative in [(0, 0), (1, 1), (2, 0), (3, 0)]:
        assert float(ff.grad(lambda x, y=y: lax.integer_pow(x, y))(0.0)) == derivative


# --- infinite derivatives ----------------------------------------------------------------------


@pytest.mark.parametrize("transform", [lambda f: f, ff.jit])
@pytest.mark.parametrize(
    "branch",
    [
        lax.sqrt,
        lax.rsqrt,
        lax.cbrt,
        lax.reciprocal,
        lambda x: lax.div(1.0, x),
        lambda x: lax.div(x, x),
        lambda x: lax.integer_pow(x, -2),
        lambda x: lax.mul(x, lax.reciprocal(x)),
    ],
)
def test_where_masks_infinite_derivatives(branch, transform):
    """The branch that is not taken has no share in the gradient, whatever its derivative."""

    def f(x):
        return lax.select(lax.eq(x, 0.0), lax.mul(x, 3.0), branch(x))

    assert float(transform(ff.grad(f))(0.0)) == 3
    assert float(transform(ff.grad(ff.grad(f)))(0.0)) == 0
    assert float(transform(lambda x: ff.jvp(f, (x,), (1.0,))[1])(0.0)) == 3
    stacked = transform(ff.vmap(ff.grad(f)))(np.zeros(2, "f4"))
    np.testing.assert_array_equal(stacked, [3, 3])


def test_infinite_derivatives_stay_infinite():
    assert float(ff.grad(lax.sqrt)(0.0)) == np.inf
    assert float(ff.grad(lax.cbrt)(0.0)) == np.inf
    assert float(ff.grad(lax.reciprocal)(0.0)) == -np.inf


# --- bad input ------------------------------------------------------------------------------


def test_errors_name_function_and_dtypes():
    with pytest.raises(ff.errors.DtypeError, match=r"add: takes arguments of one dtype.*f32\[3\]"):
        lax.add(np.ones(3, "f4"), np.ones(3, "f8"))
    with pytest.raises(ff.errors.DtypeError, match="sqrt: takes floating, complex dtypes"):
        lax.sqrt(np.arange(3))
    with pytest.raises(ff.errors.DtypeError, match="rem: takes"):
        lax.rem(np.ones(3, "c8"), np.ones(3, "c8"))
    with pytest.raises(ff.errors.ShapeError, match="do not broadcast"):
        lax.mul(np.ones(3, "f4"), np.ones(4, "f4"))
    with pytest.raises(ff.errors.ArgumentError, match="integer_pow"):
        lax.integer_pow(np.arange(3), -1)
