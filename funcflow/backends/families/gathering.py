"""`gather`: windows of an operand are copied to the result."""

from collections.abc import Mapping

from funcflow.backends.families.index_vectors import index_vectors
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
    """One loop for each axis of the result; the operand has an offset for each index vector.

    Index vectors that only gathers need are computed here, not stored.
    """
    source = plan.operand(eqn.invars[0])
    vectors = eqn.invars[1]
    numbers, sizes = eqn.params["dimension_numbers"], eqn.params["slice_sizes"]
    windows = gather_windows(source.shape, vectors.aval.shape, numbers, sizes)
    result = plan.result(eqn.outvars[0])
    if not result.size:
        return
    moved = moving_windows(windows, as_bits(source), len(source.shape))
    target = access(as_bits(result), moved.result)
    places = index_vectors(plan, vectors)
    count = len(places.reads)
    reads = [*places.reads, moved.operand]
    fills = eqn.params["mode"] is GatherScatterMode.FILL_OR_DROP
    if fills:
        fill = as_bits(plan.constant(fill_of(source.dtype, eqn.params["fill_value"])))
        reads.append(access(fill, moved.parts))
    strides = [read.strides for read in reads]
    extents = proper(moved.extents)
    loops = schedule(extents, set(), strides, [target.strides], places.indexed)
    lanes = lanes_along(loops.vector, loops.extents, [*reads[:count], target])
    nest = Nest(loops.kept, loops.extents, reads, [target])
    with nest.loops(loops.kept, loops.vector, lanes):
        offset, inside = offset_of(nest, moved.starts, places.write(nest), clip=not fills)
        value = nest.load(count, offset=offset)
        if inside is not None:
            value = nest.build.let("select", inside, value, nest.load(count + 1))
        nest.store(0, value)
    plan.steps.append(nest.step(eqn, split=True, before=places.eqns))


LOWERINGS: Mapping[Primitive, Lowering] = {gather_p: lower_gather}
