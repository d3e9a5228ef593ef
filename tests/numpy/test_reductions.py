"""Sums, products, extrema, and what means and variances have in common with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans
from hypothesis.strategies import data as draws

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError, LeafTypeError, ShapeError
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

ANY_KIND = ["sum", "prod", "mean", "all", "any", "count_nonzero"]
ORDERED = ["max", "min", "ptp", "amax", "amin", "argmax", "argmin"]
DIFFERENTIABLE = ["sum", "prod", "mean", "max", "min", "var", "std", "ptp", "average"]
X = np.float32([[1.5, -2, 3, 0.5], [4, 0.25, -1, 2], [-3, 1, 2.5, 0.75]])


@pytest.mark.parametrize("name", [*ANY_KIND, "max", "min"])
@settings(max_examples=30, deadline=None)
@given(data=draws())
def test_values_over_axes(agrees, name, data):
    dtype = data.draw(st.dtypes().filter(lambda d: d.kind != "V"))
    shape = data.draw(st.shapes(min_side=1 if name in ("max", "min") else 0))
    x = data.draw(st.arrays(dtype, shape))
    if dtype.kind in "iu":
        x = x % np.asarray(4, dtype)  # sums and products that don't overflow
    axis = data.draw(st.axes(x.ndim))
    keepdims = data.draw(booleans())
    agrees(lambda xp, x: getattr(xp, name)(x, axis=axis, keepdims=keepdims), x)


@pytest.mark.parametrize("name", [*ANY_KIND, *ORDERED, "var", "std", "average"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_values_of_floats(agrees, name, dtype):
    x = X.astype(dtype)
    for axis in (None, 0, -1):
        agrees(lambda xp, x, axis=axis: getattr(xp, name)(x, axis=axis), x)
    if not name.startswith(("count", "average")):
        agrees(lambda xp, x: getattr(xp, name)(x, axis=1, keepdims=True), x)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_laws(name):
    check_laws(getattr(fnp, name), (fnp.asarray(X),))
    check_laws(lambda x: getattr(fnp, name)(x, axis=(1, 0), keepdims=True), (fnp.asarray(X[:2]),))
    check_laws(lambda x: getattr(fnp, name)(x, axis=0), (fnp.asarray(X[:2]),))


@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_complex_laws(name):
    check_laws(getattr(fnp, name), (fnp.array([1 + 2j, 0.5 - 1j, -1j]),))


# --- dtypes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("sum", "bool", "int32"),
        ("sum", "int8", "int32"),
        ("sum", "uint8", "uint32"),
        ("sum", "int64", "int64"),
        ("sum", "float16", "float16"),
        ("sum", "bfloat16", "bfloat16"),
        ("prod", "int16", "int32"),
        ("mean", "bool", "float32"),
        ("mean", "int32", "float32"),
        ("mean", "int64", "float64"),
        ("mean", "bfloat16", "bfloat16"),
        ("var", "int8", "float32"),
        ("var", "complex64", "float32"),
        ("std", "complex128", "float64"),
        ("max", "int8", "int8"),
        ("max", "bool", "bool"),
        ("argmax", "float64", "int32"),
        ("count_nonzero", "int8", "int32"),
        ("all", "float32", "bool"),
        ("average", "int8", "float32"),
    ],
)
def test_result_dtype(name, dtype, expected):
    x = fnp.ones((2, 3), dtype)
    for out in (getattr(fnp, name)(x), ff.jit(getattr(fnp, name))(x)):
        assert out.dtype == expected
        assert out.tolist() == getattr(np, name)(np.ones((2, 3))).tolist()


def test_dtype_argument():
    x = fnp.array([1.75, 2.75])
    assert fnp.sum(x, dtype=int).tolist() == 3
    assert fnp.sum(x, dtype="float64").dtype == "float64"
    assert fnp.mean(fnp.arange(4), dtype="int32").tolist() == 1
    assert fnp.var(x, dtype="float16").dtype == "float16"
    assert fnp.sum(fnp.ones(3, "uint8"), promote_integers=False).dtype == "uint8"


def test_results_are_not_weak():
    for function in (fnp.sum, fnp.max, fnp.mean, fnp.any, fnp.var):
        assert not function(3).weak_type
        assert not ff.jit(lambda x, f=function: f(x * 1))(2.5).weak_type


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_floats_are_summed_up_in_32_bits(dtype):
    x = fnp.full(8192, 0.25, dtype)
    assert fnp.sum(x) == 2048
    assert fnp.mean(x) == 0.25
    assert fnp.var(x) == 0
    big = fnp.full(8, 30000.0, dtype)
    np.testing.assert_allclose(fnp.mean(big).astype("float32"), 30000, rtol=1e-2)


# --- initial, where ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_initial_and_where(agrees, name):
    mask = X > 0
    agrees(lambda xp, x, m: getattr(xp, name)(x, axis=0, where=m, initial=1.5), X, mask)
    agrees(lambda xp, x, m: getattr(xp, name)(x, where=m, initial=0.5), X, mask[:, :1])
    agrees(lambda xp, x: getattr(xp, name)(x, axis=1, initial=0.5, keepdims=True), X)
    agrees(lambda xp, x: getattr(xp, name)(x, axis=0, initial=2), X[:0])
    mask = fnp.asarray(mask)
    check_laws(lambda x: getattr(fnp, name)(x, where=mask, initial=0.7), (fnp.asarray(X),))


@pytest.mark.parametrize("name", ["mean", "var", "std", "all", "any"])
def test_where(agrees, name):
    mask = X > 0
    agrees(lambda xp, x, m: getattr(xp, name)(x, axis=0, where=m), X, mask)
    agrees(lambda xp, x, m: getattr(xp, name)(x, where=m, keepdims=True), X, mask[0])


def test_masked_elements_have_no_derivative():
    x = fnp.array([1.0, 0.0, 4.0])
    gradient = ff.grad(lambda x: fnp.sum(fnp.log(x), where=x > 0))(x)
    assert gradient.tolist() == [1, 0, 0.25]


def test_no_elements():
    empty = fnp.ones((0, 2))
    assert fnp.sum(empty).tolist() == 0
    assert fnp.prod(empty, axis=0).tolist() == [1, 1]
    assert np.isnan(fnp.mean(empty))
    assert np.isnan(fnp.var(empty, axis=0)).all()
    assert fnp.max(empty, axis=1).shape == (0,)
    for function in (fnp.max, fnp.min):
        with pytest.raises(ArgumentError, match=f"{function.__name__}: no elements along the axes"):
            function(empty)
    with pytest.raises(ArgumentError, match="argmax"):
        fnp.argmax(empty)


# --- derivatives at kinks ---------------------------------------------------------------------


def test_tied_extrema_share_the_derivative():
    assert ff.grad(fnp.max)(fnp.array([1.0, 3, 3])).tolist() == [0, 0.5, 0.5]
    assert ff.grad(fnp.min)(fnp.array([1.0, 1, 3])).tolist() == [0.5, 0.5, 0]


def test_derivatives_of_products_at_zero():
    assert ff.grad(fnp.prod)(fnp.array([0.0, 2, 3])).tolist() == [6, 0, 0]
    assert ff.grad(fnp.prod)(fnp.array([0.0, 2, 0])).tolist() == [0, 0, 0]


# --- places of extrema ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places(agrees, name):
    x = np.float32([[3, np.nan, 5], [7, 7, 1]])
    agrees(lambda xp, x: getattr(xp, name)(x), x)
    agrees(lambda xp, x: getattr(xp, name)(x, axis=1), x)
    agrees(lambda xp, x: getattr(xp, name)(x, keepdims=True), x)
    agrees(lambda xp, x: getattr(xp, name)(x, axis=-2, keepdims=True), x)
    agrees(lambda xp, x: getattr(xp, name)(x), np.array([False, True, True]))


# --- bad arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*ANY_KIND, *ORDERED, "var", "std"])
def test_bad_arguments(name):
    function = getattr(fnp, name)
    with pytest.raises(AxisError, match="axis 2 is out of range"):
        function(fnp.asarray(X), axis=2)
    with pytest.raises(LeafTypeError, match="got list"):
        function([1.0, 2.0])
    if not name.startswith("arg"):
        with pytest.raises(AxisError, match="duplicate axes"):
            function(fnp.asarray(X), axis=(0, 0))
    if name != "count_nonzero":
        with pytest.raises(ArgumentError, match="`out` is not supported"):
            function(fnp.asarray(X), out=np.ones(()))


def test_bad_masks_and_initial_values():
    x = fnp.asarray(X)
    with pytest.raises(ShapeError, match="does not broadcast"):
        fnp.sum(x, where=fnp.ones((2, 3, 4), bool))
    with pytest.raises(ArgumentError, match="max: with `where`"):
        fnp.max(x, where=x > 0)
    with pytest.raises(ShapeError, match="sum: `initial` must be a number"):
        fnp.sum(x, initial=fnp.ones(4))


def test_axes_may_be_lists_and_numpy_integers():
    x = fnp.asarray(X)
    assert fnp.sum(x, axis=[0, 1]) == fnp.sum(x)
    assert fnp.sum(x, axis=np.int64(1)).shape == (3,)
