"""Going back through the steps of a while loop, from a tape of its carries.

The tape is as long as the loop was, so it has no shape that a jaxpr could tell: it lives inside of
one primitive, which runs the loop again, keeps the carry of each step, and pulls cotangents back
through the steps, last one first. Under `vmap` each lane has a number of steps, and a tape, of its
own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import NotDifferentiableError
from funcflow.core.evaluate import eval_closed
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr, Effects
from funcflow.core.primitive import Primitive
from funcflow.core.rewrite import dce, dce_closed, hoist, permute, used_inputs
from funcflow.core.rules import NONLINEAR, define
from funcflow.core.staging import split_jaxpr, stage_out
from funcflow.lax.at_once import UNKNOWN, at_once
from funcflow.lax.comparison import lt, select_n
from funcflow.lax.forms import add
from funcflow.lax.reduction import reduce_max
from funcflow.lax.shape import broadcast_to, expand_dims, instantiate
from funcflow.lax.while_checkpoints import pull_back

# --- loops without an end -------------------------------------------------------------------------

# Steps are counted in int32. A loop that has taken so many is stopped, which is an error.
MOST_STEPS = 2**31 - 1

ended_p = Primitive("ended")


def ended(count: Any) -> Any:
    """The number of steps of a loop, which must have ended by itself."""
    return ended_p.bind(count, limit=MOST_STEPS)


def no_end(limit: int) -> NotDifferentiableError:
    """The error for a loop that has taken as many steps as there may be."""
    return NotDifferentiableError(
        f"while_loop: no end after {limit} steps, the most that reverse mode goes back through",
        mend="see whether the condition ever becomes false (a comparison with NaN is), or let it "
        "count: cond_fun = lambda state: goes_on(state) & (state.steps < most)",
    )


def _ended_impl(xp: Any, count: Any, *, limit: int) -> Any:
    if count.size and count.max() >= limit:
        raise no_end(limit)
    return count


def _ended_batch(ctx: Any, args: Any, dims: Any, *, limit: int) -> Any:
    return ended_p.bind(*args, limit=limit), dims[0]


define(
    ended_p,
    abstract=lambda aval, *, limit: aval,
    impl=_ended_impl,
    jvp=lambda ctx, primals, tangents, *, limit: (
        ended_p.bind(*primals, limit=limit),
        Zero(aval_of(primals[0])),
    ),
    transpose=NONLINEAR,
    batch=_ended_batch,
)

# --- the tape -------------------------------------------------------------------------------------

reverse_while_p = Primitive("reverse_while", multiple_results=True)


def reverse_while(
    count: Any,
    step: ClosedJaxpr,
    pull: ClosedJaxpr,
    start: Sequence[Any],
    cotangents: Sequence[Any],
) -> list[Any]:
    """The cotangents pulled back through the steps of a loop.

    Args:
        count: the number of steps, an int32; for lanes, an array of the leading dimensions that all
            else but constants has, in which each lane has its own.
        step: from the carry to the next one, without idle equations.
        pull: from the carry before a step and the cotangents after it to those before it; likewise.
        start: the first carry.
        cotangents: those after the last step.
    """
    step, pull, start = _without_idle(step, pull, start)
    step, step_consts = hoist(step)
    pull, pull_consts = hoist(pull)
    return _bind(count, step, pull, step_consts, pull_consts, start, cotangents)


def _without_idle(
    step: ClosedJaxpr, pull: ClosedJaxpr, start: Sequence[Any]
) -> tuple[ClosedJaxpr, ClosedJaxpr, list[Any]]:
    """Without parts of the carry, such as the counter, that the way back has no use for."""
    size = len(start)
    needed = used_inputs(pull.jaxpr)[:size]
    while True:
        kept = dce(step.jaxpr, needed)
        more = [a or b for a, b in zip(needed, used_inputs(kept), strict=True)]
        if more == needed:
            break
        needed = more
    step = ClosedJaxpr(step.jaxpr.replace(outvars=_kept(step.jaxpr.outvars, needed)), step.consts)
    cotangents = [True] * (len(pull.in_avals) - size)
    return (
        _of_inputs(dce_closed(step), needed),
        _of_inputs(pull, [*needed, *cotangents]),
        _kept(start, needed),
    )


def _of_inputs(closed: ClosedJaxpr, flags: Sequence[bool]) -> ClosedJaxpr:
    return ClosedJaxpr(
        closed.jaxpr.replace(invars=_kept(closed.jaxpr.invars, flags)), closed.consts
    )


def _kept(items: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    return [x for x, flag in zip(items, flags, strict=True) if flag]


def _bind(
    count: Any,
    step: ClosedJaxpr,
    pull: ClosedJaxpr,
    step_consts: Sequence[Any],
    pull_consts: Sequence[Any],
    start: Sequence[Any],
    cotangents: Sequence[Any],
) -> list[Any]:
    return reverse_while_p.bind(
        count,
        *step_consts,
        *pull_consts,
        *start,
        *cotangents,
        step_jaxpr=step,
        pull_jaxpr=pull,
        step_nconsts=len(step_consts),
        pull_nconsts=len(pull_consts),
    )


def operands_of(
    items: Sequence[Any], step_jaxpr: ClosedJaxpr, step_nconsts: int, pull_nconsts: int
) -> tuple[Any, list[Any], list[Any], list[Any], list[Any]]:
    """What belongs to the operands: count, constants of both jaxprs, carry and cotangents."""
    count, *rest = items
    ends = np.cumsum([step_nconsts, pull_nconsts, len(step_jaxpr.jaxpr.outvars)])
    first, second, third = (int(end) for end in ends)
    return count, rest[:first], rest[first:second], rest[second:third], rest[third:]


def _abstract(
    *avals: ShapedArray,
    step_jaxpr: ClosedJaxpr,
    pull_jaxpr: ClosedJaxpr,
    step_nconsts: int,
    pull_nconsts: int,
) -> list[ShapedArray]:
    return pull_jaxpr.out_avals


def _impl(
    xp: Any,
    *buffers: Any,
    step_jaxpr: ClosedJaxpr,
    pull_jaxpr: ClosedJaxpr,
    step_nconsts: int,
    pull_nconsts: int,
) -> list[Any]:
    count, step_consts, pull_consts, carry, cotangents = operands_of(
        buffers, step_jaxpr, step_nconsts, pull_nconsts
    )
    count = xp.asarray(count)

    def chosen(i: int, new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
        """What lanes have after step i, if they take so many."""
        if not count.ndim:
            return list(new)
        running = i < count
        return [
            xp.where(running.reshape(running.shape + (1,) * (x.ndim - running.ndim)), x, y)
            for x, y in zip(new, old, strict=True)
        ]

    tape: list[list[Any]] = []
    for i in range(int(count.max()) if count.size else 0):
        tape.append(carry)
        carry = chosen(i, eval_buffers(step_jaxpr, [*step_consts, *carry]), carry)
    while tape:
        found = eval_buffers(pull_jaxpr, [*pull_consts, *tape.pop(), *cotangents])
        cotangents = chosen(len(tape), found, cotangents)
    return cotangents


def by_checkpoints(
    *args: Any,
    step_jaxpr: ClosedJaxpr,
    pull_jaxpr: ClosedJaxpr,
    step_nconsts: int,
    pull_nconsts: int,
) -> list[Any]:
    """What the primitive computes, without a tape: in loops that all transforms know."""
    if ndim_of(args[0]):
        operands, params = together(args, step_jaxpr, pull_jaxpr, step_nconsts, pull_nconsts)
        return by_checkpoints(*operands, **params)
    count, step_consts, pull_consts, start, cotangents = operands_of(
        args, step_jaxpr, step_nconsts, pull_nconsts
    )
    return pull_back(
        count,
        lambda *carry: eval_closed(step_jaxpr, *step_consts, *carry),
        start,
        lambda carry, cts: eval_closed(pull_jaxpr, *pull_consts, *carry, *cts),
        cotangents,
    )


def reverse_together(*args: Any, **params: Any) -> list[Any]:
    """What the primitive computes, bound with one number of steps for all lanes."""
    operands, params = together(args, **params)
    return reverse_while_p.bind(*operands, **params)


def together(
    args: Sequence[Any],
    step_jaxpr: ClosedJaxpr,
    pull_jaxpr: ClosedJaxpr,
    step_nconsts: int,
    pull_nconsts: int,
) -> tuple[list[Any], dict[str, Any]]:
    """Operands and parameters of the loop that takes as many steps as the lane that takes most.

    A lane that takes fewer keeps what it has in the others.
    """
    count, step_consts, pull_consts, start, cotangents = operands_of(
        args, step_jaxpr, step_nconsts, pull_nconsts
    )
    size = len(start)

    def select(i: Any, count: Any, new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
        running = lt(broadcast_to(i, shape_of(count)), count)

        def one(x: Any, y: Any) -> Any:
            which = expand_dims(running, range(ndim_of(running), ndim_of(x)))
            return select_n(broadcast_to(which, shape_of(x)), y, x)

        return [one(x, y) for x, y in zip(new, old, strict=True)]

    def step(count: Any, *rest: Any) -> list[Any]:
        consts, i, carry = rest[:step_nconsts], rest[step_nconsts], rest[step_nconsts + 1 :]
        found = eval_closed(step_jaxpr, *consts, *carry)
        return [add(i, np.int32(1)), *select(i, count, found, carry)]

    def pull(count: Any, *rest: Any) -> list[Any]:
        consts, i, values = rest[:pull_nconsts], rest[pull_nconsts], rest[pull_nconsts + 1 :]
        found = eval_closed(pull_jaxpr, *consts, *values)
        return select(i, count, found, values[size:])

    def staged(function: Any, closed: ClosedJaxpr, consts: int) -> ClosedJaxpr:
        avals = closed.in_avals
        index = ShapedArray((), np.dtype(np.int32))
        return stage_out(function, [aval_of(count), *avals[:consts], index, *avals[consts:]])

    most = reduce_max(count, tuple(range(ndim_of(count))))
    operands = [most, count, *step_consts, count, *pull_consts, np.int32(0), *start, *cotangents]
    return operands, {
        "step_jaxpr": staged(step, step_jaxpr, step_nconsts),
        "pull_jaxpr": staged(pull, pull_jaxpr, pull_nconsts),
        "step_nconsts": step_nconsts + 1,
        "pull_nconsts": pull_nconsts + 1,
    }


def _jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    step_jaxpr: ClosedJaxpr,
    pull_jaxpr: ClosedJaxpr,
    step_nconsts: int,
    pull_nconsts: int,
) -> Any:
    sizes = step_jaxpr, step_nconsts, pull_nconsts
    count, *values = operands_of(primals, *sizes)
    _, *dots = operands_of(tangents, *sizes)
    step_nz, pull_nz, carry_nz, ct_nz = ([type(t) is not Zero for t in part] for part in dots)
    step, carry_nz = _settled(ctx, step_jaxpr, step_nz, carry_nz)
    pull, ct_nz = _settled(ctx, pull_jaxpr, [*pull_nz, *carry_nz], ct_nz)
    flags = step_nz, pull_nz, carry_nz, ct_nz
    dots = [
        [instantiate(t) for t, nz in zip(part, nonzero, strict=True) if nz]
        for part, nonzero in zip(dots, flags, strict=True)
    ]
    both = [[*part, *more] for part, more in zip(values, dots, strict=True)]
    counts = [(len(part), len(more)) for part, more in zip(values, dots, strict=True)]
    step = permute(step, _interleaved([counts[0], counts[2]]))
    pull = permute(pull, _interleaved(counts[1:]))
    outs = _bind(count, step, pull, *both)
    results = len(values[3])
    rest = iter(outs[results:])
    out_dots = [
        next(rest) if nz else Zero(aval_of(x)) for x, nz in zip(outs[:results], ct_nz, strict=True)
    ]
    return outs[:results], out_dots


def _settled(
    ctx: Any, closed: ClosedJaxpr, fixed: Sequence[bool], looped: list[bool]
) -> tuple[ClosedJaxpr, list[bool]]:
    """The transformed jaxpr whose last arguments are its own results, and what holds of these.

    What holds of a result holds of the argument that it becomes, so it is repeated until it does.
    """
    while True:
        transformed, found = ctx.jaxpr(closed, [*fixed, *looped], looped)
        if found == looped:
            return transformed, looped
        looped = [a or b for a, b in zip(looped, found, strict=True)]


def _interleaved(counts: Sequence[tuple[int, int]]) -> list[int]:
    """Where each group's values and tangents are in (values of all, tangents of all).

    `counts` has the numbers of both for each group.
    """
    order: list[int] = []
    values, tangents = 0, sum(n for n, _ in counts)
    for n, m in counts:
        order += [*range(values, values + n), *range(tangents, tangents + m)]
        values, tangents = values + n, tangents + m
    return order


def _batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    step_jaxpr: ClosedJaxpr,
    pull_jaxpr: ClosedJaxpr,
    step_nconsts: int,
    pull_nconsts: int,
) -> Any:
    sizes = step_jaxpr, step_nconsts, pull_nconsts
    count_b, step_b, pull_b, carry_b, ct_b = operands_of([d is not None for d in dims], *sizes)
    if ndim_of(args[0]) or count_b:  # lanes stop at different times, so all that changes differs
        count_b, carry_b, ct_b = True, [True] * len(carry_b), [True] * len(ct_b)
    step, carry_b = _settled(ctx, step_jaxpr, step_b, carry_b)
    pull, ct_b = _settled(ctx, pull_jaxpr, [*pull_b, *carry_b], ct_b)
    flags = [count_b, *step_b, *pull_b, *carry_b, *ct_b]
    moved = [ctx.to_front(x, d) if b else x for x, d, b in zip(args, dims, flags, strict=True)]
    outs = _bind(*_regrouped(moved, step, pull, *sizes))
    return outs, [0 if b else None for b in ct_b]


def _regrouped(
    items: Sequence[Any], step: ClosedJaxpr, pull: ClosedJaxpr, *sizes: Any
) -> tuple[Any, ...]:
    count, *parts = operands_of(items, *sizes)
    return count, step, pull, *parts


def _partial_eval(ctx: Any, unknown: Any, args: Any, **params: Any) -> list[Any]:
    """A known part has no tape of its own: all goes by checkpoints, known and unknown loops."""
    return ctx.inline(lambda *xs: by_checkpoints(*xs, **params), args)


def _transpose(ctx: Any, cts: Any, *args: Any, **params: Any) -> list[Any]:
    """Linear are cotangents, and the tangents in a carry; the loops without a tape tell how."""
    linear = [is_undefined(x) for x in args]
    avals = [x.aval if u else aval_of(x) for x, u in zip(args, linear, strict=True)]
    split = split_jaxpr(stage_out(lambda *xs: by_checkpoints(*xs, **params), avals), linear)
    known = [x for x in args if not is_undefined(x)]
    residuals = eval_closed(split.known, *known)[
        len(split.unknown_outs) - sum(split.unknown_outs) :
    ]
    given = [instantiate(ct) for ct, u in zip(cts, split.unknown_outs, strict=True) if u]
    backward, _ = ctx.jaxpr(
        split.staged,
        [*[False] * split.residuals, *[True] * sum(linear)],
        [True] * sum(linear),
        True,
    )
    found = iter(eval_closed(backward, *residuals, *given))
    return [next(found) if u else None for u in linear]


def _effects(
    *, step_jaxpr: ClosedJaxpr, pull_jaxpr: ClosedJaxpr, step_nconsts: int, pull_nconsts: int
) -> Effects:
    return step_jaxpr.effects | pull_jaxpr.effects


define(
    reverse_while_p,
    abstract=_abstract,
    impl=_impl,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    partial_eval=_partial_eval,
    effects=_effects,
    eager=at_once(reverse_while_p, lambda **_: UNKNOWN),
)
