"""Least squares, pseudo-inverses and ranks, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ConcretizationTypeError, ShapeError
from funcflow.testing import check_laws

RNG = np.random.default_rng(5)
TALL = RNG.normal(size=(2, 4, 3)).astype("f4")
COMPLEX = (TALL + 1j * TALL[::-1]).astype("c8")
DEFICIENT = np.diag([1.0, 2, 0]).astype("f4") @ TALL[0, :3]
V = RNG.normal(size=4).astype("f4")


@settings(max_examples=40, deadline=None)
@given(
    m=integers(0, 5),
    n=integers(0, 5),
    rank=integers(0, 4),
    stack=sampled_from([(), (2,)]),
    dtype=sampled_from(["f8", "c16"]),
    seed=integers(0, 1000),
)
def test_the_pseudo_inverse_obeys_the_equations_of_penrose(m, n, rank, stack, dtype, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(*stack, m, rank)) @ rng.normal(size=(*stack, rank, n))
    x = x.astype(dtype) * (1j if dtype == "c16" else 1)
    p = np.asarray(fnp.linalg.pinv(x))
    assert p.shape == (*stack, n, m) and p.dtype == x.dtype
    size = max(1, np.abs(p).max(initial=0)) * max(1, np.abs(x).max(initial=0))
    limit = 1e-10 * size**2
    np.testing.assert_allclose(x @ p @ x, x, atol=limit)
    np.testing.assert_allclose(p @ x @ p, p, atol=limit)
    for product in (x @ p, p @ x):
        np.testing.assert_allclose(product, np.conj(product.swapaxes(-1, -2)), atol=limit)
    expected = np.broadcast_to(min(m, n, rank), stack)
    np.testing.assert_array_equal(fnp.linalg.matrix_rank(x, rtol=1e-10), expected)


@pytest.mark.parametrize("x", [TALL, TALL.mT, COMPLEX, np.arange(6).reshape(3, 2)], ids=str)
def test_pinv(x, agrees):
    agrees(lambda xp, x: xp.linalg.pinv(x), x)
    agrees(lambda xp, x: xp.linalg.pinv(x, 0.5), x)
    agrees(lambda xp, x: xp.linalg.pinv(x, rtol=0.5), x)


def test_pinv_details(agrees):
    limits = np.array([0.9, 0.0], "f4")
    agrees(lambda xp, x, limits: xp.linalg.pinv(x, limits), TALL, limits)
    hermitian = DEFICIENT + DEFICIENT.T
    agrees(lambda xp, x: xp.linalg.pinv(x, hermitian=True), hermitian)
    # by default what rounding alone makes is no singular value
    assert fnp.abs(fnp.linalg.pinv(fnp.ones((3, 3)) / 3)).max() < 1
    with pytest.raises(ArgumentError, match="mean the same"):
        fnp.linalg.pinv(TALL, 0.1, rtol=0.1)
    with pytest.raises(ShapeError, match="pinv: takes square matrices"):
        fnp.linalg.pinv(TALL, hermitian=True)


def test_matrix_rank(agrees):
    for x in (TALL, DEFICIENT, V, np.float32(0), np.float32(2), np.eye(3, dtype=int)):
        agrees(lambda xp, x: xp.linalg.matrix_rank(x), x)
    agrees(lambda xp, x: xp.linalg.matrix_rank(x, 1.0), TALL)
    agrees(lambda xp, x, t: xp.linalg.matrix_rank(x, t), TALL, np.array([0.1, 2.0], "f4"))
    agrees(lambda xp, x: xp.linalg.matrix_rank(x, rtol=0.4), TALL)
    agrees(lambda xp, x: xp.linalg.matrix_rank(x + x.T, hermitian=True), DEFICIENT)
    with pytest.raises(ArgumentError, match="both tol and rtol"):
        fnp.linalg.matrix_rank(TALL, 0.1, rtol=0.1)


CASES = [(TALL[0], V), (TALL[0].T, V[:3]), (DEFICIENT, V[:3]), (COMPLEX[0], COMPLEX[1])]


@pytest.mark.parametrize("a, b", CASES, ids=["tall", "wide", "deficient", "complex"])
def test_lstsq(a, b, agrees):
    def parts(xp, a, b):
        x, _, rank, s = xp.linalg.lstsq(a, b, 1e-5)
        return [x, rank, s]

    agrees(parts, a, b)
    for rcond in (None, -1, 0.4):
        got = fnp.linalg.lstsq(a, b, rcond, numpy_resid=True)
        wide = np.linalg.lstsq(a.astype("c16"), b.astype("c16"), 0.4 if rcond == 0.4 else 1e-6)
        np.testing.assert_allclose(got[0], wide[0], rtol=1e-3, atol=1e-4)
        assert got[1].shape == wide[1].shape
        np.testing.assert_allclose(got[1], wide[1], rtol=1e-3, atol=1e-4)
    residuals = np.atleast_1d(np.sum(np.abs(b - a @ fnp.linalg.lstsq(a, b)[0]) ** 2, 0))
    np.testing.assert_allclose(fnp.linalg.lstsq(a, b)[1], residuals, atol=1e-5)


def test_empty_systems():
    for m, n in ((0, 3), (3, 0)):
        x, residuals, rank, s = fnp.linalg.lstsq(np.ones((m, n)), np.ones((m, 2)))
        np.testing.assert_array_equal(x, np.zeros((n, 2)))
        np.testing.assert_array_equal(residuals, [m, m])
        assert (rank, s.shape) == (0, (0,))


@pytest.mark.parametrize("dtype", ["f8", "c16"])
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (3, 3)], ids=str)
def test_laws(shape, dtype):
    a = RNG.normal(size=shape).astype(dtype)
    b = RNG.normal(size=(shape[0], 2)).astype(dtype)
    if dtype == "c16":
        a, b = a + 1j * a[::-1], b * (2 - 1j)
    check_laws(fnp.linalg.pinv, (a,))
    check_laws(lambda a, b: fnp.linalg.lstsq(a, b)[0], (a, b))
    check_laws(lambda a, b: fnp.linalg.lstsq(a, b), (a, b), order=1)


def test_equal_singular_values_have_derivatives():
    q = np.linalg.qr(TALL[0].astype("f8"))[0]
    check_laws(fnp.linalg.pinv, (q,), modes=["fwd", "rev"])
    check_laws(lambda a, b: fnp.linalg.lstsq(a, b)[0], (q, V.astype("f8")), modes=["fwd", "rev"])


def test_derivatives_at_a_fixed_rank():
    """Along matrices of rank 2 the pseudo-inverse is smooth."""
    left, right = TALL[0, :, :2].astype("f8"), TALL[1, :2].astype("f8")

    def f(left, right):
        return fnp.linalg.pinv(left @ right, 1e-9), fnp.linalg.lstsq(left @ right, V, 1e-9)[0]

    check_laws(f, (left, right), order=2, modes=["fwd", "rev"])


def test_the_hermitian_pseudo_inverse_has_symmetric_gradients():
    x = TALL[0, :3].astype("f8")
    gradient = ff.grad(lambda x: fnp.linalg.pinv(x, hermitian=True)[0, 1])(x)
    np.testing.assert_allclose(gradient, gradient.T, atol=1e-12)


def test_errors():
    with pytest.raises(ShapeError, match="lstsq: takes a matrix"):
        fnp.linalg.lstsq(TALL, V)
    with pytest.raises(ShapeError, match="lstsq: takes a matrix"):
        fnp.linalg.lstsq(TALL[0], V[:3])
    with pytest.raises(ConcretizationTypeError):
        ff.jit(lambda a: fnp.linalg.lstsq(a, V, numpy_resid=True))(TALL[0])
