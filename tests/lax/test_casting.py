"""Conversions between dtypes, and the identities that transforms see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import lax
from funcflow.core import dtypes
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

# --- convert_element_type -------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(data=draws())
def test_conversions_follow_numpy_where_it_defines_them(data):
    old, new = data.draw(st.dtypes()), data.draw(st.dtypes())
    low = 0 if dtypes.kind(new) == "u" else None
    x = data.draw(st.arrays(old, min_value=low))
    got = lax.convert_element_type(x, new)
    assert got.dtype == new
    value = np.asarray(x)
    value = value.real if dtypes.kind(new) != "c" else value
    np.testing.assert_array_equal(got, value.astype(new))


def test_floats_out_of_range_become_the_nearest_integer():
    x = np.array([1.7, -1.7, 1e30, -1e30, np.nan, np.inf, -np.inf], "f4")
    for dtype in ("int8", "int32", "int64", "uint8", "uint32", "uint64"):
        limits = np.iinfo(dtype)
        low = max(-1, limits.min)
        expected = [1, low, limits.max, limits.min, 0, limits.max, limits.min]
        got = lax.convert_element_type(x, dtype)
        np.testing.assert_array_equal(got, np.array(expected, dtype))
    halves = lax.convert_element_type(np.array([np.inf, 65504], "f2"), "int64")
    np.testing.assert_array_equal(halves, [2**63 - 1, 65504])


def test_complex_numbers_give_their_real_part_to_real_dtypes():
    z = np.array([1.5 + 2j, 2j], "c8")
    np.testing.assert_array_equal(lax.convert_element_type(z, "float64"), [1.5, 0])
    np.testing.assert_array_equal(lax.convert_element_type(z, "int32"), [1, 0])
    np.testing.assert_array_equal(lax.convert_element_type(z, bool), [True, False])


def test_nan_is_true():
    got = lax.convert_element_type(np.array([np.nan, 0, 0.5], "f4"), bool)
    np.testing.assert_array_equal(got, [True, False, True])


def test_weak_types():
    assert not lax.convert_element_type(2.0, "float32").weak_type
    assert lax.convert_element_type(2.0, "float32", weak_type=True).weak_type
    assert not lax.convert_element_type(2.0).weak_type
    x = lax.convert_element_type(np.ones(3, "f4"), "float32")
    assert lax.convert_element_type(x, "float32") is x


FLOATING = ["float16", "bfloat16", "float32", "float64", "complex64"]


@pytest.mark.parametrize("old", FLOATING)
@pytest.mark.parametrize("new", FLOATING)
def test_conversion_laws(old, new):
    x = lax.convert_element_type(np.array([[0.5, -1.25, 3.0]]), old)
    check_laws(lambda x: lax.convert_element_type(x, new), (x,), order=1, atol=0.05)


def test_conversion_to_integers_has_no_derivative():
    check_laws(lambda x: lax.convert_element_type(x, "int32"), (np.array([1.5, 2.5], "f4"),))
    check_laws(lambda n: lax.convert_element_type(n, "float32"), (np.array([1, 2]),))
    gradient = ff.grad(lambda x: lax.convert_element_type(lax.convert_element_type(x, int), float))
    assert float(gradient(1.5)) == 0


def test_unknown_dtypes_are_refused():
    with pytest.raises(ff.errors.DtypeError, match="no dtype"):
        lax.convert_element_type(1.0, "floating")
    with pytest.raises(ff.errors.DtypeError, match="not supported"):
        lax.convert_element_type(1.0, "datetime64[s]")


# --- bitcast_convert_type -------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=draws())
def test_bitcast_follows_view(data):
    old, new = data.draw(st.dtypes("iuf")), data.draw(st.dtypes("iuf"))
    shape = data.draw(st.shapes())
    if new.itemsize > old.itemsize:
        shape = (*shape, new.itemsize // old.itemsize)
    x = data.draw(st.arrays(old, shape, special=True))
    got = lax.bitcast_convert_type(x, new)
    assert got.dtype == new
    assert got.tobytes() == x.tobytes()
    if new.itemsize < old.itemsize:
        assert got.shape == (*shape, old.itemsize // new.itemsize)
    else:
        assert got.shape == (shape[:-1] if new.itemsize > old.itemsize else shape)


def test_bitcast_of_views():
    x = np.arange(12, dtype="f4").reshape(3, 4).T
    np.testing.assert_array_equal(
        lax.bitcast_convert_type(lax.bitcast_convert_type(x, "uint8"), "float32"), x
    )


@pytest.mark.parametrize("dtype", ["int16", "int32", "float64"])
def test_bitcast_laws(dtype):
    x = np.array([[0.5, -1.25], [3.0, 7.0]], "f4")
    check_laws(lambda x: lax.bitcast_convert_type(x, dtype), (x,), order=0)


def test_bad_bitcasts_are_refused():
    with pytest.raises(ff.errors.DtypeError, match="bitcast_convert_type: takes"):
        lax.bitcast_convert_type(np.ones(2, "f4"), "complex64")
    with pytest.raises(ff.errors.DtypeError, match="bitcast_convert_type: takes"):
        lax.bitcast_convert_type(np.ones(2, bool), "int8")
    with pytest.raises(ff.errors.ShapeError, match="last axis must have extent 2"):
        lax.bitcast_convert_type(np.ones(3, "f4"), "float64")


# --- reduce_precision -----------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(x=st.arrays("float32", special=True))
def test_reduced_precision_of_other_dtypes(x):
    """Rounding to float16's or bfloat16's format, but for subnormal numbers, which become 0."""
    value = np.asarray(x)
    for dtype, bits in [(np.dtype("float16"), (5, 10)), (dtypes.bfloat16, (8, 7))]:
        with np.errstate(all="ignore"):
            expected = value.astype(dtype).astype("f4")
        if dtype == "float16":
            # what rounds up to the smallest normal number does so before it is compared with it
            expected[abs(expected) < np.finfo("f2").smallest_normal] = 0
        np.testing.assert_array_equal(lax.reduce_precision(x, *bits), expected)


def test_reduced_precision_values():
    assert float(lax.reduce_precision(np.float32(3.14159), 5, 3)) == 3.25
    got = np.asarray(lax.reduce_precision(np.array([65504, 65520, -1e-30, np.nan]), 5, 10))
    np.testing.assert_array_equal(got, [65504, np.inf, -0.0, np.nan])
    assert np.signbit(got[2])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_reduced_precision_keeps_the_dtype(dtype):
    x = lax.convert_element_type(np.array([3.14159, 1e-3]), dtype)
    got = lax.reduce_precision(x, 4, 2)
    assert got.dtype == dtype
    assert got.tolist() == [3.0, 0.0]


def test_reduced_precision_transforms():
    x = np.array([0.3, -1.7], "f4")
    f = ff.jit(lambda x: lax.reduce_precision(x, 5, 3))
    check_laws(f, (x,), order=0)
    tangent = np.array([0.3, 1.0], "f4")
    rounded = lax.reduce_precision(tangent, 5, 3)
    np.testing.assert_array_equal(ff.jvp(f, (x,), (tangent,))[1], rounded)
    np.testing.assert_array_equal(ff.vjp(f, x)[1](tangent)[0], rounded)


def test_bad_formats_are_refused():
    with pytest.raises(ff.errors.ArgumentError, match="reduce_precision"):
        lax.reduce_precision(1.0, 0, 3)
    with pytest.raises(ff.errors.DtypeError, match="reduce_precision: takes floating dtypes"):
        lax.reduce_precision(np.arange(3), 5, 3)


# --- stop_gradient, copy, optimization_barrier --------------------------------------------------


def test_stop_gradient():
    x = np.array([1.0, 2.0], "f4")
    check_laws(lax.stop_gradient, (x,), order=0)
    out, tangent = ff.jvp(lax.stop_gradient, (x,), (x,))
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(tangent, [0, 0])
    assert float(ff.grad(lambda x: lax.mul(x, lax.stop_gradient(x)))(3.0)) == 3


def test_stop_gradient_takes_trees():
    tree = {"a": np.ones(2, "f4"), "b": (1.0, 2)}
    got = lax.stop_gradient(tree)
    assert got["b"][1] == 2
    np.testing.assert_array_equal(got["a"], tree["a"])


def test_copy():
    x = np.array([[1.0, 2.0]], "f4")
    check_laws(lax.copy, (x,))
    a = lax.convert_element_type(x, "float32")
    assert not np.shares_memory(np.asarray(lax.copy(a)), np.asarray(a))


def test_optimization_barrier():
    x, y = np.array([1.0, 2.0], "f4"), np.array([[0.5]], "f4")
    check_laws(lambda x, y: lax.optimization_barrier({"x": x, "y": (y, lax.mul(y, y))}), (x, y))
    check_laws(lambda x: lax.optimization_barrier((x, np.arange(3)))[0], (x,))
