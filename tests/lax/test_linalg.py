"""Cholesky and LU decompositions, triangular and general systems."""

import itertools
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

import funcflow as ff
from funcflow import errors, lax
from funcflow.core import dtypes
from funcflow.lax import matrices
from funcflow.lax.linalg import cholesky, lu, lu_pivots_to_permutation, solve, triangular_solve
from funcflow.testing import check_laws

BF16 = np.dtype(ml_dtypes.bfloat16)
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "linalg.json").read_text())
WIDE = ["float64", "complex128"]
DTYPES = ["float16", BF16, "float32", "float64", "complex64", "complex128"]
TOLERANCE = {"float16": 0.02, "bfloat16": 0.2, "float32": 1e-4, "complex64": 1e-4}


def normal(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


def positive(*shape, dtype="float64", seed=0):
    x = normal(*shape, dtype="complex128" if np.dtype(dtype).kind == "c" else "float64", seed=seed)
    return ((x @ adjoint(x)) / shape[-1] + np.eye(shape[-1])).astype(dtype)


def regular(*shape, dtype="float64", seed=0):
    """Matrices far from singular, so that difference quotients are good."""
    return normal(*shape, dtype=dtype, seed=seed) + 3 * np.eye(shape[-1])[::-1].astype(dtype)


def assert_close(got, expected, dtype):
    got = np.asarray(got)
    assert (got.dtype, got.shape) == (np.dtype(dtype), np.shape(expected))
    wide = "complex128" if got.dtype.kind == "c" else "float64"
    limit = TOLERANCE.get(got.dtype.name, 1e-10)
    np.testing.assert_allclose(got.astype(wide), np.asarray(expected, wide), rtol=limit, atol=limit)


def widened(x):
    return np.asarray(x).astype("complex128" if np.asarray(x).dtype.kind == "c" else "float64")


def recorded(name):
    """Values from jax 0.10; complex numbers as pairs in the last axis."""
    entry = RECORDED[name]
    value = np.array(entry["value"])
    return value[..., 0] + 1j * value[..., 1] if entry["complex"] else value


@pytest.fixture(params=["one by one", "all at once"])
def way(request, monkeypatch):
    """Both ways to go through a stack of matrices."""
    at_once = request.param == "all at once"
    for module in (lax.triangular, lax.lu):
        monkeypatch.setattr(module, "many_small", lambda stack: at_once)
    return request.param


# --- cholesky -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_cholesky_factors_multiply_to_the_matrix(dtype):
    x = positive(2, 3, 5, 5, dtype=dtype)
    factor = cholesky(x)
    assert factor.dtype == np.dtype(dtype)
    wide = widened(factor)
    np.testing.assert_array_equal(wide, np.tril(wide))
    assert np.all(np.diagonal(wide, axis1=-2, axis2=-1).real > 0)
    assert_close((wide @ adjoint(wide)).astype(dtype), widened(x), dtype)


def test_cholesky_symmetrizes_or_reads_the_lower_triangle():
    x = np.array([[4.0, 1.0], [3.0, 5.0]])
    np.testing.assert_allclose(cholesky(x), [[2, 0], [1, 2]])
    np.testing.assert_allclose(cholesky(x, symmetrize_input=False), [[2, 0], [1.5, 2.75**0.5]])


def test_a_matrix_that_is_not_positive_definite_gives_nan_and_spares_the_others():
    good = np.array([[4.0, 2.0], [2.0, 5.0]])
    out = np.asarray(cholesky(np.stack([-good, good, np.full((2, 2), np.nan)])))
    np.testing.assert_allclose(out[1], [[2, 0], [1, 2]])
    for bad in (out[0], out[2]):
        assert np.isnan(bad[np.tril_indices(2)]).all() and bad[0, 1] == 0


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("symmetrize", [True, False])
def test_cholesky_obeys_the_laws(dtype, symmetrize):
    x = positive(2, 3, 3, dtype=dtype)
    check_laws(lambda x: cholesky(x, symmetrize_input=symmetrize), (x,))


@pytest.mark.parametrize("dtype", WIDE)
def test_cholesky_gradients_are_jaxs(dtype):
    x = positive(3, 3, dtype=dtype)
    weights = normal(3, 3, dtype=dtype, seed=1)
    (ct,) = ff.vjp(cholesky, x)[1](weights)
    assert_close(ct, recorded(f"cholesky_{dtype}"), dtype)


# --- triangular_solve -----------------------------------------------------------------------


def operator(a, lower, transpose_a, conjugate_a, unit_diagonal):
    """The matrix that `triangular_solve` inverts."""
    a = np.tril(a) if lower else np.triu(a)
    if unit_diagonal:
        i = np.arange(a.shape[-1])
        a = a.copy()
        a[..., i, i] = 1
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    return np.conj(a) if conjugate_a else a


OPTIONS = ("left_side", "lower", "transpose_a", "conjugate_a", "unit_diagonal")


@pytest.mark.parametrize("dtype", DTYPES)
def test_triangular_solve_inverts_the_triangle(dtype, way):
    a = positive(3, 4, 4, dtype=dtype)
    for flags in itertools.product([False, True], repeat=5):
        left_side, *rest = flags
        b = normal(3, *((4, 2) if left_side else (2, 4)), dtype=dtype)
        x = triangular_solve(a, b, **dict(zip(OPTIONS, flags, strict=True)))
        assert x.dtype == np.dtype(dtype)
        matrix = operator(widened(a), *rest)
        product = matrix @ widened(x) if left_side else widened(x) @ matrix
        assert_close(product.astype(dtype), widened(b), dtype)


@settings(max_examples=40, deadline=None)
@given(
    dtype=sampled_from(WIDE),
    flags=sampled_from(list(itertools.product([False, True], repeat=5))),
    stacked=booleans(),
)
def test_triangular_solve_obeys_the_laws(dtype, flags, stacked):
    stack = (2,) if stacked else ()
    a = positive(*stack, 3, 3, dtype=dtype)
    b = normal(*stack, *((3, 2) if flags[0] else (2, 3)), dtype=dtype)
    options = dict(zip(OPTIONS, flags, strict=True))
    check_laws(lambda a, b: triangular_solve(a, b, **options), (a, b))


def test_vectors_are_right_hand_sides():
    a, b = positive(2, 3, 3), normal(2, 3)
    left = triangular_solve(a, b, left_side=True, lower=True)
    assert_close(left, np.linalg.solve(np.tril(a), b[..., None])[..., 0], "float64")
    right = triangular_solve(a, b, lower=True)
    upper = np.swapaxes(np.tril(a), -1, -2)
    assert_close(right, np.linalg.solve(upper, b[..., None])[..., 0], "float64")


def test_the_other_triangle_is_not_read(way):
    a = positive(2, 3, 3)
    broken = np.where(np.tri(3, dtype=bool), a, np.nan)
    b = normal(2, 3, 2)
    options = {"left_side": True, "lower": True}
    got = triangular_solve(broken, b, **options)
    np.testing.assert_array_equal(got, triangular_solve(a, b, **options))
    # nor is a unit diagonal
    i = np.arange(3)
    broken[:, i, i] = np.nan
    assert np.isfinite(triangular_solve(broken, b, unit_diagonal=True, **options)).all()


def test_a_zero_on_the_diagonal_gives_infinities_and_nan(way):
    a = np.stack([np.zeros((2, 2)), np.eye(2)])
    out = np.asarray(triangular_solve(a, np.ones((2, 2, 1)), left_side=True))
    assert not np.isfinite(out[0]).any()
    np.testing.assert_array_equal(out[1], np.ones((2, 1)))


def test_many_columns_under_vmap_are_solved_in_one_go():
    a, b = positive(3, 3), normal(5, 3)

    def f(b):
        return triangular_solve(a, b, left_side=True)

    jaxpr = ff.make_jaxpr(ff.vmap(f))(b)
    (solved,) = (e for e in jaxpr.eqns if e.primitive.name == "triangular_solve")
    assert [v.aval.shape for v in solved.invars] == [(3, 3), (3, 5)]


# --- lu -------------------------------------------------------------------------------------


def parts(factors):
    m, n = factors.shape[-2:]
    k = min(m, n)
    lower = np.tril(factors[..., :, :k], -1) + np.eye(m, k)
    return lower, np.triu(factors[..., :k, :])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 4), (2, 5, 3), (2, 3, 3, 5), (1, 1)])
