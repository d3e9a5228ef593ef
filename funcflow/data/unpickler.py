"""Pickle files that hold arrays, dicts, lists, bytes, str and int, and nothing else.

A pickle is a program: to load one from a stranger is to run what it says. This reader calls no
function that a file names. The few names that pickles of NumPy arrays use stand for the functions
and classes here, which keep a description of the array; NumPy sees the description when all of it
has been checked.
"""

import io
import math
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from funcflow.data.files import FilePath, bad_file

_PLAIN = (bytes, str, int)
_NDARRAY = "numpy.ndarray"  # stands for the class, which pickles name but do not call


class _Dtype:
    """Stands for `numpy.dtype`: booleans and numbers only."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        name = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(name, str) or name[:1] not in "biufc" or not name[1:].isdecimal():
            raise pickle.UnpicklingError(f"the dtype {code!r}, which is no number's")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError(f"the state {state!r} of a dtype")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array that is being read."""

    value: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.value = _array(data, dtype, shape, "F" if fortran else "C")


def _array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("an array whose elements are no numbers")
    shape = tuple(shape)
    if len(data) != math.prod(shape) * dtype.dtype.itemsize or min(shape, default=0) < 0:
        raise pickle.UnpicklingError(f"{len(data)} bytes for {dtype.dtype} of shape {shape}")
    array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(dtype.dtype.newbyteorder("="))


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind != _NDARRAY:
        raise pickle.UnpicklingError("an array of another class than numpy.ndarray")
    return _Array()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> _Array:
    if axis_order is not None:
        raise pickle.UnpicklingError(f"an array with the order {axis_order!r} of its axes")
    array = _Array()
    array.value = _array(buffer, dtype, shape, order)
    return array


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for `codecs.encode`, by which old protocols write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


def _empty() -> bytes:
    """Stands for `bytes`, by whose call old protocols write those of length 0."""
    return b""


_GLOBALS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _empty,
    ("__builtin__", "bytes"): _empty,
}
for _package in ("numpy.core", "numpy._core"):
    _GLOBALS[f"{_package}.multiarray", "_reconstruct"] = _reconstruct
    _GLOBALS[f"{_package}.numeric", "_frombuffer"] = _frombuffer


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return _NDARRAY
        known = _GLOBALS.get((module, name))
        if known is None:
            raise pickle.UnpicklingError(f"the global {module}.{name}")
        return partial(known)  # a pickle may set attributes of what it names


def load_pickle(function: str, path: FilePath, content: bytes) -> Any:
    """What a pickle holds, with strings of Python 2 as bytes.

    Raises:
        DataFormatError: it is no pickle, is cut off, or holds or names anything but NumPy arrays
            of numbers, dicts, lists, bytes, str and int.
    """
    file = io.BytesIO(content)  # not buffered, so that it knows how far the reader has come
    try:
        return _plain(_Unpickler(file, encoding="bytes").load(), ())
    # A damaged pickle can ask for any operation on objects of the wrong types.
    except Exception as error:
        expected = "a pickle of NumPy arrays, dicts, lists, bytes, str and int only"
        found = str(error) or type(error).__name__
        place = f"before byte {file.tell()}"
        raise bad_file(function, path, place, expected, found) from error


def _plain(x: Any, around: tuple[int, ...]) -> Any:
    """The object without stand-ins; refuses other types. `around` are the containers of `x`."""
    if isinstance(x, _Array) and x.value is not None:
        return x.value
    if type(x) in _PLAIN:
        return x
    if id(x) in around:
        raise pickle.UnpicklingError(f"a {type(x).__name__} that contains itself")
    inner = (*around, id(x))
    if type(x) is list:
        return [_plain(item, inner) for item in x]
    if type(x) is dict:
        return {_plain(key, inner): _plain(item, inner) for key, item in x.items()}
    raise pickle.UnpicklingError(f"an object of type {type(x).__name__.strip('_')}")
