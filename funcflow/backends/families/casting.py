"""Other views of the same bytes: identities, and elements read as wider or narrower ones."""

from collections.abc import Mapping

from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.casting import (
    bitcast_convert_type_p,
    copy_p,
    optimization_barrier_p,
    stop_gradient_p,
)


def lower_identity(plan: Planner, eqn: JaxprEqn) -> None:
    """The operands themselves. Kernels compute identities of what they compute otherwise."""
    for v, out in zip(eqn.invars, eqn.outvars, strict=True):
        plan.views[out] = plan.operand(v)


def lower_bitcast(plan: Planner, eqn: JaxprEqn) -> None:
    """A new last axis holds the parts of wide elements; to be joined, parts lie side by side."""
    source = plan.operand(eqn.invars[0])
    dtype = eqn.outvars[0].aval.dtype
    joined = dtype.itemsize // source.dtype.itemsize
    if joined == 1:
        view = source._replace(dtype=dtype)
    elif not joined:
        parts = source.dtype.itemsize // dtype.itemsize
        strides = (*(s * parts for s in source.strides), 1)
        shape = (*source.shape, parts)
        view = View(source.buffer, dtype, shape, strides, source.offset * parts)
    else:
        if not _joinable(source, joined):
            copied = plan.temporary(source.shape, source.dtype)
            plan.copy(source, copied, (eqn,))
            source = copied
        strides = tuple(s // joined for s in source.strides[:-1])
        offset = source.offset // joined
        view = View(source.buffer, dtype, source.shape[:-1], strides, offset)
    plan.views[eqn.outvars[0]] = view


def _joinable(view: View, parts: int) -> bool:
    """Whether each row of the last axis is one whole element of `parts` times the width."""
    *outer, last = view.strides
    return last == 1 and not any(s % parts for s in (view.offset, *outer))


LOWERINGS: Mapping[Primitive, Lowering] = {
    bitcast_convert_type_p: lower_bitcast,
    copy_p: lower_identity,
    optimization_barrier_p: lower_identity,
    stop_gradient_p: lower_identity,
}
