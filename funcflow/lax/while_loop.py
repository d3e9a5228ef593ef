"""`while_loop`: a loop whose length its values decide, with a reverse mode.

The forward pass of reverse mode counts the steps, so a loop that is to be transposed goes on up to
a known number. Its reverse pass runs it again and keeps the carry of each step (`while_reverse`),
or of a few (`while_checkpoints`).

Under `vmap` the condition gives a boolean for each lane, in an array of the leading dimensions of
all that is carried. Each lane goes to its own end, then keeps its values. A backend may run the
lanes one by one; `until_all_done` gives the loop that runs them together, under a mask.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, UndefinedPrimal, Zero, is_undefined
from funcflow.core.errors import ArgumentError, NotDifferentiableError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import flatten_arguments
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr, Effects, JaxprEqn, has_side_effects
from funcflow.core.pytree import tree_structure
from funcflow.core.rewrite import dce, dce_closed, hoist, permute, used_inputs
from funcflow.core.rules import define
from funcflow.core.staging import split_jaxpr, stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax import while_reverse
from funcflow.lax.at_once import UNKNOWN, at_once
from funcflow.lax.bitwise import bitwise_and
from funcflow.lax.carry import trace_body, trace_condition
from funcflow.lax.comparison import lt, select_n
from funcflow.lax.forms import add, add_p
from funcflow.lax.index_check import unchecked
from funcflow.lax.progress import check_label, shown_while
from funcflow.lax.reduction import reduce_or
from funcflow.lax.shape import broadcast, broadcast_to, expand_dims, instantiate, zeros
from funcflow.lax.silent import silent
from funcflow.lax.while_binding import bind_while, while_of, while_p
from funcflow.lax.while_checkpoints import pull_back

_T = TypeVar("_T")


@hides_internal_frames
def while_loop(
    cond_fun: Callable[[Any], Any],
    body_fun: Callable[[Any], Any],
    init_val: Any,
    *,
    checkpoint: str | int | None = None,
    progress: str | None = None,
) -> Any:
    """Repeat `val = body_fun(val)` while `cond_fun(val)` holds.

    Forward and reverse mode work. The reverse pass runs the loop once more and keeps the value of
    each step meanwhile, on a tape that is as long as the loop was; `checkpoint` bounds the memory.

    Args:
        cond_fun: from the value to a boolean scalar.
        body_fun: from the value to the next one, of the same structure, shapes and dtypes.
        init_val: the first value, a pytree of arrays.
        checkpoint: which values the reverse pass of n steps keeps: by default, those of all. With
            "log", those of O(log n), from which it computes the others in O(n log n) time. With a
            number, so many more, at equal distances: fewer steps are taken again.
        progress: a label: shows on stderr how many steps are done, as `scan` does.

    Raises:
        ArgumentError: `checkpoint` is neither "log" nor a positive number; `progress` is no label.
        CarryTypeError: the body changes the value's type.
        ShapeError: the condition is no boolean scalar.
        NotDifferentiableError: under reverse mode, there is no end after 2^31 - 1 steps.
        OutOfMemoryError: the tape takes more than half of the machine's memory.

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
    kept = carries_kept("while_loop", checkpoint)
    leaves, in_tree = flatten_arguments("while_loop", (init_val,), {})
    body, flat, leaves = trace_body(
        "while_loop", body_fun, in_tree, tree_structure(init_val), leaves, [], lambda result: result
    )
    cond = trace_condition("while_loop", cond_fun, in_tree, leaves)
    run = partial(bind_while, checkpoint=kept)
    if progress is not None:
        run = shown_while(run, progress)
    return flat.out_tree.unflatten(run(cond, body, [], [], leaves))


def carries_kept(loop: str, checkpoint: Any) -> int | None:
    """How many carries a loop keeps at equal distances, by its argument `checkpoint`.

    Raises:
        ArgumentError: it is neither "log" nor a positive whole number.
    """
    if checkpoint is None or checkpoint == "log":
        return None if checkpoint is None else 1
    if not isinstance(checkpoint, int) or isinstance(checkpoint, bool) or checkpoint < 1:
        raise ArgumentError(
            f"{loop}: checkpoint={checkpoint!r} is neither 'log' nor a number of values to keep",
            mend="pass checkpoint='log', a number (1 or more), or None for all of them",
        )
    return checkpoint


def _parts(items: Sequence[Any], cond_nconsts: int, body_nconsts: int) -> tuple[list[Any], ...]:
    end = cond_nconsts + body_nconsts
    return list(items[:cond_nconsts]), list(items[cond_nconsts:end]), list(items[end:])


def _while_abstract(
    *avals: ShapedArray, body_jaxpr: ClosedJaxpr, body_nconsts: int, **_: Any
) -> list[ShapedArray]:
    return body_jaxpr.in_avals[body_nconsts:]


