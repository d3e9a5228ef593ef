"""Concrete arrays: immutable, shared without copies, and NumPy's equals at the edges."""

import copy
import pickle

import numpy as np
import pytest

from funcflow.core import dtypes
from funcflow.core.array import (
    Array,
    ConcreteArray,
    WeakArray,
    as_array,
    as_buffer,
    aval_of,
    is_array_like,
    wrap,
)
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.errors import DtypeError, ImmutableError, LeafTypeError
from funcflow.core.memory import ALIGNMENT
from funcflow.core.staging import stage_out
from funcflow.lax.forms import add
from funcflow.lax.shape import broadcast_to, reshape, transpose

F32 = np.dtype("float32")


def test_attributes():
    x = wrap(np.zeros((2, 3), F32))
    assert (x.shape, x.dtype, x.ndim, x.size, x.itemsize, x.nbytes) == ((2, 3), F32, 2, 6, 4, 24)
    assert x.aval == ShapedArray((2, 3), F32)
    assert len(x) == 2
    assert not x.weak_type
    assert wrap(np.zeros(2), weak_type=True).aval.weak_type
    assert isinstance(x, Array)


def test_copies_of_numpy_arrays_are_aligned():
    x = np.arange(5_000, dtype=F32)
    held = as_array(x)
    assert not np.shares_memory(as_buffer(held), x)
    assert as_buffer(held).ctypes.data % ALIGNMENT == 0
    np.testing.assert_array_equal(held, x)


def test_numpy_scalars_become_arrays():
    x = wrap(np.float32(2))
    assert (type(as_buffer(x)), x.shape) == (np.ndarray, ())


# --- immutability ---------------------------------------------------------------------------


def test_items_cannot_be_set():
    with pytest.raises(ImmutableError, match=r"\.at\[index\]\.set"):
        wrap(np.zeros(3))[0] = 1.0


def test_numpy_gets_no_writable_view():
    x = wrap(np.zeros(3))
    view = np.asarray(x)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    for copied in (np.array(x), np.asarray(x, "float32"), np.from_dlpack(x).copy()):
        copied[0] = 1
    assert x.tolist() == [0, 0, 0]


def test_dlpack_consumers_get_a_copy():
    x = wrap(np.zeros(3))
    consumer = np.from_dlpack(x)
    assert not np.shares_memory(consumer, as_buffer(x))
    assert x.__dlpack_device__() == (1, 0)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: transpose(a, (1, 0)),
        lambda a: reshape(a, (6,)),
        lambda a: broadcast_to(a, (4, 2, 3)),
        as_array,
    ],
)
def test_results_do_not_follow_a_numpy_argument(view):
    a = np.zeros((2, 3))
    result = view(a)
    a[...] = 1
    assert not np.asarray(result).any()


def test_jaxprs_do_not_follow_captured_numpy_arrays():
    vector, scalar = np.zeros(2), np.zeros(())
    closed = stage_out(lambda x: [add(x, vector), add(x, scalar)], [ShapedArray((), vector.dtype)])
    vector[...] = scalar[...] = 1
    assert not np.asarray(closed.consts[0]).any()
    assert closed.eqns[1].invars[1].val == 0


def test_views_share_memory_among_arrays():
    x = wrap(np.zeros((2, 3)))
    assert np.shares_memory(as_buffer(transpose(x, (1, 0))), as_buffer(x))


def test_copies_are_the_array_itself():
    x = wrap(np.zeros(3))
    assert copy.copy(x) is x
    assert copy.deepcopy([x])[0] is x
    assert x.block_until_ready() is x


def test_arrays_are_not_hashable():
    with pytest.raises(TypeError):
        hash(wrap(np.zeros(3)))


# --- conversion -----------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [bool, int, float, complex])
def test_python_numbers(convert):
    assert convert(wrap(np.float32(2))) == convert(2)


def test_indices():
    assert [10, 20, 30][wrap(np.int8(1))] == 20
    with pytest.raises(TypeError):
        [10, 20, 30][wrap(np.float32(1))]
    with pytest.raises(TypeError):
        [10, 20, 30][wrap(np.array([1]))]


@pytest.mark.parametrize("convert", [int, float, complex])
def test_only_scalars_are_numbers(convert):
    with pytest.raises(TypeError):
        convert(wrap(np.ones(3)))


def test_truth_needs_one_element():
    assert not wrap(np.zeros(1))
    for shape in (0, 2):
        with pytest.raises(ValueError, match="ambiguous"):
            bool(wrap(np.zeros(shape)))


