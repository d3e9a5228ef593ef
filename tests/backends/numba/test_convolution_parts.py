"""Parts of convolutions, and that results do not depend on the number of threads."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.numba import onednn, threads
from funcflow.backends.numba.convolution import LOWERINGS
from funcflow.backends.numba.convolution_form import Phrase
from funcflow.backends.numba.convolution_parts import cut
from funcflow.backends.program import View, dense_view

needs_onednn = pytest.mark.skipif(onednn.library() is None, reason="needs the wheel of oneDNN")


def described(
    batch: int, size: int, features: int, out: int, groups: int = 1, window: int = 3
) -> Phrase:
    """A convolution that keeps the images' size, features first."""
    kernels = (out, features // groups, window, window)
    if groups > 1:
        kernels = (groups, out // groups, *kernels[1:])
    shapes = ((batch, features, size, size), kernels, (batch, out, size, size))
    src, weights, dst = (dense_view("temporary", shape, np.float32) for shape in shapes)
    low = (window // 2,) * 2
    return Phrase("backward_weights", (src, weights, dst), (1, 1), (1, 1), low)


def elements(view: View) -> set[int]:
    """The places of a view's elements in its buffer."""
    places = np.full(view.shape, view.offset)
    for axis, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        places += (
            np.arange(n).reshape([-1 if i == axis else 1 for i in range(places.ndim)]) * stride
        )
    return set(places.flat)


@pytest.mark.parametrize(
    ("words", "images", "features"),
    [
        (described(2, 8, 16, 16), 1, 1),  # too little to do
        (described(32, 32, 32, 32), 16, 1),
        (described(13, 32, 32, 32), 8, 1),  # not all parts are of one size
        (described(32, 7, 512, 512), 1, 16),  # partial results would be large
        (described(1, 28, 64, 64), 1, 4),  # one image
        (described(1, 28, 64, 72), 1, 1),  # and features in no whole blocks
        (described(1, 28, 64, 64, groups=2), 1, 1),  # or in groups
        (described(16, 28, 64, 64, groups=2), 8, 1),
    ],
)
def test_parts(words: Phrase, images: int, features: int) -> None:
    parts = cut(words)
    assert len(parts) == images * features
    assert len({part.views[1] for part in parts}) == features
    src, weights, dst = words.views
    for whole, which in ((src, 0), (weights, 1), (dst, 2)):
        assert set().union(*(elements(part.views[which]) for part in parts)) == elements(whole)
    assert sum(part.views[2].size for part in parts) == dst.size  # each result is in one part


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (described(2, 8, 16, 16), 1),
        (described(32, 32, 32, 32), 16),
        (described(13, 32, 32, 32), 13),
        (described(1, 28, 64, 64), 14),  # of two rows each
        (described(2, 28, 64, 64), 16),
    ],
)
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
def test_images_and_rows(words: Phrase, parts: int, direction: str) -> None:
    found = cut(words._replace(direction=direction))
    assert len(found) == parts
    written = 2 if direction == "forward" else 0
    views = [part.views[written] for part in found]
    assert sum(view.size for view in views) == words.views[written].size
    assert set().union(*map(elements, views)) == elements(words.views[written])


def test_at_most_so_many_parts() -> None:
    words = described(32, 32, 32, 32)
    for direction in ("forward", "backward_data", "backward_weights"):
        assert len(cut(words._replace(direction=direction), 4)) == 4
        assert cut(words._replace(direction=direction), 1) == [words._replace(direction=direction)]


CASES: dict[str, dict[str, Any]] = {
    "many images": {},
    "an odd number of images": {"batch": 7},
    "features first": {"layout": "NCHW"},
    "features first, one place": {"layout": "NCHW", "window": 1},
    "one place": {"window": 1},
    "one image": {"batch": 1},
    "one image with strides": {"batch": 1, "strides": 2, "window": 5},
    "one image with holes": {"batch": 1, "dilation": 2},
    "one image, features first": {"batch": 1, "layout": "NCHW"},
    "strides beyond the windows": {"batch": 1, "strides": 3, "window": 1, "features": 128},
    "few features": {"features": 3},
    "large kernels": {"batch": 4, "size": 7, "features": 256, "out": 128},
    "strides": {"strides": 2},
    "holes": {"dilation": 2},
    "groups": {"groups": 4},
    "a group for each feature": {"groups": 32, "batch": 16},
    "bfloat16": {"dtype": ml_dtypes.bfloat16},
}


def gradients(
    *,
    batch: int = 8,
    size: int = 20,
    features: int = 32,
    out: int = 32,
    window: int = 3,
    strides: int = 1,
    dilation: int = 1,
    groups: int = 1,
    layout: str = "NHWC",
    dtype: Any = np.float32,
) -> tuple[Any, Any, Any]:
    """A function that computes a convolution and its cotangents, and its arguments."""
    rng = np.random.default_rng(0)
    last = layout == "NHWC"
    images = (batch, size, size, features) if last else (batch, features, size, size)
    kernels = (window, window, features // groups, out)
    kernels = kernels if last else (*kernels[:1:-1], window, window)
    x, w = (rng.standard_normal(shape).astype(dtype) for shape in (images, kernels))

    def conv(w: Any, x: Any) -> Any:
        return ff.lax.conv_general_dilated(
            x,
            w,
            (strides, strides),
            "SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=(layout, "HWIO" if last else "OIHW", layout),
            feature_group_count=groups,
        )

    def f(w: Any, x: Any) -> Any:
        out, transpose = ff.vjp(conv, w, x)
        return out, *transpose(out)

    return f, w, x


@needs_onednn
@pytest.mark.parametrize("case", CASES)
def test_the_number_of_threads_changes_nothing(case: str) -> None:
    f, w, x = gradients(**CASES[case])
    found = []
    for count in (1, 2, 3, 5):
        ff.clear_caches()
        with threads.limit(count):
            found.append([np.asarray(out) for out in ff.jit(f)(w, x)])
    for others in found[1:]:
        for other, one in zip(others, found[0], strict=True):
            np.testing.assert_array_equal(other, one)


@needs_onednn
@pytest.mark.parametrize("case", CASES)
def test_the_parts_make_the_whole(lowering: Any, case: str) -> None:
    f, w, x = gradients(**CASES[case])
    program = lowering.lowered(f, (w, x), LOWERINGS)
    for got, want in zip(lowering.run(program, w, x), f(w, x), strict=True):
        want = np.asarray(want).astype(np.float64)
        error = np.abs(got.astype(np.float64) - want).max() / np.abs(want).max()
        assert error < (1e-5 if x.dtype == np.float32 else 2e-2)


@needs_onednn
def test_steps_say_how_many_parts_there_are(lowering: Any) -> None:
    f, w, x = gradients()
    program = lowering.lowered(f, (w, x), LOWERINGS)
    steps = [s for s in program.steps if s.note.startswith("oneDNN ") and "parts" in s.note]
    assert [s.note.rpartition(", ")[2] for s in steps] == [
        "in 16 parts",
        "in 4 parts",
        "in 16 parts",
    ]
    assert [s.extent for s in steps] == [16, 4, 16]
    assert "the sum of the parts" in [s.note for s in program.steps]
