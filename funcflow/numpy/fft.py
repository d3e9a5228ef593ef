"""`fnp.fft`: discrete Fourier transforms, their frequencies, and the order of spectra.

The real transforms keep the frequencies 0, ..., n // 2 of their last axis, since the others are
their conjugates. See Cooley and Tukey, An algorithm for the machine calculation of complex Fourier
series, Mathematics of Computation 19 (1965).
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.core.typing import Shape
from funcflow.lax.fft import FftType
from funcflow.lax.linear import canonical_axes
from funcflow.numpy.arguments import cast, is_sequence, normal_axes, static_int
from funcflow.numpy.manipulation import moveaxis, roll
from funcflow.numpy.promotion import as_array

# By what power of the number of points a transform is multiplied in each normalisation.
_FORWARD = {"backward": 0.0, "ortho": -0.5, "forward": -1.0}
_INVERSE = {"backward": 0.0, "ortho": 0.5, "forward": 1.0}
_POWERS = {
    FftType.FFT: _FORWARD,
    FftType.RFFT: _FORWARD,
    FftType.IFFT: _INVERSE,
    FftType.IRFFT: _INVERSE,
}
# What undoes a normalisation of the other direction.
_OPPOSITE = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


# --- along one axis -------------------------------------------------------------------------


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The discrete Fourier transform along an axis: the sums of `a[j] exp(-2 pi i j k / n)`.

    Args:
        a: an array; 16-bit floats are transformed in float32.
        n: how many points to take: `a` is cut, or padded with zeros at the end; all by default.
        axis: the axis.
        norm: "backward" (or None) divides the inverse by n, "forward" the transform, "ortho" both
            by sqrt(n).

    Returns:
        A complex array with the extent n along the axis, in the precision of `a`.

    Raises:
        AxisError: there is no such axis.
        ShapeError: there are no points.
        ArgumentError: `norm` is none of these, or `axis` is several.

    Example:
        >>> fnp.fft.fft(fnp.array([1.0, 0.0, 0.0, 0.0]))
        Array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j], dtype=complex64)
    """
    return _along_one("fft", FftType.FFT, a, n, axis, norm)


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `fft`, with the same arguments."""
    return _along_one("ifft", FftType.IFFT, a, n, axis, norm)


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The frequencies 0, ..., n // 2 of the `fft` of real `a`, at half its cost.

    Raises:
        DtypeError: `a` is complex.

    Example:
        >>> fnp.fft.rfft(fnp.array([1.0, 2.0, 3.0, 4.0]))
        Array([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    return _along_one("rfft", FftType.RFFT, a, n, axis, norm)


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `rfft`: a real array of n points, by default `2 * (a.shape[axis] - 1)`.

    An odd number of points has to be given. Imaginary parts of the frequency 0, and of n / 2, are
    ignored.
    """
    return _along_one("irfft", FftType.IRFFT, a, n, axis, norm)


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The real transform of a Hermitian signal, of which `a` is the half with `j = 0, ..., n // 2`.

    By default n is `2 * (a.shape[axis] - 1)`.
    """
    a = as_array("hfft", a)
    a = lax.conj(a) if dtypes.is_complex(a.dtype) else a
    return _along_one("hfft", FftType.IRFFT, a, n, axis, _OPPOSITE[_checked_norm("hfft", norm)])


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of `hfft`: half of the Hermitian signal whose transform is the real `a`."""
    norm = _OPPOSITE[_checked_norm("ihfft", norm)]
    return lax.conj(_along_one("ihfft", FftType.RFFT, a, n, axis, norm))


def _along_one(
    function: str, fft_type: FftType, a: Any, n: int | None, axis: int, norm: str | None
) -> Array:
    if is_sequence(axis):
        raise ArgumentError(
            f"{function}: takes one axis, got {axis!r}", mend=f"use {function}n for several axes"
        )
    s = None if n is None else (static_int(function, "n", n),)
    return _transformed(function, fft_type, a, s, normal_axes(function, axis), norm)


# --- along several axes ---------------------------------------------------------------------


