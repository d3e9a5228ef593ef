"""`while_loop`: a loop whose length its values decide, with a reverse mode.

The reverse pass needs the carry of every step, last step first. It keeps O(log n) carries: it
runs the loop again from the nearest one kept, keeping those at the midpoints of what is left,
which takes O(n log n) steps in all (binary checkpointing: Griewank, "Achieving logarithmic growth
of temporal and spatial complexity in reverse automatic differentiation", 1992).

Under `vmap` the condition gives a boolean for each lane, in an array of the leading dimensions of
all that is carried. Each lane goes to its own end, then keeps its values. A backend may run the
lanes one by one; `until_all_done` gives the loop that runs them together, under a mask.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, UndefinedPrimal, Zero, is_undefined
from funcflow.core.errors import ArgumentError, NotDifferentiableError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import flatten_arguments
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr, Effects, has_side_effects
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_structure
from funcflow.core.rewrite import dce_closed, hoist, permute
from funcflow.core.rules import define
from funcflow.core.source import attributed, user_source
from funcflow.core.staging import split_jaxpr, stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.arithmetic import sub
from funcflow.lax.bitwise import shift_right_logical
from funcflow.lax.carry import trace_body, trace_condition
from funcflow.lax.comparison import eq, gt, lt, select_n
from funcflow.lax.dynamic import dynamic_index_in_dim, dynamic_update_index_in_dim
from funcflow.lax.forms import add, add_p
from funcflow.lax.progress import check_label, shown_while
from funcflow.lax.reduction import reduce_or
from funcflow.lax.shape import broadcast, broadcast_to, expand_dims, instantiate, zeros
from funcflow.lax.silent import silent

while_p = Primitive("while", multiple_results=True)

# The trip count is an int32, so halving what is left takes at most 31 checkpoints.
_MAX_CHECKPOINTS = 32


@hides_internal_frames
def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    progress: str | None = None,
) -> Any:
    """Repeat `val = body_fun(val)` while `cond_fun(val)` holds.

    Forward and reverse mode work; the reverse pass of n steps takes O(log n) memory and
    O(n log n) time.

    Args:
        cond_fun: from the value to a boolean scalar.
        body_fun: from the value to the next one, of the same structure, shapes and dtypes.
        init_val: the first value, a pytree of arrays.
        progress: a label: shows on stderr how many steps are done, as `scan` does.

    Raises:
        ArgumentError: `progress` is no label.
        CarryTypeError: the body changes the value's type.
        ShapeError: the condition is no boolean scalar.

    Example:
        >>> ff.lax.while_loop(lambda x: x < 100, lambda x: 2 * x, 3)
        Array(192, dtype=int32, weak_type=True)
    """
    if not callable(cond_fun) or not callable(body_fun):
        raise ArgumentError(
            "while_loop: cond_fun and body_fun must be functions",
            mend="while_loop(cond_fun, body_fun, init_val)",
        )
    check_label("while_loop", progress)
    leaves, in_tree = flatten_arguments("while_loop", (init_val,), {})
    body, flat, leaves = trace_body(
        "while_loop", body_fun, in_tree, tree_structure(init_val), leaves, [], lambda result: result
    )
    cond = trace_condition("while_loop", cond_fun, in_tree, leaves)
    run = bind_while if progress is None else shown_while(bind_while, progress)
    return flat.out_tree.unflatten(run(cond, body, [], [], leaves))


def bind_while(
    cond: ClosedJaxpr,
    body: ClosedJaxpr,
    cond_consts: Sequence[Any],
    body_consts: Sequence[Any],
    carry: Sequence[Any],
) -> list[Any]:
    """Bind `while_p`; `cond` and `body` map (their constants, carry) to a boolean and a carry."""
    cond, cond_more = hoist(cond)
    body, body_more = hoist(body)
    return while_p.bind(
        *cond_more,
        *cond_consts,
        *body_more,
        *body_consts,
        *carry,
        cond_jaxpr=cond,
        body_jaxpr=body,
        cond_nconsts=len(cond_more) + len(cond_consts),
        body_nconsts=len(body_more) + len(body_consts),
    )


def while_of(cond: Callable[..., Any], body: Callable[..., Any], carry: Sequence[Any]) -> list[Any]:
    """A while loop over a flat carry, of flat functions."""
    avals = [aval_of(x) for x in carry]
    test, step = stage_out(lambda *xs: [cond(*xs)], avals), stage_out(body, avals)
    return bind_while(dce_closed(test), dce_closed(step), [], [], carry)


def _parts(items: Sequence[Any], cond_nconsts: int, body_nconsts: int) -> tuple[list[Any], ...]:
    end = cond_nconsts + body_nconsts
    return list(items[:cond_nconsts]), list(items[cond_nconsts:end]), list(items[end:])


def _while_abstract(
    *avals: ShapedArray,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[ShapedArray]:
    return body_jaxpr.in_avals[body_nconsts:]


def _while_impl(
    xp: Any,
    *buffers: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    cond_consts, body_consts, carry = _parts(buffers, cond_nconsts, body_nconsts)
    if not cond_jaxpr.out_avals[0].ndim:
        while eval_buffers(cond_jaxpr, [*cond_consts, *carry])[0]:
            carry = eval_buffers(body_jaxpr, [*body_consts, *carry])
        return carry
    while True:
        running = xp.asarray(eval_buffers(cond_jaxpr, [*cond_consts, *carry])[0])
        if not running.any():
            return carry
        new = eval_buffers(body_jaxpr, [*body_consts, *carry])
        carry = [xp.where(_trailing(running, x), x, old) for x, old in zip(new, carry, strict=True)]


def _trailing(running: Any, x: Any) -> Any:
    """The lanes' booleans with dimensions of extent 1 for those behind the lanes."""
    return running.reshape(running.shape + (1,) * (x.ndim - running.ndim))


