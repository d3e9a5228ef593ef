"""Tables in files of comma-separated values."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from funcflow.core import dtypes
from funcflow.core.errors import ArgumentError
from funcflow.data.files import FilePath, bad_file, read_bytes
from funcflow.data.text import decoded

Column: TypeAlias = str | int
Row: TypeAlias = tuple[int, list[str]]  # the number of its first line, and its fields

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def read_csv(
    path: FilePath,
    *,
    columns: Sequence[Column] | None = None,
    dtype: Any = None,
    header: bool | None = None,
    delimiter: str = ",",
) -> dict[Column, np.ndarray]:
    r"""The columns of a table in a text file, one row a line.

    Fields are separated by `delimiter`; those in double quotes may hold it, and line breaks. Empty
    lines are skipped. The text is UTF-8.

    Args:
        path: the file; one whose name ends in .gz is decompressed.
        columns: the names or positions (from 0) of the columns to read; None for all.
        dtype: the dtype of all columns, or a mapping from columns to dtypes; a column without one
            gets the default floating dtype. `str` gives an array of strings.
        header: whether the first row holds names. None means: it does if none of its fields reads
            as a number. A table of nothing but text needs `header=False` if it has no names.
        delimiter: the character between fields.

    Returns:
        A dictionary of NumPy arrays of shape (rows,), by the entries of `columns`; without these by
        the names if there are any, else by the positions. `from_arrays` makes it a data set.

    Raises:
        ArgumentError: there is no such column, or the dtype is none that text is read as.
        DataFormatError: a row has more or fewer fields than the first one, a field does not read
            as a value of its column's dtype, two columns have one name, or there are no rows.
        OSError: the file cannot be opened.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "table.csv")
        ...     _ = path.write_text("length,kind\n0.5,1\n1.5,0\n")
        ...     ff.data.read_csv(path, dtype={"kind": np.int32})
        {'length': array([0.5, 1.5], dtype=float32), 'kind': array([1, 0], dtype=int32)}
    """
    text = decoded("read_csv", path, read_bytes("read_csv", path), "utf-8-sig")
    rows = list(_rows(path, text, delimiter))
    names = _names(path, rows, header)
    rows = rows[names is not None :]
    if not rows:
        raise bad_file("read_csv", path, "", "rows of data", "none")
    width = len(rows[0][1]) if names is None else len(names)
    _check_width(path, rows, width)
    keys: Sequence[Column] = columns if columns is not None else (names or range(width))
    positions = [_position(path, key, names, width) for key in keys]
    wanted = _dtypes(dtype, dict(zip(keys, positions, strict=True)), names)
    return {
        key: _column(path, rows, key, position, wanted[position])
        for key, position in zip(keys, positions, strict=True)
    }


def _rows(path: FilePath, text: str, delimiter: str) -> Iterator[Row]:
    """The rows that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            place = f"in the row that begins at line {line}"
            raise bad_file("read_csv", path, place, "a row of fields", str(error)) from error
        if fields is None:
            return
        if fields:
            yield line, fields


def _names(path: FilePath, rows: Sequence[Row], header: bool | None) -> list[str] | None:
    """The names in the first row, if there are any."""
    if not rows:
        raise bad_file("read_csv", path, "", "rows of data", "an empty file")
    line, first = rows[0]
    if header is None:
        header = not any(map(_is_number, first))
    if not header:
        return None
    names = [name.strip() for name in first]
    for column, name in enumerate(names):
        if name in names[:column]:
            place = f"line {line}, column {column}"
            raise bad_file("read_csv", path, place, "another name in each column", repr(name))
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_width(path: FilePath, rows: Sequence[Row], width: int) -> None:
    for line, fields in rows:
        if len(fields) != width:
            raise bad_file("read_csv", path, f"line {line}", f"{width} fields", str(len(fields)))


def _position(path: FilePath, key: Column, names: list[str] | None, width: int) -> int:
    if isinstance(key, str) and names is not None and key in names:
        return names.index(key)
    if isinstance(key, int) and 0 <= key < width:
        return key
    known = f"the columns {', '.join(names)}" if names else "no names"
    raise ArgumentError(
        f"read_csv: {path} has no column {key!r}: it has {width} columns and {known}",
        mend=f"use one of these names or a position from 0 to {width - 1}",
    )


def _dtypes(
    dtype: Any, positions: Mapping[Column, int], names: list[str] | None
) -> dict[int, np.dtype]:
    """The dtype of each position that is read. A mapping may name a column either way."""
    if not isinstance(dtype, Mapping):
        return dict.fromkeys(positions.values(), _as_dtype(dtype))
    wanted = dict.fromkeys(positions.values(), dtypes.as_dtype(None))
    for key, one in dtype.items():
        position = names.index(key) if names and key in names else key
        if position not in wanted:
            raise ArgumentError(
                f"read_csv: `dtype` names the column {key!r}, which is not read",
                mend=f"name some of {', '.join(map(repr, positions))}",
            )
        wanted[position] = _as_dtype(one)
    return wanted


def _as_dtype(dtype: Any) -> np.dtype:
    if dtype is str:
        return np.dtypes.StringDType()
    found = dtypes.as_dtype(dtype)
    if found.kind not in "biuf":
        raise ArgumentError(
            f"read_csv: no field is read as {found}", mend="use bool, an integer, a float or str"
        )
    return found


def _column(
    path: FilePath, rows: Sequence[Row], key: Column, position: int, dtype: np.dtype
) -> np.ndarray:
    parse = _parser(dtype)
    values: list[Any] = []
    for line, fields in rows:
        try:
            values.append(parse(fields[position]))
        except (ValueError, KeyError) as error:
            place = f"line {line}, column {key!r}"
            found = repr(fields[position])
            raise bad_file(
                "read_csv",
                path,
                place,
                f"a value of dtype {dtype}",
                found,
                mend="correct the field",
            ) from error
    return np.array(values, dtype)


def _parser(dtype: np.dtype) -> Callable[[str], Any]:
    """What reads a field; it raises ValueError or KeyError."""
    if dtype.kind == "b":
        return lambda field: _BOOLEANS[field.strip().lower()]
    if dtype.kind == "f":
        return float
    if dtype.kind not in "iu":
        return str
    info = np.iinfo(dtype)

    def integer(field: str) -> int:
        value = int(field)
        if not info.min <= value <= info.max:
            raise ValueError(field)
        return value

    return integer
