"""Text files as sources of lines."""

import gzip

import pytest

import funcflow as ff
from funcflow.errors import ArgumentError, DataFormatError


def test_lines_and_their_ends(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("one\ntwo\r\nthree\rfour \n\nsïx\u2028seven".encode())
    lines = ff.data.text_lines(path)
    assert lines[range(len(lines))].tolist() == [
        *("one", "two", "three", "four ", ""),
        "sïx\u2028seven",
    ]
    assert lines[[5, 0]].tolist() == ["sïx\u2028seven", "one"]


def test_other_encodings(tmp_path):
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress("größer\n".encode("latin1")))
    assert ff.data.text_lines(path, "latin1")[[0]].tolist() == ["größer"]
    with pytest.raises(DataFormatError, match="at byte 2: expected text in utf-8, found f6"):
        ff.data.text_lines(path)
    with pytest.raises(ArgumentError, match="no encoding 'klingon'"):
        ff.data.text_lines(path, "klingon")


def test_an_empty_file(tmp_path):
    path = tmp_path / "text.txt"
    path.touch()
    with pytest.raises(DataFormatError, match="expected lines of text, found an empty file"):
        ff.data.text_lines(path)


def test_batches_of_lines(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a\nb\nc\n")
    batches = ff.data.from_source(ff.data.text_lines(path)).batch(2)
    assert [batch.tolist() for batch in batches] == [["a", "b"], ["c"]]
