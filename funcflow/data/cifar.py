"""The CIFAR-10 files, in the binary version and in the one of pickles.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009). Both versions hold
images channel by channel, each 32 rows of 32 numbers; images are (32, 32, 3) here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from funcflow.data.files import FilePath, bad_file, check_labels, found_in, read_bytes
from funcflow.data.unpickler import load_pickle

CLASSES = 10
_SIDE, _CHANNELS = 32, 3
_PIXELS = _CHANNELS * _SIDE * _SIDE
_RECORD = 1 + _PIXELS  # a label and an image

Pair = tuple[np.ndarray, np.ndarray]


def read_cifar10_binary(path: FilePath) -> Pair:
    """Images and labels of one file of the binary version, e.g. `data_batch_1.bin`.

    Returns:
        Images, uint8 of shape (n, 32, 32, 3), and labels, int32 of shape (n,).

    Raises:
        DataFormatError: the file is empty or no whole number of records, or a label is not from
            0 to 9.
    """
    function = "read_cifar10_binary"
    content = read_bytes(function, path)
    if not content or len(content) % _RECORD:
        raise bad_file(
            function,
            path,
            f"at byte {len(content) // _RECORD * _RECORD}",
            f"records of {_RECORD} bytes",
            f"{len(content)} bytes in all",
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0]
    check_labels(function, path, labels, CLASSES, first=0, stride=_RECORD)
    return _channels_last(records[:, 1:]), labels.astype(np.int32)


def read_cifar10_pickle(path: FilePath) -> Pair:
    """Images and labels of one file of the version of pickles, e.g. `data_batch_1`.

    Nothing that the file names is imported or called (`data/unpickler.py`).

    Returns:
        Images, uint8 of shape (n, 32, 32, 3), and labels, int32 of shape (n,).

    Raises:
        DataFormatError: the file is no pickle, or one of something else than images and labels.
    """
    function = "read_cifar10_pickle"
    batch = load_pickle(function, path, read_bytes(function, path))
    entries = _entries(batch)
    data, labels = entries.get("data"), entries.get("labels")
    if not isinstance(data, np.ndarray) or not isinstance(labels, list):
        expected = "a dict with an array 'data' and a list 'labels'"
        found = f"a dict with {sorted(entries)}" if entries else f"a {type(batch).__name__}"
        raise bad_file(function, path, "", expected, found)
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS or not len(data):
        expected = f"uint8 of shape (n, {_PIXELS}) as 'data'"
        raise bad_file(function, path, "", expected, f"{data.dtype} of shape {data.shape}")
    if len(labels) != len(data):
        raise bad_file(function, path, "", f"{len(data)} labels", str(len(labels)))
    for index, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label < CLASSES:
            expected = f"a label from 0 to {CLASSES - 1}"
            raise bad_file(function, path, f"in 'labels' at {index}", expected, repr(label))
    return _channels_last(data), np.array(labels, np.int32)


def _entries(batch: Any) -> dict[str, Any]:
    """A dict by strings, whichever version of Python has written it."""
    if not isinstance(batch, dict):
        return {}
    return {k.decode("latin1") if isinstance(k, bytes) else str(k): v for k, v in batch.items()}


def _channels_last(rows: np.ndarray) -> np.ndarray:
    images = rows.reshape(-1, _CHANNELS, _SIDE, _SIDE)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def load_cifar10(folder: FilePath) -> tuple[Pair, Pair]:
    """The CIFAR-10 images.

    Args:
        folder: where `data_batch_1` to `data_batch_5` and `test_batch` are, all with .bin (the
            binary version) or all without (the pickles); or the folder around
            `cifar-10-batches-bin` or `cifar-10-batches-py`.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 of shape
        (n, 32, 32, 3), and int32 of shape (n,).

    Raises:
        DataFormatError: a file is missing or damaged.

    Example:
        >>> train, test = ff.data.load_cifar10("cifar")  # doctest: +SKIP
        >>> batches = ff.data.from_arrays(train).batch(32)  # doctest: +SKIP
    """
    for place, suffix, read in _versions(Path(folder)):
        paths = [place / f"data_batch_{i}{suffix}" for i in range(1, 6)]
        paths.append(place / f"test_batch{suffix}")
        if any(path.exists() for path in paths):
            return _load(paths, read)
    raise bad_file(
        "load_cifar10",
        folder,
        "",
        "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the same without .bin",
        found_in(folder),
        mend="bring the unpacked files of the data set to this folder",
    )


def _versions(folder: Path) -> list[tuple[Path, str, Callable[[FilePath], Pair]]]:
    return [
        (folder, ".bin", read_cifar10_binary),
        (folder, "", read_cifar10_pickle),
        (folder / "cifar-10-batches-bin", ".bin", read_cifar10_binary),
        (folder / "cifar-10-batches-py", "", read_cifar10_pickle),
    ]


def _load(paths: list[Path], read: Callable[[FilePath], Pair]) -> tuple[Pair, Pair]:
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        folder = paths[0].parent
        expected = ", ".join(path.name for path in paths)
        raise bad_file("load_cifar10", folder, "", expected, f"all but {', '.join(missing)}")
    *train, test = [read(path) for path in paths]
    images, labels = zip(*train, strict=True)
    return (np.concatenate(images), np.concatenate(labels)), test
