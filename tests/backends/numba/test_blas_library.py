"""Finding a BLAS, and the limit of its threads."""

import ctypes
import os
from typing import Any

import pytest

from funcflow.backends.numba import blas_library


def threads_of_numpy() -> int:
    library = blas_library.numpy_library()
    if library is None:
        pytest.skip("NumPy has another BLAS")
    return ctypes.CFUNCTYPE(ctypes.c_int)(library.threads[0])()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork_no_routine_runs() -> None:
    before = threads_of_numpy()
    library = blas_library.numpy_library()
    assert library is not None
    state = blas_library._limit
    state.lock, state.running, state.outside = 1, 2, before
    try:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(write, bytes([state.lock, state.running, threads_of_numpy() == before]))
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 3) == bytes([0, 0, 1])
    finally:
        state.lock = state.running = 0


def test_bundled_libraries_are_tried_in_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Files that are no libraries, or lack the functions, are passed over."""
    broken = tmp_path / "libopenblas_library.so"
    broken.write_text("no library")
    found = list(blas_library._bundled_libraries())
    monkeypatch.setattr(blas_library, "_bundled_libraries", lambda: iter([broken, *found]))
    assert (blas_library.numpy_library() is None) == (not found)
    monkeypatch.setattr(blas_library, "_bundled_libraries", lambda: iter([broken]))
    assert blas_library.numpy_library() is None


def test_scipy_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_library, "numpy_library", lambda: None)
    found = blas_library.library.__wrapped__()
    assert found is not None and found.convention == "fortran" and all(found.gemm.values())
