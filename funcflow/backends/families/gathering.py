"""`gather`: windows of an operand are copied to the result."""

from collections.abc import Mapping

from funcflow.backends.families.nest import Nest, access, as_bits, lanes_along, proper
from funcflow.backends.families.windows import moving_windows, offset_of
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.schedule import schedule
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.addressing import gather_windows
from funcflow.lax.dimension_numbers import GatherScatterMode
from funcflow.lax.indexing import fill_of, gather_p


def lower_gather(plan: Planner, eqn: JaxprEqn) -> None:
    """One loop for each axis of the result; the operand has an offset for each index vector."""
    source, indices = map(plan.operand, eqn.invars)
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    windows = gather_windows(source.shape, indices.shape, numbers, sizes)
    result = plan.result(eqn.outvars[0])
    if not result.size:
        return
    moved = moving_windows(windows, as_bits(source), indices, len(source.shape))
    target = access(as_bits(result), moved.result)
    reads = [*(start.index for start in moved.starts), moved.operand]
    fills = eqn.params["mode"] is GatherScatterMode.FILL_OR_DROP
    if fills:
        fill = as_bits(plan.constant(fill_of(source.dtype, eqn.params["fill_value"])))
        reads.append(access(fill, moved.parts))
    strides = [read.strides for read in reads]
    loops = schedule(proper(moved.extents), set(), strides, [target.strides], set())
    count = len(moved.starts)
    lanes = lanes_along(loops.vector, loops.extents, [*reads[:count], target])
    nest = Nest(loops.kept, loops.extents, reads, [target])
    with nest.loops(loops.kept, loops.vector, lanes):
        offset, inside = offset_of(nest, moved.starts, 0, clip=not fills)
        value = nest.load(count, offset=offset)
        if inside is not None:
            value = nest.build.let("select", inside, value, nest.load(count + 1))
        nest.store(0, value)
    plan.steps.append(nest.step(eqn, split=True))


LOWERINGS: Mapping[Primitive, Lowering] = {gather_p: lower_gather}