def _while_jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> Any:
    nonzero = [type(t) is not Zero for t in tangents]
    _, consts_nz, carry_nz = _parts(nonzero, cond_nconsts, body_nconsts)
    while True:
        body, out_nz = ctx.jaxpr(body_jaxpr, [*consts_nz, *carry_nz], carry_nz)
        if out_nz == carry_nz:
            break
        carry_nz = [a or b for a, b in zip(carry_nz, out_nz, strict=True)]
    cond_consts, body_consts, carry = _parts(primals, cond_nconsts, body_nconsts)
    _, consts_dot, carry_dot = _parts(tangents, cond_nconsts, body_nconsts)
    consts_dot = [t for t in consts_dot if type(t) is not Zero]
    carry_dot = [instantiate(t) for t, nz in zip(carry_dot, carry_nz, strict=True) if nz]
    c, n, cd = len(body_consts), len(carry), len(consts_dot)
    order = [
        *range(c),
        *range(c + n, c + n + cd),
        *range(c, c + n),
        *range(c + n + cd, c + n + cd + len(carry_dot)),
    ]

    def cond(*args: Any) -> list[Any]:
        return eval_closed(cond_jaxpr, *args[: cond_nconsts + n])

    full_cond = stage_out(
        cond, [*cond_jaxpr.in_avals, *(aval_of(t).strip_weak_type() for t in carry_dot)]
    )
    outs = bind_while(
        full_cond,
        permute(body, order),
        cond_consts,
        [*body_consts, *consts_dot],
        [*carry, *carry_dot],
    )
    rest = iter(outs[n:])
    out_tangents = [
        next(rest) if nz else Zero(aval_of(x)) for x, nz in zip(outs[:n], carry_nz, strict=True)
    ]
    return outs[:n], out_tangents


