"""Repeating, inserting and deleting, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ConcretizationTypeError, ShapeError
from funcflow.testing import check_laws

X = np.arange(12, dtype="f4").reshape(3, 4)
V = np.arange(5, dtype="i4")


def test_repeat(agrees):
    agrees(lambda xp, x: [xp.repeat(x, 2), xp.repeat(x, 3, 1), xp.repeat(x, 0, 0)], X)
    agrees(lambda xp, x: xp.repeat(x, np.array([2, 0, 1]), 0), X)
    agrees(lambda xp, x: xp.repeat(x, np.array([2]), -1), X)
    repeat = lambda x, r, n: fnp.repeat(x, r, total_repeat_length=n)  # noqa: E731
    counts = np.array([2, 0, 1, 1, 0])
    for total, expected in ((4, [0, 0, 2, 3]), (6, [0, 0, 2, 3, 4, 4]), (3, [0, 0, 2])):
        got = ff.jit(repeat, static_argnums=2)(V, counts, total)
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(repeat(V, counts, 3), [0, 0, 2])
    np.testing.assert_array_equal(repeat(V, np.array([1, 1, 1, 1, 1]), 7), [0, 1, 2, 3, 4, 4, 4])
    with pytest.raises(ConcretizationTypeError, match="total_repeat_length"):
        ff.jit(fnp.repeat)(V, counts)
    with pytest.raises(ShapeError):
        fnp.repeat(V, np.array([1, 2]))
    with pytest.raises(ArgumentError):
        fnp.repeat(V, -1)


def test_insert(agrees):
    agrees(lambda xp, v: [xp.insert(v, i, 9) for i in (0, 2, 5, -1)], V)
    agrees(lambda xp, v: xp.insert(v, [1, 1, 4], np.array([7, 8, 9])), V)
    agrees(lambda xp, v: xp.insert(v, [3, 1], 9), V)
    agrees(lambda xp, v: xp.insert(v, 2, np.array([7, 8, 9])), V)
    agrees(lambda xp, v: xp.insert(v, slice(1, 4, 2), 9), V)
    agrees(lambda xp, v: xp.insert(v, np.array([True, False, True, False, False]), 9), V)
    agrees(lambda xp, x: [xp.insert(x, 1, 9, axis=1), xp.insert(x, 1, 9)], X)
    agrees(lambda xp, x: xp.insert(x, 1, np.arange(4.0), axis=0), X)
    agrees(lambda xp, x: xp.insert(x, 1, np.arange(3.0), axis=1), X)
    agrees(lambda xp, x: xp.insert(x, [1, 3], np.arange(6.0).reshape(3, 2), axis=1), X)
    agrees(lambda xp, x: xp.insert(x, [1], np.arange(3.0)[:, None], axis=1), X)
    for i in (0, 2, 5, -1):
        got = ff.jit(lambda v, i: fnp.insert(v, i, 9))(V, i)
        np.testing.assert_array_equal(got, np.insert(V, i, 9))
    with pytest.raises(ArgumentError, match="out of bounds"):
        fnp.insert(V, 7, 9)
    with pytest.raises(ShapeError, match="insert"):
        fnp.insert(V, [0, 1], fnp.arange(3))


def test_delete(agrees):
    for obj in (0, -1, [1, 3], [1, 1], slice(0, 5, 2), np.array([], int)):
        agrees(lambda xp, v, o=obj: xp.delete(v, o), V)
    agrees(lambda xp, v: xp.delete(v, np.array([True, False, True, False, False])), V)
    agrees(lambda xp, x: [xp.delete(x, 1, 0), xp.delete(x, [0, 2], 1), xp.delete(x, 5)], X)
    got = ff.jit(lambda v, i: fnp.delete(v, i))(V, -2)
    np.testing.assert_array_equal(got, [0, 1, 2, 4])
    got = ff.jit(lambda v, i: fnp.delete(v, i, assume_unique_indices=True))(V, np.array([3, 0]))
    np.testing.assert_array_equal(got, [1, 2, 4])
    with pytest.raises(ConcretizationTypeError, match="assume_unique_indices"):
        ff.jit(fnp.delete)(V, np.array([3, 0]))
    with pytest.raises(ArgumentError, match="out of bounds"):
        fnp.delete(V, 5)


def test_others(agrees):
    agrees(lambda xp, x: [xp.resize(x, (2, 3)), xp.resize(x, (5, 4)), xp.resize(x, 0)], X)
    z = np.array([0, 0, 1, 0, 2, 0])
    agrees(lambda xp, z: [xp.trim_zeros(z, t) for t in ("fb", "f", "b")], z, jit=False)
    agrees(lambda xp, z: xp.trim_zeros(0 * z), z, jit=False)
    bits = np.array([[1, 0, 3], [0, 0, 1]], "u1")
    for order in ("big", "little"):
        agrees(lambda xp, b, o=order: xp.packbits(b, bitorder=o), bits)
        agrees(lambda xp, b, o=order: xp.packbits(b, 1, bitorder=o), bits)
        agrees(lambda xp, b, o=order: xp.unpackbits(b, bitorder=o), bits)
        agrees(lambda xp, b, o=order: xp.unpackbits(b, 0, 11, bitorder=o), bits)
        agrees(lambda xp, b, o=order: xp.unpackbits(b, 1, -3, bitorder=o), bits)
    with pytest.raises(ConcretizationTypeError):
        ff.jit(fnp.trim_zeros)(z)


def test_laws():
    check_laws(lambda x: fnp.repeat(x, np.array([2, 0, 1]), 0), (X,), order=1)
    check_laws(lambda x, v: fnp.insert(x, 1, v, 0), (X, X[0] + 1), order=1)
    check_laws(lambda x: fnp.delete(x, 1, 1), (X,), order=1)
