"""The routines for products of matrices: every interface, tiling, and the limit of threads."""

import ctypes
import os
import threading
from typing import Any

import numpy as np
import pytest

from funcflow.backends.numba import blas, onednn, runtime
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
        return (*map(lib.address, names), onednn.failure_address())
    found = blas.numpy_library() if convention == "cblas" else blas.scipy_library()
    if found is None:
        pytest.skip("no such library")
    assert found.convention == convention
    return (found.gemm[letter], *found.threads)


def multiply(gemm: blas.Gemm, convention: str, *arrays: Any, splits: tuple[int, ...] = ()) -> None:
    """Run the routine in ranges that end at `splits`."""
    letter = blas.LETTERS[gemm.dtype.name]
    params = (*addresses(convention, letter), *gemm.params)
    code = runtime.compile_module(blas.gemm_text("product", gemm.dtype, convention))
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


@pytest.mark.parametrize("size", [1, 8, 50, 96, 128, 200, 512, 1000, 4096])
@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (16, 1)])
def test_tiles_cover_the_result(size: int, shape: tuple[int, int]) -> None:
    m, n = (size * s for s in shape)
    gemm = blas.Gemm(np.dtype("f"), m, n, size, size, n, n)
    tile_m, tile_n = gemm.tile
    assert tile_m <= m and tile_n <= n and gemm.units <= 16
    assert gemm.units == -(-m // tile_m) * -(-n // tile_n)
    assert gemm.units * gemm.grain >= min(gemm.units, 2) and gemm.grain >= 1
    if gemm.units > 1:
        assert min(tile_m, m) >= min(m, 32) and min(tile_n, n) >= min(n, 32)
    assert (gemm.units > 1) == (m * n * size >= 800_000)


def test_stacks_are_cut_less() -> None:
    one = blas.Gemm(np.dtype("f"), 512, 512, 512, 512, 512, 512)
    two, many = (
        blas.Gemm(np.dtype("f"), *[512] * 6, loops=((count, 0, 0, 512**2),)) for count in (2, 64)
    )
    assert one.units == two.units == 8 and many.units == 64


def test_a_stack_is_divided_among_few() -> None:
    """Since each range of our own kernel has a workspace."""
    gemm = blas.Gemm(np.dtype("d"), *[128] * 6, loops=((1000, 128**2, 0, 128**2),))
    assert gemm.units == 1000 and gemm.grain == 16 and gemm.ranges == 63


def test_each_range_has_a_workspace_of_its_own() -> None:
    a, b = sample((4, 104, 104), "d"), sample((104, 104), "d")
    c = np.full((4, 104, 104), np.nan)
    gemm = blas.Gemm(np.dtype("d"), *[104] * 6, loops=((4, 104**2, 0, 104**2),))
    if not gemm.workspace:
        pytest.skip("no such code")
    assert gemm.ranges == 4
    code = runtime.compile_module(blas.gemm_text("product", gemm.dtype, "kernel"))
    library = runtime.load_object(code)
    workspace = np.zeros((4, gemm.workspace), np.uint8)
    buffers = (ctypes.c_void_p * 4)(*(x.ctypes.data for x in (a, b, c, workspace)))
    words = (ctypes.c_int64 * len(gemm.params))(*gemm.params)
    product = FUNCTION(library.address("product"))
    product(ctypes.addressof(buffers), ctypes.addressof(words), 2, 4)
    assert np.isnan(c[:2]).all()
    np.testing.assert_allclose(c[2:], a[2:] @ b)
    assert workspace.any(axis=1).tolist() == [False, False, True, False]


def test_which_code_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    def convention(dtype: str, *sizes: int) -> str:
        m, n, k = sizes
        routine = blas.gemm_routine(blas.Gemm(np.dtype(dtype), m, n, k, k, n, n))
        assert routine is not None
        return routine.name.partition("_")[2]

    monkeypatch.setattr(runtime, "vector_registers", lambda: (16, 32))
    small = convention("d", 64, 64, 64)
    assert small in ("cblas", "fortran")
    assert convention("d", 128, 128, 128) == "kernel"
    assert convention("d", 2000, 2000, 15) == convention("d", 15, 2000, 2000) == small
    assert convention("D", 128, 128, 128) == convention("f", 64, 64, 64) == small
    assert convention("f", 128, 128, 128) == ("onednn" if onednn.library() else "kernel")
    monkeypatch.setattr(onednn, "library", lambda: None)
    assert convention("f", 128, 128, 128) == "kernel"
    monkeypatch.setattr(runtime, "vector_registers", lambda: None)
    assert convention("d", 128, 128, 128) == convention("f", 128, 128, 128) == small


def test_routines_stand_beside_each_other_in_a_module() -> None:
    """With all that they call."""
    texts = {}
    for convention in ("cblas", "fortran", "onednn", "kernel"):
        for dtype in ("f",) if convention == "onednn" else ("f", "d"):
            if convention == "kernel" and runtime.vector_registers() is None:
                continue
            name = f"{dtype}_{convention}"
            texts[name] = Routine(name, blas.gemm_text(name, np.dtype(dtype), convention))
    library = runtime.load_object(runtime.compile_module(batch_text(texts)))
    assert all(library.address(name) for name in texts)


def test_small_products_are_worth_no_thread() -> None:
    gemm = blas.Gemm(np.dtype("f"), *[8] * 6, loops=((600, 64, 64, 64),))
    assert gemm.units == 600 and gemm.grain == 2048


def threads_of_numpy() -> int:
    library = blas.numpy_library()
    if library is None:
        pytest.skip("NumPy has another BLAS")
    return ctypes.CFUNCTYPE(ctypes.c_int)(library.threads[0])()


def test_numpy_keeps_its_threads() -> None:
    """Whatever runs at once, and whatever the number is."""
    before = threads_of_numpy()
    library = blas.numpy_library()
    assert library is not None
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
            assert threads_of_numpy() == count
    finally:
        limit(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_after_a_fork_no_routine_runs() -> None:
    before = threads_of_numpy()
    library = blas.numpy_library()
    assert library is not None
    state = blas._limit
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
    broken = tmp_path / "libopenblas.so"
    broken.write_text("no library")
    found = list(blas._bundled_libraries())
    monkeypatch.setattr(blas, "_bundled_libraries", lambda: iter([broken, *found]))
    assert (blas.numpy_library() is None) == (not found)
    monkeypatch.setattr(blas, "_bundled_libraries", lambda: iter([broken]))
    assert blas.numpy_library() is None


def test_scipy_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "numpy_library", lambda: None)
    found = blas.library.__wrapped__()
    assert found is not None and found.convention == "fortran" and all(found.gemm.values())


def test_what_onednn_rejects_is_raised() -> None:
    a, c = sample((90, 90), "f"), np.zeros((90, 90), "f")
    multiply(blas.Gemm(np.dtype("f"), *[90] * 6), "onednn", a, a, c)
    onednn.check()
    narrow = blas.Gemm(np.dtype("f"), 90, 90, 90, 89, 90, 90)  # rows that overlap
    multiply(narrow, "onednn", a, a, c)
    with pytest.raises(CompileError, match="oneDNN: an execution failed with status 2"):
        onednn.check()
    onednn.check()


def test_sizes_beyond_32_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "library", blas.scipy_library)
    small, large = (blas.Gemm(np.dtype("d"), 2, 2, 2, lda, 2, 2) for lda in (2**31 - 1, 2**31))
    assert blas.gemm_routine(small) is not None
    assert blas.gemm_routine(large) is None
