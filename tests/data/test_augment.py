"""Augmentation: within its limits, deterministic, and nothing where the limits are 0."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data
from funcflow.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(0)
FLOATS = RNG.random((6, 5, 3), np.float32)
BYTES = RNG.integers(0, 256, (6, 5, 3), np.uint8)
IMAGES = [FLOATS, BYTES]
ALL = [
    data.random_shift,
    data.random_rotation,
    data.random_zoom,
    partial(data.random_zoom, keep_aspect=False),
    data.random_flip_left_right,
    data.random_flip_up_down,
    partial(data.random_crop, height=4, width=3),
    partial(data.random_crop, height=6, width=5, padding=2, mode="reflect"),
    data.random_brightness,
    data.random_contrast,
]
NOTHING = [
    partial(data.random_shift, height=0, width=0),
    partial(data.random_rotation, degrees=0),
    partial(data.random_zoom, factor=0),
    partial(data.random_crop, height=6, width=5),
    partial(data.random_brightness, max_delta=0),
    partial(data.random_contrast, lower=1, upper=1),
]
keys = st.integers(0, 50).map(ff.random.key)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("augmentation", NOTHING)
@given(key=keys)
def test_nothing_changes_where_nothing_may(augmentation, image, key):
    result = augmentation(key, image)
    assert result.dtype == image.dtype
    np.testing.assert_allclose(result, image, atol=1e-6)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("augmentation", ALL)
def test_batches_are_images_one_by_one(augmentation, image):
    images = np.stack([image, image[::-1], image])
    key = ff.random.key(3)
    batch = ff.jit(data.batched(augmentation))(key, images)
    assert batch.dtype == image.dtype
    for one, own, result in zip(images, ff.random.split(key, 3), batch, strict=True):
        tolerance = 1 if image is BYTES else 1e-5
        alone = np.asarray(augmentation(own, one), np.float64)
        np.testing.assert_allclose(np.asarray(result, np.float64), alone, atol=tolerance)


@pytest.mark.parametrize("augmentation", ALL)
def test_the_key_decides(augmentation):
    image = np.arange(30, dtype=np.float32).reshape(6, 5, 1)
    results = [np.asarray(augmentation(ff.random.key(i % 8), image)) for i in range(16)]
    for first, second in zip(results[:8], results[8:], strict=True):
        np.testing.assert_array_equal(first, second)
    assert len({result.tobytes() for result in results}) > 1


@pytest.mark.parametrize("flip", [data.random_flip_left_right, data.random_flip_up_down])
@given(key=keys)
def test_flips_undo_themselves(flip, key):
    np.testing.assert_array_equal(flip(key, flip(key, BYTES)), BYTES)


def test_flips_are_mirror_images():
    for flip, mirrored in [
        (data.random_flip_left_right, BYTES[:, ::-1]),
        (data.random_flip_up_down, BYTES[::-1]),
    ]:
        results = [np.asarray(flip(ff.random.key(i), BYTES)) for i in range(20)]
        changed = [np.array_equal(result, mirrored) for result in results]
        kept = [np.array_equal(result, BYTES) for result in results]
        assert sum(changed) + sum(kept) == 20
        assert min(sum(changed), sum(kept)) > 3


@given(keys)
def test_shifts_stay_in_their_limits(key):
    ramp = fnp.arange(40.0).reshape(1, 40, 1) + fnp.arange(40.0).reshape(40, 1, 1) * 1000
    moved = data.random_shift(key, ramp, 0.1, 0.2)[20, 20, 0] - ramp[20, 20, 0]
    down = -fnp.round(moved / 1000, 1)
    right = -(moved - fnp.round(moved / 1000) * 1000)
    assert abs(down) <= 4.5
    assert abs(right) <= 508  # a fraction of a row counts as so many columns
    still = data.random_shift(key, ramp, 0.0, 0.2)[20, 20, 0] - ramp[20, 20, 0]
    assert abs(still) <= 8


@given(keys)
def test_crops_are_parts(key):
    part = np.asarray(data.random_crop(key, BYTES, 4, 3))
    places = [(i, j) for i in range(3) for j in range(3)]
    assert any(np.array_equal(part, BYTES[i : i + 4, j : j + 3]) for i, j in places)


def test_crops_reach_all_places():
    image = np.arange(30).reshape(6, 5, 1)
    crop = ff.jit(ff.vmap(lambda key: data.random_crop(key, image, 4, 3)[0, 0, 0]))
    corners = crop(ff.random.split(ff.random.key(0), 200))
    assert set(corners.tolist()) == {i * 5 + j for i in range(3) for j in range(3)}


@pytest.mark.parametrize(
    ("mode", "pad"),
    [("nearest", "edge"), ("constant", "constant"), ("reflect", "symmetric"), ("wrap", "wrap")],
)
def test_padding(mode, pad):
    values = {"constant_values": 9} if mode == "constant" else {}
    padded = np.pad(BYTES, ((2, 2), (2, 2), (0, 0)), pad, **values)
    result = data.random_crop(ff.random.key(0), BYTES, 10, 9, padding=2, mode=mode, cval=9)
    np.testing.assert_array_equal(result, padded)


@given(keys)
def test_brightness(key):
    changes = np.asarray(data.random_brightness(key, FLOATS, 0.5)) - FLOATS
    assert np.ptp(changes) < 1e-6 and abs(changes[0, 0, 0]) <= 0.5
    expected = np.clip(np.rint(BYTES + changes[0, 0, 0] * 255.0), 0, 255)
    result = np.asarray(data.random_brightness(key, BYTES, 0.5), np.float64)
    np.testing.assert_allclose(result, expected, atol=1)


@given(keys)
def test_contrast(key):
    result = np.asarray(data.random_contrast(key, FLOATS, 0.5, 2.0))
    mean = FLOATS.mean((0, 1))
    np.testing.assert_allclose(result.mean((0, 1)), mean, atol=1e-6)
    factors = (result - mean) / (FLOATS - mean)
    assert np.ptp(factors) < 1e-2 and 0.5 <= factors.mean() <= 2.0


def test_compositions():
    both = data.compose(data.random_flip_left_right, data.random_brightness)
    key = ff.random.key(5)
    first, second = ff.random.split(key)
    expected = data.random_brightness(second, data.random_flip_left_right(first, FLOATS))
    np.testing.assert_array_equal(both(key, FLOATS), expected)
    np.testing.assert_array_equal(data.compose()(key, FLOATS), FLOATS)


def test_in_a_pipeline():
    augment = ff.jit(data.batched(data.random_shift))
    labelled = data.from_arrays((np.stack([BYTES] * 5), np.arange(5))).batch(2)
    labelled = labelled.map(lambda key, b: (augment(key, b[0]), b[1]), ff.random.key(0)).prefetch()
    epochs = [[np.asarray(x) for x, _ in labelled.epoch(e)] for e in (0, 0, 1)]
    assert [len(x) for x in epochs[0]] == [2, 2, 1]
    np.testing.assert_array_equal(epochs[0][0], epochs[1][0])
    assert not np.array_equal(epochs[0][0], epochs[2][0])


def test_wrong_arguments():
    key = ff.random.key(0)
    for augmentation in ALL:
        with pytest.raises(ShapeError, match=r"expected one image .* got u8\[2,6,5,3\]"):
            augmentation(key, np.stack([BYTES] * 2))
    with pytest.raises(ArgumentError, match="no part 7 x 5 of an image 6 x 5"):
        data.random_crop(key, BYTES, 7, 5)
    with pytest.raises(ArgumentError, match="mode='mirror'"):
        data.random_crop(key, BYTES, 2, 2, mode="mirror")  # pyright: ignore
    with pytest.raises(ArgumentError, match="factor=1"):
        data.random_zoom(key, BYTES, 1)
