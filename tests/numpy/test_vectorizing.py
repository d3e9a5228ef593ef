"""`vectorize` and the functions that apply others along axes."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError

X = np.arange(24, dtype="f4").reshape(2, 3, 4)


def test_apply(agrees):
    agrees(lambda xp, x: xp.apply_along_axis(lambda v: v[::-1] * 2, 1, x), X)
    agrees(lambda xp, x: xp.apply_along_axis(lambda v, k: v.sum() + k, 0, x, 5.0), X)
    agrees(lambda xp, x: xp.apply_along_axis(lambda v: v[:, None] * v, -2, x), X)
    agrees(lambda xp, x: xp.apply_over_axes(xp.sum, x, (0, -1)), X)
    with pytest.raises(ShapeError):
        fnp.apply_over_axes(lambda x, axis: x.sum(), X, 0)


def test_vectorize_scalars():
    @fnp.vectorize
    def larger(a, b):
        return ff.lax.cond(a > b, lambda: a, lambda: b)

    np.testing.assert_array_equal(larger(X, fnp.arange(4.0) + 8), np.maximum(X, np.arange(4.0) + 8))
    np.testing.assert_array_equal(larger(fnp.ones((3, 1)), fnp.zeros((1, 2))), np.ones((3, 2)))
    assert larger(1.0, 2.0) == 2
    assert larger.__name__ == "larger"


def test_vectorize_with_a_signature():
    product = fnp.vectorize(fnp.matmul, signature="(m,k),(k)->(m)")
    a, b = X, np.arange(8, dtype="f4").reshape(2, 1, 4)
    np.testing.assert_allclose(product(a, b[:, 0]), np.einsum("bmk,bk->bm", a, b[:, 0]))
    np.testing.assert_allclose(product(a[0], b), np.einsum("mk,abk->abm", a[0], b))
    both = fnp.vectorize(lambda x: (x.min(), x[::-1]), signature="(n)->(),(n)")
    low, back = both(X)
    np.testing.assert_array_equal(low, X.min(-1))
    np.testing.assert_array_equal(back, X[..., ::-1])


def test_vectorize_excludes():
    def power(x, n, *, scale=1):
        return scale * x**n

    f = fnp.vectorize(power, excluded={1})
    np.testing.assert_array_equal(f(X, 2, scale=3), 3 * X**2)


def test_vectorize_errors():
    f = fnp.vectorize(fnp.matmul, signature="(m,k),(k)->(m)")
    with pytest.raises(ArgumentError, match="has 2 arguments, got 1"):
        f(X)
    with pytest.raises(ShapeError, match="axis 'k'"):
        f(X, np.ones(3))
    with pytest.raises(ShapeError, match="fewer axes"):
        f(np.ones(3), np.ones(3))
    with pytest.raises(ArgumentError, match="no signature"):
        fnp.vectorize(fnp.matmul, signature="m,k->m")
    with pytest.raises(ShapeError, match="returned shape"):
        fnp.vectorize(lambda x: x, signature="(n)->()")(X)
    with pytest.raises(ArgumentError, match="returned 1 values"):
        fnp.vectorize(lambda x: x, signature="(n)->(n),()")(X)
    with pytest.raises(ShapeError, match="do not broadcast"):
        fnp.vectorize(lambda x, y: x + y)(np.ones(2), np.ones(3))
