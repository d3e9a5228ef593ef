"""Diagonals and triangles, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError, ImmutableError, ShapeError
from funcflow.testing import check_laws

X = np.arange(1, 25, dtype="f4").reshape(2, 3, 4)
M = X[0]
V = np.array([1.0, -2.0, 3.0], "f4")


@pytest.mark.parametrize("k", [-5, -2, -1, 0, 1, 3, 4])
def test_by_offset(k, agrees):
    agrees(lambda xp, x: [xp.tril(x, k), xp.triu(x, k)], X)
    agrees(lambda xp, x: [xp.diagonal(x[0], k), xp.diag(x[0], k)], X)
    agrees(lambda xp, x: xp.diagonal(x, k, 2, 0), X)
    agrees(lambda xp, x: xp.trace(x, k, -1, 1), X)
    agrees(lambda xp, v: [xp.diag(v, k), xp.diagflat(v, k)], V)
    agrees(lambda xp: list(xp.tril_indices(3, k, 4)))
    agrees(lambda xp: list(xp.triu_indices(4, k)))
    agrees(lambda xp, x: list(xp.triu_indices_from(x, k)), M)
    agrees(lambda xp, x: list(xp.tril_indices_from(x, k)), M)


def test_others(agrees):
    agrees(lambda xp, v: xp.diag(v[:0]), V)
    agrees(lambda xp, v: xp.diag(v[:0], 2), V)
    agrees(lambda xp: list(xp.diag_indices(3, 3)))
    agrees(lambda xp, x: list(xp.diag_indices_from(x[:, :3])), M)
    agrees(lambda xp: list(xp.mask_indices(3, xp.triu, 1)), jit=False)
    assert fnp.trace(np.ones((2, 2), "int8")).dtype == np.int32
    assert fnp.trace(np.ones((2, 2), "uint8")).dtype == np.uint32
    assert fnp.trace(np.ones((2, 2), "f2")).dtype == np.float16
    assert fnp.trace(M, dtype="float64").dtype == np.float64
    assert fnp.tril_indices(2)[0].dtype == np.int32
    assert fnp.tril(np.ones((2, 2), bool)).dtype == bool


def test_triangle_with_a_traced_offset():
    for k in (-1, 0, 2):
        got = ff.jit(fnp.tril)(M, k)
        np.testing.assert_array_equal(got, np.tril(M, k))


@pytest.mark.parametrize("shape", [(3, 3), (5, 2), (2, 5), (2, 2, 2)])
@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("value", [7, [1, 2]])
def test_fill_diagonal(shape, wrap, value):
    x = np.arange(np.prod(shape)).reshape(shape).astype("f4")
    got = fnp.fill_diagonal(x, fnp.array(value), wrap, inplace=False)
    np.fill_diagonal(x, value, wrap)
    np.testing.assert_array_equal(got, x)


def test_laws():
    check_laws(lambda x: fnp.tril(x, 1), (X,), order=1)
    check_laws(lambda x: fnp.diagonal(x, 1, 0, 2), (X,), order=1)
    check_laws(lambda v: fnp.diag(v, -1), (V,), order=1)
    check_laws(lambda x: fnp.trace(x), (M,), order=1)
    fill = lambda x, v: fnp.fill_diagonal(x, v, inplace=False)  # noqa: E731
    check_laws(fill, (M, V), order=1)


def test_errors():
    with pytest.raises(ShapeError, match="tril: takes matrices"):
        fnp.tril(V)
    with pytest.raises(ShapeError, match="diag"):
        fnp.diag(X)
    with pytest.raises(AxisError):
        fnp.diagonal(M, 0, 1, 1)
    with pytest.raises(ImmutableError, match="inplace=False"):
        fnp.fill_diagonal(M, 0)
    with pytest.raises(ArgumentError, match="empty"):
        fnp.fill_diagonal(M, fnp.zeros(0), inplace=False)
    with pytest.raises(ShapeError):
        fnp.diag_indices_from(M)
    with pytest.raises(ShapeError):
        fnp.tril_indices_from(V)