def test_lu_factors_multiply_to_the_permuted_matrix(dtype, shape, way):
    x = normal(*shape, dtype=dtype)
    factors, pivots, permutation = lu(x)
    assert (factors.dtype, pivots.dtype, permutation.dtype) == (np.dtype(dtype), "int32", "int32")
    lower, upper = parts(widened(factors))
    limit = TOLERANCE.get(np.dtype(dtype).name, 1e-10)
    assert np.abs(lower).max() <= 2**0.5 + limit
    rows = np.take_along_axis(widened(x), np.asarray(permutation)[..., None], axis=-2)
    assert_close((lower @ upper).astype(dtype), rows, dtype)
    again = lu_pivots_to_permutation(pivots, shape[-2])
    np.testing.assert_array_equal(again, permutation)


@settings(max_examples=30, deadline=None)
@given(m=integers(1, 5), n=integers(1, 5), dtype=sampled_from(["float64", "complex128"]))
def test_both_ways_to_decompose_agree(m, n, dtype):
    x = normal(3, m, n, dtype=dtype)
    results = []
    for at_once in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lax.lu, "many_small", lambda stack, at_once=at_once: at_once)
            results.append(lu(x))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_large_stack_is_decomposed_at_once():
    assert matrices.many_small(np.empty((100, 3, 3)))
    assert not matrices.many_small(np.empty((10, 3, 3)))
    assert not matrices.many_small(np.empty((1000, 64, 64)))