def test_items_and_lists():
    x = wrap(np.arange(6).reshape(2, 3))
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert x.item(4) == x.item(1, 1) == 4
    assert x.tobytes() == np.arange(6).tobytes()
    rows = list(x)
    assert all(isinstance(row, Array) for row in rows)
    assert rows[1].tolist() == [3, 4, 5]
    assert all(row.weak_type for row in wrap(np.zeros(2), True))


def test_scalars_have_no_items():
    x = wrap(np.float32(1))
    with pytest.raises(TypeError, match="0-dimensional"):
        iter(x)
    with pytest.raises(TypeError, match="0-dimensional"):
        len(x)


def test_to_numpy():
    x = wrap(np.arange(3, dtype=F32))
    assert np.asarray(x).dtype == F32
    assert np.asarray(x, "int8").dtype == np.int8
    with pytest.raises(ValueError, match="copy"):
        np.asarray(x, "int8", copy=False)
    assert not np.shares_memory(np.array(x), as_buffer(x))
    assert np.shares_memory(np.asarray(x, copy=False), as_buffer(x))


@pytest.mark.parametrize("dtype", dtypes.ALL, ids=str)
@pytest.mark.parametrize("weak", [False, True])
def test_pickles(dtype, weak):
    x = wrap(np.arange(6).reshape(2, 3).astype(dtype)[:, 1:], weak)
    y = pickle.loads(pickle.dumps(x))
    assert (type(y), y.aval) == (type(x), x.aval)
    assert y.tobytes() == x.tobytes()


# --- text -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "weak", "text"),
    [
        (np.arange(3, dtype="int32"), False, "Array([0, 1, 2], dtype=int32)"),
        (np.float32(1), False, "Array(1., dtype=float32)"),
        (np.float32(1), True, "Array(1., dtype=float32, weak_type=True)"),
        (np.zeros((0, 2)), False, "Array([], shape=(0, 2), dtype=float64)"),
        (np.zeros(0), False, "Array([], dtype=float64)"),
        (np.array([True, False]), False, "Array([ True, False], dtype=bool)"),
        (np.eye(2, dtype=F32), False, "Array([[1., 0.],\n       [0., 1.]], dtype=float32)"),
        (np.ones(2, dtypes.bfloat16), False, "Array([1, 1], dtype=bfloat16)"),
    ],
)
def test_repr(value, weak, text):
    assert repr(wrap(value, weak)) == text


def test_str_is_that_of_numpy():
    assert str(wrap(np.eye(2))) == str(np.eye(2))


def test_format():
    assert f"{wrap(np.float32(1.25)):.1f}" == "1.2"
    assert f"{wrap(np.arange(2)):>8}" == "   [0 1]"


# --- leaves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("leaf", "aval"),
    [
        (True, ShapedArray((), np.dtype(bool))),
        (1, ShapedArray((), np.dtype("int32"), True)),
        (1.0, ShapedArray((), F32, True)),
        (1j, ShapedArray((), np.dtype("complex64"), True)),
        (np.float64(1), ShapedArray((), np.dtype("float64"))),
        (np.zeros((2, 3), F32), ShapedArray((2, 3), F32)),
        (wrap(np.zeros(2), True), ShapedArray((2,), np.dtype("float64"), True)),
        (ShapeDtypeStruct((2,), "int8"), ShapedArray((2,), np.dtype("int8"))),
    ],
)
def test_avals_of_leaves(leaf, aval):
    assert aval_of(leaf) == aval
    if not isinstance(leaf, ShapeDtypeStruct):
        assert is_array_like(leaf)
        assert as_array(leaf).aval == aval
        assert as_buffer(leaf).shape == aval.shape
        assert as_buffer(leaf).dtype == aval.dtype


def test_as_array_leaves_arrays_alone():
    x = wrap(np.zeros(2))
    assert as_array(x) is x
    assert type(as_array(1)) is WeakArray
    assert type(as_array(True)) is ConcreteArray


@pytest.mark.parametrize("leaf", ["text", None, [1, 2], object(), {1}])
def test_what_is_no_leaf(leaf):
    assert not is_array_like(leaf)
    with pytest.raises(LeafTypeError, match=type(leaf).__name__):
        aval_of(leaf)
    with pytest.raises(LeafTypeError, match=type(leaf).__name__):
        as_buffer(leaf)


@pytest.mark.parametrize("dtype", ["U3", object, ">f4", "datetime64[s]"])
def test_arrays_of_unsupported_dtypes(dtype):
    with pytest.raises(DtypeError, match="not supported"):
        aval_of(np.zeros(2, dtype))
