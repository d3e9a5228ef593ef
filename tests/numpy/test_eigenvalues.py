"""Eigenvalues and eigenvectors, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

RNG = np.random.default_rng(3)
STACK = RNG.normal(size=(2, 4, 4)).astype("f4")
C = (STACK + 1j * STACK[::-1]).astype("c8")
INTEGERS = RNG.integers(-4, 5, (3, 3))


def hermitian(x):
    return x + np.conj(np.swapaxes(x, -1, -2))


@pytest.mark.parametrize("x", [hermitian(STACK), hermitian(C)[0], hermitian(INTEGERS)])
def test_hermitian_matrices(x, agrees):
    agrees(lambda xp, x: xp.linalg.eigvalsh(x), x)
    agrees(lambda xp, x: xp.linalg.eigh(x).eigenvalues, x)
    w, v = ff.jit(fnp.linalg.eigh)(x)
    np.testing.assert_allclose(x @ np.asarray(v), v * w[..., None, :], atol=1e-4)
    assert fnp.linalg.eigh(x)._fields == ("eigenvalues", "eigenvectors")


@pytest.mark.parametrize("x", [STACK, C[0]])
def test_one_triangle_or_both(x, agrees):
    for triangle in "LUlu":

        def values(xp, x, triangle=triangle):
            options = {"symmetrize_input": False} if xp is fnp else {}
            out = xp.linalg.eigh(x, triangle, **options).eigenvalues
            return [out, xp.linalg.eigvalsh(x, triangle, **options)]

        agrees(values, x)
    mean = np.linalg.eigvalsh(hermitian(x) / 2)
    np.testing.assert_allclose(fnp.linalg.eigvalsh(x), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(fnp.linalg.eigh(x, "U")[0], mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("x", [STACK, C[0], INTEGERS, np.diag(np.arange(3.0))])
def test_general_matrices(x):
    w, v = fnp.linalg.eig(x)
    assert fnp.linalg.eig(x)._fields == ("eigenvalues", "eigenvectors")
    assert w.dtype.kind == v.dtype.kind == "c"
    np.testing.assert_allclose(x @ np.asarray(v), v * w[..., None, :], atol=1e-4)
    expected = np.sort_complex(np.linalg.eigvals(x.astype("c16")))
    for values in (w, fnp.linalg.eigvals(x), ff.jit(fnp.linalg.eigvals)(x)):
        got = np.sort_complex(np.asarray(values).round(4))
        np.testing.assert_allclose(got, np.sort_complex(expected.round(4)), atol=1e-3)


def test_laws():
    check_laws(fnp.linalg.eigvalsh, (hermitian(STACK[0]).astype("f8"),))
    weighted = np.linspace(0, 1, 16).reshape(4, 4)

    def ground_state_energy(x):
        v = fnp.linalg.eigh(x).eigenvectors[:, 0]
        return v @ weighted @ v

    check_laws(ground_state_energy, (hermitian(STACK[0]).astype("f8"),))


def test_plain_numpy_traces():
    x = hermitian(STACK)
    out = ff.jit(lambda x: np.linalg.eigvalsh(x))(x)
    np.testing.assert_array_equal(out, fnp.linalg.eigvalsh(x))


def test_errors():
    for function in (fnp.linalg.eig, fnp.linalg.eigvals, fnp.linalg.eigh, fnp.linalg.eigvalsh):
        with pytest.raises(ShapeError, match=f"{function.__name__}: takes square matrices"):
            function(np.ones((2, 3)))
    for function in (fnp.linalg.eigh, fnp.linalg.eigvalsh):
        with pytest.raises(ArgumentError, match="UPLO='X'"):
            function(np.eye(2), "X")