def test_lu_values_are_jaxs():
    factors, pivots, permutation = lu(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).T)
    np.testing.assert_allclose(factors, [[3, 6], [1 / 3, 2], [2 / 3, 0.5]])
    assert np.asarray(pivots).tolist() == [2, 2]
    assert np.asarray(permutation).tolist() == [2, 0, 1]


def test_lu_of_singular_matrices(way):
    factors, pivots, permutation = lu(np.zeros((2, 2)))
    np.testing.assert_array_equal(factors, np.zeros((2, 2)))
    assert np.asarray(pivots).tolist() == [0, 1] == np.asarray(permutation).tolist()


@pytest.mark.parametrize("shape", [(0, 0), (3, 0, 2), (2, 3, 0), (0, 2, 2)])
def test_lu_of_empty_matrices(shape):
    factors, pivots, permutation = lu(np.zeros(shape))
    assert factors.shape == shape
    assert pivots.shape == (*shape[:-2], min(shape[-2:]))
    np.testing.assert_array_equal(permutation, np.broadcast_to(np.arange(shape[-2]), shape[:-1]))


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 2), (2, 2, 4), (1, 3), (3, 1)])
def test_lu_obeys_the_laws(dtype, shape):
    x = normal(*shape, dtype=dtype, seed=3)
    check_laws(lambda x: lu(x)[0], (x,))
    check_laws(lu, (x,), order=0)


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("dtype", WIDE)
def test_lu_gradients_are_jaxs(dtype, shape):
    x, weights = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    (ct,) = ff.vjp(lambda x: lu(x)[0], x)[1](weights)
    assert_close(ct, recorded(f"lu_{dtype}_{shape[0]}x{shape[1]}"), dtype)


def test_lu_pivots_to_permutation():
    pivots = np.array([[1, 2, 2], [2, 1, 2]], "int32")
    got = lu_pivots_to_permutation(pivots, 4)
    np.testing.assert_array_equal(got, [[1, 2, 0, 3], [2, 1, 0, 3]])
    assert got.dtype == np.dtype("int32")
    check_laws(lambda p: lu_pivots_to_permutation(p, 4), (pivots,), order=0)
    with pytest.raises(errors.ShapeError, match=r"exceed permutation_size=2"):
        lu_pivots_to_permutation(pivots, 2)
    with pytest.raises(errors.DtypeError, match=r"takes int32 pivots"):
        lu_pivots_to_permutation(pivots.astype("int64"), 4)


# --- solve ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "a_shape, b_shape",
    [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (4, 1, 3, 2)), ((2, 3, 3), (3,))],
)
def test_solve_solves(dtype, a_shape, b_shape, way):
    a, b = regular(*a_shape, dtype=dtype), normal(*b_shape, dtype=dtype, seed=1)
    x = solve(a, b)
    assert x.dtype == np.dtype(dtype)
    sides = widened(b)[:, None] if len(b_shape) == 1 else widened(b)
    expected = np.linalg.solve(widened(a), sides)
    assert_close(x, expected[..., 0] if len(b_shape) == 1 else expected, dtype)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize(
    "a_shape, b_shape", [((3, 3), (3,)), ((2, 3, 3), (2, 3, 2)), ((3, 3), (2, 3, 1))]
)
def test_solve_obeys_the_laws(dtype, a_shape, b_shape):
    a, b = regular(*a_shape, dtype=dtype), normal(*b_shape, dtype=dtype, seed=1)
    check_laws(solve, (a, b))


