"""Files of data that are read whole, and the error for those that are not what they claim."""

import gzip
import zlib
from pathlib import Path
from typing import TypeAlias

import numpy as np

from funcflow.core.errors import DataFormatError

FilePath: TypeAlias = str | Path


def bad_file(
    function: str,
    path: FilePath,
    place: str,
    expected: str,
    found: str,
    mend: str = "fetch or write the file again",
) -> DataFormatError:
    """The error for a file in which something else was found than expected.

    `place` says where in the file, e.g. "at byte 16"; empty if it is about the whole file.
    """
    where = f", {place}" if place else ""
    return DataFormatError(
        f"{function}: {path}{where}: expected {expected}, found {found}", mend=mend
    )


def read_bytes(function: str, path: FilePath) -> bytes:
    """The content of a file; that of one whose name ends in .gz is decompressed.

    Raises:
        DataFormatError: a compressed file is cut off or damaged.
        OSError: the file cannot be opened.
    """
    if Path(path).suffix != ".gz":
        return Path(path).read_bytes()
    with open(path, "rb") as raw, gzip.GzipFile(fileobj=raw) as file:
        try:
            return file.read()
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise bad_file(
                function, path, f"at compressed byte {raw.tell()}", "a whole gzip file", str(error)
            ) from error


def check_labels(
    function: str, path: FilePath, labels: np.ndarray, classes: int, first: int, stride: int
) -> None:
    """Check that labels lie in 0 ... classes - 1; label i is at byte `first + stride * i`."""
    bad = np.flatnonzero(labels >= classes)
    if bad.size:
        index = int(bad[0])
        raise bad_file(
            function,
            path,
            f"at byte {first + stride * index}",
            f"a label from 0 to {classes - 1}",
            f"{labels[index]} (label {index} of the file)",
        )


def found_in(folder: FilePath) -> str:
    """The first names in a folder, for messages."""
    names = sorted(path.name for path in Path(folder).iterdir())
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return shown or "nothing (the folder is empty)"
