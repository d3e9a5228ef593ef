"""Comparisons, `select_n`, `select` and `clamp`."""

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", COMPARISONS)
@settings(max_examples=40, deadline=None)
@given(data=draws())
def test_values(agrees, name, data):
    dtype = data.draw(st.dtypes("biufc" if name in ("eq", "ne") else "biuf"))
    shapes = data.draw(st.broadcastable_shapes())
    special = data.draw(booleans())
    x, y = (data.draw(st.arrays(dtype, shape, special=special)) for shape in shapes)
    agrees(getattr(lax, name), getattr(operator, name), x, y, dtype=bool)


@pytest.mark.parametrize("name", COMPARISONS)
def test_laws(name):
    check_laws(getattr(lax, name), (np.array([[1.0, 2.0]], "f4"), np.array([[2.0], [0.5]], "f4")))
    check_laws(lambda x: getattr(lax, name)(x, 2), (np.array([1, 2, 3]),))


def test_complex_numbers_have_no_order():
    z = np.ones(3, "c8")
    with pytest.raises(ff.errors.DtypeError, match="lt: takes bool, signed, unsigned, floating"):
        lax.lt(z, z)


# --- select_n, select -----------------------------------------------------------------------

X, Y, W = (np.array(v, "f4") for v in ([[1, 2, 3]], [[4], [5]], [7, 8, 9]))


def test_select_takes_the_first_case_where_the_predicate_holds():
    got = lax.select(np.array([True, False, True]), W, np.zeros(3, "f4"))
    np.testing.assert_array_equal(got, [7, 0, 9])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "bfloat16", "float64", "complex64"])
def test_select_keeps_the_dtype(dtype):
    x = lax.convert_element_type(np.array([1, 0]), dtype)
    y = lax.convert_element_type(np.array(1), dtype)
    got = lax.select(np.array([False, True]), x, y)
    assert got.dtype == dtype
    assert got.tolist() == [1, 0]


@settings(max_examples=40, deadline=None)
@given(data=draws())
def test_select_n_values(data):
    *shapes, which_shape = data.draw(st.broadcastable_shapes(4))
    cases = [np.asarray(data.draw(st.arrays("float32", shape))) for shape in shapes]
    which = np.asarray(data.draw(st.arrays("int32", which_shape, min_value=-1, max_value=4)))
    stacked = np.stack(np.broadcast_arrays(which, *cases)[1:])
    index = np.broadcast_to(np.clip(which, 0, 2), stacked.shape[1:])
    expected = np.take_along_axis(stacked, index[None], 0)[0]
    np.testing.assert_array_equal(lax.select_n(which, *cases), expected)


def test_scalar_predicates():
    np.testing.assert_array_equal(lax.select(True, W, 0.0), W)
    np.testing.assert_array_equal(lax.select_n(np.int32(5), 1.0, 2.0, W), W)
    np.testing.assert_array_equal(lax.select_n(0, W), W)


@pytest.mark.parametrize("which", [[[True], [False]], [True, False, True], True, False])
def test_select_laws(which):
    which = np.array(which)
    check_laws(lambda x, y: lax.select(which, x, y), (X, Y))
    check_laws(lambda w, x, y: lax.select_n(w, x, y), (which, X, Y))


def test_select_n_laws():
    check_laws(lax.select_n, (np.array([2, 0, 1], "i4"), X, Y, W))
    check_laws(lax.select_n, (np.array(1, "i4"), X, Y, W))
    check_laws(lambda x: lax.select_n(np.array([2, 0, 1], "i4"), x, 0.5, x), (X.astype("c8"),))


def test_mapped_scalar_predicate():
    got = ff.vmap(lambda p, x: lax.select(p, x, lax.neg(x)))(np.array([True, False]), Y)
    np.testing.assert_array_equal(got, [[4], [-5]])


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_select_masks_tangents_and_cotangents(number):
    def f(x):
        return lax.select(lax.gt(x, 0.0), x, lax.mul(x, number))

    np.testing.assert_array_equal(ff.vmap(ff.grad(f))(np.array([1.0, 2.0], "f4")), [1, 1])
    assert float(ff.jvp(f, (1.0,), (1.0,))[1]) == 1


def test_bad_selections_are_refused():
    with pytest.raises(ff.errors.DtypeError, match="`which` must be bool or int32, got f32"):
        lax.select(np.ones(3, "f4"), X, X)
    with pytest.raises(ff.errors.DtypeError, match="chooses between 2 cases, got 3"):
        lax.select_n(np.array(True), X, X, X)
    with pytest.raises(ff.errors.DtypeError, match="one dtype"):
        lax.select(True, X, X.astype("f8"))
    with pytest.raises(ff.errors.ShapeError, match="do not broadcast"):
        lax.select(np.array([True, False]), X, X)
    with pytest.raises(ff.errors.DtypeError, match="no cases"):
        lax.select_n(True)


# --- clamp ----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(data=draws())
def test_clamp_values(agrees, data):
    dtype = data.draw(st.dtypes("biuf"))
    shapes = data.draw(st.broadcastable_shapes(3))
    low, x, high = (data.draw(st.arrays(dtype, shape)) for shape in shapes)
    agrees(lax.clamp, lambda a, x, b: np.minimum(np.maximum(x, a), b), low, x, high)


def test_clamp_laws():
    x = np.array([-1.5, 0.25, 3.5], "f4")
    check_laws(lambda x: lax.clamp(0.0, x, 1.0), (x,))
    check_laws(lax.clamp, (np.array([[0.0], [0.5]], "f4"), x, np.array(1.0, "f4")))
    check_laws(lambda n: lax.clamp(1, n, 4), (np.array([0, 2, 9]),))


def test_clamp_at_its_ends():
    for x, derivative in [(-1.0, 0), (0.0, 0), (0.5, 1), (1.0, 0), (2.0, 0)]:
        assert float(ff.grad(lambda x: lax.clamp(0.0, x, 1.0))(x)) == derivative
    assert np.isnan(float(lax.clamp(0.0, np.nan, 1.0)))
