"""Medians, quantiles and percentiles."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, DtypeError, ShapeError
from funcflow.testing import check_laws

nan = np.nan
X = np.float32([[1.5, -2, 3, 0.5], [4, 0.25, -1, 2], [-3, 1, 2.5, 0.75]])
HOLES = np.float32([[1.5, nan, 3, 0.5], [nan, nan, nan, nan], [-3, 1, 2.5, nan]])
Q = np.float32([0, 0.1, 0.5, 0.8, 1])


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "inverted_cdf"])
def test_methods(agrees, method):
    for axis in (None, 0, (1, 0)):
        agrees(lambda xp, x, q, axis=axis: xp.quantile(x, q, axis, method=method), X, Q)
    agrees(lambda xp, x: xp.quantile(x, 0.3, axis=1, method=method, keepdims=True), X)


def test_nearest_takes_the_lower_of_two():
    q = fnp.array([0, 0.2, 0.5, 0.6, 1])
    out = fnp.quantile(fnp.array([5.0, 1, 3, 4]), q, method="nearest")
    assert out.tolist() == [1, 3, 3, 4, 5]


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_medians(agrees, name):
    for x in (X, X[:, :3], X.astype("float64"), np.arange(6)):
        agrees(lambda xp, x: getattr(xp, name)(x), x)
        agrees(lambda xp, x: getattr(xp, name)(x, axis=-1, keepdims=True), x)


def test_nans(agrees):
    agrees(lambda xp, x: xp.median(x, axis=1), HOLES)
    agrees(lambda xp, x, q: xp.quantile(x, q, axis=0), HOLES, Q)
    # NumPy's nan functions warn of rows that hold nothing else
    agrees(lambda xp, x: xp.nanmedian(x, axis=1), HOLES[::2])
    agrees(lambda xp, x, q: xp.nanquantile(x, q, axis=1), HOLES[::2], Q)
    agrees(lambda xp, x: xp.nanpercentile(x, 30, axis=0, keepdims=True), HOLES[:, [0, 2, 3]])
    assert np.isnan(fnp.nanmedian(HOLES, axis=1)).tolist() == [False, True, False]


def test_percentiles(agrees):
    agrees(lambda xp, x, q: xp.percentile(x, q), X, 100 * Q)
    agrees(lambda xp, x: xp.percentile(x, 30, axis=1), X)


def test_infinite_elements():
    x = fnp.array([-np.inf, 1, 2, np.inf])
    np.testing.assert_allclose(fnp.quantile(x, fnp.array([0, 0.4, 1])), [-np.inf, 1.2, np.inf])


def test_weights(agrees):
    def f(xp, x, w, q):
        return xp.quantile(x, q, weights=w, method="inverted_cdf")

    w = np.float32([[1, 2, 0, 1], [0, 3, 1, 1], [2, 1, 1, 4]])
    agrees(f, X, w, Q)
    agrees(lambda xp, x, w: xp.quantile(x, 0.4, 1, weights=w, method="inverted_cdf"), X, w[0])
    out = fnp.nanquantile(HOLES[0], 0.5, weights=w[2], method="inverted_cdf")
    assert out == 0.5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_16_bit_floats(dtype):
    x = fnp.arange(4096).astype("float32") % 128
    out = fnp.quantile(x.astype(dtype), 0.75)
    assert out.dtype == dtype
    # between the elements 3071 and 3072; float16 could not count that far
    np.testing.assert_allclose(out.astype("float32"), 95.25, rtol=2**-7)


def test_result_dtype_is_that_of_the_elements():
    assert fnp.quantile(fnp.ones(3, "float16"), fnp.ones((), "float64")).dtype == "float16"
    assert fnp.quantile(fnp.arange(3), 0.5).dtype == "float32"
    assert not fnp.median(3.0).weak_type


@pytest.mark.parametrize("method", ["linear", "midpoint", "lower"])
def test_laws(method):
    def f(x):
        return fnp.quantile(x, fnp.array([0.1, 0.7]), axis=1, method=method)

    check_laws(f, (fnp.asarray(X),))
    check_laws(lambda x: fnp.nanquantile(x, 0.7, axis=0, method=method), (fnp.asarray(X),))


def test_derivatives_go_to_the_elements_in_the_middle():
    assert ff.grad(fnp.median)(fnp.array([7.0, 1, 3, 4])).tolist() == [0, 0, 0.5, 0.5]
    slope = ff.grad(lambda q: fnp.quantile(fnp.array([1.0, 2, 4]), q))(0.75)
    assert slope == 4


def test_no_elements():
    assert np.isnan(fnp.median(fnp.ones(0)))
    assert fnp.quantile(fnp.ones((3, 0)), Q, axis=0).shape == (5, 0)


def test_bad_arguments():
    with pytest.raises(ShapeError, match="quantile: q has the shape"):
        fnp.quantile(X, np.ones((2, 2)))
    with pytest.raises(ArgumentError, match="quantile: no method 'hazen'"):
        fnp.quantile(X, 0.5, method="hazen")
    with pytest.raises(ArgumentError, match="with weights"):
        fnp.quantile(X, 0.5, weights=X)
    with pytest.raises(ArgumentError, match="overwrite_input"):
        fnp.median(X, overwrite_input=True)
    with pytest.raises(DtypeError, match="median: complex numbers have no order"):
        fnp.median(fnp.ones(2, complex))
