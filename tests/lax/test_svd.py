"""Singular value decompositions, against the equations they solve."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

import funcflow as ff
from funcflow import errors, lax
from funcflow.core.rewrite import dce
from funcflow.lax.linalg import svd
from funcflow.testing import check_laws

WIDE = ["float64", "complex128"]
NARROW = ["float16", ml_dtypes.bfloat16, "float32", "complex64"]
TOLERANCE = {"float16": 0.02, "bfloat16": 0.1, "float32": 1e-5, "complex64": 1e-5}
SHAPES = [(3, 3), (4, 2), (2, 4), (2, 3, 2), (1, 3)]


def widened(x):
    x = np.asarray(x)
    return x.astype("complex128" if x.dtype.kind == "c" else "float64")


def adjoint(x):
    return np.conj(np.swapaxes(x, -1, -2))


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
def test_the_factors_are_orthonormal_and_multiply_to_the_matrix(m, n, stack, full, dtype, seed):
    x = normal(*stack, m, n, dtype=dtype, seed=seed)
    k = min(m, n)
    u, s, vh = svd(x, full_matrices=full)
    assert u.dtype == vh.dtype == x.dtype and s.dtype == x.real.dtype
    assert u.shape == (*stack, m, m if full else k)
    assert (s.shape, vh.shape) == ((*stack, k), (*stack, n if full else k, n))
    limit = 10 * TOLERANCE.get(x.dtype.name, 1e-12)
    u, s, vh = widened(u), widened(s), widened(vh)
    product = (u[..., :k] * s[..., None, :]) @ vh[..., :k, :]
    np.testing.assert_allclose(product, widened(x), atol=limit)
    for rows in (adjoint(u), vh):
        unit = np.broadcast_to(np.eye(rows.shape[-2]), (*stack, *2 * rows.shape[-2:-1]))
        np.testing.assert_allclose(rows @ adjoint(rows), unit, atol=limit)
    assert np.all(s >= 0) and np.all(np.diff(s) <= 0)
    np.testing.assert_allclose(widened(svd(x, compute_uv=False)), s, atol=limit)


def invariant(x, **options):
    """What does not depend on the phases of the vectors."""
    u, s, vh = svd(x, **options)
    k = s.shape[-1]
    weights = lax.sin(s).astype(u.dtype)[..., None, :]
    uh = (lax.conj(u) if u.dtype.kind == "c" else u).mT
    v = (lax.conj(vh) if u.dtype.kind == "c" else vh).mT
    between = (u[..., :k] * weights) @ vh[..., :k, :]
    return between, (u[..., :k] * weights) @ uh[..., :k, :], (v[..., :k] * weights) @ vh, s


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_laws(dtype, shape):
    x = normal(*shape, dtype=dtype, seed=1)
    check_laws(lambda x: invariant(x, full_matrices=False), (x,))
    check_laws(lambda x: svd(x, compute_uv=False), (x,))


def test_full_matrices_have_derivatives_where_they_are_determined():
    check_laws(lambda x: invariant(x, full_matrices=True), (normal(3, 3),))
    for shape in ((3, 2), (2, 3)):
        with pytest.raises(errors.NotDifferentiableError, match="full_matrices=False"):
            ff.jvp(svd, (np.ones(shape),), (np.ones(shape),))
    # the values alone are always determined
    assert ff.grad(lambda x: svd(x, compute_uv=False)[0])(normal(3, 2)).shape == (3, 2)


def test_a_complex_matrix_without_a_value_has_derivatives():
    """Of a value 0 the phases of the two vectors are free of each other."""
    x = np.diag([2.0, 1.0, 0.0]).astype("complex128")
    tangents = ff.jvp(lambda x: svd(x, full_matrices=False), (x,), (normal(3, 3) + 0j,))[1]
    assert all(np.isfinite(t).all() for t in tangents)


def test_equal_values_have_vectors_without_derivatives():
    x = np.eye(3)
    total = ff.grad(lambda x: lax.reduce_sum(svd(x, compute_uv=False), (0,)))(x)
    np.testing.assert_allclose(total, np.eye(3), atol=1e-15)
    tangent = ff.jvp(lambda x: svd(x)[0], (x,), (np.arange(9.0).reshape(3, 3),))[1]
    assert not np.isfinite(tangent).all()


def test_nan_spares_the_other_matrices():
    x = np.zeros((2, 2, 3, 2))
    x[0, 1], x[1, 0, 0, 0] = np.eye(3, 2), np.nan
    for out in (*svd(x), svd(x, compute_uv=False)):
        bad = np.isnan(out).reshape(4, -1)
        np.testing.assert_array_equal(bad.any(1), bad.all(1))
        assert bad.all(1).tolist() == [False, False, True, False]


def test_vectors_that_nobody_uses_are_not_computed():
    x = normal(4, 3)
    (eqn,) = dce(ff.make_jaxpr(lambda x: svd(x)[1])(x).jaxpr).eqns
    assert eqn.params == {"full_matrices": False, "compute_uv": False}
    np.testing.assert_array_equal(ff.jit(lambda x: svd(x)[1])(x), svd(x, compute_uv=False))
    for i in (0, 2):
        np.testing.assert_array_equal(ff.jit(lambda x, i=i: svd(x)[i])(x), svd(x)[i])


def test_the_host_step_is_announced():
    text = str(ff.jit(lambda x: svd(x, compute_uv=False)).explain(normal(3, 2)))
    assert "host" in text and "svd" in text


def test_arguments_that_do_not_fit_are_refused():
    with pytest.raises(errors.ShapeError, match=r"svd: takes matrices of shape \(..., m, n\)"):
        svd(np.ones(3))
    with pytest.raises(errors.DtypeError, match="svd: takes floating, complex"):
        svd(np.ones((2, 2), "int32"))
