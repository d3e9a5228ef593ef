"""Convolutions to few features, a product and sums, compared with the reference."""

import itertools
import random
from typing import Any

import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.numba import blas_library
from funcflow.backends.numba.convolution import LOWERINGS
from funcflow.backends.numba.few_features import _segments

pytestmark = pytest.mark.skipif(blas_library.library() is None, reason="needs BLAS")

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
LAYOUTS = {
    rank: (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    for rank, axes in ((1, "H"), (2, "HW"), (3, "DHW"))
}


def compared(lowering: Any, x: Any, w: Any, **params: Any) -> bool:
    """Whether the convolution was computed as a product and sums; the result is compared."""

    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv_general_dilated(x, w, **params)

    program = lowering.lowered(conv, (x, w), LOWERINGS)
    (got,) = lowering.run(program, x, w)
    want = np.asarray(conv(x, w))
    assert got.dtype == want.dtype
    scale = max(1.0, np.abs(want).max(initial=0))
    np.testing.assert_allclose(got / scale, want / scale, atol=TOLERANCE[want.dtype.name], rtol=0)
    return any("kernels times images" in step.note for step in program.steps)


def drawn(shape: Any, dtype: str, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def check_random(lowering: Any, dtype: str, seed: int) -> bool:
    """Compare one random convolution; whether it was computed as a product and sums."""
    pick = random.Random(seed)
    rank = pick.choice([1, 2, 2, 3])

    def each(*choices: int) -> tuple[int, ...]:
        return tuple(pick.choice(choices) for _ in range(rank))

    window, depth, features = each(1, 2, 3, 4), pick.choice([16, 40]), pick.choice([1, 2, 3, 4])
    if np.prod(window) == 1:
        window = (2, *window[1:])
    return compared(
        lowering,
        drawn((pick.choice([1, 3]), *each(1, 5, 8), depth), dtype),
        drawn((*window, depth, features), dtype),
        window_strides=(1,) * rank,
        # none of the window, all of it, and more than all of it, is beyond the ends
        padding=[(pick.randint(-1, 9), pick.randint(0, 9)) for _ in range(rank)],
        lhs_dilation=each(1, 2, 3),
        rhs_dilation=each(1, 2),
        dimension_numbers=LAYOUTS[rank],
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_convolutions(lowering: Any, dtype: str) -> None:
    """Some are left to libraries, for their many loops or terms."""
    assert sum([check_random(lowering, dtype, seed) for seed in range(40)]) >= 25


@pytest.mark.parametrize(
    "shape, kernel, params",
    [
        ((2, 6, 6, 32), (3, 3, 32, 5), {}),  # features enough to fill vectors
        ((2, 6, 6, 8), (3, 3, 8, 1), {}),  # little to sum over
        ((2, 6, 6, 32), (1, 1, 32, 1), {}),  # a product as it stands
        ((2, 9, 9, 32), (7, 7, 32, 1), {}),  # many terms
        ((2, 9, 9, 32), (9, 9, 32, 1), {"lhs_dilation": (9, 9)}),  # many loops
        ((2, 6, 6, 32), (3, 3, 32, 1), {"window_strides": (2, 2)}),
        ((2, 6, 6, 32), (3, 3, 16, 2), {"feature_group_count": 2}),
    ],
)
def test_other_convolutions_are_left_to_libraries(
    lowering: Any, shape: Any, kernel: Any, params: Any
) -> None:
    x, w = drawn(shape, "float32"), drawn(kernel, "float32")
    options = {"window_strides": (1, 1), "padding": "SAME", **params}
    if "lhs_dilation" in options:
        options["padding"] = [(4, 4), (4, 4)]
    assert not compared(lowering, x, w, dimension_numbers=LAYOUTS[2], **options)


def test_features_first_are_left_to_libraries(lowering: Any) -> None:
    x, w = drawn((2, 32, 6, 6), "float32"), drawn((1, 32, 3, 3), "float32")
    assert not compared(lowering, x, w, window_strides=(1, 1), padding="SAME")


def test_segments_are_the_definition() -> None:
    """Each place is in one segment, with the elements of the window that meet the image there."""
    choices = ([1, 4], [1, 5, 7], [1, 2, 4], [-2, 0, 1, 9], [1, 2, 3], [1, 2])
    for size, places, window, low, dilation, step in itertools.product(*choices):
        found: dict[int, set[tuple[int, int]]] = {}
        for start, count, stride, terms in _segments(size, places, window, low, dilation, step):
            for i in range(count):
                assert start + i * stride not in found
                found[start + i * stride] = {(k, first + i) for k, first in terms}
        expected = {
            t: {
                (k, (t + k * step - low) // dilation)
                for k in range(window)
                if (t + k * step - low) % dilation == 0
                and 0 <= t + k * step - low < size * dilation
            }
            for t in range(places)
        }
        assert found == expected
