"""Shapes, the order of axes, reversal and rotation, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError, ConcretizationTypeError, ShapeError
from funcflow.testing import check_laws

X = np.arange(24, dtype="f4").reshape(2, 3, 4)
V = np.arange(5, dtype="i4")

CASES = {
    "reshape": lambda xp, x, v: xp.reshape(x, (4, -1)),
    "reshape int": lambda xp, x, v: xp.reshape(x, -1),
    "reshape F": lambda xp, x, v: xp.reshape(x, (6, 4), order="F"),
    "ravel": lambda xp, x, v: xp.ravel(x),
    "ravel F": lambda xp, x, v: xp.ravel(x, order="F"),
    "transpose": lambda xp, x, v: xp.transpose(x),
    "transpose axes": lambda xp, x, v: xp.transpose(x, (1, -1, 0)),
    "permute_dims": lambda xp, x, v: xp.permute_dims(x, (1, 2, 0)),
    "matrix_transpose": lambda xp, x, v: xp.matrix_transpose(x),
    "moveaxis": lambda xp, x, v: xp.moveaxis(x, 0, -1),
    "moveaxis several": lambda xp, x, v: xp.moveaxis(x, (0, 2), (1, 0)),
    "swapaxes": lambda xp, x, v: xp.swapaxes(x, 0, -1),
    "rollaxis": lambda xp, x, v: [xp.rollaxis(x, a, s) for a in (0, 1, -1) for s in (-1, 0, 1, 3)],
    "squeeze": lambda xp, x, v: xp.squeeze(x[:1, :, :1]),
    "squeeze axis": lambda xp, x, v: xp.squeeze(x[:1, :, :1], (0, -1)),
    "expand_dims": lambda xp, x, v: xp.expand_dims(v, (0, -1)),
    "expand_dims one": lambda xp, x, v: xp.expand_dims(x, -2),
    "broadcast_to": lambda xp, x, v: xp.broadcast_to(v, (2, 5)),
    "broadcast_arrays": lambda xp, x, v: list(xp.broadcast_arrays(v, v[:, None])),
    "atleast": lambda xp, x, v: [f(y) for f in (xp.atleast_1d, xp.atleast_2d, xp.atleast_3d)
                                 for y in (x, x[0], v, v[0])],
    "flip": lambda xp, x, v: xp.flip(x),
    "flip axis": lambda xp, x, v: [xp.flip(x, 1), xp.flip(x, (0, -1)), xp.fliplr(x), xp.flipud(x)],
    "rot90": lambda xp, x, v: [xp.rot90(x, k, a) for k in range(-1, 5) for a in ((0, 1), (2, 0))],
    "roll": lambda xp, x, v: [xp.roll(v, k) for k in (-7, -1, 0, 2, 5)],
    "roll axes": lambda xp, x, v: [xp.roll(x, 5), xp.roll(x, (1, 2), (0, 2)), xp.roll(x, 1, (0, 1)),
                                   xp.roll(x, (1, 2), 1)],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_numpy(name, agrees):
    agrees(CASES[name], X, V)


def test_queries():
    assert fnp.shape(X) == (2, 3, 4)
    assert fnp.ndim(1.0) == 0
    assert fnp.size(X) == 24
    assert fnp.size(X, 1) == 3
    assert fnp.size(X, (0, -1)) == 8
    assert fnp.broadcast_shapes((2, 1), (3,), 1) == (2, 3)


def test_empty_arrays(agrees):
    empty = np.zeros((0, 3), "f4")
    agrees(lambda xp, x: xp.reshape(x, (3, 0)), empty)
    agrees(lambda xp, x: xp.ravel(x), empty)
    agrees(lambda xp, x: xp.roll(x, 1, 0), empty)
    agrees(lambda xp, x: xp.reshape(x, (-1, 3)), empty)


def test_roll_by_a_traced_shift():
    for places in (-7, -1, 0, 3):
        got = ff.jit(lambda x, s: fnp.roll(x, s, 2))(X, places)
        np.testing.assert_array_equal(got, np.roll(X, places, 2))
        got = ff.jit(lambda x, s: fnp.roll(x, s, (0, 2)))(X, np.array([1, places]))
        np.testing.assert_array_equal(got, np.roll(X, (1, places), (0, 2)))
    got = ff.vmap(fnp.roll)(fnp.asarray(X[0]), fnp.arange(3))
    np.testing.assert_array_equal(got, [np.roll(row, i) for i, row in enumerate(X[0])])


def test_laws():
    check_laws(lambda x: fnp.rot90(fnp.reshape(x, (4, 6), order="F")), (X,), order=1)
    check_laws(lambda x: fnp.roll(fnp.flip(x, 1), (1, 2), (0, 2)), (X,), order=1)
    check_laws(lambda x, s: fnp.roll(x, s), (X, np.int32(2)), order=1)


def test_errors():
    x = fnp.asarray(X)
    with pytest.raises(ShapeError, match="multiple of 5"):
        fnp.reshape(x, (5, -1))
    with pytest.raises(ShapeError, match="has 24 elements"):
        fnp.reshape(x, (5, 5))
    with pytest.raises(ShapeError, match="more than one"):
        fnp.reshape(x, (-1, -1))
    with pytest.raises(ArgumentError, match="order"):
        fnp.reshape(x, -1, order="Z")
    with pytest.raises(ConcretizationTypeError, match="reshape"):
        ff.jit(lambda n: fnp.reshape(x, n))(24)
    with pytest.raises(AxisError, match="duplicate"):
        fnp.transpose(x, (0, 0, 1))
    with pytest.raises(AxisError, match="transpose"):
        fnp.transpose(x, (0, 1))
    with pytest.raises(AxisError, match="flip: axis 3"):
        fnp.flip(x, 3)
    with pytest.raises(ShapeError, match="broadcast_to"):
        fnp.broadcast_to(x, (2, 3, 5))
    with pytest.raises(ShapeError, match="squeeze"):
        fnp.squeeze(x, 0)
    with pytest.raises(AxisError, match="moveaxis"):
        fnp.moveaxis(x, (0, 1), 0)
    with pytest.raises(ArgumentError, match="roll"):
        fnp.roll(x, (1, 2, 3), (0, 1))
    with pytest.raises(ShapeError):
        fnp.matrix_transpose(x[0, 0])
