"""Comparisons, logic, equality of arrays, and choice by condition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, LeafTypeError
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
LOGIC = ["logical_and", "logical_or", "logical_xor"]


@pytest.mark.parametrize("name", [*COMPARISONS, *LOGIC])
@settings(max_examples=25, deadline=None)
@given(data=draws())
def test_values(agrees, name, data):
    dtype = data.draw(st.dtypes().filter(lambda d: d.kind != "V"))
    # few different values, so that some are equal
    x, y = (
        data.draw(st.arrays(dtype, s)) // 3
        if dtype.kind in "iuf"
        else data.draw(st.arrays(dtype, s))
        for s in data.draw(st.broadcastable_shapes())
    )
    agrees(lambda xp, x, y: getattr(xp, name)(x, y), x.astype(dtype), y.astype(dtype))


def test_complex_numbers_are_compared_by_real_then_imaginary_part(agrees):
    z = np.array([1 + 1j, 1 + 2j, 0 + 5j])
    for name in COMPARISONS:
        agrees(lambda xp, x, y, name=name: getattr(xp, name)(x, y), z[:, None], z)


def test_logical_not(agrees):
    agrees(lambda xp, x: xp.logical_not(x), np.float32([0, 2, np.nan]))
    agrees(lambda xp, x: xp.logical_not(x), np.array([True, False]))


# --- where ------------------------------------------------------------------------------------


def test_where_broadcasts_and_promotes(agrees):
    condition = np.array([[True], [False]])
    agrees(lambda xp, c, x, y: xp.where(c, x, y), condition, np.float32([1, 2, 3]), np.float32(4))
    agrees(lambda xp, c, x, y: xp.where(c, x, y), np.arange(3), np.arange(3), np.arange(3)[::-1])
    assert fnp.where(condition, 1, 2.5).weak_type
    assert fnp.where(condition, fnp.ones(3, "int8"), 2).dtype == "int8"


def test_where_laws():
    condition = fnp.array([True, False, True])
    check_laws(lambda x, y: fnp.where(condition, x, y), (fnp.array([1.0, 2, 3]), fnp.array([4.0])))


@pytest.mark.parametrize("transform", [ff.grad, lambda f: ff.jit(ff.grad(f)), ff.jacfwd])
def test_where_masks_derivatives(transform):
    assert transform(lambda x: fnp.where(x > 0, fnp.sqrt(x), 0.0))(0.0) == 0
    assert transform(lambda x: fnp.where(x > 0, fnp.log(x), 0.0))(0.0) == 0
    assert transform(lambda x: fnp.where(x != 0, fnp.sin(x) / x, 1.0))(0.0) == 0
    assert transform(lambda x: fnp.where(x > 0, 1 / x, 1.0))(0.0) == 0


def test_where_refuses_lists_and_half_of_its_arguments():
    with pytest.raises(LeafTypeError, match="where: takes arrays and numbers, got list"):
        fnp.where([True, False], 1, 2)
    with pytest.raises(ArgumentError, match="where"):
        fnp.where(fnp.array([True]), 1)


# --- equality ---------------------------------------------------------------------------------


@pytest.mark.parametrize("equal_nan", [False, True])
def test_isclose(agrees, equal_nan):
    a = np.array([1, 1, np.inf, np.inf, np.nan, 0, 1e-10, 3])
    b = np.array([1 + 1e-6, 1.1, np.inf, -np.inf, np.nan, 1e-9, 0, np.nan])
    agrees(lambda xp, a, b: xp.isclose(a, b, equal_nan=equal_nan), a, b)
    agrees(lambda xp, a, b: xp.isclose(a, b, rtol=0.2, atol=0), a, b)
    agrees(lambda xp, a, b: xp.allclose(a[:1], b[:1]), a, b)
    agrees(lambda xp, a, b: xp.allclose(a, b, equal_nan=equal_nan), a, b)


def test_isclose_of_other_kinds(agrees):
    agrees(lambda xp, a, b: xp.isclose(a, b), np.array([1, 2]), np.array([1, 3]))
    agrees(lambda xp, a, b: xp.isclose(a, b), np.array([True, False]), np.array([True, True]))
    agrees(lambda xp, a, b: xp.isclose(a, b), np.array([1 + 1j]), np.array([1 + 1.1j]))


def test_array_equal():
    x = fnp.array([1.0, np.nan])
    assert not fnp.array_equal(x, x)
    assert fnp.array_equal(x, x, equal_nan=True)
    assert not fnp.array_equal(x, x[:1])
    assert fnp.array_equal(fnp.arange(3), fnp.arange(3.0))
    assert fnp.array_equal(fnp.ones(0), fnp.ones(0))
    assert fnp.array_equiv(fnp.ones(1), fnp.ones((2, 3)))
    assert not fnp.array_equiv(fnp.ones(2), fnp.ones(3))
    assert fnp.array_equal(1, 1).dtype == bool


def test_where_keeps_bfloat16_beside_a_number():
    x = fnp.array([1.0, -1.0], "bfloat16")
    assert fnp.where(x > 0, x, 0.0).dtype == fnp.bfloat16
    assert fnp.where(x > 0, 0, x).dtype == fnp.bfloat16
