"""Eigenvalues and eigenvectors of general matrices, against the equations they solve."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

import funcflow as ff
from funcflow import errors, lax
from funcflow.lax.linalg import eig
from funcflow.testing import check_laws

WIDE = ["float64", "complex128"]
RESULTS = {"float16": "c8", "bfloat16": "c8", "float32": "c8", "complex64": "c8"}
DTYPES = ["float16", ml_dtypes.bfloat16, "float32", "complex64", *WIDE]
ONLY_VALUES = {"compute_left_eigenvectors": False, "compute_right_eigenvectors": False}


def normal(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(
    n=integers(0, 5),
    stack=sampled_from([(), (2,), (0,), (2, 1)]),
    left=booleans(),
    right=booleans(),
    dtype=sampled_from(DTYPES),
    seed=integers(0, 1000),
)
def test_the_vectors_solve_the_equations(n, stack, left, right, dtype, seed):
    x = normal(*stack, n, n, dtype=dtype, seed=seed)
    w, *vectors = eig(x, compute_left_eigenvectors=left, compute_right_eigenvectors=right)
    expected = np.dtype(RESULTS.get(x.dtype.name, "c16"))
    assert w.shape == x.shape[:-1] and len(vectors) == left + right
    assert all(y.dtype == expected for y in (w, *vectors))
    limit = 1e-4 if expected == "c8" else 1e-11
    wide, w = x.astype("c16"), np.asarray(w, "c16")
    for v in vectors:
        v = np.asarray(v, "c16")
        np.testing.assert_allclose(np.linalg.norm(v, axis=-2), np.ones(w.shape), atol=limit)
    if right:
        v = np.asarray(vectors[-1], "c16")
        np.testing.assert_allclose(wide @ v, v * w[..., None, :], atol=limit)
    if left:
        v = np.conj(np.swapaxes(vectors[0], -1, -2)).astype("c16")
        np.testing.assert_allclose(v @ wide, v * w[..., None], atol=limit)


@pytest.mark.parametrize("dtype", WIDE)
def test_laws(dtype):
    def invariant(x):
        w, v = eig(x, compute_left_eigenvectors=False)
        projections = lax.dot(lax.mul(v, lax.sin(w)), lax.conj(v).T)
        return lax.dot(lax.mul(v, lax.exp(w)), ff.numpy.linalg.inv(v)), projections

    x = normal(3, 3, dtype=dtype, seed=2) + np.diag([0, 2.0, 5.0])
    check_laws(invariant, (x,))
    check_laws(lambda x: lax.reduce_sum(lax.exp(eig(x, **ONLY_VALUES)[0]), (1,)), (x[None],))


def test_left_vectors_have_no_derivative():
    with pytest.raises(errors.NotDifferentiableError, match="compute_left_eigenvectors=False"):
        ff.jvp(eig, (np.eye(2),), (np.eye(2),))


@pytest.mark.parametrize("left", [False, True])
def test_nan_and_infinities_spare_the_other_matrices(left):
    x = np.stack([np.diag([1.0, 2.0]), np.full((2, 2), np.nan), np.full((2, 2), np.inf)])
    w, *vectors = eig(x, compute_left_eigenvectors=left)
    np.testing.assert_allclose(w[0], [1, 2])
    for out in (w, *vectors):
        assert np.isfinite(out[0]).all() and np.isnan(out[1:]).all()


def test_the_host_step_is_announced():
    text = str(ff.jit(eig).explain(normal(3, 3)))
    assert "host" in text and "eig" in text


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(errors.ShapeError, match="eig: takes matrices of shape"):
        eig(np.ones((2, 3)))
    with pytest.raises(errors.DtypeError, match="eig: takes floating, complex"):
        eig(np.ones((2, 2), "int32"))
