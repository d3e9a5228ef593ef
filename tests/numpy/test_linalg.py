"""`fnp.linalg`, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_grads, check_laws

RNG = np.random.default_rng(1)
M = (RNG.normal(size=(4, 4)) + 3 * np.eye(4)).astype("f4")
STACK = (RNG.normal(size=(2, 3, 3)) + 2 * np.eye(3)).astype("f4")
C = (M + 1j * M.T).astype("c8")
POSITIVE = (M @ M.T + np.eye(4)).astype("f4")
V = np.array([1.0, -2.0, 0.0, 3.0], "f4")

VECTOR_ORDERS = [None, 2, 1, 0, np.inf, -np.inf, 3, 0.5, -1]
MATRIX_ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.parametrize("order", VECTOR_ORDERS, ids=str)
def test_norm_of_vectors(order, agrees):
    agrees(lambda xp, v: xp.linalg.norm(v + 0.5, order), V)
    agrees(lambda xp, m: [xp.linalg.norm(m, order, 0), xp.linalg.norm(m, order, -1, True)], M)
    agrees(lambda xp, m: xp.linalg.norm(m, order, 0), C)
    if order is not None:
        agrees(lambda xp, m: xp.linalg.vector_norm(m, ord=order, axis=(0, 2), keepdims=True), STACK)


@pytest.mark.parametrize("order", MATRIX_ORDERS, ids=str)
def test_norm_of_matrices(order, agrees):
    agrees(lambda xp, m: xp.linalg.norm(m, order), M)
    agrees(lambda xp, m: xp.linalg.norm(m, order), C)
    agrees(lambda xp, m: xp.linalg.norm(m, order, (2, 0)), STACK)
    agrees(lambda xp, m: xp.linalg.norm(m, order, (-2, -1), keepdims=True), STACK)
    if order is not None:
        agrees(lambda xp, m: xp.linalg.matrix_norm(m, ord=order), STACK)


def test_norm_details(agrees):
    agrees(lambda xp, x: xp.linalg.norm(x), STACK)
    agrees(lambda xp, x: xp.linalg.norm(x, keepdims=True), STACK)
    assert fnp.linalg.norm(fnp.arange(3)).dtype == np.float32
    assert fnp.linalg.norm(C).dtype == np.float32
    assert fnp.linalg.norm(fnp.zeros(0)) == 0


@pytest.mark.parametrize("order", [None, 1, np.inf, 3, 1.5], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_norm_is_differentiable_at_zero(order, dtype):
    def gradient(x):
        return ff.vjp(lambda x: fnp.linalg.norm(x, order), x)[1](np.float32(1))[0]

    zero = fnp.zeros(3, dtype)
    np.testing.assert_array_equal(gradient(zero), zero)
    assert np.isfinite(gradient(fnp.array([0.0, 1.0, 2.0]).astype(dtype))).all()
    assert np.isfinite(ff.jvp(gradient, (zero,), (zero + 1,))[1]).all()


def test_norm_gradients():
    for order in (None, 1, np.inf, 3):
        check_grads(lambda x, o=order: fnp.linalg.norm(x + 0.1, o), (V,), 2, rtol=1e-2, atol=1e-2)
    check_laws(lambda x: fnp.linalg.norm(x, axis=0), (M,), order=2)
    for order in (2, -2, "nuc"):
        check_laws(lambda x, o=order: fnp.linalg.norm(x, o), (M[:3],), order=1)


def test_solving(agrees):
    agrees(lambda xp, m, v: xp.linalg.solve(m, v), M, V)
    agrees(lambda xp, m: xp.linalg.solve(m, m @ m), STACK)
    agrees(lambda xp, m: [xp.linalg.inv(m)], STACK)
    agrees(lambda xp, m: xp.linalg.inv(m), C)
    agrees(lambda xp, m: xp.linalg.cholesky(m), POSITIVE)
    agrees(lambda xp, m: xp.linalg.cholesky(m, upper=True), POSITIVE)
    agrees(lambda xp, m, v: xp.linalg.tensorsolve(m.reshape(2, 2, 4), v.reshape(2, 2)), M, V)
    agrees(lambda xp, m: xp.linalg.tensorinv(m.reshape(2, 2, 4)), M)
    assert fnp.linalg.solve(fnp.eye(2, dtype=int), fnp.arange(2)).dtype == np.float32
    upper = fnp.linalg.cholesky(fnp.asarray(C @ C.conj().T + 9 * np.eye(4, dtype="c8")), upper=True)
    np.testing.assert_allclose(upper, np.triu(upper))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["f4", "c8"])
def test_determinants(n, dtype, agrees):
    x = RNG.normal(size=(2, n, n)).astype(dtype)
    if dtype == "c8":
        x = x + 1j * x[::-1]
    agrees(lambda xp, x: xp.linalg.det(x), x)
    if n:
        agrees(lambda xp, x: list(xp.linalg.slogdet(x)), x)


def test_singular_matrices():
    zero = fnp.zeros((3, 3))
    sign, log = fnp.linalg.slogdet(zero)
    assert (sign, log) == (0, -np.inf)
    assert fnp.linalg.slogdet(fnp.asarray(M))._fields == ("sign", "logabsdet")
    np.testing.assert_array_equal(ff.grad(fnp.linalg.det)(zero), zero)
    rank_two = fnp.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    gradient = ff.grad(fnp.linalg.det)(rank_two)
    np.testing.assert_array_equal(gradient, [[0, 0, 0], [0, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("p", [None, 2, -2, 1, -1, "fro", "nuc", np.inf, -np.inf], ids=str)
def test_condition_numbers(p, agrees):
    agrees(lambda xp, m: xp.linalg.cond(m, p), M)
    agrees(lambda xp, m: xp.linalg.cond(m, p), STACK)
    zero, broken = np.zeros((2, 2), "f4"), np.full((2, 2), np.nan, "f4")
    out = np.asarray(fnp.linalg.cond(np.stack([zero, broken]), p))
    assert np.isinf(out[0]) and np.isnan(out[1])
    if p in (None, 2, -2):
        agrees(lambda xp, m: xp.linalg.cond(m[:2], p), C)


def test_products(agrees):
    for n in (-2, -1, 0, 1, 2, 5, 6):
        agrees(lambda xp, m, n=n: xp.linalg.matrix_power(m / 3, n), STACK)
    assert fnp.linalg.matrix_power(fnp.arange(4).reshape(2, 2), 3).dtype == np.int32
    agrees(lambda xp, m, v: xp.linalg.multi_dot([m, m, v[:, None], v[None]]), M, V)
    agrees(lambda xp, m, v: xp.linalg.multi_dot([v, m, m, v]), M, V)
    agrees(
        lambda xp, m, v: [xp.linalg.outer(v, v), xp.linalg.trace(m), xp.linalg.diagonal(m)], M, V
    )
    agrees(lambda xp, x: [xp.linalg.trace(x, offset=1), xp.linalg.diagonal(x, offset=-1)], STACK)
    agrees(lambda xp, x: xp.linalg.cross(x[0], x[1]), STACK)
    agrees(lambda xp, x: [xp.linalg.matrix_transpose(x), xp.linalg.matmul(x, x)], STACK)
    agrees(lambda xp, x: [xp.linalg.tensordot(x, x.T, axes=1), xp.linalg.vecdot(x, x)], STACK)
    jaxpr = ff.make_jaxpr(lambda a, b, c: fnp.linalg.multi_dot([a, b, c]))(
        np.ones((100, 2), "f4"), np.ones((2, 100), "f4"), np.ones((100, 2), "f4")
    )
    assert jaxpr.eqns[0].outvars[0].aval.shape == (2, 2)


def test_laws():
    check_laws(fnp.linalg.solve, (M, V), order=2, atol=1e-3, rtol=1e-3)
    check_laws(fnp.linalg.inv, (M,), order=1, atol=1e-3, rtol=1e-3)
    check_laws(fnp.linalg.det, (STACK,), order=2, atol=1e-2, rtol=1e-2)
    check_laws(fnp.linalg.det, (M,), order=1, atol=1e-2, rtol=1e-2)
    check_laws(lambda m: fnp.linalg.slogdet(m)[1], (M,), order=2, atol=1e-2, rtol=1e-2)
    check_laws(fnp.linalg.cholesky, (POSITIVE,), order=1, atol=1e-3, rtol=1e-3)


def test_errors():
    with pytest.raises(ShapeError, match="det: takes square matrices"):
        fnp.linalg.det(fnp.ones((2, 3)))
    with pytest.raises(ArgumentError, match="empty matrices"):
        fnp.linalg.cond(M[:0])
    with pytest.raises(ShapeError, match="cond: takes square"):
        fnp.linalg.cond(M[:2], 1)
    with pytest.raises(ArgumentError, match="is no norm"):
        fnp.linalg.norm(M, 7)
    with pytest.raises(ArgumentError, match="is for matrices"):
        fnp.linalg.norm(V, "fro")
    with pytest.raises(ShapeError, match="3 axes"):
        fnp.linalg.norm(STACK, 2)
    with pytest.raises(ShapeError, match="right-hand sides"):
        fnp.linalg.solve(M, V[:3])
    with pytest.raises(ShapeError, match="matrix_power"):
        fnp.linalg.matrix_power(V, 2)
    with pytest.raises(ArgumentError, match="two or more"):
        fnp.linalg.multi_dot([M])
    with pytest.raises(ShapeError, match="outer"):
        fnp.linalg.outer(M, V)
    with pytest.raises(ShapeError, match="cross"):
        fnp.linalg.cross(V, V)
