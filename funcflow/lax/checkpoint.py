"""The primitive behind `checkpoint`: save little, and compute it again in the backward pass.

When a checkpointed block is split by partial evaluation, what the tangents need is not handed
over as it is: the staged equation gets the block's inputs (and the values that the policy lets
it save) and computes the rest again.
"""

from collections.abc import Callable
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.evaluate import eval_closed
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.rewrite import dce, dce_closed, hoist, used_inputs
from funcflow.core.rules import define
from funcflow.core.staging import SplitJaxpr, split_jaxpr, stage_out
from funcflow.lax.at_once import at_once
from funcflow.lax.shape import moveaxis
from funcflow.lax.silent import silent

# Which values to save: `policy(primitive, *avals, **params) -> bool`.
Policy = Callable[..., bool]

checkpoint_p = Primitive("checkpoint", multiple_results=True)


def bind_checkpoint(closed: ClosedJaxpr, policy: Policy | None, *args: Any) -> list[Any]:
    """Bind `checkpoint_p` for a jaxpr that may have constants."""
    inner, consts = hoist(closed)
    return checkpoint_p.bind(*consts, *args, jaxpr=inner, policy=policy)


def _abstract(*avals: ShapedArray, jaxpr: ClosedJaxpr, policy: Policy | None) -> Any:
    return jaxpr.out_avals


def _impl(xp: Any, *buffers: Any, jaxpr: ClosedJaxpr, policy: Policy | None) -> Any:
    return eval_buffers(jaxpr, buffers)


def _jvp(
    ctx: Any, primals: Any, tangents: Any, *, jaxpr: ClosedJaxpr, policy: Policy | None
) -> Any:
    inner, out_nonzero = ctx.jaxpr(jaxpr, [type(t) is not Zero for t in tangents], False)
    outs = bind_checkpoint(inner, policy, *primals, *(t for t in tangents if type(t) is not Zero))
    count = len(out_nonzero)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if nz else Zero(aval_of(x))
        for x, nz in zip(outs[:count], out_nonzero, strict=True)
    ]


def _batch(ctx: Any, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, policy: Policy | None) -> Any:
    args = [x if d is None else moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    inner, out_batched = ctx.jaxpr(jaxpr, [d is not None for d in dims], False)
    return bind_checkpoint(inner, policy, *args), [0 if b else None for b in out_batched]


def _partial_eval(
    ctx: Any, unknown: Any, args: Any, *, jaxpr: ClosedJaxpr, policy: Policy | None
) -> list[Any]:
    split = ctx.jaxpr(jaxpr, unknown, False)
    known = [x for x, u in zip(args, unknown, strict=True) if not u]
    first, again = _recomputation(split, policy)
    outs = bind_checkpoint(first, policy, *known)
    count = sum(not u for u in split.unknown_outs)
    staged_args = [*known, *outs[count:], *(x for x, u in zip(args, unknown, strict=True) if u)]
    inner, consts = hoist(again)
    staged = ctx.stage(checkpoint_p, [*consts, *staged_args], {"jaxpr": inner, "policy": policy})
    known_outs, staged_outs = iter(outs[:count]), iter(staged)
    return [next(staged_outs) if u else next(known_outs) for u in split.unknown_outs]


def _recomputation(split: SplitJaxpr, policy: Policy | None) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    """The part to run now and the part to be staged.

    The first maps the known inputs to (known outputs, saved residuals), the second maps (known,
    saved, unknown) to the unknown outputs and computes all other residuals again.
    """
    known = split.known.jaxpr
    count = len(known.outvars) - split.residuals
    outs, residuals = known.outvars[:count], known.outvars[count:]
    allowed = {
        v: None
        for eqn in known.eqns
        if policy is not None and policy(eqn.primitive, *(x.aval for x in eqn.invars), **eqn.params)
        for v in eqn.outvars
    }
    # with all that may be saved given, what is needed of it?
    remaining = [eqn for eqn in known.eqns if not any(v in allowed for v in eqn.outvars)]
    invars = (*known.invars, *allowed)
    again = dce(known.replace(invars=invars, outvars=residuals, eqns=remaining))
    used = used_inputs(again)[len(known.invars) :]
    saved = [v for v, needed in zip(allowed, used, strict=True) if needed]
    again = again.replace(invars=(*known.invars, *saved))
    values = dict(zip(known.constvars, split.known.consts, strict=True))
    recompute = silent(ClosedJaxpr(again, [values[v] for v in again.constvars]))
    first = dce_closed(ClosedJaxpr(known.replace(outvars=(*outs, *saved)), split.known.consts))
    given = len(again.invars)

    def staged(*args: Any) -> list[Any]:
        found = eval_closed(recompute, *args[:given])
        return eval_closed(split.staged, *found, *args[given:])

    unknown_avals = split.staged.in_avals[split.residuals :]
    return first, stage_out(staged, [*recompute.in_avals, *unknown_avals])


def _transpose(
    ctx: Any, cts: Any, *args: Any, jaxpr: ClosedJaxpr, policy: Policy | None
) -> list[Any]:
    linear = [is_undefined(x) for x in args]
    nonzero = [type(ct) is not Zero for ct in cts]
    split = split_jaxpr(jaxpr, linear, True)
    lin_count = sum(linear)
    pulled, out_nonzero = ctx.jaxpr(
        split.staged, [*[False] * split.residuals, *[True] * lin_count], nonzero
    )
    known = [x for x in args if not is_undefined(x)]
    given = [ct for ct in cts if type(ct) is not Zero]

    def backward(*values: Any) -> list[Any]:
        residuals = eval_closed(split.known, *values[: len(known)])
        return eval_closed(pulled, *residuals, *values[len(known) :])

    closed = stage_out(backward, [aval_of(x) for x in (*known, *given)])
    outs, nonzeros = iter(bind_checkpoint(closed, policy, *known, *given)), iter(out_nonzero)
    return [
        (next(outs) if next(nonzeros) else Zero(x.aval)) if lin else None
        for x, lin in zip(args, linear, strict=True)
    ]


define(
    checkpoint_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    partial_eval=_partial_eval,
    effects=lambda *, jaxpr, policy: jaxpr.effects,
    eager=at_once(checkpoint_p, lambda **_: 1),
)
