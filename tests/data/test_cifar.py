"""CIFAR-10 files of both versions, written here."""

import pickle
from pathlib import Path

import numpy as np
import pytest

import funcflow as ff
from funcflow.errors import DataFormatError

NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
RNG = np.random.default_rng(0)
ROWS = {name: RNG.integers(0, 256, (4, 3072), np.uint8) for name in NAMES}
LABELS = {name: RNG.integers(0, 10, 4).tolist() for name in NAMES}


def write_binary(folder: Path) -> None:
    for name in NAMES:
        records = np.concatenate([np.array(LABELS[name], np.uint8)[:, None], ROWS[name]], 1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def write_pickles(folder: Path) -> None:
    for name in NAMES:
        batch = {b"data": ROWS[name], b"labels": LABELS[name], b"batch_label": b"a batch"}
        (folder / name).write_bytes(pickle.dumps(batch, 2))


def check(loaded) -> None:
    (train_images, train_labels), (test_images, test_labels) = loaded
    for images, labels, names in [
        (train_images, train_labels, NAMES[:5]),
        (test_images, test_labels, NAMES[5:]),
    ]:
        assert images.dtype == np.uint8 and labels.dtype == np.int32
        rows = np.concatenate([ROWS[name] for name in names])
        assert images.shape == (len(rows), 32, 32, 3)
        for channel in range(3):
            plane = rows[:, 1024 * channel : 1024 * (channel + 1)].reshape(-1, 32, 32)
            np.testing.assert_array_equal(images[..., channel], plane)
        assert labels.tolist() == [label for name in names for label in LABELS[name]]


@pytest.mark.parametrize(
    ("write", "inner"),
    [
        (write_binary, "."),
        (write_binary, "cifar-10-batches-bin"),
        (write_pickles, "."),
        (write_pickles, "cifar-10-batches-py"),
    ],
)
def test_both_versions(tmp_path, write, inner):
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    write(folder)
    check(ff.data.load_cifar10(tmp_path))
    check(ff.data.load_cifar10(str(folder)))


def test_files_that_are_missing(tmp_path):
    with pytest.raises(DataFormatError, match=r"expected data_batch_1.bin .* is empty"):
        ff.data.load_cifar10(tmp_path)
    write_binary(tmp_path)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DataFormatError, match=r"found all but data_batch_3.bin"):
        ff.data.load_cifar10(tmp_path)


def test_damaged_records(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    write_binary(tmp_path)
    content = bytearray(path.read_bytes())
    content[3073] = 10
    path.write_bytes(content)
    with pytest.raises(DataFormatError, match=r"data_batch_1.bin, at byte 3073: .* found 10"):
        ff.data.read_cifar10_binary(path)
    path.write_bytes(content[:-1])
    with pytest.raises(DataFormatError, match="at byte 9219: expected records of 3073 bytes"):
        ff.data.read_cifar10_binary(path)
    path.write_bytes(b"")
    with pytest.raises(DataFormatError, match=r"at byte 0: .* found 0 bytes"):
        ff.data.read_cifar10_binary(path)


GOOD = {"data": ROWS["test_batch"], "labels": LABELS["test_batch"]}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ([1], "expected a dict with an array 'data' .* found a list"),
        ({"data": GOOD["data"]}, r"found a dict with \['data'\]"),
        (GOOD | {"data": GOOD["data"].astype(np.int32)}, "expected uint8 .* found int32"),
        (GOOD | {"data": GOOD["data"][:, 1:]}, r"\(n, 3072\) as 'data', found uint8 .*\(4, 3071\)"),
        (GOOD | {"data": GOOD["data"][:0]}, r"found uint8 of shape \(0, 3072\)"),
        (GOOD | {"labels": [1, 2]}, "expected 4 labels, found 2"),
        (GOOD | {"labels": [1, 2, -1, 3]}, "in 'labels' at 2: expected .* 0 to 9, found -1"),
        (GOOD | {"labels": [1, 2, 3, "a"]}, "in 'labels' at 3: .* found 'a'"),
    ],
)
def test_pickles_of_something_else(tmp_path, batch, message):
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(batch, 2))
    with pytest.raises(DataFormatError, match=message):
        ff.data.read_cifar10_pickle(path)
