"""Normalisation: the statistics of what comes out, against scikit-learn, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
IMAGES = (RNG.random((2500, 3, 4, 3)) * [1, 10, 100] + [5, 0, -7]).astype(np.float32)
TABLE = RNG.normal(3, 2, (300, 4)) @ RNG.normal(0, 1, (4, 4))
BYTES = RNG.integers(0, 256, (1100, 2, 2, 1), np.uint8)


@pytest.mark.parametrize("data", [IMAGES, TABLE, BYTES, TABLE[:, 0]])
def test_features_have_mean_0_and_deviation_1(data):
    fitted = ff.data.fit_featurewise(data)
    assert fitted.mean.dtype == fitted.std.dtype == ("float64" if data is TABLE else "float32") or (
        data.dtype == np.float64
    )
    result = np.asarray(fitted.apply(data), np.float64)
    axes = tuple(range(max(1, data.ndim - 1)))
    np.testing.assert_allclose(result.mean(axes), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axes), 1, atol=1e-5)
    np.testing.assert_allclose(fitted.invert(result), data, rtol=1e-5, atol=1e-3)


def test_as_in_scikit_learn():
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    data = TABLE.copy()
    data[:, 1] = 0.1  # which no sum gives back exactly
    scaler = preprocessing.StandardScaler().fit(data)
    fitted = ff.data.fit_featurewise(data)
    np.testing.assert_allclose(fitted.mean, scaler.mean_)
    np.testing.assert_allclose(fitted.std, scaler.scale_)
    assert fitted.std[1] == 1
    np.testing.assert_allclose(fitted.apply(data), scaler.transform(data), atol=1e-12)


def test_other_axes():
    whole = ff.data.fit_featurewise(IMAGES, axis=(0, 1, 2, 3))
    np.testing.assert_allclose(whole.mean.ravel(), [IMAGES.mean()], rtol=1e-5)
    pixels = ff.data.fit_featurewise(IMAGES, axis=0)
    assert pixels.std.shape == IMAGES.shape[1:]
    np.testing.assert_allclose(pixels.std, IMAGES.std(0), rtol=1e-4)
    rows = ff.data.fit_featurewise(IMAGES, axis=(-4, -2))
    np.testing.assert_allclose(rows.mean[:, 0], IMAGES.mean((0, 2)), rtol=1e-3)


def test_only_one_of_the_two():
    centred = ff.data.fit_featurewise(TABLE, scale=False)
    np.testing.assert_allclose(centred.apply(TABLE), TABLE - TABLE.mean(0))
    scaled = ff.data.fit_featurewise(TABLE, center=False)
    np.testing.assert_allclose(scaled.apply(TABLE), TABLE / TABLE.std(0))


def test_elements_and_batches():
    fitted = ff.data.fit_featurewise(IMAGES)
    batch = fitted.apply(IMAGES[:5])
    np.testing.assert_allclose(fitted.apply(IMAGES[3]), batch[3])
    whitening = ff.data.fit_zca(IMAGES)
    np.testing.assert_allclose(
        whitening.apply(IMAGES[3]), whitening.apply(IMAGES[:5])[3], atol=1e-4
    )


@given(st.integers(1, 3), st.floats(-100, 100), st.floats(0.1, 100))
def test_samples(ndim, mean, scale):
    x = RNG.normal(mean, scale, (5, 4, 3, 2))
    axes = tuple(range(-ndim, 0))
    result = np.asarray(ff.data.samplewise(x, ndim=ndim))
    np.testing.assert_allclose(result.mean(axes), 0, atol=1e-6)
    std = x.std(axes, keepdims=True) + 1e-6
    np.testing.assert_allclose(result, (x - x.mean(axes, keepdims=True)) / std, atol=1e-9)
    centred = ff.data.samplewise(x, ndim=ndim, scale=False)
    np.testing.assert_allclose(centred, x - x.mean(axes, keepdims=True), atol=1e-9)
    scaled = ff.data.samplewise(x, ndim=ndim, center=False)
    np.testing.assert_allclose(scaled, x / std, rtol=1e-9)


def test_samples_of_integers_and_constants():
    result = ff.data.samplewise(np.full((2, 2, 2, 1), 7, np.uint8))
    assert result.dtype == fnp.float32 and not result.any()


@pytest.mark.parametrize("data", [IMAGES, TABLE])
def test_whitened_data_has_the_identity_as_covariance(data):
    whitening = ff.data.fit_zca(data, epsilon=1e-9)
    white = np.asarray(whitening.apply(data), np.float64)
    flat = white.reshape(len(data), -1)
    np.testing.assert_allclose(flat.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(flat.T, bias=True), np.eye(flat.shape[1]), atol=1e-3)
    np.testing.assert_allclose(whitening.invert(white), data, rtol=1e-3, atol=1e-3)


def test_zca_changes_least():
    """Of all whitenings W of centred data, the sum of squared changes is least for W = C^(-1/2)."""
    whitening = ff.data.fit_zca(TABLE, epsilon=1e-12)
    np.testing.assert_allclose(whitening.matrix, whitening.matrix.T, atol=1e-10)
    centred = TABLE - TABLE.mean(0)

    def change(matrix):
        return ((centred @ matrix - centred) ** 2).sum()

    least = change(np.asarray(whitening.matrix))
    for _ in range(20):
        turn, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
        assert least <= change(np.asarray(whitening.matrix) @ turn)


def test_fewer_elements_than_features():
    data = RNG.random((5, 4, 4, 1))
    whitening = ff.data.fit_zca(data, epsilon=0.1)
    result = np.asarray(whitening.apply(data))
    assert np.isfinite(result).all()
    np.testing.assert_allclose(whitening.invert(result), data, atol=1e-9)


def test_statistics_are_pytrees():
    whitening, scaling = ff.data.fit_zca(IMAGES), ff.data.fit_featurewise(IMAGES)
    assert len(ff.tree.leaves(whitening)) == 3
    assert len(ff.tree.leaves(scaling)) == 2

    @ff.jit
    def prepare(whitening, scaling, x):
        return whitening.apply(scaling.invert(scaling.apply(x)))

    np.testing.assert_allclose(
        prepare(whitening, scaling, IMAGES[:4]), whitening.apply(IMAGES[:4]), atol=1e-2
    )
    slope = ff.grad(lambda x: scaling.apply(x).sum())(IMAGES[0])
    np.testing.assert_allclose(slope, np.broadcast_to(1 / scaling.std, slope.shape), rtol=1e-5)


def test_wrong_arguments():
    for fit in (ff.data.fit_featurewise, ff.data.fit_zca):
        with pytest.raises(ShapeError, match=r"expected elements, got an array of shape \(0, 3\)"):
            fit(np.zeros((0, 3)))
        with pytest.raises(ShapeError, match="got a number"):
            fit(3.0)
    with pytest.raises(ArgumentError, match="does not have the axis 0"):
        ff.data.fit_featurewise(IMAGES, axis=(1, 2))
    with pytest.raises(ArgumentError, match="epsilon=0"):
        ff.data.fit_zca(TABLE, epsilon=0)
    with pytest.raises(ShapeError, match="elements have 3 axes"):
        ff.data.samplewise(np.ones((3, 3)))
