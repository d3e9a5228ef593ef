"""Discrete Fourier transforms, against their definition; their laws; threads; errors."""

import ml_dtypes
import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as hst

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.testing import check_grads, check_laws

LENGTHS = [1, 2, 3, 8, 15]


def normal(*shape, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def matrix(n, sign=-1):
    """The matrix of the transform of n points."""
    k = np.arange(n)
    return np.exp(sign * 2j * np.pi * np.outer(k, k) / n)


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_transforms_are_products_with_their_matrix(n, dtype, agrees):
    z = normal(2, n, dtype=dtype)
    scale = max(1, n) * 4
    tolerance = scale * np.finfo(dtype).eps
    agrees(lambda x: lax.fft(x, "fft", (n,)), lambda x: x @ matrix(n), z, tolerance=tolerance)
    inverse = matrix(n, sign=1) / n
    agrees(lambda x: lax.fft(x, "IFFT", (n,)), lambda x: x @ inverse, z, tolerance=tolerance)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_real_transforms_are_halves(n, dtype, agrees):
    x = normal(2, n, dtype=dtype)
    half = n // 2 + 1
    kind = dict(dtype="complex64" if dtype == "float32" else "complex128")
    kind["tolerance"] = 4 * n * np.finfo(dtype).eps
    agrees(lambda x: lax.fft(x, "rfft", (n,)), lambda x: (x @ matrix(n))[:, :half], x, **kind)
    spectrum = lax.fft(x, lax.FftType.RFFT, (n,))
    np.testing.assert_allclose(
        lax.fft(spectrum, lax.FftType.IRFFT, (n,)), x, rtol=1e-5, atol=4 * n * np.finfo(dtype).eps
    )


def test_what_cannot_be_is_ignored():
    """The imaginary parts of frequencies that are their own conjugates."""
    z = np.array([1 + 5j, 2 + 1j, 3 - 7j], "complex64")
    alone = np.array([1, 2 + 1j, 3], "complex64")
    np.testing.assert_allclose(lax.fft(z, "irfft", (4,)), lax.fft(alone, "irfft", (4,)), rtol=1e-6)


def test_several_axes_are_one_after_the_other():
    x = normal(2, 3, 4, 5)
    got = lax.fft(x, "rfft", (3, 4, 5))
    expected = lax.fft(x, "rfft", (5,))
    for axis in (2, 1):
        moved = lax.fft(fnp.moveaxis(expected, axis, -1), "fft", (x.shape[axis],))
        expected = fnp.moveaxis(moved, -1, axis)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(lax.fft(got, "irfft", (3, 4, 5)), x, rtol=1e-5, atol=1e-5)


def test_dtypes():
    for dtype in ("float16", ml_dtypes.bfloat16, "int32", "bool", "float32"):
        x = np.ones(3, dtype)
        assert lax.fft(x, "rfft", (3,)).dtype == np.complex64
        assert lax.fft(x, "fft", (3,)).dtype == np.complex64
        assert lax.fft(x, "irfft", (5,)).dtype == np.float32
    assert lax.fft(np.ones(3), "rfft", (3,)).dtype == np.complex128
    assert lax.fft(np.ones(3, "c16"), "irfft", (4,)).dtype == np.float64


def test_16_bit_floats_are_transformed_in_float32():
    x = normal(64).astype("float16")
    wide = lax.fft(x.astype("float32"), "rfft", (64,))
    np.testing.assert_array_equal(lax.fft(x, "rfft", (64,)), wide)
    gradient = ff.grad(lambda x: fnp.sum(fnp.abs(lax.fft(x, "rfft", (64,)))))(x)
    assert gradient.dtype == np.float16


def test_no_transforms_at_all():
    assert lax.fft(np.ones((0, 4), "f4"), "rfft", (4,)).shape == (0, 3)
    assert ff.jit(lambda x: lax.fft(x, "rfft", (4,)))(np.ones((0, 4), "f4")).shape == (0, 3)


def test_views_are_read_where_they_are():
    x = normal(6, 8)
    np.testing.assert_allclose(
        lax.fft(fnp.asarray(x).T[::-2], "rfft", (6,)), np.fft.rfft(x.T[::-2]), rtol=1e-5, atol=1e-5
    )


# --- laws -------------------------------------------------------------------------------------

TYPES = ["fft", "ifft", "rfft", "irfft"]


def taken(fft_type, lengths, dtype="float32"):
    """An argument of the transform with these lengths."""
    if fft_type == "irfft":
        lengths = (*lengths[:-1], lengths[-1] // 2 + 1)
    return normal(2, *lengths, dtype=dtype if fft_type == "rfft" else "complex64")


@pytest.mark.parametrize("fft_type", TYPES)
@pytest.mark.parametrize("lengths", [(1,), (2,), (5,), (3, 1), (2, 2), (3, 4)], ids=str)
def test_derivatives(fft_type, lengths):
    check_grads(lambda x: lax.fft(x, fft_type, lengths), (taken(fft_type, lengths),), order=2)


@pytest.mark.parametrize("fft_type", TYPES)
def test_laws_of_what_is_computed_with_spectra(fft_type):
    x = taken(fft_type, (4,))
    check_laws(lambda x: lax.sin(lax.fft(lax.mul(x, x), fft_type, (4,))), (x,))


@given(n=hst.integers(1, 12), columns=hst.integers(1, 3), seed=hst.integers(0, 9))
def test_transposes_of_real_transforms(n, columns, seed):
    """<ct, F x> == <F^T ct, x>, where the product of complex numbers is the real part of theirs."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((columns, n))
    half = rng.standard_normal((columns, n // 2 + 1, 2)).view("complex128")[..., 0]
    lengths = (columns, n)

    def transform(x):
        return lax.fft(x, "rfft", lengths)

    def inverse(x):
        return lax.fft(x, "irfft", lengths)

    (back,) = ff.linear_transpose(transform, x)(half)
    np.testing.assert_allclose(np.sum(half * transform(x)).real, np.sum(back * x), atol=1e-9)
    (back,) = ff.linear_transpose(inverse, half)(x)
    np.testing.assert_allclose(np.sum(x * inverse(half)), np.sum(back * half).real, atol=1e-9)


def test_lanes_among_the_leading_axes_stay_there():
    x = normal(2, 3, 4)
    jaxpr = ff.make_jaxpr(ff.vmap(lambda x: lax.fft(x, "rfft", (4,)), in_axes=1, out_axes=1))(x)
    assert [eqn.primitive.name for eqn in jaxpr.eqns] == ["fft"]


# --- compiled ---------------------------------------------------------------------------------


def test_the_step_that_python_runs_is_announced():
    x = normal(8)
    assert "fft has no native form" in str(ff.jit(lambda x: lax.fft(x, "rfft", (8,))).explain(x))


@pytest.mark.parametrize("cap, expected", [(1, 1), (3, 3)])
def test_large_arrays_take_the_threads_that_are_allowed(monkeypatch, cap, expected):
    asked = []
    transform = scipy.fft.rfft
    monkeypatch.setenv("NUMBA_NUM_THREADS", "4")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(
        scipy.fft, "rfft", lambda *a, workers, **k: (asked.append(workers), transform(*a, **k))[1]
    )
    with ff.config(num_threads=cap):
        lax.fft(np.ones((4096, 64), "f4"), "rfft", (64,))
        lax.fft(np.ones(64, "f4"), "rfft", (64,))
    assert asked == [expected, 1]


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "x, fft_type, lengths, error, message",
    [
        (normal(4), "dct", (4,), errors.ArgumentError, "unknown fft_type 'dct'"),
        (normal(4), None, (4,), errors.ArgumentError, "unknown fft_type None"),
        (normal(4), "fft", (), errors.ArgumentError, "no fft_lengths"),
        (normal(4), "fft", (5,), errors.ShapeError, r"last axes of the extents \(5,\)"),
        (normal(4), "rfft", (4, 4), errors.ShapeError, "RFFT"),
        (normal(4), "irfft", (4,), errors.ShapeError, r"last axes of the extents \(3,\)"),
        (normal(0), "fft", (0,), errors.ShapeError, "at least 1"),
        (normal(4, dtype="complex64"), "rfft", (4,), errors.DtypeError, "RFFT takes real"),
    ],
)
def test_errors(x, fft_type, lengths, error, message):
    with pytest.raises(error, match=message):
        lax.fft(x, fft_type, lengths)