@pytest.mark.parametrize("dtype", WIDE)
def test_solve_gradients_are_jaxs(dtype):
    a, b = regular(3, 3, dtype=dtype), normal(3, 2, dtype=dtype, seed=1)
    cts = ff.vjp(solve, a, b)[1](normal(3, 2, dtype=dtype, seed=2))
    for name, ct in zip("ab", cts, strict=True):
        assert_close(ct, recorded(f"solve_{name}_{dtype}"), dtype)


def test_the_gradient_of_solve_uses_the_decomposition_again():
    a, b = regular(3, 3), normal(3)
    jaxpr = ff.make_jaxpr(lambda a, b: ff.vjp(solve, a, b)[1](b))(a, b)
    names = [eqn.primitive.name for eqn in jaxpr.eqns]
    assert (names.count("lu"), names.count("factored_solve")) == (1, 2)


def test_a_singular_matrix_gives_infinities_and_nan():
    out = np.asarray(solve(np.stack([np.zeros((2, 2)), np.eye(2)]), np.ones(2)))
    assert not np.isfinite(out[0]).any()
    np.testing.assert_array_equal(out[1], np.ones(2))


@pytest.mark.parametrize("shape", [(0, 0), (0, 2, 2)])
def test_empty_systems(shape):
    x = np.zeros(shape)
    for function in (cholesky, lambda x: solve(x, x), lambda x: triangular_solve(x, x)):
        out = function(x)
        assert (out.shape, out.dtype) == (shape, np.dtype("float64"))


# --- errors ---------------------------------------------------------------------------------


def ones(*shape, dtype="f4"):
    return np.ones(shape, dtype)


REFUSED = [
    (cholesky, (ones(2, 3),), errors.ShapeError, "cholesky: takes matrices"),
    (cholesky, (ones(3),), errors.ShapeError, "cholesky: takes matrices"),
    (cholesky, (ones(2, 2, dtype="i4"),), errors.DtypeError, "cholesky: takes floating, complex"),
    (lu, (ones(3),), errors.ShapeError, r"lu: takes matrices of shape \(..., m, n\)"),
    (lu, (ones(2, 2, dtype=bool),), errors.DtypeError, "lu: takes floating"),
    (triangular_solve, (ones(2, 2), ones(3, 3)), errors.ShapeError, "need right-hand sides"),
    (triangular_solve, (ones(5, 2, 2), ones(2, 2, 2)), errors.ShapeError, "same leading axes"),
    (triangular_solve, (ones(2, 3), ones(2, 3)), errors.ShapeError, "takes matrices"),
    (
        triangular_solve,
        (ones(2, 2), ones(2, 2, dtype="f8")),
        errors.DtypeError,
        "triangular_solve: takes arguments of one dtype",
    ),
    (solve, (ones(2, 2), ones(3)), errors.ShapeError, "solve: .* need right-hand sides"),
    (solve, (ones(2, 2), ones(2, dtype="f8")), errors.DtypeError, "solve: takes arguments of one"),
    (solve, (ones(4, 2, 2), ones(3, 2, 1)), errors.ShapeError, "do not broadcast"),
]


@pytest.mark.parametrize("stage", [False, True])
@pytest.mark.parametrize("function, args, error, message", REFUSED)
def test_arguments_that_do_not_fit_are_refused(function, args, error, message, stage):
    with pytest.raises(error, match=message):
        (ff.make_jaxpr(function) if stage else function)(*args)


def test_results_have_the_promised_types():
    for dtype in map(dtypes.as_dtype, DTYPES):
        x = positive(2, 3, 3, dtype=dtype)
        for function in (cholesky, lu, lambda x: solve(x, x), lambda x: triangular_solve(x, x)):
            outs, promised = function(x), ff.eval_shape(function, x)
            outs, promised = (y if isinstance(y, tuple) else (y,) for y in (outs, promised))
            for out, aval in zip(outs, promised, strict=True):
                assert (out.shape, out.dtype) == (aval.shape, aval.dtype)
