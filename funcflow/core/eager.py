"""The short way for eager operations: NumPy's own time plus about half a microsecond.

A concrete array under `EVAL` needs no tracing machinery. The decorators here put a test for that
in front of a general function; what the short way does not take goes the general way:

    @fast_unary(np.sin, "fc")
    def sin(x): ...

NumPy's floating-point warnings are switched off by running the ufunc in a context of its own
(`Context.run` costs a fifth of `np.errstate`).
"""

# Buffers are read from arrays without a call.
# pyright: reportPrivateUsage=false

import threading
from collections.abc import Callable
from contextvars import Context
from functools import wraps
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import Array, ConcreteArray
from funcflow.core.trace import EVAL, current_trace


class _Quiet(threading.local):
    """Per thread, a way to call a ufunc without floating-point warnings."""

    def __init__(self) -> None:
        context = Context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


quiet = _Quiet()
_get_trace = current_trace.get

Unary: TypeAlias = Callable[[Any], Any]
Binary: TypeAlias = Callable[[Any, Any], Any]

# The kinds of dtype that an array keeps beside a Python scalar, in NumPy as here.
_KEEPS_DTYPE: dict[Any, str] = {float: "fc", int: "fciu", complex: "c"}

# What each fast binary function was made from, for `operators`.
_made_from: dict[Binary, tuple[Any, str, Binary]] = {}


def is_eager(x: Any) -> TypeGuard[ConcreteArray]:
    """Whether `x` is a concrete, not weak array in a NumPy buffer, and nothing is traced."""
    return type(x) is ConcreteArray and _get_trace() is EVAL and type(x._value) is np.ndarray


def keeps_dtype(x: Array, y: object) -> bool:
    """Whether a strongly typed array keeps its dtype beside the Python scalar `y`."""
    return dtypes.kind(x.dtype) in _KEEPS_DTYPE.get(type(y), "") and not x.weak_type


def fast_unary(ufunc: Any, kinds: str) -> Callable[[Unary], Unary]:
    """Apply `ufunc` at once to eager arrays whose dtype is of these kinds."""

    def decorate(general: Unary) -> Unary:
        @wraps(general)
        def function(x: Any, /) -> Any:
            if type(x) is ConcreteArray and _get_trace() is EVAL:
                value = x._value
                if value.dtype.kind in kinds and type(value) is np.ndarray:
                    out = quiet.run(ufunc, value)
                    return ConcreteArray(out if type(out) is np.ndarray else np.asarray(out))
            return general(x)

        return function

    return decorate


def fast_binary(ufunc: Any, kinds: str) -> Callable[[Binary], Binary]:
    """Apply `ufunc` at once to eager arrays of one dtype of these kinds, or one and a number."""

    def decorate(general: Binary) -> Binary:
        reflected = _reflected(ufunc, kinds, _swapped(general))

        def scalar_first(x: Any, y: Any) -> Any:
            return reflected(y, x) if type(x) in _KEEPS_DTYPE else general(x, y)

        function = wraps(general)(_binary(ufunc, kinds, scalar_first))
        _made_from[function] = ufunc, kinds, general
        return function

    return decorate


def operators(function: Binary, defer: Callable[[Binary], Binary]) -> tuple[Binary, Binary]:
    """A fast binary function as an operator and as a reflected operator.

    `defer` makes a general function leave operands that are no arrays to their own class.
    """
    ufunc, kinds, general = _made_from[function]
    reflected = _reflected(ufunc, kinds, defer(_swapped(general)))
    return _binary(ufunc, kinds, defer(general)), reflected


def _swapped(function: Binary) -> Binary:
    @wraps(function)
    def swapped(x: Any, y: Any, /) -> Any:
        return function(y, x)

    return swapped


def _binary(ufunc: Any, kinds: str, general: Binary) -> Binary:
    def function(x: Any, y: object, /) -> Any:
        if type(x) is ConcreteArray and _get_trace() is EVAL:
            a = x._value
            kind = a.dtype.kind
            if type(y) is ConcreteArray:
                b = y._value
                if a.dtype is not b.dtype or kind not in kinds:
                    return general(x, y)
            elif kind in _KEEPS_DTYPE.get(type(y), "") and kind in kinds:
                b = y
            else:
                return general(x, y)
            if type(a) is np.ndarray:
                try:
                    out = quiet.run(ufunc, a, b)
                except (ValueError, OverflowError):
                    pass  # the general way has a better message
                else:
                    return ConcreteArray(out if type(out) is np.ndarray else np.asarray(out))
        return general(x, y)

    return function


def _reflected(ufunc: Any, kinds: str, general: Binary) -> Binary:
    def function(x: Any, y: object, /) -> Any:
        # of two arrays, the left one's operator has taken both
        if type(x) is ConcreteArray and _get_trace() is EVAL:
            a = x._value
            kind = a.dtype.kind
            if kind in _KEEPS_DTYPE.get(type(y), "") and kind in kinds and type(a) is np.ndarray:
                try:
                    out = quiet.run(ufunc, y, a)
                except (ValueError, OverflowError):
                    pass
                else:
                    return ConcreteArray(out if type(out) is np.ndarray else np.asarray(out))
        return general(x, y)

    return function


def reduce_now(
    reduce: Callable[..., Any], x: Any, axis: Any, keepdims: bool, kinds: str
) -> ConcreteArray | None:
    """`reduce` (a ufunc's method) of an eager array whose dtype is of these kinds, or None.

    16-bit floats are left to the general way, which sums them up in 32 bits.
    """
    if type(x) is ConcreteArray and _get_trace() is EVAL:
        value = x._value
        dtype = value.dtype
        if dtype.kind in kinds and dtype.itemsize != 2 and type(value) is np.ndarray:
            try:
                out = quiet.run(reduce, value, axis, None, None, keepdims)
            except (ValueError, TypeError):  # the general way has a better message
                return None
            return ConcreteArray(out if type(out) is np.ndarray else np.asarray(out))
    return None
