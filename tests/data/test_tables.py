"""CSV files: round trips through Python's writer, and rows that do not fit."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
from funcflow.errors import ArgumentError, DataFormatError

TABLE = "length,count,kind\n0.5,1,a\n1.5,-2,b\n"


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("csv") / "table.csv"


def rows_of(*columns):
    return st.lists(st.tuples(*columns), min_size=1, max_size=20)


@given(
    rows_of(st.floats(allow_nan=False), st.integers(-(2**31), 2**31 - 1), st.text("ab,\"'\n é ")),
    st.booleans(),
)
def test_what_is_written_is_read(path, rows, header):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["x", "n", "text"], *rows] if header else rows)
    names = ["x", "n", "text"] if header else [0, 1, 2]
    dtype = dict(zip(names, [np.float64, np.int32, str], strict=True))
    read = ff.data.read_csv(path, dtype=dtype, header=header)
    assert list(read) == names
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        assert read[name].tolist() == list(column)


def test_columns_and_dtypes(path):
    path.write_text(TABLE)
    read = ff.data.read_csv(path, columns=["count", 0])
    assert list(read) == ["count", 0]
    assert read["count"].dtype == read[0].dtype == np.float32
    assert read["count"].tolist() == [1, -2] and read[0].tolist() == [0.5, 1.5]
    read = ff.data.read_csv(path, columns=[1], dtype=np.int8)
    assert read[1].dtype == np.int8
    read = ff.data.read_csv(path, dtype={"count": int, 2: str})
    assert read["kind"].tolist() == ["a", "b"]
    assert read["count"].dtype.kind == "i" and read["length"].dtype == np.float32


def test_booleans(path):
    path.write_text("1, true ,FALSE,0\n")
    read = ff.data.read_csv(path, dtype=bool)
    assert [column.item() for column in read.values()] == [True, True, False, False]


def test_headers(path):
    """A first row without a single number holds names."""
    path.write_text("a,b\n1,2\n")
    assert list(ff.data.read_csv(path)) == ["a", "b"]
    path.write_text("a,1\nb,2\n")
    assert list(ff.data.read_csv(path, dtype={0: str})) == [0, 1]
    path.write_text("a,b\nc,d\n")
    assert ff.data.read_csv(path, dtype=str, header=False)[0].tolist() == ["a", "c"]
    path.write_text("1,2\n3,4\n")
    assert ff.data.read_csv(path, header=True)["2"].tolist() == [4]


def test_files_as_other_programs_write_them(path):
    path.write_bytes(b'\xef\xbb\xbf"x";y\r\n1;2\r\n\r\n3;4\r\n')
    read = ff.data.read_csv(path, delimiter=";")
    assert {key: column.tolist() for key, column in read.items()} == {"x": [1, 3], "y": [2, 4]}
    packed = path.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(TABLE.encode()))
    assert ff.data.read_csv(packed, columns=["length"])["length"].tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected rows of data, found an empty file"),
        ("\n\n", "expected rows of data, found an empty file"),
        ("a,b\n", "expected rows of data, found none"),
        ("a,b\n1,2\n3\n", "line 3: expected 2 fields, found 1"),
        ("1,2\n\n3,4,5\n", "line 3: expected 2 fields, found 3"),
        ('a,b\n"1\n",2\n3\n', "line 4: expected 2 fields, found 1"),
        ("a,b\n1,2\n3,x\n", "line 3, column 'b': expected a value of dtype float32, found 'x'"),
        ("1,2\n3,\n", "line 2, column 1: expected a value of dtype float32, found ''"),
        ("a,a\n1,2\n", "line 1, column 1: expected another name in each column, found 'a'"),
        ('a,b\n1,"2\n', "in the row that begins at line 2: expected a row"),
        ('a,b\n1,"2"3\n', "in the row that begins at line 2: expected a row"),
    ],
)
def test_tables_that_do_not_fit(path, text, message):
    path.write_text(text)
    with pytest.raises(DataFormatError, match=f"read_csv: .*table.csv,? ?:?.*{message}"):
        ff.data.read_csv(path)


def test_bytes_that_are_no_text(path):
    path.write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(DataFormatError, match="at byte 6: expected text in utf-8-sig, found ff"):
        ff.data.read_csv(path)


@pytest.mark.parametrize("field", ["300", "-1", "1.5", "one"])
def test_integers_that_do_not_fit(path, field):
    path.write_text(f"n\n1\n{field}\n")
    with pytest.raises(DataFormatError, match=f"line 3, column 'n': .* uint8, found '{field}'"):
        ff.data.read_csv(path, dtype=np.uint8)


def test_wrong_arguments(path):
    path.write_text(TABLE)
    for column in ("size", 3, -1):
        with pytest.raises(ArgumentError, match=f"no column {column!r}: .* length, count, kind"):
            ff.data.read_csv(path, columns=[column])
    with pytest.raises(ArgumentError, match="names the column 'count', which is not read"):
        ff.data.read_csv(path, columns=["length"], dtype={"count": int})
    with pytest.raises(ArgumentError, match="no field is read as complex64"):
        ff.data.read_csv(path, dtype=np.complex64)
