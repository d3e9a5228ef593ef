"""The routines for products of matrices, by every interface, and what they do to threads."""

import ctypes
import threading
from typing import Any

import numpy as np
import pytest

from funcflow.backends.numba import blas, blas_library, onednn, runtime, signals
from funcflow.backends.numba.blas_code import gemm_text
from funcflow.backends.numba.blas_library import LETTERS
from funcflow.backends.numba.kernels import batch_text
from funcflow.backends.program import Routine
from funcflow.core.errors import CompileError

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def addresses(convention: str, letter: str) -> tuple[int, ...]:
    """What the routine of an interface calls; the test is skipped where there is none."""
    if convention == "kernel":
        if letter not in "sd" or runtime.vector_registers() is None:
            pytest.skip("no such code")
        return ()
    if convention == "onednn":
        lib = onednn.library()
        if lib is None or letter != "s":
            pytest.skip("no such function")
        names = ("dnnl_sgemm", "omp_get_max_threads", "omp_set_num_threads")
        return (*map(lib.address, names), onednn.failure_address(), signals.mask_address())
    found = blas_library.numpy_library() if convention == "cblas" else blas_library.scipy_library()
    if found is None:
        pytest.skip("no such library")
    assert found.convention == convention
    return (found.gemm[letter], *found.threads)


def multiply(gemm: blas.Gemm, convention: str, *arrays: Any, splits: tuple[int, ...] = ()) -> None:
    """Run the routine in ranges that end at `splits`."""
    letter = LETTERS[gemm.dtype.name]
    params = (*addresses(convention, letter), *gemm.params)
    code = runtime.compile_module(gemm_text("product", gemm.dtype, convention))
    library = runtime.load_object(code)
    function = FUNCTION(library.address("product"))
    workspace = np.empty(gemm.ranges * gemm.workspace, np.uint8)
    buffers = (ctypes.c_void_p * 4)(*(a.ctypes.data for a in (*arrays, workspace)))
    words = (ctypes.c_int64 * len(params))(*params)
    for lo, hi in zip((0, *splits), (*splits, gemm.units), strict=True):
        function(ctypes.addressof(buffers), ctypes.addressof(words), lo, hi)


def sample(shape: tuple[int, ...], dtype: Any) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


@pytest.mark.parametrize("convention", ["cblas", "fortran", "onednn", "kernel"])
@pytest.mark.parametrize("dtype", ["f", "d", "F", "D"])
@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
def test_products(convention: str, dtype: str, transposed: tuple[bool, bool]) -> None:
    m, n, k = 100, 130, 90
    a, b = sample((m, k), dtype), sample((k, n), dtype)
    c = np.full((m, n), np.nan, dtype)
    in_memory = [
        np.ascontiguousarray(x.T if t else x) for x, t in zip((a, b), transposed, strict=True)
    ]
    lda, ldb = (x.shape[1] for x in in_memory)
    gemm = blas.Gemm(np.dtype(dtype), m, n, k, lda, ldb, n, transposed)
    assert gemm.units > 1
    multiply(gemm, convention, *in_memory, c, splits=(1,))
    tolerance = 100 * np.finfo(c.dtype).eps
    np.testing.assert_allclose(c, a @ b, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("convention", ["cblas", "fortran", "onednn", "kernel"])
def test_stacks_have_any_strides(convention: str) -> None:
    a, b = sample((2, 3, 10, 12), "f"), sample((3, 12, 14), "f")
    c = np.full((2, 3, 10, 14), np.nan, "f")
    loops = ((2, 360, 0, 420), (3, 120, 168, 140))
    gemm = blas.Gemm(np.dtype("f"), 10, 14, 12, 12, 14, 14, loops=loops)
    assert gemm.units == gemm.count == 6
    multiply(gemm, convention, a, b, c, splits=(0, 4, 4))
    np.testing.assert_allclose(c, a @ b, rtol=1e-5, atol=1e-5)


def test_each_range_has_a_workspace_of_its_own() -> None:
    a, b = sample((4, 104, 104), "d"), sample((104, 104), "d")
    c = np.full((4, 104, 104), np.nan)
    gemm = blas.Gemm(np.dtype("d"), *[104] * 6, loops=((4, 104**2, 0, 104**2),))
    if not gemm.workspace:
        pytest.skip("no such code")
    assert gemm.ranges == 4
    code = runtime.compile_module(gemm_text("product", gemm.dtype, "kernel"))
    library = runtime.load_object(code)
    workspace = np.zeros((4, gemm.workspace), np.uint8)
    buffers = (ctypes.c_void_p * 4)(*(x.ctypes.data for x in (a, b, c, workspace)))
    words = (ctypes.c_int64 * len(gemm.params))(*gemm.params)
    product = FUNCTION(library.address("product"))
    product(ctypes.addressof(buffers), ctypes.addressof(words), 2, 4)
    assert np.isnan(c[:2]).all()
    np.testing.assert_allclose(c[2:], a[2:] @ b)
    assert workspace.any(axis=1).tolist() == [False, False, True, False]


def test_routines_stand_beside_each_other_in_a_module() -> None:
    """With all that they call."""
    texts = {}
    for convention in ("cblas", "fortran", "onednn", "kernel"):
        for dtype in ("f",) if convention == "onednn" else ("f", "d"):
            if convention == "kernel" and runtime.vector_registers() is None:
                continue
            name = f"{dtype}_{convention}"
            texts[name] = Routine(name, gemm_text(name, np.dtype(dtype), convention))
    library = runtime.load_object(runtime.compile_module(batch_text(texts)))
    assert all(library.address(name) for name in texts)


def test_numpy_keeps_its_threads() -> None:
    """Whatever runs at once, and whatever the number is."""
    library = blas_library.numpy_library()
    if library is None:
        pytest.skip("NumPy has another BLAS")
    threads = ctypes.CFUNCTYPE(ctypes.c_int)(library.threads[0])
    before = threads()
    limit = ctypes.CFUNCTYPE(None, ctypes.c_int)(library.threads[1])
    a = sample((64, 64), "f")
    gemm = blas.Gemm(np.dtype("f"), *[64] * 6)
    try:
        for count in (3, 1):
            limit(count)
            workers = [
                threading.Thread(target=multiply, args=(gemm, "cblas", a, a, np.empty_like(a)))
                for _ in range(8)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert threads() == count
    finally:
        limit(before)


def test_what_onednn_rejects_is_raised() -> None:
    a, c = sample((90, 90), "f"), np.zeros((90, 90), "f")
    multiply(blas.Gemm(np.dtype("f"), *[90] * 6), "onednn", a, a, c)
    onednn.CHECK.raise_noted()
    narrow = blas.Gemm(np.dtype("f"), 90, 90, 90, 89, 90, 90)  # rows that overlap
    multiply(narrow, "onednn", a, a, c)
    with pytest.raises(CompileError, match="oneDNN: an execution failed with status 2"):
        onednn.CHECK.raise_noted()
    onednn.CHECK.raise_noted()
