"""IDX files: round trips over all dtypes and ranks, and every way to damage one."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import funcflow as ff
from funcflow.errors import ArgumentError, DataFormatError

DTYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]
HEADER = bytes([0, 0, 0x0B, 2, 0, 0, 0, 2, 0, 0, 0, 3])  # int16 of shape (2, 3)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("idx") / "array.idx"


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0))
    )
)
def test_what_is_written_is_read(path, array):
    ff.data.write_idx(path, array)
    read = ff.data.read_idx(path)
    assert read.dtype == array.dtype and read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_the_bytes_of_the_format(path):
    path.write_bytes(HEADER + bytes([0, 1, 0, 2, 1, 0, 0xFF, 0xFF, 0, 5, 0, 6]))
    assert ff.data.read_idx(path).tolist() == [[1, 2, 256], [-1, 5, 6]]


def test_compressed_files(path):
    packed = path.with_suffix(".idx.gz")
    packed.write_bytes(gzip.compress(HEADER + bytes(12)))
    assert ff.data.read_idx(packed).shape == (2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "at byte 0: expected the 4 bytes of a magic number, found 0 bytes"),
        (HEADER[:3], "at byte 0: .* found 3 bytes"),
        (b"\1" + HEADER[1:], "at byte 0: expected the magic number .* found 01 00 0b 02"),
        (b"\0\0\7\2" + HEADER[4:], "at byte 0: .* 08 09 0b 0c 0d 0e, .* found 00 00 07 02"),
        (b"\0\0\x08\xff" + bytes(1020), "at byte 0: .* found 00 00 08 ff"),
        (HEADER[:9], "at byte 4: expected 2 extents of 4 bytes, found 9 bytes"),
        (HEADER + bytes(11), r"at byte 23: .* 24 bytes in all, for int16 .*\(2, 3\), found 23"),
        (HEADER + bytes(13), "at byte 24: expected 24 bytes in all, .* found 25 bytes"),
        (b"\0\0\x0e\2" + b"\xff" * 8, "at byte 12: expected \\d{21} bytes"),
        (gzip.compress(HEADER), "at byte 0: .* found 1f 8b 08 00"),
    ],
)
def test_damaged_files(path, content, message):
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=f"read_idx: {path}, {message}"):
        ff.data.read_idx(path)


def test_what_the_format_cannot_hold(path):
    with pytest.raises(ArgumentError, match="no dtype complex64"):
        ff.data.write_idx(path, np.zeros(3, np.complex64))
    huge = np.broadcast_to(np.uint8(0), (0, 2**32))
    with pytest.raises(ArgumentError, match="2\\*\\*32 - 1"):
        ff.data.write_idx(path, huge)


# --- MNIST --------------------------------------------------------------------------------------

RNG = np.random.default_rng(0)
TRAIN = (RNG.integers(0, 256, (6, 28, 28), np.uint8), RNG.integers(0, 10, 6, np.uint8))
TEST = (RNG.integers(0, 256, (3, 28, 28), np.uint8), RNG.integers(0, 10, 3, np.uint8))


@pytest.fixture
def folder(tmp_path) -> Path:
    for part, (images, labels) in {"train": TRAIN, "t10k": TEST}.items():
        ff.data.write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        ff.data.write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    return tmp_path


def check(loaded):
    for (images, labels), (expected, digits) in zip(loaded, (TRAIN, TEST), strict=True):
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        np.testing.assert_array_equal(images, expected[..., None])
        np.testing.assert_array_equal(labels, digits)


def test_mnist(folder):
    check(ff.data.load_mnist(folder))


def test_mnist_with_other_names(folder):
    path = folder / "train-images-idx3-ubyte"
    path.with_name("train-images.idx3-ubyte.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    check(ff.data.load_mnist(folder))


def test_mnist_in_an_empty_folder(tmp_path):
    with pytest.raises(DataFormatError, match=r"expected train-images-idx3-ubyte or .* is empty"):
        ff.data.load_mnist(tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5, np.uint8), "at byte 4: expected 6 labels, as train-images.* found 5"),
        (np.array([1, 2, 3, 10, 5, 6], np.uint8), "at byte 11: .* from 0 to 9, found 10"),
        (np.zeros((6, 1), np.uint8), r"at byte 2: expected uint8 with 1 axes, .*\(6, 1\)"),
        (np.zeros(6, np.int32), "at byte 2: expected uint8 .* found int32"),
    ],
)
def test_mnist_labels_that_do_not_fit(folder, array, message):
    ff.data.write_idx(folder / "train-labels-idx1-ubyte", array)
    with pytest.raises(DataFormatError, match=f"train-labels-idx1-ubyte, {message}"):
        ff.data.load_mnist(folder)
