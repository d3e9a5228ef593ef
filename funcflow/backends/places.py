"""Where values lie in a kernel's loops: places, strides, and the parameters of a call."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.backends.loop_ir import ANY, FIXED, PAIRED, UNIT, Kernel, Stride
from funcflow.backends.passes.groups import Place, moved_place
from funcflow.backends.program import View
from funcflow.core.jaxpr import Atom, JaxprEqn


def operand_place(v: Atom, place: Place) -> Place:
    """The place of an operand of an elementwise equation: dimensions are aligned at the end."""
    shape = v.aval.shape
    if not shape:
        return ()
    last = place[len(place) - len(shape) :]
    if 1 not in shape:
        return last
    return tuple(None if n == 1 else a for n, a in zip(shape, last, strict=True))


def virtual_operands(eqn: JaxprEqn, place: Place) -> list[tuple[Atom, Place]]:
    """The operands of an equation that is computed where it is needed, with their places."""
    name = eqn.primitive.name
    if name == "iota":
        return []
    (v, *_) = eqn.invars
    if name == "broadcast_in_dim":
        axes = eqn.params["broadcast_dimensions"]
        inner = zip(v.aval.shape, axes, strict=True)
        return [(v, tuple(None if n == 1 else place[k] for n, k in inner))]
    if name == "transpose":
        permutation = eqn.params["permutation"]
        return [(v, tuple(place[permutation.index(i)] for i in range(len(place))))]
    if name == "reshape":
        return [(v, moved_place(place, v.aval.shape))]
    return [(w, operand_place(w, place)) for w in eqn.invars]


def strides_along(view: View, place: Place) -> dict[int, int]:
    """The view's stride along each axis of the group."""
    strides: dict[int, int] = {}
    for stride, axis in zip(view.strides, place, strict=True):
        if axis is not None and stride:
            strides[axis] = strides.get(axis, 0) + stride
    return strides


def stride_kinds(strides: Sequence[int]) -> tuple[Stride, ...]:
    """What a kernel knows of an operand's strides."""
    return tuple(s if s in (FIXED, UNIT, PAIRED) else ANY for s in strides)


def parameters(
    kernel: Kernel,
    extents: Sequence[int],
    strides: Sequence[Sequence[int]],
    scalars: Sequence[Any] = (),
    tail: int = 0,
) -> tuple[int, ...]:
    """The int64 parameters of a call."""
    values: list[int] = []
    for key in kernel.parameters:
        kind = key[0]
        if kind == "extent":
            values.append(extents[key[1]])
        elif kind == "tail":
            values.append(tail)
        elif kind == "stride":
            values.append(strides[key[1]][key[2]])
        else:
            bits = np.asarray(scalars[key[1]]).tobytes().ljust(8, b"\0")
            values.append(int.from_bytes(bits, "little", signed=True))
    return tuple(values)