def _while_impl(
    xp: Any,
    *buffers: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
    **_: Any,
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
    checkpoint: int | None,
    apart: bool,
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
        checkpoint,
        apart,
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
    checkpoint: int | None,
    apart: bool,
) -> Any:
    batched = [d is not None for d in dims]
    cond_b, body_b, carry_b = _parts(batched, cond_nconsts, body_nconsts)
    while True:
        cond, (pred_b,) = ctx.jaxpr(cond_jaxpr, [*cond_b, *carry_b], False)
        pred_b = pred_b or (cond_jaxpr.out_avals[0].ndim > 0 and any(carry_b + body_b))
        if pred_b:  # lanes stop at different times, so every part of the carry differs
            carry_b = [True] * len(carry_b)
            body_b = [b or _is_small(a) for b, a in zip(body_b, body_jaxpr.in_avals, strict=False)]
            cond, _ = ctx.jaxpr(cond_jaxpr, [*cond_b, *carry_b], True)
        body, out_b = ctx.jaxpr(body_jaxpr, [*body_b, *carry_b], carry_b)
        if out_b == carry_b:
            break
        carry_b = [a or b for a, b in zip(carry_b, out_b, strict=True)]
    flags = [*cond_b, *body_b, *carry_b]
    moved = [ctx.to_front(x, d) if b else x for x, d, b in zip(args, dims, flags, strict=True)]
    cond_consts, body_consts, carry = _parts(moved, cond_nconsts, body_nconsts)
    if pred_b and has_side_effects(cond.effects | body.effects):
        cond, body = until_all_done(unchecked(cond), unchecked(body), cond_nconsts, body_nconsts)
        body_consts = [*cond_consts, *body_consts]
    consts = zip(body_b, body_jaxpr.in_avals, strict=False)
    own = all(b or not dtypes.is_inexact(a.dtype) for b, a in consts)
    in_lanes = cond_jaxpr.out_avals[0].ndim > 0  # those of another vmap, inside of this one
    apart = pred_b and own and (apart or not in_lanes)
    outs = bind_while(cond, body, cond_consts, body_consts, carry, checkpoint, apart)
    return outs, [0 if b else None for b in carry_b]


def _is_small(aval: ShapedArray) -> bool:
    """Whether each lane of a loop gets its own copy of a constant.

    Then each lane can have its own cotangent of it.
    """
    return dtypes.is_inexact(aval.dtype) and aval.size <= _SMALL


_SMALL = 64


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
    checkpoint: int | None,
    apart: bool,
) -> list[Any]:
    """Run the known part and count the steps; the staged loop runs it again with the rest.

    The staged loop shows nothing.
    """
    jaxprs = cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts
    carry_u, _ = _known_part(unknown, *jaxprs)
    if all(carry_u):
        params = _parameters(*jaxprs, checkpoint, apart)
        return ctx.stage(while_p, args, params)
    hidden = [UndefinedPrimal(aval_of(x)) if u else x for x, u in zip(args, unknown, strict=True)]
    count, *known = _counted(cond_jaxpr, *_known_loop(carry_u, hidden, *jaxprs))
    steps = aval_of(count)

    def go_on(count: Any, i: Any, *carry: Any) -> list[Any]:
        return [lt(i, count)]

    def step(*values: Any) -> list[Any]:
        consts, i, carry = values[:body_nconsts], values[body_nconsts], values[body_nconsts + 1 :]
        return [add(i, _one(i)), *eval_closed(silent(body_jaxpr), *consts, *carry)]

    consts, carry = body_jaxpr.in_avals[:body_nconsts], body_jaxpr.in_avals[body_nconsts:]
    cond, body = stage_out(go_on, [steps, steps, *carry]), stage_out(step, [*consts, steps, *carry])
    cond, body = dce_closed(cond), dce_closed(body)
    body, more = hoist(body)
    _, body_consts, start = _parts(args, cond_nconsts, body_nconsts)
    params = _parameters(cond, body, 1, len(more) + body_nconsts, checkpoint, apart)
    operands = [count, *more, *body_consts, zeros(steps), *start]
    _, *staged = ctx.stage(while_p, operands, params)
    rest = iter(known)
    return [x if u else next(rest) for x, u in zip(staged, carry_u, strict=True)]


def _parameters(
    cond: ClosedJaxpr,
    body: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
    checkpoint: int | None,
    apart: bool,
) -> dict[str, Any]:
    return {
        "cond_jaxpr": cond,
        "body_jaxpr": body,
        "cond_nconsts": cond_nconsts,
        "body_nconsts": body_nconsts,
        "checkpoint": checkpoint,
        "apart": apart,
    }