def _while_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> Any:
    batched = [d is not None for d in dims]
    cond_b, body_b, carry_b = _parts(batched, cond_nconsts, body_nconsts)
    while True:
        cond, (pred_b,) = ctx.jaxpr(cond_jaxpr, [*cond_b, *carry_b], False)
        pred_b = pred_b or (cond_jaxpr.out_avals[0].ndim > 0 and any(carry_b + body_b))
        if pred_b:  # lanes stop at different times, so every part of the carry differs
            carry_b = [True] * len(carry_b)
            cond, _ = ctx.jaxpr(cond_jaxpr, [*cond_b, *carry_b], True)
        body, out_b = ctx.jaxpr(body_jaxpr, [*body_b, *carry_b], carry_b)
        if out_b == carry_b:
            break
        carry_b = [a or b for a, b in zip(carry_b, out_b, strict=True)]
    moved = [
        x if d is None else ctx.to_front(x, d)
        for x, d in zip(
            args[: cond_nconsts + body_nconsts], dims[: cond_nconsts + body_nconsts], strict=True
        )
    ]
    cond_consts, body_consts = moved[:cond_nconsts], moved[cond_nconsts:]
    carry_args = zip(args, dims, strict=True)
    carry = [
        ctx.to_front(x, d) if b else x
        for (x, d), b in zip(list(carry_args)[len(moved) :], carry_b, strict=True)
    ]
    if pred_b and has_side_effects(cond.effects | body.effects):
        cond, body = until_all_done(cond, body, cond_nconsts, body_nconsts)
        body_consts = [*cond_consts, *body_consts]
    outs = bind_while(cond, body, cond_consts, body_consts, carry)
    return outs, [0 if b else None for b in carry_b]


def until_all_done(
    cond: ClosedJaxpr, body: ClosedJaxpr, cond_nconsts: int, body_nconsts: int
) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    """Condition and body of the loop that goes on while any lane does.

    A lane that has stopped keeps its value. The new body takes the condition's constants, then the
    body's.
    """
    axes = tuple(range(cond.out_avals[0].ndim))

    def any_lane(*args: Any) -> list[Any]:
        return [reduce_or(eval_closed(cond, *args)[0], axes)]

    def masked(*args: Any) -> list[Any]:
        cond_consts, body_consts, carry = _parts(args, cond_nconsts, body_nconsts)
        (running,) = eval_closed(cond, *cond_consts, *carry)
        new = eval_closed(body, *body_consts, *carry)
        return [_select_lanes(running, a, b) for a, b in zip(carry, new, strict=True)]

    avals = [*cond.in_avals[:cond_nconsts], *body.in_avals]
    return stage_out(any_lane, cond.in_avals), stage_out(masked, avals)


def _select_lanes(running: Any, old: Any, new: Any) -> Any:
    which = expand_dims(running, range(ndim_of(running), ndim_of(new)))
    return select_n(broadcast_to(which, shape_of(new)), old, new)


