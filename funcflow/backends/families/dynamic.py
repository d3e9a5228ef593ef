"""Slices at computed places: one offset for the whole slice."""

from collections.abc import Mapping, Sequence

from funcflow.backends.families.nest import Access, Nest, access, as_bits, lanes_along, proper
from funcflow.backends.families.windows import Start, offset_of
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import View
from funcflow.backends.schedule import schedule
from funcflow.core.jaxpr import Atom, JaxprEqn, Literal
from funcflow.core.primitive import Primitive
from funcflow.lax.dynamic import dynamic_slice_p, dynamic_update_slice_p


def lower_dynamic_slice(plan: Planner, eqn: JaxprEqn) -> None:
    """The slice is copied from the operand; one that starts at a known place is a view."""
    x, *places = eqn.invars
    sizes = eqn.params["slice_sizes"]
    whole = plan.operand(x)
    source = _known(whole, places, sizes)
    moved = _moved(plan, whole, places, sizes)
    if not moved:
        plan.views[eqn.outvars[0]] = source
        return
    target = as_bits(plan.result(eqn.outvars[0]))
    source = as_bits(source)
    _copy(plan, eqn, source, target, moved, offset_in_source=True)


def lower_dynamic_update_slice(plan: Planner, eqn: JaxprEqn) -> None:
    """The operand is copied to the result, then the update over it."""
    x, update, *places = eqn.invars
    patch = plan.apart(update, x)
    result = plan.result(eqn.outvars[0])
    plan.store(x, result, eqn)
    moved = _moved(plan, result, places, patch.shape)
    target = as_bits(_known(result, places, patch.shape))
    _copy(plan, eqn, as_bits(patch), target, moved, offset_in_source=False)


def _known(view: View, places: Sequence[Atom], sizes: Sequence[int]) -> View:
    """The slice of a view that starts at the places that are known, and at 0 along other axes."""
    firsts = [
        min(max(int(place.val), 0), extent - size) if isinstance(place, Literal) else 0
        for place, extent, size in zip(places, view.shape, sizes, strict=True)
    ]
    limits = [first + size for first, size in zip(firsts, sizes, strict=True)]
    return view.slice(firsts, limits, [1] * len(firsts))


def _moved(
    plan: Planner, view: View, places: Sequence[Atom], sizes: Sequence[int]
) -> dict[int, tuple[Access, int]]:
    """The axes whose start is computed and not always 0, with the start and the last one inside."""
    return {
        axis: (access(plan.operand(place), ()), extent - size)
        for axis, (place, extent, size) in enumerate(zip(places, view.shape, sizes, strict=True))
        if not isinstance(place, Literal) and extent != size
    }


def _copy(
    plan: Planner,
    eqn: JaxprEqn,
    source: View,
    target: View,
    moved: Mapping[int, tuple[Access, int]],
    *,
    offset_in_source: bool,
) -> None:
    """A step that copies between views, one of which begins at an offset."""
    if not target.size:
        return
    axes = range(len(source.shape))
    read, written = access(source, axes), access(target, axes)
    extents = proper(dict(enumerate(source.shape)))
    loops = schedule(extents, set(), [read.strides], [written.strides], set())
    base = source if offset_in_source else target
    starts = [Start(reach, base.strides[axis]) for axis, (_, reach) in moved.items()]
    indices = [index for index, _ in moved.values()]
    nest = Nest(loops.kept, loops.extents, [*indices, read], [written])
    with nest.loops(loops.kept, loops.vector, lanes_along(loops.vector, loops.extents, [written])):
        places = [nest.load(number) for number in range(len(starts))]
        offset, _ = offset_of(nest, starts, places, clip=True)
        value = nest.load(len(starts), offset=offset if offset_in_source else None)
        nest.store(0, value, offset=None if offset_in_source else offset)
    plan.steps.append(nest.step(eqn, split=True))


LOWERINGS: Mapping[Primitive, Lowering] = {
    dynamic_slice_p: lower_dynamic_slice,
    dynamic_update_slice_p: lower_dynamic_update_slice,
}
