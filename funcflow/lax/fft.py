"""Discrete Fourier transforms over the last axes of arrays.

With w = exp(-2 pi i / n), FFT is the sum of x[j] w^(jk) over j, and IFFT its inverse. RFFT takes
real x and keeps the frequencies k = 0, ..., n // 2, as the others are their conjugates; IRFFT takes
such a half spectrum, and ignores the imaginary parts of what would have to be real. Over several
axes, the last one is halved.
"""

import operator
from collections.abc import Sequence
from enum import Enum
from math import prod
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of, ndim_of
from funcflow.core.aval import ShapedArray
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import define
from funcflow.core.threads import thread_count
from funcflow.core.typing import Shape
from funcflow.lax.arithmetic import mul, rem
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import eq, select
from funcflow.lax.complex import conj
from funcflow.lax.creation import iota
from funcflow.lax.forms import FLOATS, check_dtype
from funcflow.lax.linear import linear_jvp
from funcflow.lax.matrices import is_numpy
from funcflow.lax.shape import moveaxis

fft_p = Primitive("fft")

# An array of fewer elements is transformed in one thread: to wake others would take longer.
_WORTH_THREADS = 2**17


class FftType(Enum):
    """Which Fourier transform: complex or real, and its inverse."""

    FFT = "fft"
    IFFT = "ifft"
    RFFT = "rfft"
    IRFFT = "irfft"

    @staticmethod
    def from_any(fft_type: "str | FftType") -> "FftType":
        """The type of that name, in upper or lower case."""
        if isinstance(fft_type, FftType):
            return fft_type
        name = str(fft_type).upper()
        if name not in FftType.__members__:
            raise ArgumentError(
                f"fft: unknown fft_type {fft_type!r}", mend="use 'fft', 'ifft', 'rfft' or 'irfft'"
            )
        return FftType[name]


def fft(x: Any, fft_type: FftType | str, fft_lengths: Sequence[int]) -> Any:
    """The discrete Fourier transform over the last axes of `x`.

    Args:
        x: an array. Real numbers become complex but for RFFT, which takes no others, and 16-bit
            floats become float32.
        fft_type: FFT, IFFT, RFFT or IRFFT, or its name. The inverses are divided by the product
            of the lengths.
        fft_lengths: the extents of the transformed axes, for RFFT before and for IRFFT after the
            transform; on its other side the last axis has the extent `n // 2 + 1`.

    Returns:
        A complex array, but for IRFFT, whose result is real; in the precision of `x`.

    Raises:
        ShapeError: the lengths are not those of the last axes.
        DtypeError: RFFT of complex numbers.
        ArgumentError: there is no such type, or there are no lengths.

    Example:
        >>> ff.lax.fft(fnp.array([1.0, 2.0, 3.0, 4.0]), "rfft", (4,))
        Array([10.+0.j, -2.+2.j, -2.+0.j], dtype=complex64)
    """
    fft_type = FftType.from_any(fft_type)
    lengths = tuple(map(operator.index, fft_lengths))
    if not lengths:
        raise ArgumentError("fft: no fft_lengths are given", mend="pass one for each axis")
    dtype = aval_of(x).dtype
    dtype = dtypes.accumulator(dtype) if dtypes.is_inexact(dtype) else dtypes.default_float()
    if fft_type is not FftType.RFFT:
        dtype = dtypes.complex_of(dtypes.real_of(dtype))
    elif dtypes.is_complex(dtype):
        raise DtypeError(
            f"fft: RFFT takes real numbers, got {aval_of(x)}",
            mend="use FFT, or take the real part",
        )
    return fft_p.bind(convert_element_type(x, dtype), fft_type=fft_type, fft_lengths=lengths)


def _abstract(x: ShapedArray, *, fft_type: FftType, fft_lengths: Shape) -> ShapedArray:
    check_dtype(f"fft of type {fft_type.name}", x, FLOATS if fft_type is FftType.RFFT else "c")
    half = (*fft_lengths[:-1], fft_lengths[-1] // 2 + 1)
    taken = half if fft_type is FftType.IRFFT else fft_lengths
    others = x.ndim - len(fft_lengths)
    if others < 0 or x.shape[others:] != taken or min(fft_lengths) < 1:
        raise ShapeError(
            f"fft: the type {fft_type.name} and the lengths {fft_lengths} need last axes of the "
            f"extents {taken}, each at least 1, got {x}",
            mend="cut or pad the array, or change fft_lengths",
        )
    if fft_type is FftType.RFFT:
        return ShapedArray((*x.shape[:others], *half), dtypes.complex_of(x.dtype))
    if fft_type is FftType.IRFFT:
        return ShapedArray((*x.shape[:others], *fft_lengths), dtypes.real_of(x.dtype))
    return x.strip_weak_type()


def _impl(xp: Any, x: Any, *, fft_type: FftType, fft_lengths: Shape) -> Any:
    axes = tuple(range(-len(fft_lengths), 0))
    if not is_numpy(xp):
        return getattr(xp.fft, f"{fft_type.value}n")(x, s=fft_lengths, axes=axes)
    import scipy.fft

    workers = thread_count() if x.size >= _WORTH_THREADS else 1
    if len(axes) == 1:  # what takes one axis has less to check
        return getattr(scipy.fft, fft_type.value)(x, *fft_lengths, workers=workers)
    transform = getattr(scipy.fft, f"{fft_type.value}n")
    return transform(x, s=fft_lengths, axes=axes, workers=workers)


def _transpose(ctx: Any, ct: Any, x: Any, *, fft_type: FftType, fft_lengths: Shape) -> Any:
    """The matrix w^(jk) is symmetric, so only half spectra need more than the same transform.

    A frequency of a half spectrum stands for two, but for those with k = 0 and k = n / 2. So
    IRFFT sums the real parts of all m[k] x[k] w^(-jk) / n, where m is 1 for these and else 2, and
    its transpose is m / n times the conjugated RFFT. That of RFFT, which sums the real parts of
    all ct[k] w^(jk), is n times the IRFFT of the conjugated cotangent over m.
    """
    if fft_type is FftType.RFFT:
        paired = _where_paired(conj(ct), 0.5, fft_lengths[-1])
        return [mul(fft(paired, FftType.IRFFT, fft_lengths), float(prod(fft_lengths)))]
    if fft_type is FftType.IRFFT:
        spectrum = mul(conj(fft(ct, FftType.RFFT, fft_lengths)), 1 / prod(fft_lengths))
        return [_where_paired(spectrum, 2.0, fft_lengths[-1])]
    return [fft(ct, fft_type, fft_lengths)]


def _where_paired(spectrum: Any, factor: float, length: int) -> Any:
    """A half spectrum with the frequencies multiplied whose conjugates are left out."""
    frequencies = iota("int32", length // 2 + 1)
    alone = eq(rem(mul(frequencies, 2), length), 0)
    return select(alone, spectrum, mul(spectrum, factor))


def _batch(ctx: Any, args: Any, dims: Any, *, fft_type: FftType, fft_lengths: Shape) -> Any:
    (x,), (d,) = args, dims
    if d >= ndim_of(x) - len(fft_lengths):
        x, d = moveaxis(x, d, 0), 0
    return fft_p.bind(x, fft_type=fft_type, fft_lengths=fft_lengths), d


define(
    fft_p,
    abstract=_abstract,
    impl=_impl,
    jvp=linear_jvp(fft_p),
    transpose=_transpose,
    batch=_batch,
)
