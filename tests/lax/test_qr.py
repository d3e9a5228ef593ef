"""QR decompositions, against the equations they solve."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

import funcflow as ff
from funcflow import errors
from funcflow.lax.linalg import qr
from funcflow.testing import check_laws

WIDE = ["float64", "complex128"]
NARROW = ["float16", ml_dtypes.bfloat16, "float32", "complex64"]
TOLERANCE = {"float16": 0.02, "bfloat16": 0.1, "float32": 1e-5, "complex64": 1e-5}


def widened(x):
    x = np.asarray(x)
    return x.astype("complex128" if x.dtype.kind == "c" else "float64")


def normal(*shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@settings(max_examples=40, deadline=None)
@given(
    m=integers(0, 5),
    n=integers(0, 5),
    stack=sampled_from([(), (2,), (0,), (2, 1)]),
    full=booleans(),
    dtype=sampled_from([*WIDE, *NARROW]),
    seed=integers(0, 1000),
)
def test_an_orthonormal_and_a_triangular_factor(m, n, stack, full, dtype, seed):
    x = normal(*stack, m, n, dtype=dtype, seed=seed)
    k = m if full else min(m, n)
    q, r = qr(x, full_matrices=full)
    assert q.dtype == r.dtype == x.dtype
    assert (q.shape, r.shape) == ((*stack, m, k), (*stack, k, n))
    limit = 10 * TOLERANCE.get(x.dtype.name, 1e-12)
    q, r = widened(q), widened(r)
    np.testing.assert_allclose(q @ r, widened(x), atol=limit)
    unit = np.broadcast_to(np.eye(k), (*stack, k, k))
    np.testing.assert_allclose(np.conj(np.swapaxes(q, -1, -2)) @ q, unit, atol=limit)
    np.testing.assert_array_equal(r, np.triu(r))
    assert not np.diagonal(r, axis1=-2, axis2=-1).imag.any()


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2), (3, 1), (1, 3)], ids=str)
def test_laws(dtype, shape):
    check_laws(lambda x: qr(x, full_matrices=False), (normal(*shape, dtype=dtype, seed=1),))


def test_full_matrices_have_derivatives_where_they_are_determined():
    check_laws(qr, (normal(3, 3),))
    check_laws(qr, (normal(2, 3),))
    with pytest.raises(errors.NotDifferentiableError, match="full_matrices=False"):
        ff.jvp(qr, (normal(3, 2),), (normal(3, 2),))


def test_the_derivative_of_a_singular_matrix_is_not_finite():
    x = np.zeros((2, 2))
    assert not np.isfinite(ff.jvp(lambda x: qr(x)[0], (x,), (np.eye(2),))[1]).all()


def test_nan_spares_the_other_matrices():
    q, r = qr(np.stack([np.eye(2), np.full((2, 2), np.nan)]))
    np.testing.assert_allclose(np.abs(q[0]), np.eye(2))
    assert np.isnan(q[1]).all() and np.isnan(r[1]).any()


def test_the_host_step_is_announced():
    text = str(ff.jit(qr).explain(normal(3, 2)))
    assert "host" in text and "qr" in text


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(errors.ShapeError, match=r"qr: takes matrices of shape \(..., m, n\)"):
        qr(np.ones(3))
    with pytest.raises(errors.DtypeError, match="qr: takes floating, complex"):
        qr(np.ones((2, 2), "int32"))
