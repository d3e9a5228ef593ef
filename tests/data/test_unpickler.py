"""The restricted unpickler: what it reads equals what pickle reads, and it runs nothing."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funcflow.data.unpickler import load_pickle
from funcflow.errors import DataFormatError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = st.recursive(
    st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary() | st.integers(), inner),
    max_leaves=8,
)


@given(PLAIN, st.sampled_from(PROTOCOLS))
def test_plain_objects(x, protocol):
    assert load_pickle("f", "file", pickle.dumps(x, protocol)) == x


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("dtype", ["?", "u1", "<i2", ">i4", "<f4", ">f8", "c8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(protocol, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4), dtype, order=order)
    read = load_pickle("f", "file", pickle.dumps({"a": array, "b": [array[0, 0]]}, protocol))
    np.testing.assert_array_equal(read["a"], array)
    np.testing.assert_array_equal(read["b"][0], array[0, 0])
    assert read["a"].dtype == array.dtype.newbyteorder("=")


def test_a_pickle_of_python_2():
    # pickle.dumps({'data': numpy.arange(3, dtype='uint8'), 'n': 1}, 2)
    content = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\n"
        b"q\x04K\x00\x85q\x05U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x03\x85q\tcnumpy\ndtype\nq\nU\x02u1q"
        b"\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq"
        b"\x0fb\x89U\x03\x00\x01\x02q\x10tq\x11bU\x01nq\x12K\x01u."
    )
    read = load_pickle("f", "file", content)
    assert read[b"n"] == 1
    np.testing.assert_array_equal(read[b"data"], np.arange(3, dtype=np.uint8))


class Evil:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "args"),
    [(os.mkdir, "made"), (eval, "1"), (getattr, "a"), (np.zeros, "3"), (pickle.loads, b"N.")],
)
def test_nothing_is_called(tmp_path, monkeypatch, protocol, function, args):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps([1, Evil(function, args)], protocol)
    message = r"f: file, before byte \d+: expected a pickle of NumPy arrays, .* found the global "
    with pytest.raises(DataFormatError, match=message) as info:
        load_pickle("f", "file", content)
    assert function.__name__ in str(info.value)
    assert not list(tmp_path.iterdir())


def test_the_byte_of_a_global():
    content = b"\x80\x02(K\x01cos\nsystem\nU\x04true\x85Rl."
    with pytest.raises(DataFormatError, match=r"before byte 16: .* found the global os.system"):
        load_pickle("f", "file", content)


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (None, "type NoneType"),
        (1.5, "type float"),
        ([(1, 2)], "type tuple"),
        ({1, 2}, "type set|global"),
        (np.array(["a"]), "the dtype 'U1'"),
        (np.array([None]), "the dtype 'O8'"),
        (np.zeros(2, "i4,f4"), "the dtype 'V8'"),
        (np.ma.zeros(2), "the global numpy.ma"),
        (np.float32(1), "the global numpy._core.multiarray.scalar"),
    ],
)
def test_other_types(x, found):
    with pytest.raises(DataFormatError, match=f"found .*{found}"):
        load_pickle("f", "file", pickle.dumps(x, 2))


def test_a_list_that_contains_itself():
    x: list = [1]
    x.append(x)
    with pytest.raises(DataFormatError, match="contains itself"):
        load_pickle("f", "file", pickle.dumps(x))


def test_a_deep_list():
    depth = 100_000
    with pytest.raises(DataFormatError, match="recursion"):
        load_pickle("f", "file", b"(" * depth + b"l" * depth + b".")


def test_pickles_that_are_cut_off():
    content = pickle.dumps({"a": np.arange(100)}, 2)
    for length in range(len(content)):
        with pytest.raises(DataFormatError, match="before byte"):
            load_pickle("f", "file", content[:length])


@given(st.data())
def test_damaged_pickles_give_an_error_or_plain_data(data):
    content = bytearray(pickle.dumps({"a": np.arange(5), "b": [1, "c"]}, 2))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = load_pickle("f", "file", bytes(content))
    except DataFormatError:
        return
    assert type(read) in (dict, list, str, bytes, int, np.ndarray)


def test_an_array_whose_bytes_do_not_fit():
    content = pickle.dumps(np.arange(3, dtype=np.uint8), 2)
    damaged = content.replace(b"K\x03\x85", b"K\x04\x85")
    assert damaged != content
    with pytest.raises(DataFormatError, match=r"found 3 bytes for uint8 of shape \(4,\)"):
        load_pickle("f", "file", damaged)
