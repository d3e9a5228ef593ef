"""Sorting and the k greatest elements."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import errors, lax
from funcflow.core import dtypes
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

BF16 = np.dtype(ml_dtypes.bfloat16)
NAN, INF = math.nan, math.inf


def matrix(seed=0, shape=(3, 4)):
    return np.random.default_rng(seed).standard_normal(shape)


def sortable(x):
    """An array with NumPy's order, which for real numbers is ours."""
    x = np.asarray(x)
    return x.astype("float32") if x.dtype == BF16 else x


def bits(x):
    """The values up to the payload of NaNs, zeros of different sign told apart."""
    x = sortable(x)
    if x.dtype.kind != "f":
        return x.tolist()
    return [repr(float(v)) if v == v else "nan" for v in x.ravel()]


# --- sort -------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(data=draws(), is_stable=booleans())
def test_sort_of_one_array(data, is_stable):
    dtype = data.draw(st.dtypes("biuf"))
    shape = data.draw(st.shapes(min_dims=1))
    x = data.draw(st.arrays(dtype, shape, special=True))
    axis = data.draw(st.axis(len(shape)))
    got = np.asarray(lax.sort(x, dimension=axis, is_stable=is_stable))
    expected = np.sort(sortable(x), axis=axis, kind="stable")
    assert got.dtype == dtype
    np.testing.assert_array_equal(sortable(got), expected)
    if is_stable:
        assert bits(got) == bits(expected)


@settings(max_examples=60, deadline=None)
@given(data=draws(), num_keys=integers(1, 3))
def test_sort_by_several_keys(data, num_keys):
    count = data.draw(integers(0, 6))
    chosen = [data.draw(st.dtypes("biuf")) for _ in range(3)]
    keys = [data.draw(st.arrays(dtype, (2, count), min_value=-1, max_value=1)) for dtype in chosen]
    rank = np.broadcast_to(np.arange(count), (2, count))
    *got, order = lax.sort((*keys, rank), dimension=-1, num_keys=num_keys)
    expected = np.lexsort([sortable(k) for k in keys[:num_keys][::-1]], axis=-1)
    np.testing.assert_array_equal(order, expected)
    for key, out in zip(keys, got, strict=True):
        np.testing.assert_array_equal(out, np.take_along_axis(np.asarray(key), expected, -1))
        assert out.dtype == key.dtype


def test_order_of_special_values():
    x = np.array([NAN, -0.0, 0.0, -INF, -NAN, INF, 0.0, -0.0])
    assert bits(lax.sort(x)) == ["-inf", "-0.0", "0.0", "0.0", "-0.0", "inf", "nan", "nan"]
    order = lax.sort((x, np.arange(8)))[1]
    np.testing.assert_array_equal(order, [3, 1, 2, 6, 7, 5, 0, 4])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_sorted_by_real_then_imaginary_part(dtype):
    # recorded from jax.lax.sort
    x = np.array([1 + 2j, 1 + 1j, 5j, complex(NAN, 0), complex(0, NAN), complex(1, NAN)], dtype)
    x = np.append(x, np.array([complex(NAN, NAN), complex(NAN, -3), complex(-0.0, 1), 0], dtype))
    values, order = lax.sort((x, np.arange(10)))
    np.testing.assert_array_equal(order, [9, 8, 2, 4, 1, 0, 5, 7, 3, 6])
    np.testing.assert_array_equal(values, x[np.asarray(order)])
    np.testing.assert_array_equal(lax.sort(x), values)


def test_what_sort_returns():
    x = np.array([2, 1])
    assert isinstance(lax.sort(x), ff.Array)
    assert isinstance(lax.sort([x]), tuple)
    keys, values = lax.sort_key_val(x, np.array([0.5, 1.5]))
    np.testing.assert_array_equal(keys, [1, 2])
    np.testing.assert_array_equal(values, [1.5, 0.5])
    np.testing.assert_array_equal(lax.sort(np.zeros((0, 3))), np.zeros((0, 3)))


