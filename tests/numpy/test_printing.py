"""Arrays as text and in files."""

import io

import numpy as np

import funcflow.numpy as fnp


def test_text():
    x = fnp.array([1.0, 2.5])
    assert fnp.array_repr(x) == "Array([1. , 2.5], dtype=float32)"
    assert fnp.array_repr(x / 3, precision=2) == "Array([0.33, 0.83], dtype=float32)"
    assert fnp.array_str(x) == "[1.  2.5]"
    with fnp.printoptions(precision=1):
        assert fnp.get_printoptions()["precision"] == 1


def test_files(tmp_path):
    x = fnp.arange(3)
    fnp.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(fnp.load(tmp_path / "x.npy"), x)
    buffer = io.BytesIO()
    fnp.savez(buffer, x=x)
    buffer.seek(0)
    np.testing.assert_array_equal(fnp.load(buffer)["x"], x)
    (tmp_path / "x.txt").write_text("1 2 3")
    np.testing.assert_array_equal(fnp.fromfile(tmp_path / "x.txt", sep=" "), [1, 2, 3])
