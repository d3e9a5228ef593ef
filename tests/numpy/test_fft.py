"""`fnp.fft`, against NumPy; the theorems of Parseval and of convolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as hst

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.errors import (
    ArgumentError,
    AxisError,
    ConcretizationTypeError,
    DtypeError,
    ShapeError,
)
from funcflow.testing import check_laws
from funcflow.testing import strategies as st

RNG = np.random.default_rng(2)
X = RNG.standard_normal((4, 5, 6)).astype("f4")
Z = (X + 1j * RNG.standard_normal(X.shape)).astype("c8")
NORMS = [None, "backward", "ortho", "forward"]
REAL = {"rfft", "ihfft", "rfft2", "rfftn"}


def argument(name):
    return X if name in REAL else Z


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
def test_along_one_axis(name, norm, agrees):
    x = argument(name)
    for axis in (0, 1, -1):
        agrees(lambda xp, x, axis=axis: getattr(xp.fft, name)(x, axis=axis, norm=norm), x)
    for n in (1, 3, 6, 7, 10):  # cut, as it is, and padded
        agrees(lambda xp, x, n=n: getattr(xp.fft, name)(x, n, norm=norm), x)
        agrees(lambda xp, x, n=n: getattr(xp.fft, name)(x, n, 1, norm), x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fft2", "ifft2", "rfft2", "irfft2"])
def test_along_two_axes(name, norm, agrees):
    x = argument(name)
    agrees(lambda xp, x: getattr(xp.fft, name)(x, norm=norm), x)
    for s in ((3, 9), (7, 4)):
        agrees(lambda xp, x, s=s: getattr(xp.fft, name)(x, s, (0, -2), norm), x)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ["fftn", "ifftn", "rfftn", "irfftn"])
def test_along_several_axes(name, norm, agrees):
    x = argument(name)
    agrees(lambda xp, x: getattr(xp.fft, name)(x, norm=norm), x)
    for axes in ((1,), (2, 0), (1, 2, 0)):
        agrees(lambda xp, x, axes=axes: getattr(xp.fft, name)(x, axes=axes, norm=norm), x)
    agrees(lambda xp, x: getattr(xp.fft, name)(x, (3, 7), (1, 0), norm), x)


@pytest.mark.parametrize("name", ["fft", "ifft", "fft2", "fftn", "irfft", "hfft", "irfftn"])
def test_real_arguments_of_complex_transforms(name, agrees):
    agrees(lambda xp, x: getattr(xp.fft, name)(x), X)
    assert getattr(fnp.fft, name)(np.arange(12).reshape(3, 4)).dtype.itemsize in (4, 8)


def test_four_axes(agrees):
    assert fnp.fft.fftn(Z, (2, 3)).shape == (4, 2, 3)
    agrees(lambda xp, x: xp.fft.fftn(x), np.stack([Z, 1j * Z]))
    agrees(lambda xp, x: xp.fft.irfftn(xp.fft.rfftn(x), x.shape, range(4)), np.stack([X, 2 * X]))


def test_dtypes():
    assert fnp.fft.fft(X).dtype == np.complex64
    assert fnp.fft.rfft(X.astype("f8"), norm="ortho").dtype == np.complex128
    assert fnp.fft.irfft(Z.astype("c16"), norm="forward").dtype == np.float64
    assert fnp.fft.fft(fnp.arange(4)).dtype == np.complex64
    assert fnp.fft.rfft(fnp.ones(4, "bfloat16")).dtype == np.complex64
    assert fnp.fft.fft(np.ones(4, "f2"), norm="ortho").dtype == np.complex64


@pytest.mark.parametrize("name", ["fft", "irfft", "rfft", "hfft", "ihfft"])
def test_laws(name):
    x = argument(name)[0, :3, :4]
    check_laws(lambda x: fnp.sin(getattr(fnp.fft, name)(x, 5, 0, "ortho")), (x,))


@pytest.mark.parametrize("name", ["fft2", "irfftn", "rfftn"])
def test_laws_of_several_axes(name):
    x = argument(name)[:2, :3, :4]
    check_laws(lambda x: getattr(fnp.fft, name)(x, (3, 4), (2, 0), "forward"), (x,))


def test_numpys_functions_trace():
    got = ff.jit(lambda x: np.fft.irfft(np.fft.rfft(x, axis=0), axis=0, norm="backward"))(X)
    assert isinstance(got, ff.Array)
    np.testing.assert_allclose(got, X, rtol=1e-5, atol=1e-5)
    assert isinstance(np.fft.fftshift(fnp.arange(3)), ff.Array)


# --- theorems ---------------------------------------------------------------------------------

finite = hst.floats(-10, 10, width=32)


@given(x=hst.lists(finite, min_size=1, max_size=40), norm=hst.sampled_from(NORMS))
def test_parseval(x, norm):
    """The sum of squares of a signal is that of its spectrum, over n without a normalisation."""
    x = np.array(x)
    n = len(x)
    per_square = {"ortho": 1, "forward": n}.get(norm, 1 / n)
    spectrum = np.asarray(fnp.fft.fft(x, norm=norm))
    energy = np.sum(np.abs(spectrum) ** 2) * per_square
    np.testing.assert_allclose(energy, np.sum(x * x), rtol=1e-9, atol=1e-9)
    weights = np.where(2 * np.arange(n // 2 + 1) % n == 0, 1, 2)
    half = np.sum(weights * np.abs(fnp.fft.rfft(x, norm=norm)) ** 2) * per_square
    np.testing.assert_allclose(half, np.sum(x * x), rtol=1e-9, atol=1e-9)


@given(a=hst.lists(finite, min_size=1, max_size=20), b=hst.lists(finite, min_size=1, max_size=20))
def test_products_of_spectra_are_convolutions(a, b):
    n = len(a) + len(b) - 1
    spectra = fnp.fft.rfft(np.array(a), n) * fnp.fft.rfft(np.array(b), n)
    np.testing.assert_allclose(fnp.fft.irfft(spectra, n), np.convolve(a, b), atol=1e-9)


@given(shape=st.shapes(min_dims=1, max_dims=3), data=hst.data())
def test_inverses(shape, data):
    x = RNG.standard_normal(shape)
    axes = data.draw(st.axes(len(shape), min_size=1))
    s = tuple(shape[axis] for axis in axes)
    norm = data.draw(hst.sampled_from(NORMS))
    if 0 in s:
        with pytest.raises(ShapeError, match="at least one point"):
            fnp.fft.rfftn(x, axes=axes)
        return
    options = {"axes": axes, "norm": norm}
    back = fnp.fft.irfftn(fnp.fft.rfftn(x, **options), s, **options)
    np.testing.assert_allclose(back, x, atol=1e-12)
    np.testing.assert_allclose(fnp.fft.ifftn(fnp.fft.fftn(x, **options), **options), x, atol=1e-12)


# --- frequencies ------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(n, agrees):
    agrees(lambda xp: xp.fft.fftfreq(n))
    agrees(lambda xp: xp.fft.rfftfreq(n, 0.25))
    agrees(lambda xp, d: xp.fft.fftfreq(n, d), np.array(0.3, "f4"))
    agrees(lambda xp, d: xp.fft.rfftfreq(n, d=d), np.array(3))
    assert fnp.fft.fftfreq(n).dtype == np.float32
    assert fnp.fft.rfftfreq(n, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
def test_shifts(name, agrees):
    for axes in (None, 1, -1, (0, 2), ()):
        agrees(lambda xp, x, axes=axes: getattr(xp.fft, name)(x, axes), X)
    agrees(lambda xp, x: getattr(xp.fft, name)(x), np.arange(5))
    agrees(lambda xp, x: getattr(xp.fft, name)(x, axes=0), np.arange(6) % 2 == 0)


def test_the_shifts_are_inverses():
    np.testing.assert_array_equal(fnp.fft.ifftshift(fnp.fft.fftshift(X)), X)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: fnp.fft.fft(x, 0), ShapeError, r"fft: cannot transform \(0,\) points"),
        (lambda x: fnp.fft.rfft(x, -1), ShapeError, "rfft: cannot"),
        (lambda x: fnp.fft.fft(x, 2.5), ArgumentError, "fft: n must be an integer"),
        (lambda x: fnp.fft.fft(x, axis=3), AxisError, "fft: axis 3 is out of range"),
        (lambda x: fnp.fft.fft(x, axis=(0, 1)), ArgumentError, "use fftn"),
        (lambda x: fnp.fft.fft(x, norm="max"), ArgumentError, "fft: unknown norm 'max'"),
        (lambda x: fnp.fft.hfft(x, norm="max"), ArgumentError, "hfft: unknown norm"),
        (lambda x: fnp.fft.irfft(x[..., :1]), ShapeError, "irfft: cannot"),
        (lambda x: fnp.fft.fft(x[..., :0]), ShapeError, "fft: cannot"),
        (lambda x: fnp.fft.rfft(x + 1j), DtypeError, "rfft: takes real"),
        (lambda x: fnp.fft.rfftn(x + 1j), DtypeError, "rfftn: takes real"),
        (lambda x: fnp.fft.ihfft(x + 1j), DtypeError, "ihfft: takes real"),
        (lambda x: fnp.fft.fftn(x, axes=(0, 0)), AxisError, "duplicate axes"),
        (lambda x: fnp.fft.fftn(x, (2, 2), (0,)), ArgumentError, "2 numbers of points .* 1 axes"),
        (lambda x: fnp.fft.fftn(x, (2, 2, 2, 2)), AxisError, "fftn: axis -4"),
        (lambda x: fnp.fft.fftn(fnp.float32(1)), ShapeError, "no axis to transform"),
        (lambda x: fnp.fft.fftn(x, axes=()), ShapeError, "no axis to transform"),
        (lambda x: fnp.fft.fft2(x, axes=(0,)), ArgumentError, "fft2: takes two axes"),
        (lambda x: fnp.fft.rfft2(x, axes=1), ArgumentError, "use rfftn"),
        (lambda x: fnp.fft.fftfreq(0), ArgumentError, "fftfreq: n is 0"),
        (lambda x: fnp.fft.fftshift(x, 3), AxisError, "fftshift: axis 3"),
        (lambda x: ff.jit(lambda n: fnp.fft.fft(x, n))(3), ConcretizationTypeError, "n must be"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(fnp.asarray(X))
