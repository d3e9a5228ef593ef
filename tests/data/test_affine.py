"""Affine maps of images: identities, and SciPy's results."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.data.affine import MODES
from funcflow.errors import ArgumentError, ShapeError

SCIPY_MODES = {"nearest": "nearest", "reflect": "reflect", "constant": "grid-constant"}
SCIPY_MODES["wrap"] = "grid-wrap"
SHAPES = st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))
modes = pytest.mark.parametrize("mode", MODES)


def image_of(shape, seed=0, dtype=np.float64):
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def of_channels(function, image, *args, **options):
    """A function of SciPy, which knows no channels, for each of them."""
    planes = [function(image[..., c], *args, order=1, **options) for c in range(image.shape[2])]
    return np.stack(planes, -1)


@modes
@given(
    SHAPES,
    st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
)
def test_affine_transforms(mode, shape, matrix, offset):
    image, matrix = image_of(shape), np.reshape(matrix, (2, 2))
    got = ff.data.affine_transform(image, matrix, np.array(offset), mode=mode, cval=7.0)
    expected = of_channels(
        ndimage.affine_transform, image, matrix, offset, mode=SCIPY_MODES[mode], cval=7.0
    )
    np.testing.assert_allclose(got, expected, atol=1e-8)


@modes
@given(SHAPES, st.tuples(st.floats(-9, 9), st.floats(-9, 9)))
def test_shifts(mode, shape, shift):
    image = image_of(shape)
    got = ff.data.shift(image, np.array(shift), mode=mode)
    expected = of_channels(ndimage.shift, image, shift, mode=SCIPY_MODES[mode])
    np.testing.assert_allclose(got, expected, atol=1e-8)


@modes
@given(SHAPES, st.floats(-360, 360))
def test_rotations(mode, shape, degrees):
    image = image_of(shape)
    got = ff.data.rotate(image, np.float64(degrees), mode=mode)
    expected = of_channels(
        ndimage.rotate, image, degrees, reshape=False, mode=SCIPY_MODES[mode], prefilter=False
    )
    np.testing.assert_allclose(got, expected, atol=1e-6)


@modes
@given(SHAPES, st.floats(0.3, 3), st.floats(0.3, 3))
def test_zooms(mode, shape, rows, columns):
    image = image_of(shape)
    got = ff.data.zoom(image, np.array([rows, columns]), mode=mode)
    matrix, centre = np.array([1 / rows, 1 / columns]), (np.array(shape[:2]) - 1) / 2
    expected = of_channels(
        ndimage.affine_transform, image, matrix, centre - matrix * centre, mode=SCIPY_MODES[mode]
    )
    np.testing.assert_allclose(got, expected, atol=1e-8)


@modes
@given(SHAPES, st.sampled_from(["uint8", "int16", "float16", "float32", "float64"]))
def test_identities(mode, shape, dtype):
    image = image_of(shape, dtype=dtype)
    for result in (
        ff.data.shift(image, (0, 0), mode=mode),
        ff.data.rotate(image, 0.0, mode=mode),
        ff.data.zoom(image, 1.0, mode=mode),
    ):
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, image)


@given(SHAPES, st.integers(-20, 20), st.integers(-20, 20))
def test_whole_shifts_that_wrap_are_rolls(shape, down, right):
    image = image_of(shape, dtype=np.uint8)
    shifted = ff.data.shift(image, (down, right), mode="wrap")
    np.testing.assert_array_equal(shifted, np.roll(image, (down, right), (0, 1)))


@given(st.integers(1, 8), st.integers(0, 3))
def test_quarter_turns(extent, turns):
    image = image_of((extent, extent, 2), dtype=np.uint8)
    np.testing.assert_array_equal(ff.data.rotate(image, 90.0 * turns), np.rot90(image, turns))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_integers_are_rounded_and_cut_off(dtype):
    image = np.array([0, 1, 3], dtype).reshape(1, 3, 1)
    halves = ff.data.shift(image, (0, -0.5), mode="constant", cval=1000)
    assert halves[0, :2, 0].tolist() == [0, 2]  # halves go to the even number
    assert halves[0, 2, 0] == np.iinfo(dtype).max


def test_transforms_of_transforms():
    images = fnp.asarray(image_of((5, 6, 7, 3)))
    angles = fnp.arange(5.0) * 20
    batch = ff.jit(ff.vmap(ff.data.rotate))(images, angles)
    for image, angle, result in zip(images, angles, batch, strict=True):
        np.testing.assert_allclose(result, ff.data.rotate(image, angle), atol=1e-4)


def test_derivatives():
    image = fnp.arange(5.0).reshape(1, 5, 1)  # a slope of 1
    slope = ff.jacobian(lambda x: ff.data.shift(image, fnp.stack([fnp.zeros_like(x), x])))(0.25)
    assert slope[0, :, 0].tolist() == [0, -1, -1, -1, -1]
    weights = ff.grad(lambda im: ff.data.shift(im, (0.0, 0.25))[0, 2, 0])(image)
    np.testing.assert_allclose(weights[0, :, 0], [0, 0.25, 0.75, 0, 0])


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match="mode='mirror'"):
        ff.data.shift(np.ones((2, 2, 1)), (0, 0), mode="mirror")  # pyright: ignore
    for shape in ((2, 2), (1, 2, 2, 1)):
        with pytest.raises(ShapeError, match="expected one image"):
            ff.data.affine_transform(np.ones(shape), np.eye(2))
