"""Concatenation, padding and splitting: copies between views."""

from collections.abc import Mapping

from funcflow.backends.planner import Lowering, Planner
from funcflow.core.jaxpr import JaxprEqn, Literal
from funcflow.core.primitive import Primitive
from funcflow.lax.joining import concatenate_p, split_p
from funcflow.lax.slicing import pad_p


def lower_concatenate(plan: Planner, eqn: JaxprEqn) -> None:
    """Each operand is copied to its part of the result, if it has not been computed there."""
    axis, (out,) = eqn.params["dimension"], eqn.outvars
    result = plan.views[out] if out in plan.views else plan.result(out)
    start = 0
    for v in eqn.invars:
        size = v.aval.shape[axis]
        part = result.part(axis, start, size)
        if v.aval.size and (isinstance(v, Literal) or plan.views.get(v) != part):
            plan.store(v, part, eqn)
        start += size


def lower_split(plan: Planner, eqn: JaxprEqn) -> None:
    """The parts are views."""
    source, axis, start = plan.operand(eqn.invars[0]), eqn.params["axis"], 0
    for v, size in zip(eqn.outvars, eqn.params["sizes"], strict=True):
        plan.views[v] = source.part(axis, start, size)
        start += size


def lower_pad(plan: Planner, eqn: JaxprEqn) -> None:
    """The padding value everywhere, then the operand over it."""
    source, value = map(plan.operand, eqn.invars)
    result = plan.result(eqn.outvars[0])
    config = eqn.params["padding_config"]
    kept = [_kept(n, *c) for n, c in zip(source.shape, config, strict=True)]
    steps = [interior + 1 for _, _, interior in config]
    if any(config_ != (0, 0, 0) for config_ in config) and result.size:
        plan.copy(value.broadcast(result.shape, ()), result, (eqn,))
    if all(first < last for first, last, _ in kept):
        source = source.slice([k[0] for k in kept], [k[1] for k in kept], [1] * len(kept))
        starts = [k[2] for k in kept]
        limits = [a + (n - 1) * s + 1 for a, n, s in zip(starts, source.shape, steps, strict=True)]
        plan.copy(source, result.slice(starts, limits, steps), (eqn,))


def _kept(extent: int, low: int, high: int, interior: int) -> tuple[int, int, int]:
    """Of one axis: the operand's first element that stays, the end, and the first one's place."""
    step = interior + 1
    size = max(0, (extent - 1) * step + 1) + low + high
    first = max(0, -(low // step)) if low < 0 else 0
    last = min(extent, (size - low - 1) // step + 1)
    return first, last, low + first * step


LOWERINGS: Mapping[Primitive, Lowering] = {
    concatenate_p: lower_concatenate,
    split_p: lower_split,
    pad_p: lower_pad,
}
