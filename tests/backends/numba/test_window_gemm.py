"""Convolutions as products of BLAS: parts, copies, and what is left to Python."""

from typing import Any

import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.numba import blas_library, onednn, window_gemm
from funcflow.backends.numba.convolution import LOWERINGS
from funcflow.backends.program import Program

NHWC = ("NHWC", "HWIO", "NHWC")


@pytest.fixture(autouse=True)
def without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "library", lambda: None)


def operands(batch: int, size: int, window: int, dtype: Any = np.float32) -> Any:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, size, size, 8)).astype(dtype)
    w = rng.standard_normal((window, window, 8, 4)).astype(dtype)
    return x, w


def lowered(lowering: Any, x: Any, w: Any, padding: Any = "VALID", **params: Any) -> Any:
    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=NHWC, **params)

    return lowering.lowered(conv, (x, w), LOWERINGS), np.asarray(conv(x, w))


def products(program: Program) -> list[str]:
    """The sizes of the products of windows with kernels."""
    notes = [s.note for s in program.steps if s.note.endswith(", windows times kernels")]
    return [note.split()[1] for note in notes]


def test_a_product_needs_no_copy_for_windows_of_one_element(lowering: Any) -> None:
    x, w = operands(3, 5, 1)
    program, want = lowered(lowering, x, w)
    assert products(program) == ["75x4x8"] and len(program.steps) == 1
    np.testing.assert_allclose(lowering.run(program, x, w)[0], want, rtol=1e-4, atol=1e-5)


def test_parts_of_some_images(lowering: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix of windows has 5 * 36 * 72 elements; two images' are in the room of a part."""
    monkeypatch.setattr(window_gemm, "_PART", 2 * 36 * 72)
    x, w = operands(5, 8, 3)
    program, want = lowered(lowering, x, w)
    assert products(program) == ["72x4x72", "72x4x72", "36x4x72"]
    rooms = {s.writes[0].buffer for s in program.steps if s.note == "copy"}
    assert [room.nbytes for room in rooms] == [4 * 2 * 36 * 72]
    np.testing.assert_allclose(lowering.run(program, x, w)[0], want, rtol=1e-4, atol=1e-4)


def test_parts_of_one_place(lowering: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window nearly as large as the image, as in the derivative for kernels."""
    monkeypatch.setattr(window_gemm, "_PART", 4 * 100 * 8)
    x, w = operands(4, 11, 10)
    program, want = lowered(lowering, x, w)
    assert products(program) == ["4x4x800"] * 4
    np.testing.assert_allclose(lowering.run(program, x, w)[0], want, rtol=1e-4, atol=1e-3)


def test_padding_that_leaves_nothing_of_the_image(lowering: Any) -> None:
    x, w = operands(2, 3, 2)
    program, want = lowered(lowering, x, w, [(4, -4), (0, 0)])
    (got,) = lowering.run(program, x, w)
    assert not got.any()
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.float64, np.complex64, np.complex128])
def test_dtypes_of_blas(lowering: Any, dtype: Any) -> None:
    x, w = operands(2, 6, 3, dtype)
    program, want = lowered(lowering, x, w, "SAME")
    assert products(program)
    np.testing.assert_allclose(lowering.run(program, x, w)[0], want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_dtypes_that_blas_lacks(lowering: Any, dtype: Any) -> None:
    x, w = operands(2, 6, 3, dtype)
    program, want = lowered(lowering, x, w)
    name = np.dtype(dtype).name
    assert [s.note for s in program.steps] == [
        f"BLAS has no products of {name} and {name} in {name}"
    ]
    np.testing.assert_array_equal(lowering.run(program, x, w)[0], want)


def test_many_groups_are_left_to_python(lowering: Any) -> None:
    x = np.ones((1, 4, 4, 32), np.float32)
    w = np.ones((3, 3, 1, 32), np.float32)
    program, want = lowered(lowering, x, w, feature_group_count=32)
    assert [s.note for s in program.steps] == ["32 groups of features"]
    np.testing.assert_array_equal(lowering.run(program, x, w)[0], want)


def test_no_blas(lowering: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_library, "library", lambda: None)
    program, _ = lowered(lowering, *operands(1, 4, 2))
    assert [s.note for s in program.steps] == ["there is no BLAS to call"]