@pytest.mark.parametrize("dimension", [0, -1])
def test_laws_of_sort(dimension):
    check_laws(lambda x: lax.sort(x, dimension=dimension), (matrix(),))
    check_laws(
        lambda x, y: lax.sort((x, y, lax.sin(y)), dimension=dimension), (matrix(), matrix(1))
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_laws_of_empty_arrays(axis):
    x = np.zeros((0, 3))
    check_laws(lambda x: lax.sort(x, axis), (x,))
    check_laws(lambda x: lax.top_k(x, 2 * axis, axis=axis)[0], (x,))


def test_laws_of_sort_by_integers_and_complex_numbers():
    keys = np.random.default_rng(0).integers(0, 3, (3, 5)).astype("int32")
    check_laws(lambda k, x: lax.sort_key_val(k, x, dimension=1), (keys, matrix(shape=(3, 5))))
    check_laws(lambda x: lax.sort(x, dimension=0), (matrix() + 1j * matrix(1),))


def test_derivatives_follow_equal_elements():
    x = np.array([1.0, 0.0, 1.0])
    _, tangent = ff.jvp(lax.sort, (x,), (np.array([10.0, 20.0, 30.0]),))
    np.testing.assert_array_equal(tangent, [20, 10, 30])


# --- top_k ------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(data=draws())
def test_top_k(data):
    dtype = data.draw(st.dtypes("biuf"))
    shape = data.draw(st.shapes(min_dims=1))
    x = data.draw(st.arrays(dtype, shape, special=True))
    axis = data.draw(st.axis(len(shape)))
    k = data.draw(integers(0, shape[axis]))
    values, indices = lax.top_k(x, k, axis=axis)
    assert values.dtype == dtype and indices.dtype == np.int32
    expected_shape = list(shape)
    expected_shape[axis] = k
    assert values.shape == indices.shape == tuple(expected_shape)
    # by descending value, then ascending index
    wide = np.moveaxis(sortable(x), axis, -1)
    ranks = np.sort(wide, axis=-1)[..., ::-1][..., :k]
    np.testing.assert_array_equal(np.moveaxis(sortable(values), axis, -1), ranks)
    taken = np.take_along_axis(wide, np.moveaxis(np.asarray(indices), axis, -1), -1)
    np.testing.assert_array_equal(taken, ranks)
    places = np.moveaxis(np.asarray(indices), axis, -1)
    same = (taken[..., 1:] == taken[..., :-1]) | (np.isnan(taken[..., 1:]))
    assert (places[..., 1:] > places[..., :-1])[same].all()


def test_top_k_of_equal_and_special_values():
    values, indices = lax.top_k(np.array([1.0, NAN, 3.0, 3.0, -NAN, INF]), 5)
    np.testing.assert_array_equal(values, [NAN, NAN, INF, 3, 3])
    np.testing.assert_array_equal(indices, [1, 4, 5, 2, 3])
    np.testing.assert_array_equal(lax.top_k(np.array([0, 255, 3], "uint8"), 2)[0], [255, 3])
    np.testing.assert_array_equal(lax.top_k(np.array([-128, 127], "int8"), 2)[0], [127, -128])


@pytest.mark.parametrize("axis", [0, -1])
def test_laws_of_top_k(axis):
    check_laws(lambda x: lax.top_k(x, 2, axis=axis), (matrix(),))
    check_laws(lambda x: lax.top_k(x, 3), (matrix().astype("float32"),))


def test_approximate_top_k_is_exact():
    x = matrix(shape=(3, 20)).astype("float32")
    for got, expected in zip(lax.approx_max_k(x, 4), lax.top_k(x, 4), strict=True):
        np.testing.assert_array_equal(got, expected)
    values, indices = lax.approx_min_k(x, 2, reduction_dimension=0, recall_target=0.5)
    np.testing.assert_array_equal(values, np.sort(x, axis=0)[:2])
    np.testing.assert_array_equal(indices, np.argsort(x, axis=0)[:2])
    check_laws(lambda y: lax.approx_min_k(y, 2), (matrix(),))


# --- bad input --------------------------------------------------------------------------------


def test_bad_arguments_of_sort():
    x = np.array([1.0, 2.0])
    with pytest.raises(errors.AxisError, match="sort: axis -1 is out of range"):
        lax.sort(np.float32(1))
    with pytest.raises(errors.ShapeError, match="sort: the operands must have equal shapes"):
        lax.sort((x, x[:1]))
    with pytest.raises(errors.ShapeError, match="sort: no operands"):
        lax.sort(())
    with pytest.raises(errors.ArgumentError, match="sort: num_keys=3 for 2 operands"):
        lax.sort((x, x), num_keys=3)


def test_bad_arguments_of_top_k():
    with pytest.raises(errors.ArgumentError, match="top_k: k=3 for axis 0"):
        lax.top_k(np.ones(2), 3)
    with pytest.raises(errors.ArgumentError, match="top_k: k=-1"):
        lax.top_k(np.ones(2), -1)
    with pytest.raises(errors.DtypeError, match="top_k: takes"):
        lax.top_k(np.ones(2, "complex64"), 1)
    with pytest.raises(errors.AxisError, match="top_k: axis -1"):
        lax.top_k(np.float32(1), 1)
    with pytest.raises(errors.DtypeError, match="approx_max_k: takes"):
        lax.approx_max_k(np.ones(2, "int32"), 1)
    assert dtypes.is_float(lax.approx_max_k(np.ones(2, BF16), 1)[0].dtype)
