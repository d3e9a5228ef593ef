"""Files and sources of data that are not what they claim to be."""

import numpy as np

import funcflow as ff
from funcflow import errors


def test_a_file_of_another_format(refuses, tmp_path):
    path = tmp_path / "letters.idx"
    path.write_bytes(b"no images")
    refuses(
        errors.DataFormatError,
        lambda: ff.data.read_idx(path),
        f"read_idx: {path}, at byte 0: expected the magic number",
        "found 6e 6f 20 69",
    )


def test_a_file_that_is_cut_off(refuses, tmp_path):
    path = tmp_path / "numbers.idx"
    ff.data.write_idx(path, np.arange(10, dtype=np.int32))
    path.write_bytes(path.read_bytes()[:-1])
    refuses(
        errors.DataFormatError,
        lambda: ff.data.read_idx(path),
        f"{path}, at byte 47: expected 48 bytes in all, for int32 of shape (10,), found 47 bytes",
    )


def test_a_source_without_elements(refuses):
    refuses(errors.DataFormatError, lambda: ff.data.from_arrays(np.zeros((0, 3))), "found none")
