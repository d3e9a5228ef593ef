"""Eigenvalues and eigenvectors of Hermitian matrices, against the equations they solve."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

import funcflow as ff
from funcflow import errors, lax
from funcflow.core.rewrite import dce
from funcflow.lax.linalg import eigh, eigh_p, eigvalsh
from funcflow.testing import check_laws

WIDE = ["float64", "complex128"]
NARROW = ["float16", ml_dtypes.bfloat16, "float32", "complex64"]
TOLERANCE = {"float16": 0.02, "bfloat16": 0.1, "float32": 1e-5, "complex64": 1e-5}


def widened(x):
    x = np.asarray(x)
    return x.astype("complex128" if x.dtype.kind == "c" else "float64")


def adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


def normal(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def hermitian(*shape, dtype="float64", seed=0):
    """Matrices with gaps of one or so between their eigenvalues."""
    x = normal(*shape, dtype=dtype, seed=seed)
    return x + adjoint(x) + np.diag(3 * np.arange(shape[-1])).astype(dtype)


@settings(max_examples=30, deadline=None)
@given(
    n=integers(0, 6),
    stack=sampled_from([(), (2,), (0,), (2, 1)]),
    dtype=sampled_from([*WIDE, *NARROW]),
    seed=integers(0, 1000),
)
def test_the_vectors_are_orthonormal_and_solve_the_equation(n, stack, dtype, seed):
    x = normal(*stack, n, n, dtype=dtype, seed=seed)
    x = x + adjoint(x)
    v, w = eigh(x)
    assert (v.shape, v.dtype) == (x.shape, x.dtype)
    assert (w.shape, w.dtype) == (x.shape[:-1], x.real.dtype)
    limit = TOLERANCE.get(x.dtype.name, 1e-12) * (1 + n)
    v, w = widened(v), widened(w)
    np.testing.assert_allclose(widened(x) @ v, v * w[..., None, :], atol=limit * 10)
    np.testing.assert_allclose(adjoint(v) @ v, np.broadcast_to(np.eye(n), x.shape), atol=limit)
    assert np.all(np.diff(w) >= 0)
    np.testing.assert_allclose(widened(eigvalsh(x)), w, atol=limit * 10)


@settings(max_examples=10, deadline=None)
@given(dtype=sampled_from(WIDE), lower=booleans())
def test_one_triangle_is_read_or_both(dtype, lower):
    x = normal(3, 3, dtype=dtype)
    half = np.tril(x, -1) if lower else np.triu(x, 1)
    read = half + adjoint(half) + np.diag(np.diag(x).real)
    options = {"lower": lower, "symmetrize_input": False}
    np.testing.assert_allclose(eigh(x, **options)[1], np.linalg.eigvalsh(read))
    np.testing.assert_allclose(eigvalsh(x, **options), np.linalg.eigvalsh(read))
    mean = np.linalg.eigvalsh((x + adjoint(x)) / 2)
    np.testing.assert_allclose(eigh(x, lower=lower)[1], mean)


def projected(x, **options):
    """What does not depend on the phases of the vectors: a sum of projections, with weights."""
    v, w = eigh(x, **options)
    weights = lax.sin(lax.mul(w, 0.3)).astype(v.dtype)
    return lax.dot(lax.mul(v, weights), lax.conj(v.T) if v.dtype.kind == "c" else v.T), w


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("symmetrize", [True, False])
def test_laws(dtype, lower, symmetrize):
    options = {"lower": lower, "symmetrize_input": symmetrize}
    check_laws(lambda x: projected(x, **options), (hermitian(3, 3, dtype=dtype),))
    check_laws(lambda x: eigvalsh(x, **options), (hermitian(2, 3, 3, dtype=dtype),))


def test_eigenvalues_have_a_derivative_where_they_are_equal_and_vectors_do_not():
    x = np.eye(3)
    gradient = ff.grad(lambda x: lax.reduce_sum(eigvalsh(x), (0,)))(x)
    np.testing.assert_allclose(gradient, np.eye(3), atol=1e-15)
    # also where the vectors are there, and nobody asks for their derivatives
    gradient = ff.grad(lambda x: lax.reduce_sum(eigh(x)[1], (0,)))(x)
    np.testing.assert_allclose(gradient, np.eye(3), atol=1e-15)
    tangent = ff.jvp(lambda x: eigh(x)[0], (x,), (np.ones((3, 3)),))[1]
    assert not np.isfinite(tangent).all()


def test_nan_spares_the_other_matrices():
    x = np.stack([np.eye(3), np.full((3, 3), np.nan)])
    v, w = eigh(x)
    np.testing.assert_allclose(w[0], np.ones(3))
    assert np.isnan(v[1]).all() and np.isnan(w[1]).all()
    assert np.isnan(eigvalsh(x)[1]).all()


def test_vectors_that_nobody_uses_are_not_computed():
    x = hermitian(3, 3)
    (eqn,) = (
        e for e in dce(ff.make_jaxpr(lambda x: eigh(x)[1])(x).jaxpr).eqns if e.primitive is eigh_p
    )
    assert not eqn.params["compute_v"]
    np.testing.assert_array_equal(ff.jit(lambda x: eigh(x)[1])(x), eigvalsh(x))
    np.testing.assert_array_equal(ff.jit(lambda x: eigh(x)[0])(x), eigh(x)[0])


def test_the_host_step_is_announced():
    text = str(ff.jit(eigvalsh).explain(hermitian(3, 3)))
    assert "host" in text and "eigh" in text


@pytest.mark.parametrize("function", [eigh, eigvalsh])
@pytest.mark.parametrize("symmetrize", [True, False])
def test_arguments_that_do_not_fit_are_refused(function, symmetrize):
    with pytest.raises(errors.ShapeError, match="takes matrices of shape"):
        function(np.ones((2, 3)), symmetrize_input=symmetrize)
    with pytest.raises(errors.DtypeError, match="takes floating, complex"):
        function(np.ones((2, 2), "int32"), symmetrize_input=symmetrize)
