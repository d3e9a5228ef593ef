"""The IDX format, that of the MNIST files: an array of any rank behind a short header.

The header is two zero bytes, a code for the dtype, the number of axes, and the extent of each axis
in four bytes. All numbers have their most significant byte first. Y. LeCun, C. Cortes,
C. J. C. Burges, "The MNIST database of handwritten digits" (1998).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from funcflow.core.errors import ArgumentError
from funcflow.data.files import FilePath, bad_file, check_labels, found_in, read_bytes

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
_MAX_NDIM = 64  # NumPy's own limit

Pair = tuple[np.ndarray, np.ndarray]


def read_idx(path: FilePath) -> np.ndarray:
    """The array in an IDX file.

    Args:
        path: the file; one whose name ends in .gz is decompressed.

    Returns:
        A NumPy array in the byte order of this machine: uint8, int8, int16, int32, float32 or
        float64, of any rank.

    Raises:
        DataFormatError: the file is no IDX file, or is longer or shorter than its header says.
        OSError: the file cannot be opened.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "numbers.idx")
        ...     ff.data.write_idx(path, np.arange(3, dtype=np.int16))
        ...     ff.data.read_idx(path)
        array([0, 1, 2], dtype=int16)
    """
    return _parsed("read_idx", path, read_bytes("read_idx", path))


def write_idx(path: FilePath, array: Any) -> None:
    """Write an array as an IDX file, without compression.

    Raises:
        ArgumentError: IDX has no such dtype, or not so many axes or elements.
    """
    array = np.asarray(array)
    code = _CODES.get(array.dtype.newbyteorder(">"))
    if code is None:
        names = ", ".join(str(dtype.newbyteorder("=")) for dtype in _CODES)
        raise ArgumentError(
            f"write_idx: the format has no dtype {array.dtype}", mend=f"convert to one of {names}"
        )
    if any(extent >= 2**32 for extent in array.shape):
        raise ArgumentError(
            f"write_idx: the shape {array.shape} has an extent beyond 2**32 - 1",
            mend="write several files",
        )
    header = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    Path(path).write_bytes(header + array.astype(array.dtype.newbyteorder(">")).tobytes())


def _parsed(function: str, path: FilePath, content: bytes) -> np.ndarray:
    if len(content) < 4:
        raise bad_file(function, path, "at byte 0", "the 4 bytes of a magic number", _size(content))
    code, ndim = content[2], content[3]
    if content[:2] != b"\0\0" or code not in _DTYPES or ndim > _MAX_NDIM:
        codes = " ".join(f"{known:02x}" for known in _DTYPES)
        raise bad_file(
            function,
            path,
            "at byte 0",
            f"the magic number 00 00, one of {codes}, the number of axes",
            content[:4].hex(" "),
            mend="pass an IDX file; a compressed one must end in .gz",
        )
    start = 4 + 4 * ndim
    if len(content) < start:
        raise bad_file(function, path, "at byte 4", f"{ndim} extents of 4 bytes", _size(content))
    dtype = np.dtype(_DTYPES[code])
    shape = tuple(np.frombuffer(content, ">u4", ndim, 4).tolist())
    size = math.prod(shape) * dtype.itemsize
    if len(content) != start + size:
        raise bad_file(
            function,
            path,
            f"at byte {min(len(content), start + size)}",
            f"{start + size} bytes in all, for {dtype.newbyteorder('=')} of shape {shape}",
            _size(content),
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="))


def _size(content: bytes) -> str:
    return f"{len(content)} bytes"


def load_mnist(folder: FilePath) -> tuple[Pair, Pair]:
    """The MNIST digits, or a data set in the same files (Fashion-MNIST, KMNIST).

    Args:
        folder: where `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
            `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte` are, each with or without .gz.

    Returns:
        `(train_images, train_labels), (test_images, test_labels)`: uint8 of shape
        (n, height, width, 1), and int32 of shape (n,).

    Raises:
        DataFormatError: a file is missing or damaged, there are not as many labels as images, or
            a label is not from 0 to 9.

    Example:
        >>> train, test = ff.data.load_mnist("mnist")  # doctest: +SKIP
        >>> batches = ff.data.from_arrays(train).batch(32)  # doctest: +SKIP
    """
    return _mnist_pair(folder, "train"), _mnist_pair(folder, "t10k")


def _mnist_pair(folder: FilePath, part: str) -> Pair:
    images_path, images = _mnist_array(folder, f"{part}-images", ndim=3)
    labels_path, labels = _mnist_array(folder, f"{part}-labels", ndim=1)
    if len(images) != len(labels):
        expected = f"{len(images)} labels, as {images_path.name} has images"
        raise bad_file("load_mnist", labels_path, "at byte 4", expected, str(len(labels)))
    check_labels("load_mnist", labels_path, labels, classes=10, first=8, stride=1)
    return images[..., None], labels.astype(np.int32)


def _mnist_array(folder: FilePath, name: str, ndim: int) -> tuple[Path, np.ndarray]:
    # Some copies have a dot where the original names have the last but one hyphen.
    spellings = [f"{name}{sep}idx{ndim}-ubyte{gz}" for sep in "-." for gz in ("", ".gz")]
    paths = [path for spelling in spellings if (path := Path(folder, spelling)).exists()]
    if not paths:
        raise bad_file(
            "load_mnist",
            folder,
            "",
            f"{spellings[0]} or {spellings[1]}",
            found_in(folder),
            mend="bring the four files of the data set to this folder",
        )
    array = _parsed("load_mnist", paths[0], read_bytes("load_mnist", paths[0]))
    if array.ndim != ndim or array.dtype != np.uint8:
        expected = f"uint8 with {ndim} axes"
        found = f"{array.dtype} of shape {array.shape}"
        raise bad_file("load_mnist", paths[0], "at byte 2", expected, found)
    return paths[0], array
