"""Convolutions by oneDNN and by BLAS, compared with the reference implementation."""

import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import funcflow as ff
from funcflow.backends.numba import onednn
from funcflow.backends.numba.convolution import LOWERINGS
from funcflow.backends.program import HostCall, Program
from funcflow.core import rules
from funcflow.lax.convolution import conv_general_dilated_p

needs_onednn = pytest.mark.skipif(onednn.library() is None, reason="needs the wheel of oneDNN")

# Of the greatest result: sums of some thousand products, in another order.
TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 2e-2, "float16": 3e-3}


@pytest.fixture(params=[pytest.param("oneDNN", marks=needs_onednn), "BLAS"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who computes; without its wheel oneDNN does not."""
    if request.param == "BLAS":
        monkeypatch.setattr(onednn, "library", lambda: None)
    return request.param


def normal(rng: Any, shape: Any, dtype: str = "float32") -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32).astype(dtype)


def notes(program: Program) -> list[str]:
    return [step.note for step in program.steps]


def hosted(program: Program) -> bool:
    return any(isinstance(step.work, HostCall) for step in program.steps)


def check(program: Any, got: Any, want: Any) -> None:
    want = np.asarray(want)
    assert got.dtype == want.dtype
    scale = max(1.0, np.abs(want.astype(np.float64)).max())
    error = np.abs(got.astype(np.float64) - want.astype(np.float64)).max() / scale
    assert error < TOLERANCE[want.dtype.name], notes(program)


def random_case(seed: int) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """The shapes of images and kernels, and parameters, of a legal convolution."""
    pick = random.Random(seed)
    rank = pick.choice([0, 1, 1, 2, 2, 3])
    groups = pick.choice([1, 1, 1, 2, 3])
    batch_groups = pick.choice([1, 1, 2]) if groups == 1 else 1

    def each(*choices: int) -> tuple[int, ...]:
        return tuple(pick.choice(choices) for _ in range(rank))

    def layout() -> tuple[int, ...]:
        axes = list(range(rank + 2))
        kind = pick.choice(["first", "last", "last", "any"])
        if kind == "last":
            axes = [0, rank + 1, *range(1, rank + 1)]
        elif kind == "any":
            pick.shuffle(axes)
        return tuple(axes)

    features = pick.choice([1, 2, 4, 16])
    large = pick.random() < 0.3  # windows larger than the result, as of cotangents
    kind = pick.choice(["strided", "dilated", "both"])
    layouts = [layout() for _ in range(3)]
    window = each(6, 7, 8) if large else each(1, 2, 3, 4)
    images = (pick.choice([1, 2, 3, 4]) * batch_groups, features * groups, *each(9, 10))
    kernels = (pick.choice([1, 2, 5, 16]) * groups * batch_groups, features, *window)
    params = dict(
        window_strides=each(1) if kind == "dilated" else each(1, 1, 2, 3),
        padding=tuple((pick.randint(-1, 3), pick.randint(0, 3)) for _ in range(rank)),
        lhs_dilation=each(1) if kind == "strided" else each(1, 2),
        rhs_dilation=each(1) if large else each(1, 1, 2),
        dimension_numbers=ff.lax.ConvDimensionNumbers(*layouts),
        feature_group_count=groups,
        batch_group_count=batch_groups,
    )
    shapes = []
    for canonical, spec in zip((images, kernels), layouts, strict=False):
        shape = [0] * len(spec)
        for axis, n in zip(spec, canonical, strict=True):
            shape[axis] = n
        shapes.append(shape)
    return shapes[0], shapes[1], params


def check_random(lowering: Any, seed: int, dtype: str) -> bool:
    """Compare one random convolution; whether it was computed natively."""
    images, kernels, params = random_case(seed)
    rng = np.random.default_rng(seed)
    x, w = normal(rng, images, dtype), normal(rng, kernels, dtype)

    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv_general_dilated(x, w, **params)

    program = lowering.lowered(conv, (x, w), LOWERINGS)
    (got,) = lowering.run(program, x, w)
    check(program, got, conv(x, w))
    return not hosted(program)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_convolutions(engine: str, lowering: Any, dtype: str) -> None:
    assert all([check_random(lowering, seed, dtype) for seed in range(60)])


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_many_random_convolutions(engine: str, lowering: Any, dtype: str) -> None:
    native = [check_random(lowering, seed, dtype) for seed in range(60, 400)]
    assert any(native) or (engine == "BLAS" and dtype.endswith("16"))


@needs_onednn
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_floats(lowering: Any, dtype: str) -> None:
    """On processors without instructions for them they are widened."""
    rng = np.random.default_rng(0)
    x, w = normal(rng, (2, 8, 8, 16), dtype), normal(rng, (3, 3, 16, 16), dtype)

    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    program = lowering.lowered(conv, (x, w), LOWERINGS)
    (got,) = lowering.run(program, x, w)
    check(program, got, conv(x, w))
    assert not hosted(program)


LAYOUTS = {"NHWC": ("NHWC", "HWIO", "NHWC"), "NCHW": ("NCHW", "OIHW", "NCHW")}


def layer(layout: str, strides: int, size: int = 3) -> tuple[Any, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    images = (2, 12, 12, 16) if layout == "NHWC" else (2, 16, 12, 12)
    kernels = (size, size, 16, 32) if layout == "NHWC" else (32, 16, size, size)

    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv_general_dilated(
            x, w, (strides, strides), "SAME", dimension_numbers=LAYOUTS[layout]
        )

    return conv, normal(rng, images), normal(rng, kernels)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("strides", [1, 2])
def test_gradients(engine: str, lowering: Any, layout: str, strides: int) -> None:
    conv, x, w = layer(layout, strides)

    def loss(x: Any, w: Any) -> Any:
        return (conv(x, w) ** 2).sum()

    gradient = ff.grad(loss, argnums=(0, 1))
    program = lowering.lowered(gradient, (x, w), LOWERINGS)
    for got, want in zip(lowering.run(program, x, w), gradient(x, w), strict=True):
        check(program, got, want)
    own = [s for s in program.steps if s.eqns and s.eqns[0].primitive is conv_general_dilated_p]
    assert len(own) >= 3
    assert not any(isinstance(step.work, HostCall) for step in own)


@needs_onednn
@pytest.mark.parametrize(
    ("strides", "which", "direction"),
    [(1, 0, "forward"), (2, 0, "backward_data"), (1, 1, "backward_weights")],
)
def test_directions_are_recognised(lowering: Any, strides: int, which: int, direction: str) -> None:
    """The cotangent of images of a convolution without strides is a convolution forward."""
    conv, x, w = layer("NHWC", strides)
    ct = np.asarray(conv(x, w))
    other = (w, x)[which]

    def cotangent(ct: Any, other: Any) -> Any:
        if which == 0:
            return ff.linear_transpose(lambda x: conv(x, other), x)(ct)[0]
        return ff.linear_transpose(lambda w: conv(other, w), w)(ct)[0]

    program = lowering.lowered(cotangent, (ct, other), LOWERINGS)
    assert [n for n in notes(program) if n.startswith(f"oneDNN {direction}, ")]
    (got,) = lowering.run(program, ct, other)
    check(program, got, cotangent(ct, other))


@needs_onednn
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("window", [2, 3, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0), (1, 1), (1, 0), (2, 5)])
def test_gradients_of_transposed_convolutions(
    lowering: Any, layout: str, window: int, dilation: int, pads: tuple[int, int]
) -> None:
    """That of the kernels is recognised as one, though images are dilated."""
    rng = np.random.default_rng(0)
    images = (3, 6, 7, 16) if layout == "NHWC" else (3, 16, 6, 7)
    kernels = (window, window, 16, 8) if layout == "NHWC" else (8, 16, window, window)
    x, w = normal(rng, images), normal(rng, kernels)
    reach = (window - 1) * dilation

    def conv(x: Any, w: Any) -> Any:
        return ff.lax.conv_general_dilated(
            x,
            w,
            (1, 1),
            [(reach - pads[0], reach - pads[1])] * 2,
            lhs_dilation=(2, 3),
            rhs_dilation=(dilation, dilation),
            dimension_numbers=LAYOUTS[layout],
        )

    gradient = ff.grad(lambda x, w: (conv(x, w) ** 2).sum(), argnums=(0, 1))
    program = lowering.lowered(gradient, (x, w), LOWERINGS)
    for got, want in zip(lowering.run(program, x, w), gradient(x, w), strict=True):
        check(program, got, want)
    assert any(note.startswith("oneDNN backward_weights, ") for note in notes(program))


@needs_onednn
@pytest.mark.parametrize(
    ("layout", "size", "reordered"), [("NHWC", 3, False), ("NCHW", 3, True), ("NCHW", 1, False)]
)
def test_images_are_reordered_where_it_pays(
    lowering: Any, layout: str, size: int, reordered: bool
) -> None:
    """Not with features last, and not for windows of one element."""
    conv, x, w = layer(layout, 1, size)
    program = lowering.lowered(conv, (x, w), LOWERINGS)
    images = program.arguments[0].buffer
    reorders = [s for s in program.steps if s.note == "oneDNN reorder"]
    assert any(s.reads[0].buffer is images for s in reorders) == reordered


def test_infinite_images(engine: str, lowering: Any) -> None:
    conv, x, w = layer("NHWC", 1)
    x[0, 3, 4, 5] = np.inf
    x[1, 7, 7, 7] = np.nan
    program = lowering.lowered(conv, (x, w), LOWERINGS)
    (got,) = lowering.run(program, x, w)
    want = np.asarray(conv(x, w))
    for test in (np.isnan, np.isposinf, np.isneginf):
        np.testing.assert_array_equal(test(got), test(want))


def test_nothing_to_multiply(lowering: Any) -> None:
    x, w = np.ones((0, 3, 5), np.float32), np.ones((4, 3, 2), np.float32)
    params = conv_params(x, w)
    program = lowering.lowered(
        lambda x, w: conv_general_dilated_p.bind(x, w, **params), (x, w), LOWERINGS
    )
    assert notes(program) == ["nothing to multiply"]
    assert lowering.run(program, x, w)[0].shape == (0, 4, 4)


def conv_params(x: np.ndarray, w: np.ndarray) -> dict[str, Any]:
    (eqn,) = ff.make_jaxpr(lambda x, w: ff.lax.conv(x, w, (1,), "VALID"))(x, w).jaxpr.eqns
    return eqn.params


@pytest.mark.parametrize("dtype", ["int32", "complex64", ml_dtypes.bfloat16])
def test_other_dtypes(lowering: Any, monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    monkeypatch.setattr(onednn, "library", lambda: None)
    x, w = (np.arange(n).reshape(s).astype(dtype) for n, s in ((30, (2, 3, 5)), (24, (4, 3, 2))))
    params = conv_params(x, w)
    program = lowering.lowered(
        lambda x, w: conv_general_dilated_p.bind(x, w, **params), (x, w), LOWERINGS
    )
    (got,) = lowering.run(program, x, w)
    assert hosted(program) == (np.dtype(dtype) != np.complex64)
    np.testing.assert_array_equal(got, rules.impl[conv_general_dilated_p](np, x, w, **params))
