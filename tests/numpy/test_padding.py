"""`pad`, against NumPy."""

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError
from funcflow.testing import check_laws

X = np.array([[1.0, 4.0, 9.0, 2.0], [0.5, -1.0, 3.0, 3.5], [2.0, 2.5, 0.0, 1.0]], "f4")
WIDTHS = [2, (1, 3), ((0, 1), (2, 0)), ((5, 4), (7, 9)), 0]

MODES = [
    ("constant", {}),
    ("constant", {"constant_values": 7}),
    ("constant", {"constant_values": ((1, 2), (3, 4))}),
    ("edge", {}),
    ("linear_ramp", {}),
    ("linear_ramp", {"end_values": (5, -5)}),
    ("maximum", {}),
    ("minimum", {"stat_length": 2}),
    ("mean", {"stat_length": ((1, 2), (2, 1))}),
    ("median", {}),
    ("reflect", {}),
    ("reflect", {"reflect_type": "odd"}),
    ("symmetric", {}),
    ("symmetric", {"reflect_type": "odd"}),
    ("wrap", {}),
]


@pytest.mark.parametrize("width", WIDTHS, ids=str)
@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_modes(mode, options, width, agrees):
    agrees(lambda xp, x: xp.pad(x, width, mode, **options), X)


@pytest.mark.parametrize(("mode", "options"), MODES, ids=str)
def test_modes_of_integers(mode, options, agrees):
    agrees(lambda xp, x: xp.pad(x, ((0, 0), (3, 2)), mode, **options), (3 * X).astype("i4"))


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_single_elements(mode, agrees):
    agrees(lambda xp, x: xp.pad(x[:, :1], 2, mode), X)


def test_details(agrees):
    agrees(lambda xp, x: xp.pad(x, {1: (1, 2), 0: 1}), X)
    assert fnp.pad(X, 1, "empty").shape == (5, 6)
    assert fnp.pad(fnp.zeros((0, 2)), 1).shape == (2, 4)

    def border(vector, width, axis, options):
        value = options["value"] * (axis + 1)
        return vector.at[: width[0]].set(value).at[vector.size - width[1] :].set(value)

    def numpy_border(vector, width, axis, options):
        value = options["value"] * (axis + 1)
        vector[: width[0]] = value
        vector[vector.size - width[1] :] = value

    got = fnp.pad(X, (1, 2), border, value=7.0)
    np.testing.assert_array_equal(got, np.pad(X, (1, 2), numpy_border, value=7.0))


def test_laws():
    for mode, options in MODES[2::3]:
        check_laws(lambda x, m=mode, o=options: fnp.pad(x, (2, 5), m, **o), (X,), order=1)
    check_laws(lambda x, c: fnp.pad(x, 1, constant_values=c), (X, np.float32(2)), order=1)


def test_errors():
    with pytest.raises(ArgumentError, match="mode='mirror'"):
        fnp.pad(X, 1, "mirror")
    with pytest.raises(ArgumentError, match="does not take stat_length"):
        fnp.pad(X, 1, "edge", stat_length=2)
    with pytest.raises(ArgumentError, match="negative"):
        fnp.pad(X, -1)
    with pytest.raises(ShapeError, match="pairs"):
        fnp.pad(X, ((1, 1), (1, 1), (1, 1)))
    with pytest.raises(ShapeError, match="values"):
        fnp.pad(X, (1, 2, 3))
    with pytest.raises(ShapeError, match="empty"):
        fnp.pad(X[:0], 1, "edge")
