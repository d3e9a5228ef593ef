"""Text files as sources of lines."""

import io
from typing import Any

import numpy as np

from funcflow.core.errors import ArgumentError
from funcflow.data.files import FilePath, bad_file, read_bytes
from funcflow.data.sources import ArraySource


def text_lines(path: FilePath, encoding: str = "utf-8") -> ArraySource:
    r"""The lines of a text file, without their ends, as a source of strings.

    Lines end in a line feed, a carriage return, or both.

    Args:
        path: the file; one whose name ends in .gz is decompressed.
        encoding: how the characters are written in bytes.

    Returns:
        A source whose elements are strings, in arrays of dtype `numpy.dtypes.StringDType`.

    Raises:
        ArgumentError: there is no such encoding.
        DataFormatError: the file is empty, or its bytes are no text in that encoding.
        OSError: the file cannot be opened.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "poem.txt")
        ...     _ = path.write_text("roses are red\nviolets are blue\n")
        ...     lines = ff.data.text_lines(path)
        >>> len(lines), lines[[1]].tolist()
        (2, ['violets are blue'])
    """
    text = decoded("text_lines", path, read_bytes("text_lines", path), encoding)
    lines: Any = [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]
    if not lines:
        raise bad_file("text_lines", path, "", "lines of text", "an empty file")
    return ArraySource(np.array(lines, np.dtypes.StringDType()))


def decoded(function: str, path: FilePath, content: bytes, encoding: str) -> str:
    """The text that bytes of a file stand for."""
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        found = f"{content[error.start : error.end].hex(' ')} ({error.reason})"
        place = f"at byte {error.start}"
        raise bad_file(
            function, path, place, f"text in {encoding}", found, mend="convert the file to UTF-8"
        ) from error
    except LookupError as error:
        raise ArgumentError(
            f"{function}: there is no encoding {encoding!r}", mend="use 'utf-8'"
        ) from error
