"""Named axes of surrounding `vmap`s and `pmap`s: their sizes, and a lane's index along them.

All collectives are made of what is here: each names its axes in the parameter `axes`, and finds
their sizes and, between the shards of a pmap, their communicators in the scope.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from funcflow.core.aval import ShapedArray
from funcflow.core.axes import Communicator, find_axis
from funcflow.core.axes import axis_size as size_of
from funcflow.core.errors import ArgumentError
from funcflow.core.jaxpr import Effects, axis_effect
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, define
from funcflow.lax.arithmetic import mul
from funcflow.lax.creation import iota
from funcflow.lax.forms import add

AxisName = Hashable


def axis_names(axis_name: AxisName | Sequence[AxisName]) -> tuple[AxisName, ...]:
    """The names that an argument `axis_name` gives: one, or several in a tuple or list."""
    return tuple(axis_name) if isinstance(axis_name, tuple | list) else (axis_name,)


def one_axis_name(axis_name: AxisName, function: str) -> AxisName:
    """The name that `axis_name` gives, for collectives along one axis."""
    names = axis_names(axis_name)
    if len(names) != 1:
        raise ArgumentError(
            f"{function}: takes one axis name, got {axis_name!r}",
            mend="apply it to one axis after the other",
        )
    return names[0]


def communicator_of(axis: AxisName, function: str) -> Communicator:
    """How this shard exchanges values with the others of a pmap."""
    communicator = find_axis(axis, function).communicator
    if communicator is None:
        raise ArgumentError(
            f"{function}: the axis {axis!r} belongs to a vmap that has ended",
            mend="use the collective inside the mapped function",
        )
    return communicator


def axes_effects(*, axes: tuple[AxisName, ...], **_: Any) -> Effects:
    """What a collective's parameters say of its effects: that it needs these axes in scope."""
    return frozenset(axis_effect(axis) for axis in axes)


axis_index_p = Primitive("axis_index")


def axis_index(axis_name: AxisName | Sequence[AxisName]) -> Any:
    """The lane's index along the named axis, an int32; along several, in row-major order."""
    index: Any = None
    for axis in axis_names(axis_name):
        here = axis_index_p.bind(axes=(axis,))
        size = find_axis(axis, "axis_index").size
        index = here if index is None else add(mul(index, np.int32(size)), here)
    return index


def axis_size(axis_name: AxisName | Sequence[AxisName]) -> int:
    """The size of the named axis; of several, the product."""
    return size_of(axis_names(axis_name), "axis_size")


def _axis_index_abstract(*, axes: tuple[AxisName, ...]) -> ShapedArray:
    find_axis(axes[0], "axis_index")
    return ShapedArray((), np.dtype("int32"))


define(
    axis_index_p,
    abstract=_axis_index_abstract,
    impl=lambda xp, *, axes: xp.asarray(communicator_of(axes[0], "axis_index").rank, xp.int32),
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=lambda ctx, args, dims, *, axes: (iota(np.dtype("int32"), ctx.size), 0),
    effects=axes_effects,
)
