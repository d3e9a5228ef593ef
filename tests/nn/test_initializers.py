"""Initial values: JAX's bits where distributions are named, and moments."""

import math

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import ArgumentError, AxisError, ConcretizationTypeError, ShapeError
from funcflow.nn import initializers
from funcflow.testing import check_laws

NAMED = [
    "glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal", "he_uniform", "he_normal",
    "uniform", "normal", "truncated_normal",
]  # fmt: skip
MODES = {"fan_in": 30, "fan_out": 20, "fan_avg": 25, "fan_geo_avg": math.sqrt(600)}
DISTRIBUTIONS = ["normal", "truncated_normal", "uniform"]


@pytest.mark.parametrize("name", NAMED)
def test_values(name, recorded):
    got = getattr(initializers, name)()(ff.random.key(0), (2, 3))
    np.testing.assert_allclose(got, recorded["initializers"][name], rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_variance_scaling(mode, distribution, recorded):
    init = initializers.variance_scaling(
        2.0, mode, distribution, in_axis=1, out_axis=(2,), batch_axis=0
    )
    expected = recorded["variance_scaling"][f"{mode} {distribution}"]
    np.testing.assert_allclose(init(ff.random.key(0), (2, 3, 2, 1)), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_moments(mode, distribution, dtype):
    init = initializers.variance_scaling(2.0, mode, distribution, batch_axis=0, dtype=dtype)
    sample = np.asarray(init(ff.random.key(1), (100, 30, 20)))
    assert sample.dtype == dtype
    stddev = math.sqrt(2 / MODES[mode])
    assert np.abs(sample.mean()) < 0.02 * stddev
    assert np.mean(np.abs(sample) ** 2) == pytest.approx(stddev**2, rel=0.02)
    if distribution == "uniform":
        bound = stddev * math.sqrt(2 if dtype == "complex64" else 3)
        assert 0.99 * bound < np.abs(sample).max() <= bound * (1 + 1e-6)


ORTHOGONAL = {
    "tall": (initializers.orthogonal(), (4, 2)),
    "wide": (initializers.orthogonal(2.0), (2, 3)),
    "columns first": (initializers.orthogonal(column_axis=0), (2, 3, 2)),
    "delta": (initializers.delta_orthogonal(), (3, 2, 2, 3)),
}


@pytest.mark.parametrize("name", ORTHOGONAL)
def test_orthogonal_values(name, recorded):
    init, shape = ORTHOGONAL[name]
    np.testing.assert_allclose(
        init(ff.random.key(0), shape), recorded["orthogonal"][name], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 4), (0, 3)])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_columns_or_rows_are_orthonormal(shape, dtype):
    q = np.asarray(initializers.orthogonal(3.0)(ff.random.key(1), shape, dtype)) / 3
    assert q.shape == shape and q.dtype == dtype
    matrix = q.reshape(-1, shape[-1])
    matrix = matrix if len(matrix) >= shape[-1] else matrix.T
    expected = np.eye(matrix.shape[1])
    np.testing.assert_allclose(matrix.conj().T @ matrix, expected, atol=1e-12)


def test_a_delta_orthogonal_convolution_keeps_the_size_of_signals():
    kernel = initializers.delta_orthogonal()(ff.random.key(0), (3, 4, 2, 5))
    x = ff.random.normal(ff.random.key(1), (1, 6, 7, 2))
    numbers = ("NHWC", "HWIO", "NHWC")
    y = ff.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    np.testing.assert_allclose(fnp.linalg.norm(y), fnp.linalg.norm(x), rtol=1e-5)


def test_orthogonal_in_half_precision():
    q = initializers.orthogonal(dtype="bfloat16")(ff.random.key(0), (4, 2))
    assert q.dtype == fnp.bfloat16
    np.testing.assert_allclose((q.T @ q).astype("float32"), np.eye(2), atol=0.02)


def test_constants():
    key = ff.random.key(0)
    np.testing.assert_array_equal(initializers.zeros(key, (2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initializers.ones(key, 4, "int32"), np.ones(4))
    got = initializers.constant([1, 2], "float64")(key, (3, 2))
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, [[1, 2]] * 3)


def test_aliases():
    assert initializers.xavier_uniform is initializers.glorot_uniform
    assert initializers.xavier_normal is initializers.glorot_normal
    assert initializers.kaiming_uniform is initializers.he_uniform
    assert initializers.kaiming_normal is initializers.he_normal


def test_the_dtype_of_the_call_wins():
    init = initializers.lecun_normal(dtype="float64")
    assert init(ff.random.key(0), (2, 2)).dtype == np.float64
    assert init(ff.random.key(0), (2, 2), "float16").dtype == np.float16


def test_transforms():
    key = ff.random.key(3)
    init = initializers.glorot_normal()
    check_laws(
        lambda words: init(ff.random.wrap_key_data(words), (2, 2)), (ff.random.key_data(key),)
    )
    stacked = ff.vmap(lambda key: init(key, (2, 2)))(ff.random.split(key, 3))
    assert stacked.shape == (3, 2, 2)


def test_empty():
    assert initializers.he_normal()(ff.random.key(0), (0, 3)).shape == (0, 3)


def test_errors():
    with pytest.raises(ArgumentError, match=r"mode must be one of 'fan_in', .* got 'fan'"):
        initializers.variance_scaling(1.0, "fan", "normal")
    with pytest.raises(ArgumentError, match=r"distribution must be one of .* got 'gauss'"):
        initializers.variance_scaling(1.0, "fan_in", "gauss")
    with pytest.raises(ShapeError, match=r"at least 2 axes, got \(3,\)"):
        initializers.he_normal()(ff.random.key(0), (3,))
    with pytest.raises(ShapeError, match=r"orthogonal: needs a shape of at least 2 axes"):
        initializers.orthogonal()(ff.random.key(0), (3,))
    with pytest.raises(ShapeError, match=r"3 to 5 axes, got \(3, 3\)"):
        initializers.delta_orthogonal()(ff.random.key(0), (3, 3))
    with pytest.raises(ShapeError, match=r"no more inputs than outputs, got \(3, 3, 2\)"):
        initializers.delta_orthogonal()(ff.random.key(0), (3, 3, 2))
    with pytest.raises(AxisError, match="variance_scaling: axis 5"):
        initializers.he_normal(in_axis=5)(ff.random.key(0), (3, 4))
    with pytest.raises(ConcretizationTypeError):
        ff.jit(lambda n: initializers.he_normal()(ff.random.key(0), (n, 2)))(fnp.array(3))
