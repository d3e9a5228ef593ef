"""Softmax and its kin against JAX's values and closed forms, with masks, and the laws."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn
from funcflow.errors import ArgumentError, AxisError, ShapeError
from funcflow.testing import check_laws

AXES = {"0": 0, "-1": -1, "None": None, "(0, 1)": (0, 1)}
NAMES = ["softmax", "log_softmax", "logsumexp", "logmeanexp", "standardize"]
X = np.array([[0.5, -1.0, 2.0], [3.0, 2.0, -1.0]])
KEEP = np.array([[True, True, False], [True, False, True]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", AXES)
def test_values(name, axis, recorded):
    function, rows = getattr(nn, name), 2 if name == "standardize" else 3
    x = np.asarray(recorded["matrix"], "float32")[:rows]
    where = np.asarray(recorded["where"])[:rows]
    plain, masked = recorded["normalization"][f"{name} {axis}"]
    got = function(x, axis=AXES[axis])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, np.asarray(plain, float), rtol=2e-5, atol=1e-6)
    got = function(x, axis=AXES[axis], where=where)
    np.testing.assert_allclose(got, np.asarray(masked, float), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(name, dtype):
    function = getattr(nn, name)
    got = function(fnp.asarray(X).astype(dtype))
    assert got.dtype == fnp.dtype(dtype)
    eps = float(fnp.finfo(dtype).eps)
    np.testing.assert_allclose(got.astype("float64"), function(X), rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("name", NAMES)
def test_laws(name):
    function = getattr(nn, name)
    check_laws(lambda x: function(x, axis=-1), (X.astype("float32"),))
    check_laws(lambda x, keep: function(x, axis=-1, where=keep), (X, KEEP))
    check_laws(lambda x: function(x, axis=(0, 1)), (X,))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_excluded_has_no_influence(name):
    function = getattr(nn, name)

    def total(x):
        out = function(x, axis=-1, where=KEEP)
        return fnp.sum(fnp.where(KEEP, out, 0) if out.shape == x.shape else out)

    bad = np.where(KEEP, X, np.nan)
    np.testing.assert_allclose(total(bad), total(X), rtol=1e-12)
    derivative = np.asarray(ff.grad(total)(bad))
    np.testing.assert_array_equal(derivative[~KEEP], 0)
    np.testing.assert_allclose(derivative, ff.grad(total)(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_masks_broadcast(name):
    function = getattr(nn, name)
    where = np.array([True, False, True])
    expected = function(X, axis=1, where=np.stack([where, where]))
    np.testing.assert_array_equal(function(X, axis=1, where=where), expected)


def test_nothing_left():
    none = np.full(3, False)
    np.testing.assert_array_equal(nn.softmax(X[0], where=none), 0)
    np.testing.assert_array_equal(nn.log_softmax(X[0], where=none), -np.inf)
    assert nn.logsumexp(X[0], where=none) == -np.inf
    assert fnp.isnan(nn.logmeanexp(X[0], where=none))
    assert nn.softmax(fnp.zeros((2, 0))).shape == (2, 0)
    assert nn.logsumexp(fnp.zeros(0)) == -np.inf
    for function in (nn.softmax, nn.logsumexp):
        derivative = ff.grad(lambda x, f=function: fnp.sum(f(x, where=none)))(X[0])
        np.testing.assert_array_equal(derivative, 0)


def test_extremes():
    x = np.array([-np.inf, 0.0, 1e30, 1e30], "float32")
    np.testing.assert_array_equal(nn.softmax(x), [0, 0, 0.5, 0.5])
    assert nn.logsumexp(x) == np.float32(1e30)
    np.testing.assert_array_equal(ff.grad(nn.logsumexp)(x), [0, 0, 0.5, 0.5])
    jacobian = np.asarray(ff.jacrev(nn.softmax)(x))
    assert np.isfinite(jacobian).all()
    assert nn.logsumexp(np.full(3, -np.inf)) == -np.inf
    np.testing.assert_array_equal(ff.grad(nn.logsumexp)(np.full(3, -np.inf)), 0)
    assert nn.logsumexp(np.array([np.inf, 0.0])) == np.inf


def test_weighted_logsumexp():
    b = np.array([[1.0, -2.0, 0.0], [0.5, 1.0, -9.0]])
    sums = np.sum(b * np.exp(X), axis=1)
    out, sign = nn.logsumexp(X, axis=1, b=b, return_sign=True)
    np.testing.assert_allclose(out, np.log(np.abs(sums)), rtol=1e-12)
    np.testing.assert_array_equal(sign, np.sign(sums))
    assert nn.logsumexp(X, axis=1, b=b, keepdims=True).shape == (2, 1)
    assert fnp.isnan(nn.logsumexp(np.array([1.0, 2.0]), b=np.array([1.0, -1.0])))
    check_laws(lambda x, b: nn.logsumexp(x, 1, b, return_sign=True)[0], (X, b))
    # a weight of 0 has a derivative too
    derivative = ff.grad(nn.logsumexp, argnums=2)(X[0], None, np.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(derivative, np.exp(X[0]) / np.exp(X[0, :2]).sum(), rtol=1e-12)
    assert nn.logsumexp(np.array([0.0, 2000.0]), b=np.array([1.0, 0.0])) == 0


def test_complex_logsumexp():
    z = np.array([1 + 2j, 3.0, 2 - 1j])
    np.testing.assert_allclose(nn.logsumexp(z), np.log(np.exp(z).sum()), rtol=1e-12)
    out, sign = nn.logsumexp(z, return_sign=True)
    np.testing.assert_allclose(sign * np.exp(out), np.exp(z).sum(), rtol=1e-12)
    check_laws(nn.logsumexp, (z,))


def test_standardize_keeps_digits_beside_a_large_mean():
    x = np.array([1e4, 1e4 + 1, 1e4 + 2], "float32")
    np.testing.assert_allclose(nn.standardize(x), [-1.2247357, 0, 1.2247357], rtol=1e-5)
    np.testing.assert_array_equal(nn.standardize(np.ones(3)), 0)
    np.testing.assert_allclose(nn.standardize(X, mean=1.0, variance=4.0, epsilon=0.0), (X - 1) / 2)


def test_standardize_complex():
    z = np.array([1 + 2j, 3.0, 2 - 1j])
    out = np.asarray(nn.standardize(z, epsilon=0.0))
    np.testing.assert_allclose([out.mean(), np.mean(np.abs(out) ** 2)], [0, 1], atol=1e-12)


def test_errors():
    with pytest.raises(AxisError, match="softmax: axis 2"):
        nn.softmax(X, axis=2)
    with pytest.raises(AxisError, match="logsumexp: duplicate axes"):
        nn.logsumexp(X, axis=(0, -2))
    with pytest.raises(ShapeError):
        nn.softmax(X, where=np.ones(4, bool))
    with pytest.raises(ShapeError, match="logsumexp: where must broadcast"):
        nn.logsumexp(X, where=np.ones((2, 2, 3), bool))
    with pytest.raises(ArgumentError, match="no algorithm 'quick'"):
        nn.standardize(X, algorithm="quick")
