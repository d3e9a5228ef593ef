"""The rules that linear operations share."""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from funcflow.core.array import Array
from funcflow.core.aval import Zero
from funcflow.core.errors import ArgumentError, AxisError, ConcretizationTypeError
from funcflow.core.primitive import Primitive


def linear_jvp(primitive: Primitive) -> Callable[..., Any]:
    """The forward rule of an operation that is linear in its first argument.

    Further arguments (indices, sizes) are held fixed.
    """

    def rule(ctx: Any, primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        x, *rest = primals
        out = primitive.bind(x, *rest, **params)
        if type(tangents[0]) is Zero:
            return out, Zero(out.aval)
        return out, primitive.bind(tangents[0], *rest, **params)

    return rule


def canonical_axis(axis: int | Array, ndim: int, function: str) -> int:
    """`axis` counted from the front."""
    if type(axis) is not int:
        axis = _as_integer(axis, function)
    if not -ndim <= axis < ndim:
        raise AxisError(
            f"{function}: axis {axis} is out of range for an array of {ndim} dimensions",
            mend=f"use an axis from {-ndim} to {ndim - 1}" if ndim else "pass an array with axes",
        )
    return axis + ndim if axis < 0 else axis


def _as_integer(axis: Any, function: str) -> int:
    try:
        return operator.index(axis)
    except ConcretizationTypeError:
        raise ConcretizationTypeError(
            f"{function}: axis must be known while tracing, got {axis!r}",
            mend="mark the argument as static (static_argnums), or compute it outside",
        ) from None
    except TypeError:
        raise ArgumentError(
            f"{function}: axis must be an integer, got {axis!r} of type {type(axis).__name__}",
            mend="pass an integer, or a tuple of integers",
        ) from None


def canonical_axes(axes: int | Sequence[int], ndim: int, function: str) -> tuple[int, ...]:
    """`axes` counted from the front, each once."""
    listed = tuple(axes) if isinstance(axes, Iterable) and not isinstance(axes, Array) else (axes,)
    found = tuple(canonical_axis(axis, ndim, function) for axis in listed)
    if len(set(found)) != len(found):
        raise AxisError(f"{function}: duplicate axes in {listed}", mend="name each axis once")
    return found