def _while_partial_eval(
    ctx: Any,
    unknown: Any,
    args: Any,
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    """Run the known part; the staged loop computes it again along with the rest, silently."""
    params = {
        "cond_jaxpr": cond_jaxpr,
        "body_jaxpr": body_jaxpr,
        "cond_nconsts": cond_nconsts,
        "body_nconsts": body_nconsts,
    }
    carry_u, _ = _known_part(unknown, **params)
    if all(carry_u):
        return ctx.stage(while_p, args, params)
    quiet = {"cond_jaxpr": silent(cond_jaxpr), "body_jaxpr": silent(body_jaxpr)}
    staged = ctx.stage(while_p, args, {**params, **quiet})
    hidden = [UndefinedPrimal(aval_of(x)) if u else x for x, u in zip(args, unknown, strict=True)]
    known_outs = iter(while_of(*_known_loop(carry_u, hidden, **params)))
    return [s if u else next(known_outs) for s, u in zip(staged, carry_u, strict=True)]


def _known_part(
    unknown: Sequence[bool],
    *,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[list[bool], bool]:
    """Which parts of the carry are unknown or become so in the loop, and whether its end is."""
    cond_u, body_u, carry_u = _parts(unknown, cond_nconsts, body_nconsts)
    while True:
        split = split_jaxpr(body_jaxpr, [*body_u, *carry_u], carry_u)
        if split.unknown_outs == carry_u:
            break
        carry_u = [a or b for a, b in zip(carry_u, split.unknown_outs, strict=True)]
    if any(split_jaxpr(cond_jaxpr, [*cond_u, *carry_u]).unknown_outs):
        return [True] * len(carry_u), True
    return carry_u, False


def _known_loop(
    carry_u: Sequence[bool],
    args: Sequence[Any],
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> tuple[Callable[..., Any], Callable[..., list[Any]], list[Any]]:
    """Condition, body and initial carry of the loop over the known part alone."""
    cond_consts, body_consts, carry = _parts(args, cond_nconsts, body_nconsts)

    def full(known: Sequence[Any]) -> list[Any]:
        values = iter(known)
        return [
            zeros(a) if u else next(values)
            for a, u in zip(body_jaxpr.in_avals[body_nconsts:], carry_u, strict=True)
        ]

    def given(values: Sequence[Any]) -> list[Any]:
        # what is unknown has no influence on the known part: any value serves
        return [zeros(x.aval) if is_undefined(x) else x for x in values]

    def cond(*known: Any) -> Any:
        return eval_closed(cond_jaxpr, *given(cond_consts), *full(known))[0]

    def body(*known: Any) -> list[Any]:
        outs = eval_closed(body_jaxpr, *given(body_consts), *full(known))
        return [x for x, u in zip(outs, carry_u, strict=True) if not u]

    return cond, body, [x for x, u in zip(carry, carry_u, strict=True) if not u]


def _while_transpose(
    ctx: Any,
    cts: Any,
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    if cond_jaxpr.out_avals[0].ndim:
        test, step = until_all_done(cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts)
        first = args[:cond_nconsts]
        found = _while_transpose(
            ctx,
            cts,
            *first,
            *args,
            cond_jaxpr=test,
            body_jaxpr=step,
            cond_nconsts=cond_nconsts,
            body_nconsts=cond_nconsts + body_nconsts,
        )
        return found[cond_nconsts:]
    linear = [is_undefined(x) for x in args]
    sizes = (cond_nconsts, body_nconsts)
    jaxprs: dict[str, Any] = {"cond_jaxpr": cond_jaxpr, "body_jaxpr": body_jaxpr}
    counts: dict[str, Any] = {"cond_nconsts": cond_nconsts, "body_nconsts": body_nconsts}
    _, consts_l, _ = _parts(linear, *sizes)
    carry_l, end_linear = _known_part(linear, **jaxprs, **counts)
    if end_linear:
        raise NotDifferentiableError(
            "while_loop: the number of steps depends on a linear input",
            mend="linear_transpose takes linear functions only",
        )
    cond, step, start = _known_loop(carry_l, args, **jaxprs, **counts)
    split = split_jaxpr(body_jaxpr, [*consts_l, *carry_l], carry_l)
    num_known = len(start)
    consts, carry = args[cond_nconsts:][:body_nconsts], args[cond_nconsts + body_nconsts :]
    known_consts = [x for x in consts if not is_undefined(x)]
    linear_consts = [x for x in consts if is_undefined(x)]
    num_linear = sum(carry_l)
    backward, _ = ctx.jaxpr(
        split.staged,
        [*[False] * split.residuals, *[True] * (len(linear_consts) + num_linear)],
        [True] * num_linear,
        True,
    )

    def pull(known: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        """One step backwards, from the known carry before it."""
        residuals = eval_closed(split.known, *known_consts, *known)[num_known:]
        sums = cotangents[: len(linear_consts)]
        outs = eval_closed(backward, *residuals, *cotangents[len(linear_consts) :])
        added = [add_p.bind(a, b) for a, b in zip(sums, outs[: len(sums)], strict=True)]
        return [*added, *outs[len(sums) :]]

    ct_carry = [instantiate(ct) for ct, u in zip(cts, carry_l, strict=True) if u]
    ct_start = [*(zeros(x.aval) for x in linear_consts), *ct_carry]
    outs = _reverse(cond, step, start, pull, ct_start)
    ct_consts, ct_init = iter(outs[: len(linear_consts)]), iter(outs[len(linear_consts) :])
    carry_cts = [next(ct_init) if u else None for u in carry_l]
    return [
        *[None] * cond_nconsts,
        *(next(ct_consts) if is_undefined(x) else None for x in consts),
        *(ct if is_undefined(x) else None for x, ct in zip(carry, carry_cts, strict=True)),
    ]


_ONE = np.int32(1)

# A note at the source of a loop that goes over the steps of another: its first value is the number
# of the other's step.
STEP_NUMBER = "step number"


def _over_steps(
    cond: Callable[..., Any], body: Callable[..., list[Any]], carry: list[Any]
) -> list[Any]:
    """`while_of`, noted as a loop over the steps of another."""
    source = user_source()
    noted = None if source is None else source.noted(STEP_NUMBER)
    return attributed(noted, while_of, cond, body, carry)


def _reverse(
    cond: Callable[..., Any],
    step: Callable[..., list[Any]],
    start: list[Any],
    pull: Callable[[Sequence[Any], Sequence[Any]], list[Any]],
    cotangents: list[Any],
) -> list[Any]:
    """Run the loop `cond`, `step` from `start` and pull the cotangents back through its steps."""
    size = len(start)
    count = while_of(
        lambda i, *c: cond(*c), lambda i, *c: [add(i, _ONE), *step(*c)], [np.int32(0), *start]
    )[0]
    # A stack of (step number, carry); slot `top + 1` is free to be written at any time.
    places = broadcast(np.int32(0), (_MAX_CHECKPOINTS + 2,))
    stacks = [broadcast(x, (_MAX_CHECKPOINTS + 2,)) for x in start]

    def advance_to(target: Any, top: Any, places: Any, stacks: Sequence[Any]) -> list[Any]:
        """Walk from the top of the stack to `target`, keeping the midpoints on the way."""

        def midpoint(j: Any) -> Any:
            return add(j, shift_right_logical(add(sub(target, j), _ONE), _ONE))

        def walk(j: Any, m: Any, top: Any, places: Any, *values: Any) -> list[Any]:
            carry = step(*values[:size])
            j = add(j, _ONE)
            slot = add(top, _ONE)
            places = dynamic_update_index_in_dim(places, j, slot, 0)
            stacks = [
                dynamic_update_index_in_dim(stack, x, slot, 0)
                for stack, x in zip(values[size:], carry, strict=True)
            ]
            reached = eq(j, m)
            top = select_n(reached, top, slot)
            return [j, select_n(reached, m, midpoint(j)), top, places, *carry, *stacks]

        j = dynamic_index_in_dim(places, top, 0, False)
        carry = [dynamic_index_in_dim(stack, top, 0, False) for stack in stacks]
        state = [j, midpoint(j), top, places, *carry, *stacks]
        return _over_steps(lambda j, *_: lt(j, target), walk, state)

    def backwards(i: Any, top: Any, places: Any, *values: Any) -> list[Any]:
        stacks, cotangents = values[:size], values[size:]
        _, _, top, places, *reached = advance_to(i, top, places, stacks)
        carry, stacks = reached[:size], reached[size:]
        cotangents = pull(carry, cotangents)
        used = eq(dynamic_index_in_dim(places, top, 0, False), i)
        top = select_n(used, top, sub(top, _ONE))
        return [sub(i, _ONE), top, places, *stacks, *cotangents]

    state = [sub(count, _ONE), np.int32(0), places, *stacks, *cotangents]
    outs = _over_steps(lambda i, *_: gt(i, np.int32(-1)), backwards, state)
    return outs[3 + size :]


def _while_effects(
    *, cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, cond_nconsts: int, body_nconsts: int
) -> Effects:
    return cond_jaxpr.effects | body_jaxpr.effects


define(
    while_p,
    abstract=_while_abstract,
    impl=_while_impl,
    jvp=_while_jvp,
    transpose=_while_transpose,
    batch=_while_batch,
    partial_eval=_while_partial_eval,
    effects=_while_effects,
)
