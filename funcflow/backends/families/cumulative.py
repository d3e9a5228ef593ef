"""Running sums, products, extrema: a loop along the axis that stores what it carries."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from funcflow.backends.families.nest import Nest, access, as_parts, lanes_along, proper
from funcflow.backends.loop_ir import Builder, Value
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.reducing import OF_BOOLS, neutral_value
from funcflow.backends.schedule import schedule
from funcflow.core import dtypes
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.cumulative import cumlogsumexp_p, cummax_p, cummin_p, cumprod_p, cumsum_p

Combine: TypeAlias = Callable[[Builder, Value, Value], Value]


def _logaddexp(build: Builder, x: Value, y: Value) -> Value:
    """`log(exp(x) + exp(y))`; the cases are those of `numpy.logaddexp`."""
    distance = build.let("abs", build.let("sub", x, y))
    rest = build.let("log1p", build.let("exp", build.let("neg", distance)))
    apart = build.let("add", build.let("max", x, y), rest)
    same = build.let("add", x, build.const(np.log(2), x.dtype))  # also if both are infinite
    return build.let("select", build.let("eq", x, y), same, apart)


# How an element is combined with those before it; the merge whose neutral value is the start.
_OPERATIONS: Mapping[Primitive, tuple[str, Combine]] = {
    cumsum_p: ("add", lambda build, x, y: build.let("add", x, y)),
    cumprod_p: ("mul", lambda build, x, y: build.let("mul", x, y)),
    cummax_p: ("max", lambda build, x, y: build.let("max", x, y)),
    cummin_p: ("min", lambda build, x, y: build.let("min", x, y)),
    cumlogsumexp_p: ("max", _logaddexp),
}


def lower_cumulative(plan: Planner, eqn: JaxprEqn) -> None:
    """The loop along the axis is sequential; lanes are places along another axis."""
    name, axis = eqn.primitive.name, eqn.params["axis"]
    x = plan.operand(eqn.invars[0])
    if dtypes.is_complex(x.dtype) and eqn.primitive is not cumsum_p:
        plan.host(eqn, f"{name} of complex numbers")
        return
    if x.shape[axis] == 1:
        plan.views[eqn.outvars[0]] = x
        return
    result = plan.result(eqn.outvars[0])
    if not result.size:
        return
    views = [as_parts(x), as_parts(result)]
    if eqn.params["reverse"]:
        views = [view.reverse((axis,)) for view in views]
    axes = range(len(views[0].shape))
    source, target = (access(view, axes) for view in views)
    extents = dict(enumerate(views[0].shape))
    others = proper({a: n for a, n in extents.items() if a != axis})
    loops = schedule(others, set(), [source.strides], [target.strides], set())
    lanes = lanes_along(loops.vector, loops.extents, [target])
    nest = Nest((*loops.kept, axis), {**loops.extents, axis: extents[axis]}, [source], [target])
    with nest.loops(loops.kept, loops.vector, lanes):
        _write_scan(nest, axis, *_OPERATIONS[eqn.primitive])
    plan.steps.append(nest.step(eqn, split=bool(loops.kept)))


def _write_scan(nest: Nest, axis: int, merge: str, combine: Combine) -> None:
    """The loop along the axis; 16-bit floats are carried in float32."""
    build, narrow = nest.build, nest.dtype(0)
    wide = dtypes.accumulator(narrow)
    if wide == np.bool_:
        merge = OF_BOOLS[merge]
    start = build.const(neutral_value(merge, wide), wide)
    with nest.loops((axis,)) as loop:
        (before,) = loop.carry("sequence", start)
        now = combine(build, before, _converted(build, nest.load(0), wide))
        nest.store(0, _converted(build, now, narrow))
        loop.next(now)


def _converted(build: Builder, x: Value, dtype: np.dtype[Any]) -> Value:
    return x if x.dtype == dtype else build.let("convert", x, dtype=dtype)


LOWERINGS: Mapping[Primitive, Lowering] = dict.fromkeys(_OPERATIONS, lower_cumulative)
