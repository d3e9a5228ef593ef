"""Scatters: the operand is copied to the result, then each update is combined with what is there.

Windows may overlap, so those that may meet are taken one after the other, in the order of the index
vectors: the last one stays, and sums have one value. What cannot meet is free: the elements of one
window, lanes of a batch, and the axes of the window along which it is not moved. The longest of the
free axes that are contiguous is the vector's, the others are outermost and may run in parallel.
"""

from collections.abc import Mapping

from funcflow.backends.families.nest import Nest, access, as_bits, as_parts, lanes_along, proper
from funcflow.backends.families.windows import MovingWindows, components, moving_windows, offset_of
from funcflow.backends.loop_ir import INDEX
from funcflow.backends.planner import Lowering, Planner
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.addressing import scatter_windows
from funcflow.lax.dimension_numbers import GatherScatterMode
from funcflow.lax.indexing import scatter_add_p
from funcflow.lax.scatter_products import scatter_mul_p
from funcflow.lax.scattering import scatter_max_p, scatter_min_p, scatter_p, scatter_sub_p

# What a scatter does with the old and the new value; None: the new one replaces it.
COMBINE = {
    scatter_p: None,
    scatter_add_p: "add",
    scatter_sub_p: "sub",
    scatter_mul_p: "mul",
    scatter_min_p: "min",
    scatter_max_p: "max",
}


def lower_scatter(plan: Planner, eqn: JaxprEqn) -> None:
    """Copy the operand, then combine it with the updates."""
    indices, updates = (plan.apart(v, eqn.invars[0]) for v in eqn.invars[1:])
    operand = eqn.invars[0].aval
    name = eqn.primitive.name
    windows = scatter_windows(
        name, operand.shape, indices.shape, updates.shape, eqn.params["dimension_numbers"]
    )
    op = COMBINE[eqn.primitive]
    if dtypes.is_complex(operand.dtype) and op not in (None, "add", "sub"):
        plan.host(eqn, f"{name} of complex numbers")
        return
    result = plan.result(eqn.outvars[0])
    plan.store(eqn.invars[0], result, eqn)
    if not updates.size:
        return
    elements = as_bits if op is None else as_parts
    moved = moving_windows(windows, elements(result), len(result.shape))
    source = access(elements(updates), moved.result)
    outer, inner, vector = _order(moved, unique=eqn.params["unique_indices"])
    reads = [*components(indices), source]
    order = [*outer, *inner]
    nest = Nest(order, moved.extents, reads, [moved.operand])
    with nest.loops(order, vector, lanes_along(vector, moved.extents, [source])):
        clip = eqn.params["mode"] is GatherScatterMode.CLIP
        places = [nest.load(number) for number in range(len(moved.starts))]
        offset, inside = offset_of(nest, moved.starts, places, clip)
        if offset is None:  # all windows are in one place
            offset = nest.build.const(0, INDEX)
        value = nest.load(len(moved.starts))
        if op is not None:
            old = nest.load_written(0, offset=offset, mask=inside)
            value = nest.build.let(op, old, value)
        nest.store(0, value, offset=offset, mask=inside)
    plan.steps.append(nest.step(eqn, split=bool(outer)))


def _order(moved: MovingWindows, unique: bool) -> tuple[list[int], list[int], int | None]:
    """The loops outside, over axes that may run in parallel; those inside; and the vector's axis.

    The latter, if there is one, is the innermost.
    """
    extents, strides = proper(moved.extents), moved.operand.strides
    contiguous = [a for a in extents if a not in moved.meeting and strides[a] == 1]
    vector = contiguous[0] if contiguous else None
    bound = {*moved.moving, vector, *(() if unique else moved.meeting)}
    outer = [axis for axis in extents if axis not in bound]
    inner = [axis for axis in extents if axis not in outer and axis != vector]
    if vector is not None:
        inner.append(vector)
    return sorted(outer, key=lambda axis: -strides.get(axis, 0)), inner, vector


LOWERINGS: Mapping[Primitive, Lowering] = dict.fromkeys(COMBINE, lower_scatter)