def fft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """`fftn` over two axes, by default the last."""
    return _along_two("fft2", FftType.FFT, a, s, axes, norm)


def ifft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """The inverse of `fft2`."""
    return _along_two("ifft2", FftType.IFFT, a, s, axes, norm)


def rfft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """`rfftn` over two axes, by default the last."""
    return _along_two("rfft2", FftType.RFFT, a, s, axes, norm)


def irfft2(
    a: Any, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """The inverse of `rfft2`."""
    return _along_two("irfft2", FftType.IRFFT, a, s, axes, norm)


def fftn(
    a: Any,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Array:
    """The discrete Fourier transform along several axes.

    Args:
        a: an array; 16-bit floats are transformed in float32.
        s: how many points to take along each of the axes, as `n` of `fft`.
        axes: the axes; by default the last `len(s)`, or all.
        norm: as in `fft`, with the product of the numbers of points.

    Returns:
        A complex array with the extents `s` along the axes, in the precision of `a`.

    Raises:
        AxisError: there is no such axis, or one is named twice.
        ShapeError: there are no points, or no axes.
        ArgumentError: `s` and `axes` differ in length, or `norm` is unknown.

    Example:
        >>> fnp.fft.fftn(fnp.ones((2, 2)))
        Array([[4.+0.j, 0.+0.j],
               [0.+0.j, 0.+0.j]], dtype=complex64)
    """
    return _transformed("fftn", FftType.FFT, a, s, axes, norm)


def ifftn(
    a: Any,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Array:
    """The inverse of `fftn`, with the same arguments."""
    return _transformed("ifftn", FftType.IFFT, a, s, axes, norm)


def rfftn(
    a: Any,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Array:
    """`fftn` of real `a`: along the last of the axes as `rfft`, and along the others as `fft`."""
    return _transformed("rfftn", FftType.RFFT, a, s, axes, norm)


def irfftn(
    a: Any,
    s: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    norm: str | None = None,
) -> Array:
    """The inverse of `rfftn`; `s` are the extents of the result, as `n` of `irfft`."""
    return _transformed("irfftn", FftType.IRFFT, a, s, axes, norm)


def _along_two(
    function: str, fft_type: FftType, a: Any, s: Any, axes: Any, norm: str | None
) -> Array:
    if not is_sequence(axes) or len(axes) != 2:
        raise ArgumentError(
            f"{function}: takes two axes, got {axes!r}", mend=f"use {function[:-1]}n for others"
        )
    return _transformed(function, fft_type, a, s, axes, norm)


def _transformed(
    function: str, fft_type: FftType, a: Any, s: Any, axes: Any, norm: str | None
) -> Array:
    """The transform along any axes, which are moved to the end for it."""
    power = _POWERS[fft_type][_checked_norm(function, norm)]
    a = as_array(function, a)
    if fft_type is FftType.RFFT and dtypes.is_complex(a.dtype):
        raise DtypeError(
            f"{function}: takes real numbers, got {a.aval}",
            mend="take the real part, or use a transform of complex numbers, such as fft",
        )
    if s is not None:
        s = tuple(static_int(function, "s", n) for n in s)
    axes = _transformed_axes(function, a, s, axes)
    if s is None:
        s = tuple(a.shape[axis] for axis in axes)
        s = (*s[:-1], 2 * (s[-1] - 1)) if fft_type is FftType.IRFFT else s
    if min(s) < 1:
        raise ShapeError(
            f"{function}: cannot transform {s} points of {a.aval}",
            mend="pass at least one point for each axis, or give their number",
        )
    taken = (*s[:-1], s[-1] // 2 + 1) if fft_type is FftType.IRFFT else s
    last = tuple(range(a.ndim - len(axes), a.ndim))
    a = _resized(a, axes, taken)
    out = lax.fft(a if axes == last else moveaxis(a, axes, last), fft_type, s)
    if power:
        out = lax.mul(out, float(prod(s)) ** power)
    return out if axes == last else moveaxis(out, last, axes)


def _transformed_axes(function: str, a: Array, s: Shape | None, axes: Any) -> Shape:
    """The axes to transform, counted from the front."""
    if axes is None:
        axes = range(a.ndim) if s is None else range(-len(s), 0)
    axes = canonical_axes(normal_axes(function, axes), a.ndim, function)
    if s is not None and len(s) != len(axes):
        raise ArgumentError(
            f"{function}: {len(s)} numbers of points are given for {len(axes)} axes",
            mend="pass one for each axis",
        )
    if not axes:
        raise ShapeError(
            f"{function}: there is no axis to transform in {a.aval}",
            mend="pass an array with axes, and name at least one",
        )
    return axes


def _checked_norm(function: str, norm: str | None) -> str:
    norm = "backward" if norm is None else norm
    if norm not in _OPPOSITE:
        raise ArgumentError(
            f"{function}: unknown norm {norm!r}", mend="use 'backward', 'ortho' or 'forward'"
        )
    return norm


def _resized(a: Array, axes: Shape, extents: Shape) -> Array:
    """`a` cut, or padded with zeros, at the end of each axis to the given extent."""
    config = [(0, 0, 0)] * a.ndim
    for axis, extent in zip(axes, extents, strict=True):
        config[axis] = (0, extent - a.shape[axis], 0)
    return lax.pad(a, np.zeros((), a.dtype), config) if any(map(any, config)) else a


# --- frequencies and their order ------------------------------------------------------------


def fftfreq(n: int, d: Any = 1.0, *, dtype: Any = None) -> Array:
    """The frequencies of `fft`: 0, 1, ..., and then the negative ones up to -1, over `n * d`.

    Args:
        n: the number of points.
        d: their distance.
        dtype: a floating dtype; the default one by default.

    Raises:
        ArgumentError: `n` is less than 1.

    Example:
        >>> fnp.fft.fftfreq(4, 0.5)
        Array([ 0. ,  0.5, -1. , -0.5], dtype=float32)
    """
    n = _points("fftfreq", n)
    i = lax.iota("int32", n)
    return _frequencies(
        "fftfreq", lax.select(lax.lt(i, (n + 1) // 2), i, lax.sub(i, n)), n, d, dtype
    )


def rfftfreq(n: int, d: Any = 1.0, *, dtype: Any = None) -> Array:
    """The frequencies of `rfft`: 0, 1, ..., n // 2 over `n * d`. See `fftfreq`.

    Example:
        >>> fnp.fft.rfftfreq(4)
        Array([0.  , 0.25, 0.5 ], dtype=float32)
    """
    n = _points("rfftfreq", n)
    return _frequencies("rfftfreq", lax.iota("int32", n // 2 + 1), n, d, dtype)


def _points(function: str, n: Any) -> int:
    n = static_int(function, "n", n)
    if n < 1:
        raise ArgumentError(f"{function}: n is {n}", mend="pass the number of points, at least 1")
    return n


def _frequencies(function: str, cycles: Array, n: int, d: Any, dtype: Any) -> Array:
    dtype = dtypes.as_dtype(dtype)
    duration = lax.mul(cast(function, d, dtype), float(n))
    return lax.div(lax.convert_element_type(cycles, dtype), duration)


def fftshift(x: Any, axes: int | Sequence[int] | None = None) -> Array:
    """Move the frequency 0 from the front to the middle of the axes, by default of all.

    Example:
        >>> fnp.fft.fftshift(fnp.fft.fftfreq(4))
        Array([-0.5 , -0.25,  0.  ,  0.25], dtype=float32)
    """
    return _rolled("fftshift", x, axes, lambda extent: extent // 2)


def ifftshift(x: Any, axes: int | Sequence[int] | None = None) -> Array:
    """The inverse of `fftshift`, which for odd extents is another shift."""
    return _rolled("ifftshift", x, axes, lambda extent: -(extent // 2))


def _rolled(function: str, x: Any, axes: Any, shift: Callable[[int], int]) -> Array:
    x = as_array(function, x)
    axes = range(x.ndim) if axes is None else normal_axes(function, axes)
    axes = canonical_axes(axes, x.ndim, function)
    return roll(x, tuple(shift(x.shape[axis]) for axis in axes), axes)
