"""Complex numbers and their parts.

Derivatives treat a complex number as a pair of reals: a forward rule is real-linear, and its
transpose is not conjugated (the transpose of multiplication by `c` is multiplication by `c`).
"""

from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.aval import is_undefined
from funcflow.core.errors import DtypeError
from funcflow.lax.forms import INEXACT, elementwise, same_dtype, unary
from funcflow.lax.shape import unbroadcast

# --- parts ----------------------------------------------------------------------------------


def _real_transpose(ctx: Any, ct: Any, z: Any) -> Any:
    return [complex(ct, 0.0)]


def _imag_transpose(ctx: Any, ct: Any, z: Any) -> Any:
    # imag(z) is the real part of -i z, so the cotangent is -i ct
    return [conj(complex(0.0, ct))]


real_p = unary(
    "real",
    lambda xp, z: z.real.copy(),
    takes="c",
    derivative=lambda t, out, z: real_p.bind(t),
    transpose=_real_transpose,
    out_dtype=dtypes.real_of,
)
imag_p = unary(
    "imag",
    lambda xp, z: z.imag.copy(),
    takes="c",
    derivative=lambda t, out, z: imag_p.bind(t),
    transpose=_imag_transpose,
    out_dtype=dtypes.real_of,
)


def real(x: Any) -> Array:
    """The real part of complex `x`, in the real dtype of half its width."""
    return real_p.bind(x)


def imag(x: Any) -> Array:
    """The imaginary part of complex `x`, in the real dtype of half its width."""
    return imag_p.bind(x)


# --- complex --------------------------------------------------------------------------------


def _complex_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.itemsize < 4:
        raise DtypeError(
            f"complex: there is no complex dtype with parts of dtype {dtype.name}",
            mend="convert the parts with .astype('float32')",
        )
    return dtypes.complex_of(dtype)


def _complex_impl(xp: Any, x: Any, y: Any) -> Any:
    # filling the parts, unlike x + 1j * y, keeps infinities and signs of zero
    shape = np.broadcast_shapes(x.shape, y.shape)
    out = xp.empty(shape, dtypes.complex_of(x.dtype))
    out.real, out.imag = x, y
    return out


def _complex_transpose(ctx: Any, ct: Any, x: Any, y: Any) -> Any:
    return [
        unbroadcast(real_p.bind(ct), x.aval) if is_undefined(x) else None,
        # the real part of i ct
        unbroadcast(imag_p.bind(conj(ct)), y.aval) if is_undefined(y) else None,
    ]


complex_p = elementwise(
    "complex",
    _complex_impl,
    takes="f",
    partials=[
        lambda t, out, x, y: complex(t, 0.0),
        lambda t, out, x, y: complex(0.0, t),
    ],
    transpose=_complex_transpose,
    out_dtype=_complex_dtype,
)


def complex(x: Any, y: Any) -> Array:
    """The complex numbers `x + i y` with real part `x` and imaginary part `y`.

    The arguments are both float32 (the result is complex64) or both float64 (complex128).

    Example:
        >>> ff.lax.complex(fnp.array([1.0, 2.0]), 3.0)
        Array([1.+3.j, 2.+3.j], dtype=complex64)
    """
    return complex_p.bind(*same_dtype(x, y))


# --- conj -----------------------------------------------------------------------------------


def _conj_transpose(ctx: Any, ct: Any, x: Any) -> Any:
    return [conj(ct) if dtypes.is_complex(x.aval.dtype) else real_p.bind(ct)]


conj_p = unary(
    "conj",
    lambda xp, x: (
        xp.conjugate(x).astype(dtypes.complex_of(x.dtype), copy=False)
        if x.dtype.kind != "c"
        else xp.conjugate(x)
    ),
    takes=INEXACT,
    derivative=lambda t, out, x: conj_p.bind(t),
    transpose=_conj_transpose,
    out_dtype=lambda dtype: dtype if dtype.kind == "c" else _complex_dtype(dtype),
)


def conj(x: Any) -> Array:
    """The complex conjugate of `x`; real arguments become complex."""
    return conj_p.bind(x)
