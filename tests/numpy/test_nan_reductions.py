"""Reductions that leave out NaNs."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.testing import check_laws

NAMES = ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]
nan = np.nan
X = np.float32([[1.5, nan, 3, 0.5], [4, 0.25, nan, 2], [-3, 1, 2.5, nan]])


@pytest.mark.parametrize("name", [*NAMES, "nanargmax", "nanargmin"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(agrees, name, dtype):
    for axis in (None, 0, 1):
        agrees(lambda xp, x, axis=axis: getattr(xp, name)(x, axis=axis), X.astype(dtype))
    agrees(lambda xp, x: getattr(xp, name)(x, axis=1, keepdims=True), X.astype(dtype))


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar"])
def test_complex_values(agrees, name):
    agrees(lambda xp, x: getattr(xp, name)(x), X[0] + 1j * np.float32([1, 2, nan, 3]))


@pytest.mark.parametrize("name", NAMES)
def test_integers(name):
    x = fnp.arange(1, 5)
    expected = getattr(fnp, name.removeprefix("nan"))(x)
    out = getattr(fnp, name)(x)
    assert (out.tolist(), out.dtype) == (expected.tolist(), expected.dtype)


@pytest.mark.parametrize("name", ["nanmean", "nanvar", "nanstd", "nanmax", "nanmin"])
def test_nothing_but_nan(name):
    assert np.isnan(getattr(fnp, name)(fnp.full(3, nan)))


def test_nothing_but_nan_has_no_place():
    x = fnp.array([[nan, nan], [nan, 2]])
    assert fnp.nanargmax(x, axis=1).tolist() == [-1, 1]
    assert fnp.nanargmin(x, axis=0, keepdims=True).tolist() == [[-1, 1]]


@pytest.mark.parametrize("name", ["nansum", "nanmax", "nanmin", "nanprod"])
def test_initial_and_where(agrees, name):
    mask = np.array([True, True, False, True])
    agrees(lambda xp, x, m: getattr(xp, name)(x, axis=1, initial=0.5, where=m), X, mask)
    assert getattr(fnp, name)(fnp.full(2, nan), initial=3.0) == 3


def test_where_of_means(agrees):
    mask = np.array([True, True, False, True])
    agrees(lambda xp, x, m: xp.nanmean(x, axis=1, where=m), X, mask)
    agrees(lambda xp, x, m: xp.nanvar(x, axis=1, ddof=1, where=m), X, mask)


@pytest.mark.parametrize("name", NAMES)
def test_laws(name):
    x = fnp.array([[1.5, 2.0, 3.0], [4.0, 0.25, -1.0]])
    # a NaN that is not differentiated, since difference quotients cannot step over it
    gap = fnp.array([[0.0], [nan], [0.0], [0.0]])[:, :, None]
    check_laws(lambda x: getattr(fnp, name)(x + gap, axis=(0, 1)), (x,))


@pytest.mark.parametrize("name", NAMES)
def test_nans_have_no_derivative(name):
    gradient = ff.grad(getattr(fnp, name))(fnp.array([1.0, nan, 3.0]))
    assert gradient[1] == 0
    assert np.isfinite(gradient).all()
