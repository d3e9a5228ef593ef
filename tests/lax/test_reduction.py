"""Reductions over axes, and `reduce` with any associative function."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws

import funcflow as ff
from funcflow import errors, lax
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

BF16 = np.dtype(ml_dtypes.bfloat16)
# name: reference, kinds of dtype
REDUCTIONS = {
    "reduce_sum": (np.sum, "iufc"),
    "reduce_prod": (np.prod, "iufc"),
    "reduce_max": (np.max, "biufc"),
    "reduce_min": (np.min, "biufc"),
    "reduce_and": (np.bitwise_and.reduce, "biu"),
    "reduce_or": (np.bitwise_or.reduce, "biu"),
    "reduce_xor": (np.bitwise_xor.reduce, "biu"),
}


def matrix(seed=0, shape=(3, 4)):
    return np.random.default_rng(seed).standard_normal(shape)


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(max_examples=40, deadline=None)
@given(data=draws())
def test_values(agrees, name, data):
    reference, kinds = REDUCTIONS[name]
    dtype = data.draw(st.dtypes(kinds))
    shape = data.draw(st.shapes(min_side=1))
    x = data.draw(st.arrays(dtype, shape, min_value=-2, max_value=2))
    axes = data.draw(st.axes(len(shape)))
    positive = tuple(a % len(shape) for a in axes)

    def expected(wide):
        return reference(wide, axis=positive, dtype=wide.dtype if "sum" in name else None)

    if name in ("reduce_max", "reduce_min"):
        agrees(lambda y: getattr(lax, name)(y, axes), lambda w: reference(w, axis=positive), x)
    elif dtype.kind in "iu" and name in ("reduce_sum", "reduce_prod"):  # they wrap around
        got = np.asarray(getattr(lax, name)(x, axes))
        np.testing.assert_array_equal(got, reference(np.asarray(x), axis=positive, dtype=dtype))
        assert got.dtype == dtype
    elif dtype.kind in "biu":
        agrees(lambda y: getattr(lax, name)(y, axes), lambda w: reference(w, axis=positive), x)
    else:
        got = np.asarray(getattr(lax, name)(x, axes))
        wide = np.asarray(x).astype("complex128" if dtype.kind == "c" else "float64")
        assert got.dtype == dtype
        eps = float(ml_dtypes.finfo(dtype).eps)
        # rounding is relative to the sum (product) of the magnitudes
        scale = np.max(reference(np.abs(wide), axis=positive), initial=1.0)
        want = expected(wide)
        np.testing.assert_allclose(got.astype(want.dtype), want, rtol=0, atol=32 * eps * scale)


@pytest.mark.parametrize(
    "name, dtype, expected",
    [
        ("reduce_sum", "float32", 0),
        ("reduce_prod", "int32", 1),
        ("reduce_max", "float32", -math.inf),
        ("reduce_min", BF16, math.inf),
        ("reduce_max", "int8", -128),
        ("reduce_min", "uint16", 65535),
        ("reduce_max", "bool", False),
        ("reduce_min", "bool", True),
        ("reduce_and", "int32", -1),
        ("reduce_and", "uint8", 255),
        ("reduce_and", "bool", True),
        ("reduce_or", "bool", False),
        ("reduce_xor", "uint64", 0),
    ],
)
def test_of_nothing_is_the_neutral_element(name, dtype, expected):
    got = np.asarray(getattr(lax, name)(np.zeros((2, 0, 3), dtype), (1,)))
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, np.full((2, 3), expected, dtype))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_without_axes_is_the_identity(name):
    x = np.arange(3, dtype="int32")
    np.testing.assert_array_equal(getattr(lax, name)(x, ()), x)
    assert np.asarray(getattr(lax, name)(np.int32(5), ())) == 5


@pytest.mark.parametrize("dtype", ["float16", BF16, "float32", "float64", "complex64"])
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_extrema_propagate_nan(name, dtype):
    x = np.array([[1, np.nan, 3], [1, 2, 3]], dtype)
    got = np.asarray(getattr(lax, name)(x, (1,)))
    assert np.isnan(got).tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["float16", BF16])
def test_16_bit_floats_are_accumulated_in_float32(dtype):
    # added up one by one in 16 bits, the sum would stop growing at 256 (bfloat16) or 2048
    ones = np.ones((4000, 2), dtype)
    np.testing.assert_array_equal(lax.reduce_sum(ones, (0,)), np.array([4000, 4000], dtype))
    factors = np.full(100, 1.01, dtype)
    expected = np.prod(factors.astype("float64"))
    got = np.asarray(lax.reduce_prod(factors, (0,))).astype("float64")
    np.testing.assert_allclose(got, expected, rtol=float(ml_dtypes.finfo(dtype).eps))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@settings(max_examples=40, deadline=None)
@given(data=draws())
def test_arg_extrema(name, data):
    dtype = data.draw(st.dtypes("biuf"))
    shape = data.draw(st.shapes(min_dims=1, min_side=1))
    x = data.draw(st.arrays(dtype, shape, special=True))
    axis = data.draw(st.axis(len(shape)))
    index_dtype = data.draw(st.dtypes("iu"))
    got = np.asarray(getattr(lax, name)(x, axis, index_dtype))
    wide = np.asarray(x).astype("float64") if dtype.kind in "fV" else np.asarray(x)
    assert got.dtype == index_dtype
    np.testing.assert_array_equal(got, getattr(np, name)(wide, axis=axis))


def test_arg_extrema_take_the_first():
    x = np.array([1.0, np.nan, 3.0, np.nan])
    assert lax.argmax(x, 0, "int32").item() == 1
    assert lax.argmin(x, 0, "int32").item() == 1
    assert lax.argmax(np.array([2, 7, 7]), 0, "int32").item() == 1


# --- derivatives ------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(0,), (-1,), (0, 1), ()])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("name", ["reduce_sum", "reduce_prod"])
def test_laws_of_sums_and_products(name, dtype, axes):
    x = matrix() + (1j * matrix(1) if dtype == "complex64" else 0)
    check_laws(lambda y: getattr(lax, name)(y, axes), (x.astype(dtype),))


@pytest.mark.parametrize("axes", [(0,), (-1,), (0, 2)])
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_laws_of_extrema(name, axes):
    check_laws(lambda y: getattr(lax, name)(y, axes), (matrix(shape=(3, 4, 2)),))


@pytest.mark.parametrize("name", ["reduce_and", "reduce_or", "reduce_xor"])
@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8"])
def test_laws_of_bitwise_reductions(name, dtype):
    x = np.random.default_rng(0).integers(0, 100, (3, 5)).astype(dtype)
    check_laws(lambda y: getattr(lax, name)(y, (0,)), (x,))
    check_laws(lambda y: getattr(lax, name)(y, (0, 1)), (x,))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_laws_of_arg_extrema(name):
    check_laws(lambda y: getattr(lax, name)(y, 1, "int32"), (matrix().astype("float32"),))
    _, tangent = ff.jvp(lambda y: getattr(lax, name)(y, 0, "int32"), (matrix(),), (matrix(),))
    assert tangent.dtype == ff.float0


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_ties_share_the_derivative(name):
    x = np.array([[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(
        ff.grad(lambda y: getattr(lax, name)(y, (0, 1)))(x), np.full((2, 3), 1 / 6)
    )
    one_sided = np.array([1.0, 3.0, 3.0]) * (1 if name == "reduce_max" else -1)
    np.testing.assert_allclose(
        ff.grad(lambda y: getattr(lax, name)(y, (0,)))(one_sided), [0.0, 0.5, 0.5]
    )


@pytest.mark.parametrize("x", [[math.inf, 1.0], [-math.inf, -math.inf], [math.nan, 1.0]])
def test_gradients_of_extrema_are_finite(x):
    assert np.isfinite(ff.grad(lambda y: lax.reduce_max(y, (0,)))(np.array(x))).all()
    assert np.isfinite(ff.grad(lambda y: lax.reduce_min(y, (0,)))(np.array(x))).all()


def test_derivatives_of_reductions_of_nothing():
    x = np.zeros((0, 2))
    for name in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min"):
        _, tangent = ff.jvp(lambda y, name=name: getattr(lax, name)(y, (0,)), (x,), (x,))
        np.testing.assert_array_equal(tangent, np.zeros(2))


@pytest.mark.parametrize(
    "x, expected",
    [
        ([2.0, 0.0, 3.0], [0.0, 6.0, 0.0]),
        ([0.0, 5.0, 0.0], [0.0, 0.0, 0.0]),
        ([0.0], [1.0]),
        ([2.0, 3.0, 4.0, 5.0, 6.0], [360.0, 240.0, 180.0, 144.0, 120.0]),
    ],
)
def test_gradient_of_products_with_zeros(x, expected):
    grad = ff.grad(lambda y: lax.reduce_prod(y, (0,)))
    np.testing.assert_allclose(grad(np.array(x)), expected)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros_to_second_order(zeros):
    x = matrix(shape=(5,))
    x[:zeros] = 0
    check_laws(lambda y: lax.reduce_prod(y, (0,)), (x,), modes=("fwd", "rev"))


# --- reduce -----------------------------------------------------------------------------------


def root_of_squares(x, y):
    return lax.sqrt(lax.add(lax.mul(x, x), lax.mul(y, y)))


def first_maximum(x, y):
    (value_x, index_x), (value_y, index_y) = x, y
    left = lax.ge(value_x, value_y)
    return lax.select(left, value_x, value_y), lax.select(left, index_x, index_y)


@pytest.mark.parametrize(
    "computation, init, primitive",
    [
        (lax.add, 0, "reduce_sum"),
        (lambda x, y: lax.add(y, x), 0.0, "reduce_sum"),
        (lax.mul, 1, "reduce_prod"),
        (lax.max, -math.inf, "reduce_max"),
        (lax.min, math.inf, "reduce_min"),
    ],
)
def test_known_monoids_are_recognised(computation, init, primitive):
    x = matrix().astype("float32")
    jaxpr = ff.make_jaxpr(lambda y: lax.reduce(y, init, computation, (1,)))(x)
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == [primitive]
    np.testing.assert_allclose(
        lax.reduce(x, init, computation, (-1,)), getattr(lax, primitive)(x, (1,))
    )


@pytest.mark.parametrize(
    "computation, init, primitive",
    [
        (lax.bitwise_and, -1, "reduce_and"),
        (lax.bitwise_or, 0, "reduce_or"),
        (lax.bitwise_xor, 0, "reduce_xor"),
    ],
)
def test_bitwise_monoids_are_recognised(computation, init, primitive):
    x = np.arange(12, dtype="int32").reshape(3, 4)
    jaxpr = ff.make_jaxpr(lambda y: lax.reduce(y, np.int32(init), computation, (0,)))(x)
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == [primitive]


def test_initial_value_counts_once():
    x = np.arange(6, dtype="float32").reshape(2, 3)
    np.testing.assert_array_equal(lax.reduce(x, 10.0, lax.add, (0,)), [13, 15, 17])
    np.testing.assert_array_equal(lax.reduce(x, 4.0, lax.max, (0, 1)), 5)
    np.testing.assert_allclose(
        lax.reduce(x, 2.0, root_of_squares, (1,)), np.sqrt((x**2).sum(1) + 4), rtol=1e-6
    )


def test_initial_value_is_differentiated():
    x = matrix(shape=(3,))
    check_laws(lambda y, i: lax.reduce(y, i, lax.mul, (0,)), (x, np.float64(2)))
    check_laws(lambda y, i: lax.reduce(y, i, root_of_squares, (0,)), (x, np.float64(2)))


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
@pytest.mark.parametrize("axis", [0, 1])
def test_any_associative_function(count, axis):
    x = matrix(shape=(count, 3) if axis == 0 else (3, count))
    got = lax.reduce(x, 0.0, root_of_squares, (axis,))
    np.testing.assert_allclose(got, np.sqrt((x**2).sum(axis)), rtol=1e-12)


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_laws_of_any_associative_function(axes):
    check_laws(lambda y: lax.reduce(y, 0.5, root_of_squares, axes), (matrix(),))


def test_several_operands():
    x = np.array([[3, 1, 5], [5, 5, 2]], "float32")
    indices = np.broadcast_to(np.arange(3, dtype="int32"), x.shape)
    start = (np.float32(-np.inf), np.int32(-1))
    value, index = lax.reduce((x, indices), start, first_maximum, (1,))
    np.testing.assert_array_equal(value, [5, 5])
    np.testing.assert_array_equal(index, [2, 0])
    x[1, 0] = 4  # where two are equal, there is no derivative
    check_laws(lambda y: lax.reduce((y, indices), start, first_maximum, (1,)), (x,))


def test_functions_that_are_not_elementwise():
    def computation(x, y):
        return lax.cond(lax.gt(x, y), lambda: x, lambda: y)

    x = matrix(shape=(5, 3))
    np.testing.assert_array_equal(lax.reduce(x, -np.inf, computation, (0,)), np.max(x, axis=0))
    check_laws(lambda y: lax.reduce(y, -np.inf, computation, (0,)), (x,), order=1)


def test_functions_that_close_over_traced_values():
    def weighted(y, w):
        return lax.reduce(y, 0.0, lambda a, b: lax.add(a, lax.mul(lax.mul(w, w), b)), (0,))

    check_laws(weighted, (matrix(shape=(2,)), np.float64(1.5)))


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REDUCTIONS)
def test_bad_axes(name):
    x = np.ones((2, 3), "int32")
    with pytest.raises(errors.AxisError, match=f"{name}: axis 2 is out of range"):
        getattr(lax, name)(x, (2,))
    with pytest.raises(errors.AxisError, match=f"{name}: duplicate axes"):
        getattr(lax, name)(x, (0, -2))


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize(
    "name, dtype", [("reduce_prod", "bool"), ("reduce_and", "float32"), ("reduce_xor", "complex64")]
)
def test_bad_dtypes(name, dtype, jitted):
    function = ff.jit(lambda y: getattr(lax, name)(y, (0,))) if jitted else None
    with pytest.raises(errors.DtypeError, match=f"{name}: takes"):
        if function is None:
            getattr(lax, name)(np.ones(2, dtype), (0,))
        else:
            function(np.ones(2, dtype))


def test_bad_arguments_of_argmax():
    with pytest.raises(errors.ArgumentError, match=r"argmax: axis 0 .* has no elements"):
        lax.argmax(np.zeros((0, 3)), 0, "int32")
    with pytest.raises(errors.DtypeError, match="index_dtype must be an integer dtype"):
        lax.argmin(np.zeros(3), 0, "float32")
    with pytest.raises(errors.DtypeError, match="argmax: takes"):
        lax.argmax(np.zeros(3, "complex64"), 0, "int32")
    with pytest.raises(errors.AxisError, match="argmax: axis 1"):
        lax.argmax(np.zeros(3), 1, "int32")


def test_bad_arguments_of_reduce():
    x = np.ones((2, 3), "float32")
    with pytest.raises(errors.TreeStructureError, match="initial values' structure"):
        lax.reduce((x, x), 0.0, lax.add, (0,))
    with pytest.raises(errors.ShapeError, match="one shape"):
        lax.reduce((x, x[0]), (0.0, 0.0), lambda a, b: a, (0,))
    with pytest.raises(errors.ShapeError, match="initial values are scalars"):
        lax.reduce(x, np.zeros(3, "float32"), lax.add, (0,))
    with pytest.raises(errors.DtypeError, match="an initial value of dtype float64"):
        lax.reduce(x, np.float64(0), lax.add, (0,))
    with pytest.raises(errors.DtypeError, match="must combine two values"):
        lax.reduce(x, 0.0, lax.lt, (0,))
    with pytest.raises(errors.TreeStructureError, match="must combine two values"):
        lax.reduce(x, 0.0, lambda a, b: (a, b), (0,))
