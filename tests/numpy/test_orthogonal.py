"""QR and singular value decompositions, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

RNG = np.random.default_rng(4)
TALL = RNG.normal(size=(2, 4, 3)).astype("f4")
WIDE = TALL.mT
COMPLEX = (TALL + 1j * TALL[::-1]).astype("c8")
EACH = [TALL, WIDE, COMPLEX, RNG.integers(-4, 5, (3, 3)), np.zeros((0, 3), "f4")]


def adjoint(x):
    return np.conj(np.swapaxes(np.asarray(x), -1, -2))


@pytest.mark.parametrize("x", EACH, ids=lambda x: f"{x.dtype}{x.shape}")
def test_qr(x, agrees):
    # Householder's reflections determine the signs
    for mode in ("reduced", "complete"):
        agrees(lambda xp, x, mode=mode: list(xp.linalg.qr(x, mode)), x)
    agrees(lambda xp, x: xp.linalg.qr(x, "r"), x)
    assert fnp.linalg.qr(x)._fields == ("Q", "R")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("x", EACH, ids=lambda x: f"{x.dtype}{x.shape}")
def test_svd(x, full, agrees):
    agrees(lambda xp, x: xp.linalg.svdvals(x), x)
    agrees(lambda xp, x: xp.linalg.svd(x, compute_uv=False), x)
    agrees(lambda xp, x: xp.linalg.svd(x, full).S, x)
    u, s, vh = fnp.linalg.svd(x, full)
    k = s.shape[-1]
    assert fnp.linalg.svd(x)._fields == ("U", "S", "Vh")
    assert [np.shape(y) for y in np.linalg.svd(x, full)] == [u.shape, s.shape, vh.shape]
    product = (u[..., :k] * s[..., None, :]) @ vh[..., :k, :]
    np.testing.assert_allclose(product, x, atol=1e-5)


@pytest.mark.parametrize("dtype", ["f8", "c16"])
def test_svd_of_hermitian_matrices(dtype, agrees):
    x = RNG.normal(size=(2, 4, 4)).astype(dtype)
    x = (1j * x + x[::-1] if dtype == "c16" else x) * np.ones(4)
    x = x + adjoint(x)
    x[0] = np.diag([1.0, 0, -3, 2])  # a value 0 has vectors too
    agrees(lambda xp, x: xp.linalg.svd(x, hermitian=True, compute_uv=False), x)
    u, s, vh = fnp.linalg.svd(x, hermitian=True)
    np.testing.assert_allclose(s, np.linalg.svd(x)[1], atol=1e-12)
    np.testing.assert_allclose((u * s[..., None, :]) @ vh, x, atol=1e-12)
    for rows in (adjoint(u), np.asarray(vh)):
        np.testing.assert_allclose(rows @ adjoint(rows), np.stack([np.eye(4)] * 2), atol=1e-12)


def test_laws():
    def polar(x, hermitian):
        u, s, vh = fnp.linalg.svd(x, full_matrices=False, hermitian=hermitian)
        return u @ vh, s

    x = TALL[0].astype("f8")
    check_laws(lambda x: polar(x, False), (x,))
    check_laws(lambda x: polar(x + x.T, True), (x[:3],))
    check_laws(lambda x: fnp.linalg.svd(x + x.T, compute_uv=False, hermitian=True), (x[:3],))
    check_laws(fnp.linalg.qr, (x,))
    check_laws(lambda x: fnp.linalg.qr(x, "r"), (COMPLEX[0].astype("c16"),))


def test_plain_numpy_traces():
    out = ff.jit(lambda x: np.linalg.svd(x, compute_uv=False))(TALL)
    np.testing.assert_array_equal(out, fnp.linalg.svdvals(TALL))


def test_errors():
    with pytest.raises(ArgumentError, match="qr: mode='raw'"):
        fnp.linalg.qr(TALL, "raw")
    with pytest.raises(ShapeError, match="qr: takes matrices"):
        fnp.linalg.qr(np.ones(3))
    with pytest.raises(ShapeError, match="svd: takes square matrices"):
        fnp.linalg.svd(TALL, hermitian=True)
