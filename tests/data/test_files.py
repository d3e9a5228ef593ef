"""Reading whole files, compressed or not."""

import gzip

import numpy as np
import pytest

from funcflow.data.files import check_labels, found_in, read_bytes
from funcflow.errors import DataFormatError

CONTENT = bytes(range(256)) * 40


def test_plain_and_compressed_files(tmp_path):
    plain, compressed = tmp_path / "a.bin", tmp_path / "a.bin.gz"
    plain.write_bytes(CONTENT)
    compressed.write_bytes(gzip.compress(CONTENT))
    assert read_bytes("f", plain) == read_bytes("f", str(compressed)) == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[:-12],  # cut off
        lambda packed: b"\0" + packed[1:],  # no magic number
        lambda packed: packed[:30] + b"\xff" * 20 + packed[50:],  # other bits
        lambda packed: packed[:-8] + b"\0" * 8,  # another checksum
    ],
)
def test_damaged_compressed_files(tmp_path, damage):
    path = tmp_path / "a.gz"
    path.write_bytes(damage(gzip.compress(CONTENT)))
    with pytest.raises(DataFormatError, match=r"f: .*a\.gz, at compressed byte \d+: expected") as e:
        read_bytes("f", path)
    assert e.value.__cause__ is not None


def test_a_file_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_bytes("f", tmp_path / "nothing.gz")


def test_labels_name_their_byte():
    labels = np.array([0, 9, 3, 10, 11], np.uint8)
    check_labels("f", "file", labels, 12, first=8, stride=1)
    with pytest.raises(DataFormatError, match="at byte 38: expected a label from 0 to 9, found 10"):
        check_labels("f", "file", labels, 10, first=8, stride=10)


def test_the_content_of_a_folder(tmp_path):
    assert found_in(tmp_path) == "nothing (the folder is empty)"
    for name in "gfedcba":
        (tmp_path / name).touch()
    assert found_in(tmp_path) == "a, b, c, d, e, ..."
