"""Where arrays are not zero, and indices as numbers, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ConcretizationTypeError, OutOfBoundsError

X = np.array([[3, 0, -2], [0, 0, 4]], "f4")


def test_nonzero(agrees):
    for x in (X, X > 1, X[0], X.astype(int), np.zeros((0, 2), "f4")):
        agrees(lambda xp, x: list(xp.nonzero(x)), x, jit=False)
        agrees(lambda xp, x: list(xp.where(x)), x, jit=False)
        agrees(lambda xp, x: xp.flatnonzero(x), x, jit=False)
        agrees(lambda xp, x: xp.argwhere(x), x, jit=False)


@pytest.mark.parametrize("size", [0, 2, 3, 5])
@pytest.mark.parametrize("fill", [None, 7, (8, 9)])
def test_nonzero_of_a_given_size(size, fill):
    fills = fill if isinstance(fill, tuple) else (fill or 0,) * 2
    expected = [np.append(i, [f] * 9)[:size] for i, f in zip(np.nonzero(X), fills, strict=True)]
    for call in (lambda f: f, ff.jit):
        got = call(lambda x: fnp.nonzero(x, size=size, fill_value=fill))(X)
        np.testing.assert_array_equal(got, expected)
        got = call(lambda x: fnp.argwhere(x, size=size, fill_value=fill))(X)
        np.testing.assert_array_equal(got, np.transpose(expected))
    empty = fnp.nonzero(np.zeros((0, 2)), size=2, fill_value=3)
    np.testing.assert_array_equal(empty, 3 * np.ones((2, 2)))


def test_nonzero_under_vmap():
    got = ff.vmap(lambda x: fnp.flatnonzero(x, size=2, fill_value=-1))(X)
    np.testing.assert_array_equal(got, [[0, 2], [2, -1]])


def test_traced_arrays_need_a_size():
    with pytest.raises(ConcretizationTypeError, match="size=n"):
        ff.jit(fnp.nonzero)(X)
    with pytest.raises(ArgumentError, match="3 fill values"):
        fnp.nonzero(X, size=1, fill_value=(1, 2, 3))


def test_numbers(agrees):
    flat = np.array([[0, 5], [7, 11]])
    agrees(lambda xp, i: list(xp.unravel_index(i, (3, 4))), flat)
    agrees(lambda xp, i: xp.ravel_multi_index((i % 3, i % 4), (3, 4)), flat, jit=False)
    agrees(lambda xp, i: xp.ravel_multi_index((i, i), (3, 4), mode="wrap"), flat)
    agrees(lambda xp, i: xp.ravel_multi_index((i, -i), (3, 4), mode="clip", order="F"), flat)
    agrees(lambda xp, i: xp.ravel_multi_index((i, i), (3, 4), mode=("wrap", "clip")), flat)
    agrees(lambda xp: list(xp.ix_(np.array([0, 2]), np.array([True, False, True]))))
    np.testing.assert_array_equal(fnp.unravel_index(-1, (3, 4)), [2, 3])
    got = ff.jit(lambda i: fnp.unravel_index(i, (3, 4)))(np.array([-50, 50]))
    np.testing.assert_array_equal(got, [[0, 2], [0, 3]])
    with pytest.raises(OutOfBoundsError):
        fnp.unravel_index(12, (3, 4))
    with pytest.raises(OutOfBoundsError):
        fnp.ravel_multi_index((np.array([3]), np.array([0])), (3, 4))
    with pytest.raises(ArgumentError):
        fnp.ravel_multi_index((flat,), (3, 4))
