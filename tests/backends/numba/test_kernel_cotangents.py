"""Cotangents of kernels: their parts, and that they do not depend on the number of threads."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.numba import onednn, threads
from funcflow.backends.numba.convolution import LOWERINGS
from funcflow.backends.numba.convolution_form import Phrase
from funcflow.backends.numba.kernel_cotangents import cut
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


def test_other_directions_are_not_cut() -> None:
    words = described(32, 8, 16, 16)
    forward = Phrase("forward", words.views, words.strides, words.dilation, words.low)
    assert cut(forward) == [forward]


CASES: dict[str, dict[str, Any]] = {
    "many images": {},
    "an odd number of images": {"batch": 7},
    "features first": {"layout": "NCHW"},
    "features first, one place": {"layout": "NCHW", "window": 1},
    "one place": {"window": 1},
    "one image": {"batch": 1},
    "few features": {"features": 3},
    "large kernels": {"batch": 4, "size": 7, "features": 256, "out": 128},
    "strides": {"strides": 2},
    "holes": {"dilation": 2},
    "groups": {"groups": 4},
    "a group for each feature": {"groups": 32, "batch": 16},
    "bfloat16": {"dtype": ml_dtypes.bfloat16},
}


def cotangent(
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
    """A function that computes the cotangent of kernels, and its arguments."""
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

    ct = rng.standard_normal(conv(w, x).shape).astype(dtype)
    return lambda x, ct: ff.linear_transpose(lambda w: conv(w, x), w.astype(x.dtype))(ct)[0], x, ct


@needs_onednn
@pytest.mark.parametrize("case", CASES)
def test_the_number_of_threads_changes_nothing(case: str) -> None:
    f, x, ct = cotangent(**CASES[case])
    found = []
    for count in (1, 2, 3, 5):
        ff.clear_caches()
        with threads.limit(count):
            found.append(np.asarray(ff.jit(f)(x, ct)))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@needs_onednn
@pytest.mark.parametrize("case", CASES)
def test_the_parts_make_the_whole(lowering: Any, case: str) -> None:
    f, x, ct = cotangent(**CASES[case])
    program = lowering.lowered(f, (x, ct), LOWERINGS)
    (got,) = lowering.run(program, x, ct)
    want = np.asarray(f(x.astype(np.float64), ct.astype(np.float64)))
    error = np.abs(got.astype(np.float64) - want).max() / np.abs(want).max()
    assert error < (1e-5 if x.dtype == np.float32 else 5e-3)


@needs_onednn
def test_steps_say_how_many_parts_there_are(lowering: Any) -> None:
    f, x, ct = cotangent()
    program = lowering.lowered(f, (x, ct), LOWERINGS)
    (step,) = (s for s in program.steps if "backward_weights" in s.note)
    assert step.note.endswith(f", in {step.extent} parts")
    assert step.extent == 4
    assert [s.note for s in program.steps[-2:]] == ["the sum of the parts", "oneDNN reorder"]
