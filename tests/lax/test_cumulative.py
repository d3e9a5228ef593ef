"""Running sums, products, extrema and log-sum-exps."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import errors, lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

BF16 = np.dtype(ml_dtypes.bfloat16)
NAMES = ["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"]
# name: reference, kinds of dtype
EXACT = {
    "cumsum": (np.add.accumulate, "iu"),
    "cumprod": (np.multiply.accumulate, "iu"),
    "cummax": (np.maximum.accumulate, "biufc"),
    "cummin": (np.minimum.accumulate, "biufc"),
}
ROUNDED = {
    "cumsum": (np.cumsum, "fc"),
    "cumprod": (np.cumprod, "fc"),
    "cumlogsumexp": (lambda x, axis: np.log(np.cumsum(np.exp(x), axis)), "fc"),
}


def matrix(seed=0, shape=(3, 4)):
    return np.random.default_rng(seed).standard_normal(shape)


def reversed_along(reference, x, axis, reverse):
    return np.flip(reference(np.flip(x, axis), axis), axis) if reverse else reference(x, axis)


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=40, deadline=None)
@given(data=draws(), reverse=booleans())
def test_exact_values(name, data, reverse):
    reference, kinds = EXACT[name]
    dtype = data.draw(st.dtypes(kinds))
    shape = data.draw(st.shapes(min_dims=1))
    x = np.asarray(data.draw(st.arrays(dtype, shape, special=dtype.kind != "c")))
    axis = data.draw(st.axis(len(shape)))
    got = np.asarray(getattr(lax, name)(x, axis, reverse))
    with np.errstate(all="ignore"):
        expected = reversed_along(
            lambda y, a: reference(y, a, dtype=None if kinds != "iu" else dtype), x, axis, reverse
        )
    assert got.dtype == dtype
    if dtype.kind == "V":  # NumPy does not know a NaN of bfloat16
        got, expected = got.astype("float32"), expected.astype("float32")
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ROUNDED)
@settings(max_examples=40, deadline=None)
@given(data=draws(), reverse=booleans())
def test_rounded_values(name, data, reverse):
    reference, kinds = ROUNDED[name]
    dtype = data.draw(st.dtypes(kinds))
    shape = data.draw(st.shapes(min_dims=1))
    x = np.asarray(data.draw(st.arrays(dtype, shape, min_value=-1.25, max_value=1.25)))
    axis = data.draw(st.axis(len(shape)))
    got = np.asarray(getattr(lax, name)(x, axis=axis, reverse=reverse))
    wide = x.astype("complex128" if dtype.kind == "c" else "float64")
    assert got.dtype == dtype
    tolerance = 16 * float(ml_dtypes.finfo(dtype).eps)
    got, expected = got.astype(wide.dtype), reversed_along(reference, wide, axis, reverse)
    if name == "cumlogsumexp":  # a logarithm's imaginary part is known up to 2 pi
        got, expected = np.exp(got), np.exp(expected)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_empty_axes(name):
    for shape in [(0,), (2, 0), (0, 3)]:
        for axis in range(len(shape)):
            got = np.asarray(getattr(lax, name)(np.zeros(shape, "float32"), axis))
            assert got.shape == shape and got.dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", BF16])
def test_16_bit_floats_are_accumulated_in_float32(dtype):
    got = np.asarray(lax.cumsum(np.ones(4000, dtype)))
    np.testing.assert_array_equal(got, np.arange(1, 4001).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", BF16, "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_nan_propagates(name, dtype):
    got = np.asarray(getattr(lax, name)(np.array([1, np.nan, 3], dtype)))
    assert np.isnan(got).tolist() == [False, True, True]


def test_cumlogsumexp_neither_overflows_nor_loses_small_terms():
    x = np.array([-1000.0, -1000.0, 0.0, 1000.0])
    np.testing.assert_allclose(lax.cumlogsumexp(x), [-1000, -1000 + math.log(2), 0, 1000])
    x = np.array([-np.inf, -np.inf, 1.0, np.inf])
    np.testing.assert_array_equal(lax.cumlogsumexp(x), x)
    np.testing.assert_array_equal(np.real(np.asarray(lax.cumlogsumexp(x.astype("complex128")))), x)


# --- derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("name", NAMES)
def test_laws(name, axis, reverse):
    check_laws(lambda x: getattr(lax, name)(x, axis=axis, reverse=reverse), (matrix(),))


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cumlogsumexp"])
def test_laws_in_other_dtypes(name, dtype):
    x = matrix() + (1j * matrix(1) if dtype != "float32" else 0)
    check_laws(lambda y: getattr(lax, name)(y, axis=1), (x.astype(dtype),))


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "cummax", "cummin"])
def test_laws_of_integers(name):
    x = np.random.default_rng(0).integers(-3, 4, (3, 5)).astype("int32")
    check_laws(lambda y: getattr(lax, name)(y, axis=1), (x,))


@pytest.mark.parametrize("places", [(0,), (2,), (1, 3), (0, 1, 4)])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumprod_with_zeros(places, reverse):
    x = matrix(shape=(5,))
    x[list(places)] = 0
    check_laws(lambda y: lax.cumprod(y, reverse=reverse), (x,), modes=("fwd", "rev"))


def test_gradient_of_cumprod_with_zeros():
    jacobian = ff.vmap(ff.vjp(lax.cumprod, np.array([2.0, 0.0, 3.0, 0.0]))[1])(np.eye(4))[0]
    expected = [[1, 0, 0, 0], [0, 2, 0, 0], [0, 6, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(jacobian, expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_ties_share_the_derivative(sign):
    name = "cummax" if sign == 1 else "cummin"
    x = sign * np.array([2.0, 1.0, 2.0, 2.0, 3.0])
    jacobian = ff.vmap(ff.vjp(getattr(lax, name), x)[1])(np.eye(5))[0]
    expected = [
        [1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [1 / 2, 0, 1 / 2, 0, 0],
        [1 / 3, 0, 1 / 3, 1 / 3, 0],
        [0, 0, 0, 0, 1],
    ]
    np.testing.assert_allclose(jacobian, expected)
    # as the reduction, of which this is the last element
    last = ff.grad(lambda y: lax.index_in_dim(getattr(lax, name)(y), -1, keepdims=False))
    np.testing.assert_allclose(
        last(x), ff.grad(lambda y: getattr(lax, name.replace("cum", "reduce_"))(y, (0,)))(x)
    )


@pytest.mark.parametrize(
    "x", [[-np.inf, -np.inf, 1.0], [-np.inf] * 3, [1.0, np.inf, 0.0], [np.inf, np.inf, 1.0]]
)
def test_gradient_of_cumlogsumexp_is_finite(x):
    jacobian = ff.vmap(ff.vjp(lax.cumlogsumexp, np.array(x))[1])(np.eye(3))[0]
    assert np.isfinite(jacobian).all()
    np.testing.assert_allclose(np.sum(jacobian, axis=1), 1)


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_bad_input(name):
    with pytest.raises(errors.AxisError, match=f"{name}: axis 1 is out of range"):
        getattr(lax, name)(np.ones(3), 1)
    with pytest.raises(errors.AxisError, match=f"{name}: axis 0 is out of range"):
        getattr(lax, name)(np.float32(1))


@pytest.mark.parametrize(
    "name, dtype", [("cumsum", "bool"), ("cumprod", "bool"), ("cumlogsumexp", "int32")]
)
def test_bad_dtypes(name, dtype):
    with pytest.raises(errors.DtypeError, match=f"{name}: takes"):
        getattr(lax, name)(np.ones(3, dtype))
    with pytest.raises(errors.DtypeError, match=f"{name}: takes"):
        ff.jit(getattr(lax, name))(np.ones(3, dtype))
