"""Contractions: `dot_general` against `einsum`, dtypes, laws, and what it refuses."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import data as draws
from hypothesis.strategies import sampled_from

import funcflow as ff
from funcflow import errors, lax
from funcflow.core import dtypes
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

BF16 = np.dtype(ml_dtypes.bfloat16)
MATRICES = (((1,), (0,)), ((), ()))


def normal(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def letters_of(ndims, numbers):
    """The operands' and the result's axes as letters for `einsum`."""
    (lhs_contract, rhs_contract), (lhs_batch, rhs_batch) = numbers
    alphabet = iter("abcdefghijklmnop")
    lhs = [next(alphabet) for _ in range(ndims[0])]
    rhs = [next(alphabet) for _ in range(ndims[1])]
    for i, j in zip(lhs_contract + lhs_batch, rhs_contract + rhs_batch, strict=True):
        rhs[j] = lhs[i]
    batch = [lhs[i] for i in lhs_batch]
    free = [x for x in lhs + rhs if not (x in lhs and x in rhs)]
    return "".join(lhs), "".join(rhs), "".join(batch + free)


def einsum(lhs, rhs, numbers, dtype):
    """The contraction in a wide dtype; integers wrap."""
    x, y, out = letters_of((lhs.ndim, rhs.ndim), numbers)
    wide = {"b": bool, "i": "int64", "u": "uint64", "f": "float64", "c": "complex128"}
    kind = wide[dtypes.kind(np.dtype(dtype))]
    with np.errstate(all="ignore"):
        value = np.einsum(
            f"{x},{y}->{out}", np.asarray(lhs).astype(kind), np.asarray(rhs).astype(kind)
        )
        return np.asarray(value).astype(dtype)


def assert_close(got, expected):
    got = np.asarray(got)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    if dtypes.is_inexact(got.dtype):
        real = dtypes.real_of(got.dtype)
        rtol = 20 * float(ml_dtypes.finfo(real).eps)
        wide = "complex128" if got.dtype.kind == "c" else "float64"
        np.testing.assert_allclose(
            got.astype(wide), expected.astype(wide), rtol=rtol, atol=50 * rtol
        )
    else:
        np.testing.assert_array_equal(got, expected)


# --- meaning --------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(problem=st.dot_general_problems(), dtype=st.dtypes(), draw=draws())
def test_dot_general_sums_products_over_paired_axes(problem, dtype, draw):
    lhs = draw.draw(st.arrays(dtype, problem.lhs_shape))
    rhs = draw.draw(st.arrays(dtype, problem.rhs_shape))
    got = lax.dot_general(lhs, rhs, problem.dimension_numbers)
    assert_close(got, einsum(lhs, rhs, problem.dimension_numbers, dtype))
    staged = ff.eval_shape(lambda x, y: lax.dot_general(x, y, problem.dimension_numbers), lhs, rhs)
    assert (staged.shape, staged.dtype) == (got.shape, got.dtype)


@settings(max_examples=25, deadline=None)
@given(problem=st.dot_general_problems(min_side=1, max_side=3), dtype=sampled_from(["f4", "c16"]))
def test_dot_general_obeys_the_laws(problem, dtype):
    lhs = normal(*problem.lhs_shape, dtype=dtype)
    rhs = normal(*problem.rhs_shape, dtype=dtype, seed=1)
    check_laws(lambda x, y: lax.dot_general(x, y, problem.dimension_numbers), (lhs, rhs))


def test_the_order_in_memory_does_not_matter():
    numbers = (((1, 3), (2, 0)), ((0,), (1,)))
    lhs, rhs = normal(2, 3, 4, 5), normal(5, 2, 3, 6, seed=1)
    expected = einsum(lhs, rhs, numbers, lhs.dtype)
    for order in ("C", "F"):
        x = np.asarray(lhs, order=order)
        assert_close(lax.dot_general(x, rhs, numbers), expected)
    spread = np.zeros((4, 3, 8, 10))[::2, :, ::2, ::2]
    spread[...] = lhs
    assert_close(lax.dot_general(spread, rhs, numbers), expected)
    flipped = lhs[:, ::-1, ::-1]
    assert_close(lax.dot_general(flipped, rhs, numbers), einsum(flipped, rhs, numbers, lhs.dtype))


@pytest.mark.parametrize("dtype", ["float16", BF16, "float32", "complex64", "int32", "bool"])
def test_an_empty_contraction_gives_zeros(dtype):
    out = lax.dot(np.ones((2, 0), dtype), np.ones((0, 3), dtype))
    assert_close(out, np.zeros((2, 3), dtype))


def test_nan_and_infinity_spread_to_what_they_meet():
    x = np.array([[1.0, np.nan], [np.inf, 0.0]])
    got = lax.dot(x, np.array([2.0, 0.0]))
    np.testing.assert_array_equal(got, [np.nan, np.inf])


# --- dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", BF16])
def test_half_types_are_summed_in_float32(dtype):
    # summed in bfloat16 the ones would come to 256
    ones = np.ones(1000, dtype)
    assert float(lax.dot(ones, ones)) == 1000
    assert lax.dot_general(ones, ones, (((0,), (0,)), ((), ()))).dtype == dtype


def test_integers_wrap():
    x = np.full((2, 300), 100, "int8")
    expected = np.full((2, 2), 300 * 100 * 100).astype("int8")
    np.testing.assert_array_equal(lax.dot(x, x.T), expected)
    wide = np.full((1, 3), 2**31 - 1, "int32")
    np.testing.assert_array_equal(lax.dot(wide, wide.T), [[3]])
    big = np.full((1, 2), 2**63 + 1, "uint64")
    np.testing.assert_array_equal(lax.dot(big, big.T), np.array([[2]], "uint64"))


def test_short_integers_are_exact_in_a_wide_dtype():
    x = np.full((2, 3000), -128, "int8")
    out = lax.dot(x, x.T, preferred_element_type="int32")
    assert_close(out, np.full((2, 2), 3000 * 128 * 128, "int32"))


# (lhs, rhs, preferred, result), as in jax 0.10 (with jax_enable_x64)
RESULTS = [
    ("float32", "float16", None, "float32"),
    ("bfloat16", "float32", "float32", "float32"),
    ("int8", "int32", None, "int32"),
    ("int8", "uint8", "int32", "int32"),
    ("int8", "int8", "float32", "float32"),
    ("float32", "float32", "float16", "float16"),
    ("float32", "float32", "complex64", "complex64"),
    ("complex64", "complex64", "complex128", "complex128"),
    ("bool", "bool", None, "bool"),
    ("bool", "bool", "int32", "int32"),
    ("uint8", "uint8", None, "uint8"),
    ("float32", "complex64", None, "complex64"),
    ("float16", "float16", "float64", "float64"),
    ("int32", "int32", "float64", "float64"),
]


@pytest.mark.parametrize("lhs, rhs, preferred, expected", RESULTS)
def test_result_dtypes(lhs, rhs, preferred, expected):
    x, y = np.ones((2, 3), dtypes.as_dtype(lhs)), np.ones((3, 2), dtypes.as_dtype(rhs))
    out = lax.dot_general(x, y, MATRICES, preferred_element_type=preferred)
    assert_close(out, np.full((2, 2), 1 if expected == "bool" else 3, dtypes.as_dtype(expected)))


@pytest.mark.parametrize(
    "dtype, preferred", [("int32", "int8"), ("float32", "int32"), ("complex64", "float32")]
)
def test_a_preferred_dtype_that_cannot_hold_the_result_is_refused(dtype, preferred):
    x = np.ones((2, 2), dtype)
    with pytest.raises(errors.DtypeError, match=f"dot_general.*{preferred}"):
        lax.dot_general(x, x, MATRICES, preferred_element_type=preferred)


@pytest.mark.parametrize(
    "lhs, rhs, preferred", [("f4", "f4", "f8"), ("f4", "c16", None), ("f2", "f4", "f4")]
)
def test_derivatives_have_the_operands_dtypes(lhs, rhs, preferred):
    x, y = normal(2, 3, dtype=lhs), normal(3, 2, dtype=rhs, seed=1)

    def f(x, y):
        return lax.dot(x, y, preferred_element_type=preferred)

    out, pullback = ff.vjp(f, x, y)
    ct = normal(2, 2, dtype=out.dtype, seed=2)
    gx, gy = pullback(ct)
    expected_x, expected_y = ct @ y.T, x.T @ ct
    assert (gx.dtype, gy.dtype) == (x.dtype, y.dtype)
    # a real operand gets the real part
    expected_x = expected_x.real if x.dtype.kind == "f" else expected_x
    rtol = 1e-2 if lhs == "f2" else 1e-5
    np.testing.assert_allclose(gx, expected_x.astype(lhs), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(gy, expected_y, rtol=1e-5, atol=1e-5)


def test_python_scalars_take_the_arrays_dtype():
    out = lax.dot_general(np.ones(3, "f2"), 2.0, (((), ()), ((), ())))
    assert_close(out, np.full(3, 2, "f2"))


# --- precision ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, None),
        ("fastest", ("DEFAULT", "DEFAULT")),
        ("tensorfloat32", ("HIGH", "HIGH")),
        ("float32", ("HIGHEST", "HIGHEST")),
        (("high", "default"), ("HIGH", "DEFAULT")),
        (lax.Precision.HIGH, ("HIGH", "HIGH")),
    ],
)
def test_precision_is_kept_in_the_jaxpr(given, expected):
    x = np.ones((2, 2), "f4")
    jaxpr = ff.make_jaxpr(lambda x: lax.dot(x, x, precision=given))(x)
    found = jaxpr.eqns[0].params["precision"]
    assert (found and tuple(map(str, found))) == expected


@pytest.mark.parametrize("precision", ["HIGH", "exact", 1, ("high",) * 3])
def test_an_unknown_precision_is_refused(precision):
    with pytest.raises(errors.ArgumentError, match=r"dot_general: .* is no precision"):
        lax.dot(np.ones(2), np.ones(2), precision=precision)


# --- dot and batch_matmul -------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4))])
def test_dot_is_numpys_for_vectors_and_matrices(shapes):
    x, y = normal(*shapes[0]), normal(*shapes[1], seed=1)
    assert_close(lax.dot(x, y), np.asarray(np.dot(x, y)))
    check_laws(lax.dot, (x, y))


def test_dot_takes_dimension_numbers():
    x, y = normal(2, 3), normal(4, 3)
    got = lax.dot(x, y, dimension_numbers=(((-1,), (1,)), ((), ())))
    assert_close(got, x @ y.T)


@pytest.mark.parametrize("shapes", [((2, 3), (4, 3)), ((2, 2, 3), (3,)), ((), ()), ((), (3,))])
def test_dot_refuses_other_shapes(shapes):
    with pytest.raises(errors.ShapeError, match="dot: takes vectors and matrices"):
        lax.dot(np.ones(shapes[0]), np.ones(shapes[1]))


def test_batch_matmul():
    x, y = normal(2, 5, 3, 4), normal(2, 5, 4, 6, seed=1)
    assert_close(lax.batch_matmul(x, y), x @ y)
    assert_close(lax.batch_matmul(x[0, 0], y[0, 0]), x[0, 0] @ y[0, 0])
    for bad in (y[0], y[:, :3], np.ones(())):
        with pytest.raises(errors.ShapeError, match=r"batch_matmul|dot_general"):
            lax.batch_matmul(x, bad)


# --- vmap and jaxprs ------------------------------------------------------------------------


def test_vmap_of_one_operand_moves_no_data():
    x, w = np.ones((7, 2, 3), "f4"), np.ones((3, 4), "f4")
    jaxpr = ff.make_jaxpr(ff.vmap(lambda x: lax.dot(x, w)))(x)
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == ["dot_general"]
    out = ff.vmap(lax.dot, in_axes=(None, 1))(w.T, normal(3, 5))
    np.testing.assert_allclose(out, (w.T @ normal(3, 5)).T, rtol=1e-6)


def test_a_matrix_products_gradients_are_two_products():
    x, w = np.ones((7, 3), "f4"), np.ones((3, 4), "f4")
    jaxpr = ff.make_jaxpr(lambda x, w, ct: ff.vjp(lax.dot, x, w)[1](ct))(x, w, x @ w)
    names = [eqn.primitive.name for eqn in jaxpr.eqns]
    assert names.count("dot_general") <= 3
    # the kernel's gradient comes out in place, the input's needs no transposition either
    assert "transpose" not in names


# --- errors ---------------------------------------------------------------------------------


def staged(lhs, rhs, numbers):
    return ff.make_jaxpr(lambda x, y: lax.dot_general(x, y, numbers))(lhs, rhs)


@pytest.mark.parametrize("call", [lax.dot_general, staged])
@pytest.mark.parametrize(
    "numbers, error, message",
    [
        ((((1,), (1,)), ((), ())), errors.ShapeError, "contracting axes"),
        ((((0, 1), (0,)), ((), ())), errors.ShapeError, "contracting axes"),
        ((((), ()), ((0,), (0,))), errors.ShapeError, "batch axes"),
        ((((5,), (0,)), ((), ())), errors.AxisError, "out of range"),
        ((((1,), (0,)), ((1,), (1,))), errors.AxisError, "duplicate"),
        (((1, 1), (0, 0)), errors.ArgumentError, "are no dimension_numbers"),
        (None, errors.ArgumentError, "are no dimension_numbers"),
    ],
)
def test_dimension_numbers_that_do_not_fit_are_refused(call, numbers, error, message):
    with pytest.raises(error, match=f"dot_general: .*{message}"):
        call(np.ones((2, 3), "f4"), np.ones((3, 4), "f4"), numbers)
