"""The BLAS of this process: where its functions are, and how many threads it has.

It is NumPy's own OpenBLAS, whose C interface takes 64-bit sizes; where NumPy came without it,
whatever BLAS SciPy was built with, through SciPy's pointers, in Fortran's convention with 32-bit
sizes.

OpenBLAS's number of threads is global to the process. A routine sets it to 1 while it runs, and the
last one that leaves puts the old number back, so NumPy outside keeps its threads.
"""

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# BLAS names its functions by the dtype.
LETTERS = {"float32": "s", "float64": "d", "complex64": "c", "complex128": "z"}


class Library(NamedTuple):
    """Addresses of a BLAS.

    Attributes:
        convention: "cblas" (C order, 64-bit sizes) or "fortran" (Fortran order, 32-bit sizes).
        gemm: `?gemm`, by letter.
        threads: where the number of threads is read and set, and the state of the limit (`_Limit`);
            zeros where there is no such thing.
    """

    convention: str
    gemm: dict[str, int]
    threads: tuple[int, int, int] = (0, 0, 0)


class _Limit(ctypes.Structure):
    """Shared by all routines: a lock, how many of them run, and the number of threads outside."""

    _fields_ = (("lock", ctypes.c_int64), ("running", ctypes.c_int64), ("outside", ctypes.c_int64))


_limit = _Limit()


def _forget_other_threads() -> None:
    """A child of fork has none of the threads whose routines were running."""
    if _limit.running:
        outside = _limit.outside
        ctypes.memset(ctypes.byref(_limit), 0, ctypes.sizeof(_limit))
        found = library()
        if found is not None and found.threads[1]:
            ctypes.CFUNCTYPE(None, ctypes.c_int)(found.threads[1])(outside)
    _limit.lock = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)


@cache
def library() -> Library | None:
    """The BLAS of this process, or None."""
    return numpy_library() or scipy_library()


def numpy_library() -> Library | None:
    """The OpenBLAS that NumPy's wheels bring along."""
    for path in _bundled_libraries():
        try:
            lib = ctypes.CDLL(str(path))
            gemm = {c: _address(getattr(lib, f"scipy_cblas_{c}gemm64_")) for c in "sdcz"}
            threads = (
                _address(lib.scipy_openblas_get_num_threads64_),
                _address(lib.scipy_openblas_set_num_threads64_),
                ctypes.addressof(_limit),
            )
        except (OSError, AttributeError):
            continue
        return Library("cblas", gemm, threads)
    return None


def _bundled_libraries(name: str = "numpy") -> Iterator[Path]:
    """Wheels keep their libraries beside the package, on macOS inside it."""
    package = Path(np.__file__).parent.parent / name
    for folder in (package.parent / f"{name}.libs", package / ".dylibs"):
        yield from sorted(folder.glob("*openblas*"))


def scipy_library() -> Library | None:
    """The BLAS that SciPy was built with, through the pointers it offers to Cython code."""
    try:
        import scipy.linalg.cython_blas
    except ImportError:
        return None
    capsules = vars(scipy.linalg)["cython_blas"].__pyx_capi__
    return Library("fortran", {c: _capsule_pointer(capsules[f"{c}gemm"]) for c in "sdcz"})


_outside: dict[str, int] = {}  # how many threads libraries had before there was a cap


def keep_to(cap: int | None) -> None:
    """Let NumPy's and SciPy's BLAS and LAPACK use no more threads; None: as many as before."""
    if cap is None and not _outside:
        return
    for path in (*_bundled_libraries(), *_bundled_libraries("scipy")):
        try:
            lib = ctypes.CDLL(str(path))
        except OSError:
            continue
        for suffix in ("64_", ""):
            get = getattr(lib, f"scipy_openblas_get_num_threads{suffix}", None)
            put = getattr(lib, f"scipy_openblas_set_num_threads{suffix}", None)
            if get is not None and put is not None:
                before = _outside.setdefault(str(path), get())
                put(before if cap is None else min(cap, before))
    if cap is None:
        _outside.clear()


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _capsule_pointer(capsule: Any) -> int:
    api = ctypes.pythonapi
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", api)
    )
    return pointer(capsule, name(capsule)) or 0
