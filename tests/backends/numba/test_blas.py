"""Products of matrices: into what tiles they are cut, and who multiplies them."""

from typing import Any

import numpy as np
import pytest

from funcflow.backends.numba import blas, blas_library, onednn, runtime


@pytest.mark.parametrize("size", [1, 8, 50, 96, 128, 200, 512, 1000, 4096])
@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (16, 1)])
@pytest.mark.parametrize("processors", [1, 2, 16])
def test_tiles_cover_the_result(
    size: int, shape: tuple[int, int], processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "_PROCESSORS", processors)
    m, n = (size * s for s in shape)
    gemm = blas.Gemm(np.dtype("f"), m, n, size, size, n, n)
    tile_m, tile_n = gemm.tile
    assert tile_m <= m and tile_n <= n and gemm.units <= 16
    assert gemm.units == -(-m // tile_m) * -(-n // tile_n)
    assert gemm.units * gemm.grain >= min(gemm.units, 2) and gemm.grain >= 1
    if gemm.units > 1:
        assert min(tile_m, m) >= min(m, 32) and min(tile_n, n) >= min(n, 32)
    large = m * n * size >= 1 << 19 and max(m, n) >= 64
    assert (gemm.units > 1) == (large and processors > 1)


def test_stacks_are_cut_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_PROCESSORS", 16)
    one = blas.Gemm(np.dtype("f"), 512, 512, 512, 512, 512, 512)
    two, many = (
        blas.Gemm(np.dtype("f"), *[512] * 6, loops=((count, 0, 0, 512**2),)) for count in (2, 64)
    )
    assert one.units == two.units == 8 and many.units == 64


def test_a_stack_is_divided_among_few() -> None:
    """Since each range of our own kernel has a workspace."""
    gemm = blas.Gemm(np.dtype("d"), *[128] * 6, loops=((1000, 128**2, 0, 128**2),))
    assert gemm.units == 1000 and gemm.grain == 16 and gemm.ranges == 63


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


@pytest.mark.parametrize(
    ("sizes", "tile"),
    [
        ((512, 512, 512), (128, 256)),
        ((1000, 1000, 1000), (128, 512)),
        ((100, 400, 2560), (52, 208)),  # four times 112 columns would be much more than 400
        ((32, 400, 2560), (32, 112)),  # fewer rows are no tile
    ],
)
def test_tiles_are_even(
    sizes: tuple[int, int, int], tile: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas, "_PROCESSORS", 16)
    m, n, k = sizes
    assert blas.Gemm(np.dtype("f"), m, n, k, k, n, n).tile == tile


@pytest.mark.parametrize(("processors", "units"), [(1, 1), (2, 2), (3, 8), (4, 4), (8, 8), (64, 8)])
def test_processors_get_as_many_tiles(
    processors: int, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each packs its operands anew, so there are no more than come out even."""
    monkeypatch.setattr(blas, "_PROCESSORS", processors)
    assert blas.Gemm(np.dtype("f"), 512, 512, 512, 512, 512, 512).units == units


def test_parts_may_be_whole_rows() -> None:
    gemm = blas.Gemm(np.dtype("d"), 40, 200, 100, 100, 200, 200, rows=16)
    assert gemm.tile == (16, 200) and gemm.units == gemm.ranges == 3 and gemm.grain == 1


def test_small_products_are_worth_no_thread() -> None:
    gemm = blas.Gemm(np.dtype("f"), *[8] * 6, loops=((600, 64, 64, 64),))
    assert gemm.units == 600 and gemm.grain == 2048


def test_sizes_beyond_32_bits_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_library, "library", blas_library.scipy_library)
    small, large = (blas.Gemm(np.dtype("d"), 2, 2, 2, lda, 2, 2) for lda in (2**31 - 1, 2**31))
    assert blas.gemm_routine(small) is not None
    assert blas.gemm_routine(large) is None


def test_without_onednn_no_factors_are_exchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    gemm = blas.Gemm(np.dtype("f"), 32, 1024, 1024, 1024, 1024, 1024, (False, True))
    assert blas.prefers_exchange(gemm) == (onednn.library() is not None)
    monkeypatch.setattr(onednn, "library", lambda: None)
    assert not blas.prefers_exchange(gemm)


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": np.dtype("d")},  # by code of our own
        {"transposed": (False, False)},
        {"transposed": (True, True)},
        {"loops": ((3, 0, 0, 32 * 1024),)},
        {"n": 32},  # which is as few as the rows are
        {"n": 256},  # which lets rows be computed apart
    ],
)
def test_only_few_rows_by_a_large_matrix_are_exchanged(change: dict[str, Any]) -> None:
    gemm = blas.Gemm(np.dtype("f"), 32, 1024, 1024, 1024, 1024, 1024, (False, True))
    assert not blas.prefers_exchange(gemm._replace(**change))
