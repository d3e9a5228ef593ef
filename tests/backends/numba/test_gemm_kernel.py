"""The kernel for products of matrices, with the micro-tiles of all kinds of processors."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
import pytest

from funcflow.backends.numba import gemm_kernel, runtime
from funcflow.backends.numba.gemm_kernel import DEPTH, ROWS, MicroTile

pytestmark = pytest.mark.skipif(
    runtime.vector_registers() is None, reason="the processor has no fused multiply-add"
)

# registers and their bytes: AVX-512, AVX2, NEON
KINDS = {"avx512": (32, 64), "avx2": (16, 32), "neon": (32, 16)}
SIZES = [
    (1, 1, 1),
    (8, 24, 16),
    (5, 7, 3),
    (17, 50, DEPTH),
    (40, 96, DEPTH + 9),
    (100, 130, 90),
    (ROWS + 5, 61, 2 * DEPTH + 1),
]


def tile(kind: str, dtype: str) -> MicroTile:
    """The micro-tile of another processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "vector_registers", lambda: KINDS[kind])
        found = gemm_kernel.micro_tile(np.dtype(dtype))
    assert found is not None
    return found


@cache
def compiled(of: MicroTile) -> tuple[Any, Any]:
    text = gemm_kernel.kernel_text("the", of)
    text = text.replace("define internal void @the_multiply(", "define void @multiply(")
    library = runtime.load_object(
        runtime.compile_module(f"{text}\ndeclare i64 @llvm.smin.i64(i64, i64)")
    )
    n, p = ctypes.c_int64, ctypes.c_void_p
    prototype = ctypes.CFUNCTYPE(None, n, n, n, p, n, n, p, n, n, p, n, p)
    return prototype(library.address("multiply")), library


def multiply(of: MicroTile, a: Any, b: Any, c: Any) -> None:
    """c = a @ b; checks that the workspace is as large as it is said to be."""
    (m, k), n, size = a.shape, b.shape[1], of.dtype.itemsize
    workspace = np.full(of.workspace(m, k) + 64, 77, np.uint8)
    compiled(of)[0](
        *(m, n, k),
        *(a.ctypes.data, *(s // size for s in a.strides)),
        *(b.ctypes.data, *(s // size for s in b.strides)),
        *(c.ctypes.data, c.strides[0] // size, workspace.ctypes.data),
    )
    assert (workspace[-64:] == 77).all()


def operand(rows: int, columns: int, dtype: str, transposed: bool, integers: bool = True) -> Any:
    """A matrix, in Fortran's order if transposed; products of small integers are exact."""
    rng = np.random.default_rng(rows + columns)
    shape = (columns, rows) if transposed else (rows, columns)
    x = rng.integers(-8, 9, shape) if integers else rng.standard_normal(shape)
    x = x.astype(dtype)
    return x.T if transposed else x


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SIZES)
def test_products_are_exact(kind: str, dtype: str, sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    for transposed in np.ndindex(2, 2):
        a, b = (
            operand(*shape, dtype, bool(t))
            for shape, t in zip(((m, k), (k, n)), transposed, strict=True)
        )
        around = np.full((m, n + 3), 99, dtype)
        multiply(tile(kind, dtype), a, b, around[:, 1:-2])
        np.testing.assert_array_equal(around[:, 1:-2], a @ b)
        assert (around[:, [0, -2, -1]] == 99).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_processor_or_on_tiles(dtype: str) -> None:
    m, n, k = ROWS + 3, 70, 2 * DEPTH + 5
    a, b = (operand(*shape, dtype, False, False) for shape in ((m, k), (k, n)))
    results = []
    for kind in KINDS:
        c = np.empty((m, n), dtype)
        multiply(tile(kind, dtype), a, b, c)
        results.append(c)
    parts = np.empty((m, n), dtype)
    for rows in (slice(0, 13), slice(13, m)):
        for columns in (slice(0, 33), slice(33, n)):
            multiply(tile("avx2", dtype), a[rows], b[:, columns], parts[rows, columns])
    for c in (*results[1:], parts):
        np.testing.assert_array_equal(c, results[0])
    np.testing.assert_allclose(results[0], a @ b, rtol=0, atol=k * np.finfo(dtype).eps * 4)


def test_each_sum_is_a_chain_in_the_order_of_the_depth() -> None:
    """In another order the small terms would vanish, or survive, differently."""
    k = DEPTH + 3
    terms = np.ones(k)
    terms[[0, 1, DEPTH]] = 2.0**53, 1.0, -(2.0**53)
    c = np.empty((1, 1))
    multiply(tile("avx512", "float64"), terms[None], np.ones((k, 1)), c)
    total = 0.0
    for term in terms.tolist():
        total += term
    assert c[0, 0] == total and total != terms[2:].sum()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_finite_stays_in_its_row_and_column(kind: str) -> None:
    a, b = np.ones((11, 5)), np.ones((5, 29))
    a[3, 2], b[1, 28] = np.inf, np.nan
    c = np.empty((11, 29))
    multiply(tile(kind, "float64"), a, b, c)
    with np.errstate(invalid="ignore"):  # some BLAS multiply infinities with zeros
        expected = a @ b
    np.testing.assert_array_equal(c, expected)


def test_micro_tiles_leave_registers_for_operands() -> None:
    for kind, (registers, nbytes) in KINDS.items():
        for dtype in ("float32", "float64"):
            found = tile(kind, dtype)
            assert found.rows * found.vectors + found.vectors + 1 <= registers
            assert found.lanes * found.dtype.itemsize == nbytes


def test_dtypes_and_processors_without_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gemm_kernel.micro_tile(np.dtype("complex64")) is None
    monkeypatch.setattr(runtime, "vector_registers", lambda: None)
    assert gemm_kernel.micro_tile(np.dtype("float64")) is None
