"""Putting arrays together and taking them apart, against NumPy."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError, LeafTypeError, ShapeError
from funcflow.testing import check_laws

X = np.arange(12, dtype="f4").reshape(2, 2, 3)
M = np.arange(6, dtype="f4").reshape(2, 3)
V = np.arange(3, dtype="i4")

CASES = {
    "concatenate": lambda xp, x, m, v: xp.concatenate([m, m + 1]),
    "concatenate axis": lambda xp, x, m, v: xp.concatenate((x, x, x[:, :, :1]), axis=-1),
    "concatenate none": lambda xp, x, m, v: xp.concatenate([x, v], axis=None),
    "concatenate promotes": lambda xp, x, m, v: xp.concatenate([v, m[0]]),
    "concatenate array": lambda xp, x, m, v: xp.concatenate(x),
    "concatenate dtype": lambda xp, x, m, v: xp.concatenate([m, m], dtype="int32", casting="unsafe")
    if xp is np else xp.concatenate([m, m], dtype="int32"),
    "concat": lambda xp, x, m, v: xp.concat([m, m], axis=1),
    "stack": lambda xp, x, m, v: [xp.stack([m, 2 * m], i) for i in (0, 1, 2, -1)],
    "stack numbers": lambda xp, x, m, v: xp.stack([v[0], v[1]]),
    "vstack": lambda xp, x, m, v: [xp.vstack([m, m]), xp.vstack([v, v]), xp.vstack([m, v])],
    "hstack": lambda xp, x, m, v: [xp.hstack([m, m]), xp.hstack([v, v])],
    "dstack": lambda xp, x, m, v: [xp.dstack([m, m]), xp.dstack([v, v])],
    "column_stack": lambda xp, x, m, v: [xp.column_stack([v, v]), xp.column_stack([m.T, v])],
    "block": lambda xp, x, m, v: xp.block([[m, m], [v, v]]),
    "block numbers": lambda xp, x, m, v: [xp.block([v, v[0]]), xp.block(m), xp.block([[[m]]])],
    "append": lambda xp, x, m, v: [xp.append(m, v), xp.append(m, m, 0)],
    "split": lambda xp, x, m, v: [list(xp.split(m, 3, 1)), list(xp.split(m, [1, 2], 1))],
    "split edges": lambda xp, x, m, v: list(xp.split(v, [2, 1, -1, 7])),
    "array_split": lambda xp, x, m, v: [list(xp.array_split(v, n)) for n in (1, 2, 3, 5)],
    "splits": lambda xp, x, m, v: [list(xp.vsplit(m, 2)), list(xp.hsplit(m, 3)),
                                   list(xp.hsplit(v, 3)), list(xp.dsplit(x, 3))],
    "unstack": lambda xp, x, m, v: [list(xp.unstack(m)), list(xp.unstack(x, axis=-1))],
    "tile": lambda xp, x, m, v: [xp.tile(m, r) for r in (2, (2,), (2, 3), (2, 1, 2), 0)],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_as_numpy(name, agrees):
    agrees(CASES[name], X, M, V)


def test_dtypes_are_promoted():
    x, y = fnp.ones(2, "float16"), fnp.ones(2, "int32")
    assert fnp.concatenate([x, y]).dtype == np.float16
    assert fnp.stack([x[0], 1.0]).dtype == np.float16
    assert fnp.stack([1, 2.0]).dtype == np.float32
    assert fnp.concatenate([np.ones(2), fnp.ones(2)]).dtype == np.float64


def test_laws():
    check_laws(lambda x, y: fnp.concatenate([x, y], 1), (M, M + 1), order=1)
    check_laws(lambda x, y: fnp.stack([x, y], 1), (M, M + 1), order=1)
    check_laws(lambda x: fnp.tile(x, (2, 1, 2)), (M,), order=1)
    check_laws(lambda x: fnp.array_split(x, 2, axis=1)[1], (M,), order=1)
    check_laws(lambda x: fnp.unstack(x, axis=1)[1], (M,), order=1)


def test_results_do_not_alias_numpy_arrays():
    source = np.zeros(3)
    x = fnp.concatenate([source])
    source[0] = 1
    assert x[0] == 0


def test_errors():
    x = fnp.asarray(M)
    with pytest.raises(ArgumentError, match="at least one"):
        fnp.concatenate([])
    with pytest.raises(ShapeError, match="one rank"):
        fnp.concatenate([x, x[0]])
    with pytest.raises(ShapeError, match="one rank"):
        fnp.concatenate([1.0, 2.0])
    with pytest.raises(ShapeError, match="concatenate"):
        fnp.concatenate([x, x.T])
    with pytest.raises(AxisError, match="concatenate: axis 2"):
        fnp.concatenate([x], 2)
    with pytest.raises(LeafTypeError, match="concatenate"):
        fnp.concatenate(3.0)
    with pytest.raises(LeafTypeError, match="concatenate"):
        fnp.concatenate([x, [1, 2]])
    with pytest.raises(ShapeError, match="stack: takes arrays of one shape"):
        fnp.stack([x, x[0]])
    with pytest.raises(ArgumentError, match="array_split"):
        fnp.split(x, 2, axis=1)
    with pytest.raises(ArgumentError, match="0 sections"):
        fnp.split(x, 0)
    with pytest.raises(ArgumentError, match="nested to different depths"):
        fnp.block([[x], x])
    with pytest.raises(ArgumentError, match="tile"):
        ff.numpy.tile(x, -1)
