"""The rules that linear operations share."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core.aval import Zero
from funcflow.core.errors import AxisError
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


def canonical_axis(axis: int, ndim: int, function: str) -> int:
    """`axis` counted from the front."""
    if not -ndim <= axis < ndim:
        raise AxisError(
            f"{function}: axis {axis} is out of range for an array of {ndim} dimensions",
            mend=f"use an axis from {-ndim} to {ndim - 1}" if ndim else "pass an array with axes",
        )
    return axis + ndim if axis < 0 else axis


def canonical_axes(axes: int | Sequence[int], ndim: int, function: str) -> tuple[int, ...]:
    """`axes` counted from the front, each once."""
    listed = (axes,) if isinstance(axes, int) else tuple(axes)
    found = tuple(canonical_axis(int(axis), ndim, function) for axis in listed)
    if len(set(found)) != len(found):
        raise AxisError(f"{function}: duplicate axes in {listed}", mend="name each axis once")
    return found
