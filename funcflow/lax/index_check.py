"""Checks of indices: what functions that take indices put in front of them under `debug_indices`.

A check returns the indices as they are, so what it is made for reads or writes with what it
returns, and it runs where that does. It does not raise: where lanes run together under a mask, one
that has left its loop or takes another branch is computed too, with any indices. It only counts
that it saw one out of bounds; whoever runs the program looks at the count, and then for the index
(`transforms.index_origin`).
"""

import ctypes
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import Zero
from funcflow.core.jaxpr import INDEX_CHECK, ClosedJaxpr, JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONLINEAR, define, effects

# Whether functions check indices for which their caller says nothing of other ones.
checking: ContextVar[bool] = ContextVar("checking", default=False)

check_index_p = Primitive("check_index")


def checked(
    caller: str, indices: Any, extent: int, axis: int, *, size: int = 1, from_end: bool = True
) -> Any:
    """The same indices, checked if `debug_indices` is on.

    Args:
        caller: the function that takes the indices, for the message.
        indices: integers.
        extent: that of the indexed axis.
        axis: the axis, for the message.
        size: how many elements from the index on must be inside.
        from_end: whether negative indices count from the end.
    """
    if not checking.get() or (type(indices) is int and inside(indices, extent, size, from_end)):
        return indices
    return check_index_p.bind(
        np.asarray(indices, np.int64) if type(indices) is int else indices,
        caller=caller,
        extent=extent,
        axis=axis,
        size=size,
        from_end=from_end,
    )


def inside(indices: Any, extent: int, size: int, from_end: bool) -> Any:
    """Which indices are in bounds."""
    found = (indices >= 0) & (indices <= extent - size)
    return found | (indices >= -extent) & (indices <= -size) if from_end else found


# --- counting -------------------------------------------------------------------------------------

# How often indices out of bounds were seen in this process, by Python and by native code.
sightings = (ctypes.c_int64 * 2)()
_lock = threading.Lock()


def count_sightings() -> int:
    """How often indices out of bounds were seen so far, in lanes that are masked too."""
    return sum(sightings)


def _check_index_impl(
    xp: Any, indices: Any, *, extent: int, size: int, from_end: bool, **_: Any
) -> Any:
    if not inside(indices, extent, size, from_end).all():
        with _lock:
            sightings[0] += 1
    return indices


def _check_index_batch(ctx: Any, args: Any, dims: Any, **params: Any) -> Any:
    return check_index_p.bind(ctx.to_front(args[0], dims[0]), **params), 0


define(
    check_index_p,
    abstract=lambda indices, **_: indices,
    impl=_check_index_impl,
    jvp=lambda ctx, primals, tangents, **params: (
        check_index_p.bind(*primals, **params),
        Zero(aval_of(primals[0])),
    ),
    transpose=NONLINEAR,
    batch=_check_index_batch,
    effects=lambda **_: frozenset({INDEX_CHECK}),
)


# --- without checks -------------------------------------------------------------------------------


def unchecked(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The jaxpr without checks, here and in the jaxprs of its equations.

    For what computes again with indices that were checked, or goes on with any under a mask.
    """
    if INDEX_CHECK not in closed.effects:
        return closed
    eqns: list[JaxprEqn] = []
    same: dict[Any, Any] = {}
    for eqn in closed.eqns:
        eqn = eqn.replace(invars=[same.get(v, v) for v in eqn.invars])
        if eqn.primitive is check_index_p:
            same[eqn.outvars[0]] = eqn.invars[0]
            continue
        if INDEX_CHECK in eqn.effects:
            params = {name: _unchecked_parameter(value) for name, value in eqn.params.items()}
            eqn = eqn.replace(params=params, effects=effects[eqn.primitive](**params))
        eqns.append(eqn)
    outvars: Sequence[Any] = [same.get(v, v) for v in closed.jaxpr.outvars]
    return ClosedJaxpr(closed.jaxpr.replace(eqns=eqns, outvars=outvars), closed.consts)


def _unchecked_parameter(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_unchecked_parameter, value))
    return unchecked(value) if isinstance(value, ClosedJaxpr) else value
