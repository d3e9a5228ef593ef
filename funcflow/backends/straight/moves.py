"""Primitives that move elements, or combine them in more than one place, in straight code."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from funcflow.backends.elements import index_as
from funcflow.backends.loop_ir import Value
from funcflow.backends.straight.arrays import (
    Elements,
    NotStraight,
    Rule,
    Writer,
    element_shape,
    filled,
)
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn


def _reshape(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    shape, lanes = element_shape(eqn.outvars[0].aval, code.extent)
    if x.lanes is not None and lanes is not None:
        before = prod(x.values.shape[: x.lanes]), prod(shape[:lanes])
        if before[0] != before[1]:
            raise NotStraight("reshape moves elements across the lanes")
    elif x.lanes != lanes:
        raise NotStraight("reshape cuts or joins the lanes")
    return [Elements(x.values.reshape(shape), lanes)]


def _broadcast(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    axes = eqn.params["broadcast_dimensions"]
    shape, lanes = element_shape(eqn.outvars[0].aval, code.extent)
    if x.lanes is not None and axes[x.lanes] != lanes:
        raise NotStraight("broadcast_in_dim moves elements across the lanes")
    inner = [1] * len(shape)
    for n, axis in zip(x.values.shape, axes, strict=True):
        inner[axis] = n
    return [Elements(np.broadcast_to(x.values.reshape(inner), shape), lanes)]


def _transpose(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    permutation = eqn.params["permutation"]
    lanes = None if x.lanes is None else permutation.index(x.lanes)
    return [Elements(x.values.transpose(permutation), lanes)]


def _slice(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    params = eqn.params
    steps = params["strides"] or [1] * x.values.ndim
    bounds = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return [Elements(x.values[tuple(slice(*b) for b in bounds)], x.lanes)]


def _reverse(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    if x.lanes in eqn.params["dimensions"]:
        raise NotStraight("rev reverses the lanes")
    return [Elements(np.flip(x.values, eqn.params["dimensions"]), x.lanes)]


def _concatenate(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    axis = eqn.params["dimension"]
    return [Elements(np.concatenate([x.values for x in args], axis), args[0].lanes)]


def _split(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    (x,) = args
    places = np.cumsum(eqn.params["sizes"])[:-1]
    return [Elements(part, x.lanes) for part in np.split(x.values, places, eqn.params["axis"])]


def _pad(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    x, value = args
    config = eqn.params["padding_config"]
    if x.lanes is not None and config[x.lanes] != (0, 0, 0):
        raise NotStraight("pad changes the lanes")
    shape = [
        n + (n - 1) * inside + max(low, 0) + max(high, 0)
        for n, (low, high, inside) in zip(x.values.shape, config, strict=True)
    ]
    padded = np.full(shape, value.values[()], object)
    places = tuple(
        slice(max(low, 0), max(low, 0) + (n - 1) * (inside + 1) + 1, inside + 1)
        for n, (low, _, inside) in zip(x.values.shape, config, strict=True)
    )
    padded[places] = x.values
    cut = tuple(
        slice(max(-low, 0), n - max(-high, 0))
        for n, (low, high, _) in zip(shape, config, strict=True)
    )
    return [Elements(padded[cut], x.lanes)]


def _iota(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    aval = eqn.outvars[0].aval
    shape, lanes = element_shape(aval, code.extent)
    axis = eqn.params["dimension"]
    if axis == lanes:
        assert code.lanes is not None
        position = index_as(code.build, code.lanes.index(), aval.dtype)
        return [Elements(filled(shape, lambda _: position), lanes)]
    return [Elements(filled(shape, lambda p: code.number(aval.dtype.type(p[axis]))), lanes)]


# --- what computes ------------------------------------------------------------------------------


def _dot_general(code: Writer, eqn: JaxprEqn, args: list[Elements]) -> list[Elements]:
    """Each element is a chain of fused multiplications and additions."""
    lhs, rhs = args
    (contracted, batch) = eqn.params["dimension_numbers"]
    dtype = np.dtype(eqn.outvars[0].aval.dtype)
    wide = dtypes.accumulator(dtype)
    if dtypes.kind(dtype) not in "iuf" or any(dtypes.kind(v.aval.dtype) == "c" for v in eqn.invars):
        raise NotStraight(f"dot_general of {dtype}")
    sides = []
    for x, over, along in zip(args, contracted, batch, strict=True):
        if x.lanes in over:
            raise NotStraight("dot_general sums over the lanes")
        free = [i for i in range(x.values.ndim) if i not in (*over, *along)]
        values = x.values.transpose([*along, *free, *over])
        sides.append((values.reshape(*values.shape[: len(along) + len(free)], -1), free, along))
    (left, lfree, lbatch), (right, rfree, rbatch) = sides
    count = len(lbatch)
    shape, lanes = element_shape(eqn.outvars[0].aval, code.extent)
    order = [[*lbatch, *lfree], [*rbatch, *([None] * len(lfree)), *rfree]]
    for x, places in zip((lhs, rhs), order, strict=True):
        if x.lanes is not None and places.index(x.lanes) != lanes:
            raise NotStraight("dot_general moves elements across the lanes")

    def chain(place: tuple[int, ...]) -> Value:
        at, i, j = place[:count], place[count : count + len(lfree)], place[count + len(lfree) :]
        total: Value | None = None
        for a, b in zip(left[at + i], right[at + j], strict=True):
            factors = [converted(code, v, wide) for v in (a, b)]
            if total is None:
                total = code.let("mul", *factors)
            elif dtypes.is_float(wide):
                total = code.let("fma", *factors, total)
            else:
                total = code.let("add", code.let("mul", *factors), total)
        assert total is not None  # an array has elements
        return converted(code, total, dtype)

    return [Elements(filled(shape, chain), lanes)]


def converted(code: Writer, x: Value, dtype: np.dtype[Any]) -> Value:
    """An element in another dtype."""
    if x.dtype == dtype:
        return x
    return code.let("convert_element_type", x, dtype=dtype, new_dtype=dtype, weak_type=False)


MOVES: Mapping[str, Rule] = {
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "slice": _slice,
    "rev": _reverse,
    "concatenate": _concatenate,
    "split": _split,
    "pad": _pad,
    "iota": _iota,
    "dot_general": _dot_general,
}