def _counted(
    cond_jaxpr: ClosedJaxpr, cond: Callable[..., Any], step: Callable[..., Any], start: list[Any]
) -> list[Any]:
    """The number of steps of a loop, up to `MOST_STEPS`, and what it carries in the end.

    Of a loop in lanes, the number of each.
    """
    most = while_reverse.MOST_STEPS

    def goes_on(i: Any, *carry: Any) -> Any:
        return bitwise_and(cond(*carry), lt(i, np.int32(most)))

    none = broadcast(np.int32(0), cond_jaxpr.out_avals[0].shape)
    return while_of(goes_on, lambda i, *carry: [add(i, _one(i)), *step(*carry)], [none, *start])


def _one(i: Any) -> Any:
    """One more for each lane."""
    return broadcast(np.int32(1), shape_of(i))


def _known_part(
    unknown: Sequence[bool],
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
    checkpoint: int | None,
    apart: bool,
) -> list[Any]:
    cond_jaxpr, body_jaxpr = unchecked(cond_jaxpr), unchecked(body_jaxpr)  # which the loop checked
    linear = [is_undefined(x) for x in args]
    _, consts_l, _ = _parts(linear, cond_nconsts, body_nconsts)
    if cond_jaxpr.out_avals[0].ndim and (any(consts_l) > apart or checkpoint is not None):
        # what lanes share gets one cotangent from all of them together
        jaxprs = until_all_done(cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts)
        sizes = cond_nconsts, cond_nconsts + body_nconsts
        params = _parameters(*jaxprs, *sizes, checkpoint, False)
        return _while_transpose(ctx, cts, *args[:cond_nconsts], *args, **params)[cond_nconsts:]
    jaxprs = cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts
    carry_l, end_linear = _known_part(linear, *jaxprs)
    if end_linear:
        raise NotDifferentiableError(
            "while_loop: the number of steps depends on a linear input",
            mend="linear_transpose takes linear functions only",
        )
    cond, step, start = _known_loop(carry_l, args, *jaxprs)
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
    count = while_reverse.ended(_counted(cond_jaxpr, cond, step, start)[0])
    if checkpoint is not None:
        outs = pull_back(count, step, start, pull, ct_start, checkpoint)
    else:
        avals = [aval_of(x) for x in (*start, *ct_start)]
        steps = stage_out(step, avals[:num_known])
        pulls = stage_out(lambda *xs: pull(xs[:num_known], xs[num_known:]), avals)
        outs = while_reverse.reverse_while(
            count, dce_closed(steps), dce_closed(pulls), start, ct_start
        )
    ct_consts, ct_init = iter(outs[: len(linear_consts)]), iter(outs[len(linear_consts) :])
    carry_cts = [next(ct_init) if u else None for u in carry_l]
    return [
        *[None] * cond_nconsts,
        *(next(ct_consts) if is_undefined(x) else None for x in consts),
        *(ct if is_undefined(x) else None for x, ct in zip(carry, carry_cts, strict=True)),
    ]


def _while_effects(*, cond_jaxpr: ClosedJaxpr, body_jaxpr: ClosedJaxpr, **_: Any) -> Effects:
    return cond_jaxpr.effects | body_jaxpr.effects


def _while_dce(eqn: JaxprEqn, used: Sequence[bool]) -> JaxprEqn:
    """The loop without results that nobody uses, and what is carried for these alone."""
    cond_nconsts, body_nconsts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    cond, closed = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    tested = used_inputs(cond.jaxpr)
    kept = [a or b for a, b in zip(used, tested[cond_nconsts:], strict=True)]
    while True:
        body = dce(closed.jaxpr, kept)
        reads = used_inputs(body)
        more = [a or b for a, b in zip(kept, reads[body_nconsts:], strict=True)]
        if more == kept:
            break
        kept = more
    inputs = [*reads[:body_nconsts], *kept]
    if all(inputs):
        return eqn
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    inner = body.replace(invars=_kept(body.invars, inputs))
    test = cond.jaxpr.replace(invars=_kept(cond.jaxpr.invars, [*[True] * cond_nconsts, *kept]))
    params = {
        **eqn.params,
        "cond_jaxpr": ClosedJaxpr(test, cond.consts),
        "body_jaxpr": ClosedJaxpr(inner, [values[v] for v in inner.constvars]),
        "body_nconsts": sum(reads[:body_nconsts]),
    }
    invars = _kept(eqn.invars, [*[True] * cond_nconsts, *inputs])
    return eqn.replace(invars=invars, outvars=_kept(eqn.outvars, kept), params=params)


def _kept(items: Sequence[_T], flags: Sequence[bool]) -> list[_T]:
    return [x for x, flag in zip(items, flags, strict=True) if flag]


define(
    while_p,
    abstract=_while_abstract,
    impl=_while_impl,
    jvp=_while_jvp,
    transpose=_while_transpose,
    batch=_while_batch,
    partial_eval=_while_partial_eval,
    effects=_while_effects,
    dce=_while_dce,
    eager=at_once(while_p, lambda **_: UNKNOWN),
)
