"""Checking and converting the arguments of `funcflow.numpy`'s functions."""

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import SCALARS, Array, ConcreteArray
from funcflow.core.aval import Shape
from funcflow.core.eager import is_eager, quiet
from funcflow.core.errors import (
    ArgumentError,
    ConcretizationTypeError,
    ImmutableError,
    LeafTypeError,
    ShapeError,
)
from funcflow.core.trace import Tracer
from funcflow.numpy.promotion import as_array, inexact


def to_arrays(function: str, xs: Any) -> list[Array]:
    """A sequence of arrays, or the rows of one array, as a list of `Array`s."""
    if isinstance(xs, Array | np.ndarray):
        return [as_array(function, xs[i]) for i in range(len(xs))]
    if not isinstance(xs, list | tuple):
        raise LeafTypeError(
            f"{function}: takes a sequence of arrays, got {xs!r} of type {type(xs).__name__}",
            mend="pass a list or tuple of arrays",
        )
    return [as_array(function, x) for x in xs]


def at_once(
    function: Callable[..., Any], x: Any, *args: Any, kinds: str = "biufcV"
) -> ConcreteArray | None:
    """NumPy's `function(x, *args)` if nothing is traced, or None.

    None also where the dtype's kind is not among `kinds` and where NumPy raises: then the general
    way is taken, which has the better message.
    """
    if not is_eager(x) or x._value.dtype.kind not in kinds:
        return None
    try:
        out = quiet.run(function, x._value, *args)
    except (ValueError, TypeError, IndexError):
        return None
    return ConcreteArray(out if type(out) is np.ndarray else np.asarray(out))


def known(x: Any) -> Any:
    """`x`, or the array that stands behind a tracer whose value is known (under `jvp`, `grad`)."""
    if isinstance(x, Tracer):
        value = x.concrete()
        return x if value is None else value
    return x


def is_known(x: Any) -> bool:
    """Whether the values of `x` are there to be looked at."""
    return not isinstance(known(x), Tracer)


def buffer_of(x: Any) -> Any:
    """The NumPy array of an argument whose value is known."""
    x = known(x)
    return x._value if isinstance(x, ConcreteArray) else np.asarray(x)


def static(function: str, argument: str, x: Any) -> np.ndarray[Any, Any]:
    """The values of an argument that must be known while tracing."""
    if not is_known(x):
        raise ConcretizationTypeError(
            f"{function}: {argument} must be known while tracing, got a traced value {x.aval}",
            mend="mark the argument as static (static_argnums), or compute it outside",
        )
    return buffer_of(x)


def static_int(function: str, argument: str, x: Any) -> int:
    """An argument that must be an integer known while tracing."""
    if type(x) is int:
        return x
    if isinstance(x, Array):
        x = static(function, argument, x)
    try:
        return operator.index(x)
    except TypeError:
        raise ArgumentError(
            f"{function}: {argument} must be an integer, got {x!r}",
            mend="pass an integer",
        ) from None


def static_shape(function: str, shape: Any) -> Shape:
    """A shape: an integer or a sequence of integers, none of them negative or traced."""
    if isinstance(shape, Array | np.ndarray) and shape.ndim:
        shape = static(function, "shape", shape).tolist()
    if not isinstance(shape, Iterable) or (isinstance(shape, Array) and not shape.ndim):
        shape = (shape,)
    extents = tuple(static_int(function, "shape", extent) for extent in shape)
    if any(extent < 0 for extent in extents):
        raise ArgumentError(
            f"{function}: the shape {extents} has a negative extent",
            mend="pass extents of at least 0",
        )
    return extents


def cast(function: str, x: Any, dtype: np.dtype[Any]) -> Any:
    """An array or number in another dtype.

    A number becomes a NumPy array, which jaxprs hold as a literal and not as a captured constant.
    """
    if type(x) in SCALARS or isinstance(x, np.generic):
        value = np.asarray(x)
        return quiet.run(value.astype if dtype.kind == "c" else value.real.astype, dtype)
    return lax.convert_element_type(as_array(function, x), dtype)


def is_sequence(x: Any) -> bool:
    """Whether an argument is several values (a sequence, an array with axes) rather than one."""
    return isinstance(x, list | tuple | range) or getattr(x, "ndim", 0) > 0


def normal_axes(function: str, axis: Any) -> tuple[int, ...]:
    """The axes as a tuple, unchecked; a single one may be given as an integer."""
    if is_sequence(axis):
        return tuple(static_int(function, "axis", a) for a in axis)
    return (static_int(function, "axis", axis),)


def broadcasts_to(shape: Shape, target: Shape) -> bool:
    """Whether an array of one shape can be repeated to another."""
    offset = len(target) - len(shape)
    return offset >= 0 and all(e in (1, target[i + offset]) for i, e in enumerate(shape))


def refuse_inplace(function: str, inplace: bool) -> None:
    """Refuse to change an argument, as NumPy's function of the same name does."""
    if inplace:
        raise ImmutableError(
            f"{function}: arrays are immutable, so the argument cannot be changed in place",
            mend=f"x = fnp.{function}(x, ..., inplace=False)",
        )


def index_dtype() -> np.dtype[Any]:
    """The dtype of indices: that of Python integers."""
    return dtypes.default_int()


def matrices(function: str, a: Any, square: bool = False) -> Array:
    """(Square) matrices in a floating or complex dtype."""
    a = as_array(function, inexact(function, a))
    if a.ndim < 2 or (square and a.shape[-1] != a.shape[-2]):
        raise ShapeError(
            f"{function}: takes {'square ' if square else ''}matrices, got shape {a.shape}",
            mend="the last two axes must have one extent" if square else "reshape the argument",
        )
    return a
