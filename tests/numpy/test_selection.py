"""Choosing elements by index and by condition, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import (
    ArgumentError,
    ConcretizationTypeError,
    DtypeError,
    ImmutableError,
    OutOfBoundsError,
    ShapeError,
)
from funcflow.testing import check_laws

X = np.array([[3, 0, -2, 5], [0, 1, 4, -1], [2, 2, 0, 7]], "f4")
I = np.array([[2, -1], [0, 3]])  # noqa: E741


def test_take(agrees):
    agrees(lambda xp, x, i: xp.take(x, i), X, I)
    agrees(lambda xp, x, i: [xp.take(x, i, 1), xp.take(x, i - 1, -2), xp.take(x, 2, 0)], X, I)
    for mode in ("clip", "wrap"):
        agrees(lambda xp, x, i, m=mode: xp.take(x, 3 * i, 1, mode=m), X, I)
    np.testing.assert_array_equal(fnp.take(X, I, 1, mode="fill"), np.take(X, I, 1))
    assert fnp.take(fnp.zeros((2, 0)), fnp.zeros(0, int), 1).shape == (2, 0)


def test_take_out_of_bounds():
    v = fnp.arange(3.0)
    i = np.array([5, -1, -4])
    with pytest.raises(OutOfBoundsError):
        fnp.take(v, i)
    with pytest.raises(OutOfBoundsError):
        fnp.take(v, 3, mode="raise")
    np.testing.assert_array_equal(ff.jit(fnp.take)(v, i), [np.nan, 2, np.nan])
    got = fnp.take(v, i, mode="fill", fill_value=-1)
    np.testing.assert_array_equal(got, [-1, 2, -1])
    with pytest.raises(ConcretizationTypeError, match="raise"):
        ff.jit(lambda x, i: fnp.take(x, i, mode="raise"))(v, i)
    with pytest.raises(ArgumentError, match="mode='bounce'"):
        fnp.take(v, i, mode="bounce")
    with pytest.raises(DtypeError, match="f32"):
        fnp.take(v, v)


def test_take_along_axis(agrees):
    order = np.argsort(X, axis=1)
    agrees(lambda xp, x, i: xp.take_along_axis(x, i, axis=1), X, order)
    agrees(lambda xp, x, i: xp.take_along_axis(x, i[:, :2] - 4, axis=-1), X, order)
    agrees(lambda xp, x, i: xp.take_along_axis(x, i[:1, :1], axis=0), X, order % 3)
    agrees(lambda xp, x, i: xp.take_along_axis(x, i[0], axis=None), X, order)
    got = ff.jit(lambda x, i: fnp.take_along_axis(x, i, 0))(fnp.arange(2.0), np.array([5, -1]))
    np.testing.assert_array_equal(got, [np.nan, 1])
    with pytest.raises(OutOfBoundsError):
        fnp.take_along_axis(X, order + 1, axis=1)
    with pytest.raises(ShapeError, match="have 1 axes, the array 2"):
        fnp.take_along_axis(X, np.arange(3), 0)


def test_put(agrees):
    def put_along(xp, x, i, v):
        if xp is fnp:
            return fnp.put_along_axis(x, i, v, 1, inplace=False)
        x = x.copy()
        np.put_along_axis(x, i, v, 1)
        return x

    agrees(put_along, X, np.array([[1], [-1], [0]]), np.array([[9.0]], "f4"))

    def put(xp, x, i, v, mode):
        if xp is fnp:
            return fnp.put(x, i, v, mode=mode, inplace=False)
        x = x.copy()
        np.put(x, i, v, mode=mode)
        return x

    values = np.array([9.0, 8.0], "f4")
    agrees(lambda xp, x, i, v: put(xp, x, i, v, "clip"), X, np.array([0, 50, 3]), values)
    agrees(lambda xp, x, i, v: put(xp, x, i, v, "wrap"), X, np.array([0, 50, 3]), values)
    with pytest.raises(ImmutableError):
        fnp.put(X, 0, 1)
    with pytest.raises(ImmutableError):
        fnp.put_along_axis(X, I, 0, 1)


def test_by_condition(agrees):
    agrees(lambda xp, x: xp.where(x > 1, x, -x), X)
    agrees(lambda xp, x: xp.where(x, 1, 0), X)
    agrees(lambda xp, x: xp.select([x > 2, x > 0], [x, 2 * x], -1), X)
    agrees(lambda xp, x: xp.piecewise(x, [x < 0, x > 3], [lambda y: -y, 3, lambda y: y * y]), X)
    agrees(lambda xp, x: xp.piecewise(x, [x < 0], [lambda y, a: a * y], 5), X)
    agrees(lambda xp, x: xp.choose(I % 2, [x[0, :2], x[1, :2]]), X)
    agrees(lambda xp, x: xp.choose(I, x[:, :2], mode="clip"), X)
    agrees(lambda xp, x: xp.choose(I, x[:, :2], mode="wrap"), X)
    agrees(lambda xp, x: xp.compress([True, False, True] if xp is np else
                                     fnp.array([True, False, True]), x, 0), X)  # fmt: skip
    agrees(lambda xp, x: xp.extract(X > 1, x), X)

    def place(xp, x):
        if xp is fnp:
            return fnp.place(x, x > 0, fnp.array([8.0, 9.0]), inplace=False)
        x = x.copy()
        np.place(x, x > 0, [8, 9])
        return x

    agrees(place, X)


def test_by_condition_with_size():
    compress = ff.jit(lambda c, x: fnp.compress(c, x, 0, size=2, fill_value=-1))
    np.testing.assert_array_equal(compress(np.array([False, True, False]), X), [X[1], 4 * [-1]])
    extract = ff.jit(lambda x: fnp.extract(x > 4, x, size=3))
    np.testing.assert_array_equal(extract(X), [5, 7, 0])


def test_condition_errors():
    with pytest.raises(ArgumentError, match="where"):
        fnp.where(X > 0, X)
    with pytest.raises(ArgumentError, match="size"):
        fnp.where(X > 0, X, X, size=3)
    with pytest.raises(DtypeError, match="select"):
        fnp.select([X], [X])
    with pytest.raises(ArgumentError, match="select"):
        fnp.select([], [])
    with pytest.raises(ArgumentError, match="piecewise"):
        fnp.piecewise(X, [X > 0], [1, 2, 3])
    with pytest.raises(OutOfBoundsError):
        fnp.choose(np.array([0, 2]), [X[0, :2], X[1, :2]])
    with pytest.raises(ConcretizationTypeError, match="size"):
        ff.jit(lambda x: fnp.where(x > 0))(X)


def test_laws():
    x, i = X / 3 + 0.1, np.array([1, 0, -1])
    check_laws(lambda x, i: fnp.take(x, i, 1), (x, i), order=1)
    check_laws(lambda x, i: fnp.take_along_axis(x, i[:, None], 1), (x, i), order=1)
    check_laws(lambda x, y: fnp.where(x > 1, x * y, y), (x, x + 1), order=2)
    check_laws(lambda x: fnp.select([x > 1, x > 0], [x * x, 2 * x]), (x,), order=1)
    check_laws(lambda x: fnp.compress(np.array([True, False, True]), x, 0), (x,), order=1)


def test_gradients_through_where_are_finite():
    gradient = ff.grad(lambda x: fnp.where(x > 0, fnp.sqrt(x), 0.0).sum())(fnp.array([0.0, 4.0]))
    assert np.isfinite(gradient).all()
