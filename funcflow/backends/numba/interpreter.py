"""CPython as native code sees it: how its objects lie in memory, and how to become its function.

The runner is called for each jitted call, so what a call costs counts. Asking NumPy for an array's
address takes a microsecond, so native code reads it from the object itself. A foreign function of
ctypes takes half a microsecond; a builtin function, which the interpreter's C interface makes of
native code, takes a tenth of that. All of it has a plain way around for other interpreters.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from sysconfig import get_config_var
from typing import Any, NamedTuple

import numpy as np

from funcflow.core.array import ConcreteArray, WeakArray, as_buffer

_C_CONTIGUOUS, _ALIGNED = 0x1, 0x100
# The flags of arrays that kernels take as they are.
FLAGS = _C_CONTIGUOUS | _ALIGNED


class Layout(NamedTuple):
    """Byte offsets in CPython's objects: where an object's own fields begin, and a tuple's items.

    The type is the last field of the common head, a tuple's length the last one before its items.
    An array's fields are the data's address, the number of axes, four pointers (the shape's first,
    the dtype's last), and the flags.
    """

    fields: int
    items: int

    @property
    def type(self) -> int:
        return self.fields - 8

    @property
    def size(self) -> int:
        return self.items - 8

    @property
    def ndim(self) -> int:
        return self.fields + 8

    @property
    def shape(self) -> int:
        return self.fields + 16

    @property
    def dtype(self) -> int:
        return self.fields + 40

    @property
    def flags(self) -> int:
        return self.fields + 48


@cache
def layout() -> Layout | None:
    """The layout of this interpreter's objects, or None if it is another than the runner knows."""
    guess = Layout(object.__basicsize__, tuple.__basicsize__)
    array = np.zeros((4, 6))
    samples = (array, array[:, ::2], array.T, array.view(np.uint8)[:, 1:9].view(np.float64)[:, :1])
    return guess if all(map(layout_holds, [guess] * len(samples), samples)) else None


def layout_holds(layout: Layout, array: np.ndarray[Any, Any]) -> bool:
    """Whether an array's fields are found where the layout says."""
    pair = (None, array)
    flags = ctypes.c_int32.from_address(id(array) + layout.flags).value
    return (
        _word(id(pair) + layout.items + 8) == id(array)
        and _word(id(pair) + layout.size) == len(pair)
        and _word(id(array) + layout.type) == id(np.ndarray)
        and _word(id(array) + layout.fields) == array.ctypes.data
        and ctypes.c_int32.from_address(id(array) + layout.ndim).value == array.ndim
        and _extents(_word(id(array) + layout.shape), array.ndim) == array.shape
        and _word(id(array) + layout.dtype) == id(array.dtype)
        and flags & FLAGS
        == _C_CONTIGUOUS * array.flags.c_contiguous + _ALIGNED * array.flags.aligned
    )


def _word(address: int) -> int | None:
    return ctypes.c_void_p.from_address(address).value


def _extents(address: int | None, count: int) -> tuple[int, ...]:
    return tuple((ctypes.c_ssize_t * count).from_address(address)) if address else ()


@cache
def offset_of_value() -> int | None:
    """Where in an `Array` its NumPy array is found, or None if native code cannot look into it."""
    found = layout()
    # without the lock, an array could vanish between finding it and holding it
    if found is None or get_config_var("Py_GIL_DISABLED"):
        return None
    arrays = [cls(np.zeros(3)) for cls in (ConcreteArray, WeakArray)]
    for offset in range(found.fields, ConcreteArray.__basicsize__, 8):
        if all(_word(id(x) + offset) == id(as_buffer(x)) for x in arrays):
            return offset
    return None


# --- builtin functions --------------------------------------------------------------------------


class Interface(ctypes.Structure):
    """What a builtin function needs of the interpreter: addresses of functions and objects."""

    _fields_ = (
        ("release_lock", ctypes.c_void_p),  # void *PyEval_SaveThread(void)
        ("take_lock", ctypes.c_void_p),  # void PyEval_RestoreThread(void *)
        ("refer", ctypes.c_void_p),  # void Py_IncRef(PyObject *)
        ("true", ctypes.c_void_p),
        ("false", ctypes.c_void_p),
        ("array", ctypes.c_void_p),  # NumPy's type of arrays
        ("leave", ctypes.c_void_p),  # void Py_DecRef(PyObject *)
    )


@cache
def interface() -> Interface:
    """That of this process."""
    functions = [_address(name) for name in ("PyEval_SaveThread", "PyEval_RestoreThread")]
    refer, leave = _address("Py_IncRef"), _address("Py_DecRef")
    return Interface(*functions, refer, id(True), id(False), id(np.ndarray), leave)


def _address(name: str) -> int | None:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_FASTCALL = 0x80  # arguments come as an array

_new_function = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p
)(("PyCFunction_NewEx", ctypes.pythonapi))


def builtin_maker(name: str, address: int) -> Callable[[Any], Callable[..., Any]]:
    """What makes builtin functions of native code, each with an object of its own.

    Args:
        name: of the functions.
        address: of `PyObject *function(PyObject *own, PyObject *const *args, ssize_t count)`, which
            is called with the interpreter's lock held. The code must stay as long as they do.
    """
    definition = _MethodDef(name.encode(), address, _FASTCALL, None)
    _definitions.append(definition)
    place = ctypes.addressof(definition)
    return lambda own: _new_function(place, own, None)


_definitions: list[_MethodDef] = []  # functions refer to them, and outlive who made them
