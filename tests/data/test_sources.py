"""Sources with random access, and random parts of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.data.sources import as_source, is_source
from funcflow.errors import ArgumentError, DataFormatError, LeafTypeError, ShapeError


def test_rows_of_arrays():
    tree = {"x": np.arange(12).reshape(4, 3), "y": (fnp.arange(4.0), np.array(list("abcd")))}
    source = ff.data.ArraySource(tree)
    assert len(source) == 4
    rows = source[np.array([3, 1])]
    assert rows["x"].tolist() == [[9, 10, 11], [3, 4, 5]]
    assert type(rows["y"][0]) is np.ndarray and rows["y"][0].tolist() == [3, 1]
    assert rows["y"][1].tolist() == ["d", "b"]


def test_rows_are_copies():
    x = np.arange(4)
    ff.data.ArraySource(x)[[0, 1]][0] = 7
    assert x.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arrays", "kind", "message"),
    [
        ((np.ones(3), np.ones(4)), ShapeError, r"3 at \[0\], 4 at \[1\]"),
        ({"x": np.ones(3), "y": np.float32(1)}, ShapeError, r"the array at \['y'\] has no axis"),
        ([1, 2, 3], LeafTypeError, r"expected an array at \[0\], got int"),
        ((), DataFormatError, r"found none in \(\)"),
        (np.ones((0, 3)), DataFormatError, "found none"),
    ],
)
def test_what_has_no_rows(arrays, kind, message):
    with pytest.raises(kind, match=message):
        ff.data.ArraySource(arrays)


class Squares:
    """A source that computes its elements."""

    def __len__(self):
        return 10

    def __getitem__(self, indices):
        return np.asarray(indices) ** 2


def test_what_a_source_is():
    assert is_source(Squares()) and is_source(ff.data.ArraySource(np.ones(3)))
    for data in (np.ones(3), fnp.ones(3), (np.ones(3),), {"a": np.ones(3)}, [np.ones(3)], 3):
        assert not is_source(data)
    assert as_source(np.ones(3))[[0]].tolist() == [1]
    squares = Squares()
    assert as_source(squares) is squares


@given(st.integers(2, 40), st.floats(0.05, 0.95), st.integers(0, 5))
def test_a_split_has_each_element_once(total, share, seed):
    count = round(share * total)
    if not 0 < count < total:
        return
    key = ff.random.key(seed)
    train, test = ff.data.train_test_split(np.arange(total), share, key=key)
    assert len(test) == count
    rows = [part[np.arange(len(part))].tolist() for part in (train, test)]
    assert sorted(rows[0] + rows[1]) == list(range(total))
    again = ff.data.train_test_split(np.arange(total), count, key=key)
    assert [part[np.arange(len(part))].tolist() for part in again] == rows


def test_a_split_of_a_source():
    train, test = ff.data.train_test_split(Squares(), 3, key=ff.random.key(0))
    assert {*train[range(7)].tolist(), *test[range(3)].tolist()} == {i * i for i in range(10)}
    assert len(ff.data.from_source(train).batch(2)) == 4


@pytest.mark.parametrize("size", [0.0, 1.0, 0.01, 0, 10, -1])
def test_a_split_with_an_empty_part(size):
    with pytest.raises(ArgumentError, match=f"test_size={size} gives .* of 10 elements"):
        ff.data.train_test_split(Squares(), size, key=ff.random.key(0))
