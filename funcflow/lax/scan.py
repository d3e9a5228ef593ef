"""`scan`: a loop of known length that carries a state and stacks what each step gives."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, TreeStructureError
from funcflow.core.evaluate import eval_closed, eval_jaxpr
from funcflow.core.flatten import flatten_arguments, name_of
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr, JaxprEqn, Var, must_stay
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_structure
from funcflow.core.rewrite import cse, dce, hoist, permute, split_invariant, used_inputs
from funcflow.core.rules import define
from funcflow.core.staging import SplitJaxpr, split_jaxpr, stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.at_once import at_once
from funcflow.lax.carry import common_length, trace_body
from funcflow.lax.checkpointed import checkpointed, segments
from funcflow.lax.forms import add_p
from funcflow.lax.pieces import Run, Stretch, in_stretches
from funcflow.lax.progress import check_label, shown
from funcflow.lax.residuals import composed, recomputation
from funcflow.lax.shape import instantiate, moveaxis, zeros

scan_p = Primitive("scan", multiple_results=True)


@hides_internal_frames
def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    *,
    checkpoint: str | int | None = None,
    progress: str | None = None,
) -> tuple[Any, Any]:
    """Call `carry, y = f(carry, x)` for each `x` along the leading axis of `xs`.

    Args:
        f: the body; the carry it returns has the structure, shapes and dtypes of the one it is
            given.
        init: the initial carry, a pytree of arrays.
        xs: a pytree of arrays with a common leading axis, or None.
        length: the number of steps; needed only if `xs` has no arrays.
        reverse: go from the last element to the first (the stacked results keep the order of
            `xs`).
        unroll: accepted for compatibility: how many steps the compiler may write out.
        checkpoint: what the reverse pass saves: by default, what it needs of every step. With a
            number, the carry of every so many steps, from which it computes these again when
            it comes to them; with "sqrt", that of about every sqrt(n) of n steps, which takes
            memory for 2 sqrt(n) carries at most if a step needs no more than one (and if it does,
            with `checkpoint(f)` for the body).
        progress: a label: shows a bar on stderr while the loop runs (lines, where that is no
            terminal) a few times per second. Steps are counted after each of at most a hundred
            pieces of the loop, in compiled loops by native code: a bar costs a compiled call less
            than 0.1 ms in all. The forward pass shows it, the backward pass nothing; under `vmap`
            there is one for all lanes.

    Returns:
        The final carry, and the `y`s stacked along a new leading axis. `checkpoint` and `progress`
        change no bit of them. What compiled loops sum after their last step, and gradients of what
        all steps use, are then summed piece by piece.

    Raises:
        ArgumentError: `xs` has no arrays and `length` is not given, or is negative; `checkpoint`
            is neither "sqrt" nor a positive number, or `progress` no label.
        CarryTypeError: the body changes the carry's type.
        ShapeError: the leading axes differ, or differ from `length`.
        TreeStructureError: the body returns no pair.

    Example:
        >>> ff.lax.scan(lambda c, x: (c + x, c), 0, fnp.arange(4))
        (Array(6, dtype=int32), Array([0, 0, 1, 3], dtype=int32))
        >>> def flow(x):
        ...     step = lambda x, _: (x + 0.01 * fnp.sin(x), None)
        ...     return ff.lax.scan(step, x, length=100, checkpoint="sqrt")[0]
        >>> ff.grad(flow)(1.0)
        Array(1.1064329, dtype=float32)
    """
    del unroll
    if not callable(f):
        raise ArgumentError(f"scan: f must be a function, got {f!r}", mend="scan(f, init, xs)")
    values, in_tree = flatten_arguments("scan", (init, xs), {})
    carry_tree = tree_structure(init)
    carry, leaves = values[: carry_tree.num_leaves], values[carry_tree.num_leaves :]
    length = common_length(leaves, length)
    x_avals = [_row(aval_of(x)) for x in leaves]

    def carry_of(result: Any) -> Any:
        if not (isinstance(result, tuple | list) and len(result) == 2):
            raise TreeStructureError(
                f"scan: {name_of(f)} must return a pair (carry, y), it returned {result}",
                mend="return (carry, None) if there is nothing to stack",
            )
        return result[0]

    closed, flat, carry = trace_body("scan", f, in_tree, carry_tree, carry, x_avals, carry_of)
    jaxpr, consts = hoist(closed)
    run = scan_of("scan", length, checkpoint, progress)
    carry, ys = flat.out_tree.unflatten(run(jaxpr, consts, carry, leaves, length, reverse))
    return carry, ys


def _row(x: ShapedArray) -> ShapedArray:
    return ShapedArray(x.shape[1:], x.dtype, x.weak_type)


def scan_of(loop: str, length: int, checkpoint: Any, progress: Any) -> Run:
    """What runs a scan of so many steps with these arguments of `scan`."""
    check_label(loop, progress)
    stretches = [Stretch(length, bind_scan)]
    if checkpoint is not None:
        stretches = [
            Stretch(steps, checkpointed(bind_scan, segment), segment)
            for steps, segment in segments(loop, checkpoint, length)
        ]
    return in_stretches(stretches) if progress is None else shown(bind_scan, progress, stretches)


def bind_scan(
    jaxpr: ClosedJaxpr,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    length: int,
    reverse: bool,
) -> list[Any]:
    """Bind `scan_p`; the jaxpr maps (consts, carry, x) to (carry, y)."""
    inner, more = hoist(jaxpr)
    return scan_p.bind(
        *more,
        *consts,
        *carry,
        *xs,
        jaxpr=inner,
        num_consts=len(more) + len(consts),
        num_carry=len(carry),
        length=length,
        reverse=reverse,
    )


def _parts(items: Sequence[Any], num_consts: int, num_carry: int) -> tuple[list[Any], ...]:
    end = num_consts + num_carry
    return list(items[:num_consts]), list(items[num_consts:end]), list(items[end:])


def _scan_abstract(
    *avals: ShapedArray,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> list[ShapedArray]:
    carry = jaxpr.in_avals[num_consts : num_consts + num_carry]
    ys = [a.update(shape=(length, *a.shape)) for a in jaxpr.out_avals[num_carry:]]
    return [*carry, *ys]


def _scan_impl(
    xp: Any,
    *buffers: Any,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> list[Any]:
    consts, carry, xs = _parts(buffers, num_consts, num_carry)
    ys = [xp.empty((length, *a.shape), a.dtype) for a in jaxpr.out_avals[num_carry:]]
    for i in reversed(range(length)) if reverse else range(length):
        outs = eval_buffers(jaxpr, [*consts, *carry, *(x[i, ...] for x in xs)])
        carry = outs[:num_carry]
        for y, out in zip(ys, outs[num_carry:], strict=True):
            y[i] = out
    return [*carry, *ys]


def _scan_jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> Any:
    consts_nz, carry_nz, xs_nz = _parts(
        [type(t) is not Zero for t in tangents], num_consts, num_carry
    )
    num_ys = len(jaxpr.jaxpr.outvars) - num_carry
    while True:  # a carry that becomes nonzero in one step is nonzero in the next
        inner, out_nz = ctx.jaxpr(
            jaxpr, [*consts_nz, *carry_nz, *xs_nz], [*carry_nz, *[False] * num_ys]
        )
        if out_nz[:num_carry] == carry_nz:
            break
        carry_nz = [a or b for a, b in zip(carry_nz, out_nz[:num_carry], strict=True)]

    primal_parts = _parts(primals, num_consts, num_carry)
    tangent_parts = _parts(tangents, num_consts, num_carry)
    nonzero = (consts_nz, carry_nz, xs_nz)
    given = [
        [instantiate(t) for t, nz in zip(part, nzs, strict=True) if nz]
        for part, nzs in zip(tangent_parts, nonzero, strict=True)
    ]
    # from (primals, tangents) to (consts, their tangents, carry, its tangents, xs, ...)
    first = len(primals)
    blocks: list[list[int]] = []
    place = 0
    for part, tangent in zip(primal_parts, given, strict=True):
        blocks.append(list(range(place, place + len(part))))
        blocks.append(list(range(first, first + len(tangent))))
        place, first = place + len(part), first + len(tangent)
    num_carry_dot, total = sum(carry_nz), num_carry + num_ys
    outputs = [
        *range(num_carry),
        *range(total, total + num_carry_dot),
        *range(num_carry, total),
        *range(total + num_carry_dot, total + sum(out_nz)),
    ]
    inner = permute(inner, [i for block in blocks for i in block], outputs)
    consts, carry, xs = ([*p, *t] for p, t in zip(primal_parts, given, strict=True))
    outs = bind_scan(inner, consts, carry, xs, length, reverse)
    split = num_carry + num_carry_dot
    primal_outs = outs[:num_carry] + outs[split : split + num_ys]
    rest = iter(outs[num_carry:split] + outs[split + num_ys :])
    out_tangents = [
        next(rest) if nz else Zero(aval_of(x)) for x, nz in zip(primal_outs, out_nz, strict=True)
    ]
    return primal_outs, out_tangents


def _scan_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> Any:
    consts_b, carry_b, xs_b = _parts([d is not None for d in dims], num_consts, num_carry)
    num_ys = len(jaxpr.jaxpr.outvars) - num_carry
    while True:
        inner, out_b = ctx.jaxpr(jaxpr, [*consts_b, *carry_b, *xs_b], [*carry_b, *[False] * num_ys])
        if out_b[:num_carry] == carry_b:
            break
        carry_b = [a or b for a, b in zip(carry_b, out_b[:num_carry], strict=True)]
    consts, carry, xs = _parts(list(zip(args, dims, strict=True)), num_consts, num_carry)
    outs = bind_scan(
        inner,
        [x if d is None else moveaxis(x, d, 0) for x, d in consts],
        [ctx.to_front(x, d) if b else x for (x, d), b in zip(carry, carry_b, strict=True)],
        [x if d is None else moveaxis(x, d, 1) for x, d in xs],
        length,
        reverse,
    )
    places = [0] * num_carry + [1] * num_ys
    return outs, [place if b else None for place, b in zip(places, out_b, strict=True)]


class _SplitScan(NamedTuple):
    """A scan cut in two: the scan of what is known has run, the other one is described."""

    unknown_outs: list[bool]
    carry_unknown: list[bool]
    known_outs: list[Any]
    jaxpr: ClosedJaxpr
    consts: list[Any]
    carry: list[Any]
    xs: list[Any]


def _split_scan(
    unknown: Sequence[bool],
    args: Sequence[Any],
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> _SplitScan:
    """Run the part of a scan that its known arguments determine, and prepare the rest."""
    consts_u, carry_u, xs_u = _parts(unknown, num_consts, num_carry)
    num_ys = len(jaxpr.jaxpr.outvars) - num_carry
    while True:  # a carry that becomes unknown in one step is unknown in the next
        split = split_jaxpr(jaxpr, [*consts_u, *carry_u, *xs_u], [*carry_u, *[False] * num_ys])
        if split.unknown_outs[:num_carry] == carry_u:
            break
        carry_u = [a or b for a, b in zip(carry_u, split.unknown_outs[:num_carry], strict=True)]
    masks = (consts_u, carry_u, xs_u)
    pairs = list(zip(_parts(args, num_consts, num_carry), masks, strict=True))
    known = [[x for x, u in zip(part, mask, strict=True) if not u] for part, mask in pairs]
    consts, carry, xs = ([x for x, u in zip(part, mask, strict=True) if u] for part, mask in pairs)
    known_outs, staged, residuals, constant = _run_known(split, known, length, reverse)
    first = len(residuals)
    ends = np.cumsum([first, len(consts), len(carry), len(xs)])
    order = [
        *(i for i in range(first) if constant[i]),
        *range(first, ends[2]),
        *(i for i in range(first) if not constant[i]),
        *range(ends[2], ends[3]),
    ]
    return _SplitScan(
        split.unknown_outs,
        carry_u,
        known_outs,
        permute(staged, order),
        [*(x for x, c in zip(residuals, constant, strict=True) if c), *consts],
        carry,
        [*(x for x, c in zip(residuals, constant, strict=True) if not c), *xs],
    )


def _run_known(
    split: SplitJaxpr, known: Sequence[list[Any]], length: int, reverse: bool
) -> tuple[list[Any], ClosedJaxpr, list[Any], list[bool]]:
    """Run the known part: its results, the staged part, its residuals, and which are constants.

    Only what cannot be had otherwise is saved at every step: constants stay constants, inputs and
    outputs that are residuals as well are used as they are, what depends on constants only is
    computed once, before the loop, and what is cheap to compute again is so in the staged part.
    """
    hoisted, more = hoist(split.known)
    consts, carry, xs = [*more, *known[0]], known[1], known[2]
    before, body = split_invariant(cse(hoisted.jaxpr), len(consts))
    consts = [*eval_jaxpr(before, (), *consts), *consts]

    kept = len(body.outvars) - split.residuals
    outvars, residuals = list(body.outvars[:kept]), body.outvars[kept:]
    num_consts, num_carry = len(consts), len(carry)
    constants = dict(zip(body.invars[:num_consts], consts, strict=True))
    stacked = dict(zip(body.invars[num_consts + num_carry :], xs, strict=True))
    ys = [v for v in outvars[num_carry:] if isinstance(v, Var)]
    again = recomputation(body, residuals, [*constants, *stacked, *ys])
    staged = split.staged
    if again.eqns:
        staged = composed(again, staged)
        residuals = again.invars
    for v in residuals:
        if v not in constants and v not in stacked and v not in outvars[num_carry:]:
            outvars.append(v)
    body = dce(body.replace(outvars=outvars))
    outs: list[Any] = []
    if outvars or must_stay(body.effects):
        outs = bind_scan(ClosedJaxpr(body), consts, carry, xs, length, reverse)
    saved = dict(zip(outvars[num_carry:], outs[num_carry:], strict=True))
    values = {**saved, **stacked, **constants}
    constant = [v in constants for v in residuals]
    return outs[:kept], staged, [values[v] for v in residuals], constant


def _scan_partial_eval(
    ctx: Any,
    unknown: Any,
    args: Any,
    *,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> list[Any]:
    rest = _split_scan(unknown, args, jaxpr, num_consts, num_carry, length, reverse)
    params = {
        "jaxpr": rest.jaxpr,
        "num_consts": len(rest.consts),
        "num_carry": len(rest.carry),
        "length": length,
        "reverse": reverse,
    }
    staged = iter(ctx.stage(scan_p, [*rest.consts, *rest.carry, *rest.xs], params))
    known = iter(rest.known_outs)
    return [next(staged) if u else next(known) for u in rest.unknown_outs]


def _scan_transpose(
    ctx: Any,
    cts: Any,
    *args: Any,
    jaxpr: ClosedJaxpr,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
) -> list[Any]:
    linear = [is_undefined(x) for x in args]
    parts = _split_scan(linear, args, jaxpr, num_consts, num_carry, length, reverse)
    cts = [ct for ct, u in zip(cts, parts.unknown_outs, strict=True) if u]
    consts, carry, xs = parts.consts, parts.carry, parts.xs
    consts_lin, xs_lin = [is_undefined(x) for x in consts], [is_undefined(x) for x in xs]
    num_lin = sum(consts_lin)
    ct_ys = cts[len(carry) :]
    ys_nz = [type(ct) is not Zero for ct in ct_ys]
    backward, _ = ctx.jaxpr(
        parts.jaxpr,
        [*consts_lin, *[True] * len(carry), *xs_lin],
        [*[True] * len(carry), *ys_nz],
        True,
    )
    fixed = [x for x in consts if not is_undefined(x)]
    rows = [x for x in xs if not is_undefined(x)]
    carry_avals = parts.jaxpr.in_avals[len(consts) : len(consts) + len(carry)]
    lin_avals = [x.aval for x in consts if is_undefined(x)]
    sizes = (len(fixed), num_lin, len(carry), len(rows))

    def step(*values: Any) -> list[Any]:
        ends = np.cumsum(sizes)
        fixed, sums, ct_carry, rows, ct_y = (
            values[a:b] for a, b in zip((0, *ends), (*ends, len(values)), strict=True)
        )
        outs = eval_closed(backward, *fixed, *rows, *ct_carry, *ct_y)
        sums = [add_p.bind(a, b) for a, b in zip(sums, outs[:num_lin], strict=True)]
        return [*sums, *outs[num_lin:]]

    given_ys = [ct for ct in ct_ys if type(ct) is not Zero]
    avals = [
        *map(aval_of, fixed),
        *lin_avals,
        *(a.strip_weak_type() for a in carry_avals),
        *(_row(aval_of(x)) for x in rows),
        *(_row(aval_of(x)) for x in given_ys),
    ]
    body = stage_out(step, avals)
    start = [*map(zeros, lin_avals), *map(instantiate, cts[: len(carry)])]
    outs = bind_scan(body, fixed, start, [*rows, *given_ys], length, not reverse)

    ct_consts = iter(outs[:num_lin])
    ct_carry = outs[num_lin : num_lin + len(carry)]
    ct_xs = iter(outs[num_lin + len(carry) :])
    consts_ct = [next(ct_consts) if lin else None for lin in linear[:num_consts]]
    carry_places = iter(ct_carry)
    carry_ct = [
        (ct if lin else None)
        for ct, lin in (
            (next(carry_places) if u else None, lin)
            for u, lin in zip(
                parts.carry_unknown, linear[num_consts : num_consts + num_carry], strict=True
            )
        )
    ]
    xs_ct = [next(ct_xs) if lin else None for lin in linear[num_consts + num_carry :]]
    return [*consts_ct, *carry_ct, *xs_ct]


def _scan_dce(eqn: JaxprEqn, used: Sequence[bool]) -> JaxprEqn:
    """The scan without results that nobody uses, and what is carried for these alone."""
    num_consts, num_carry = eqn.params["num_consts"], eqn.params["num_carry"]
    closed: ClosedJaxpr = eqn.params["jaxpr"]
    kept, ys = list(used[:num_carry]), list(used[num_carry:])
    while True:
        body = dce(closed.jaxpr, [*kept, *ys])
        reads = used_inputs(body)
        consts_r, carry_r, xs_r = _parts(reads, num_consts, num_carry)
        more = [a or b for a, b in zip(kept, carry_r, strict=True)]
        if more == kept:
            break
        kept = more
    inputs = [*consts_r, *kept, *xs_r]
    if all(inputs) and all(kept) and all(ys):
        return eqn
    invars = [v for v, used in zip(body.invars, inputs, strict=True) if used]
    values = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    inner = ClosedJaxpr(body.replace(invars=invars), [values[v] for v in body.constvars])
    return eqn.replace(
        invars=[v for v, used in zip(eqn.invars, inputs, strict=True) if used],
        outvars=[v for v, used in zip(eqn.outvars, [*kept, *ys], strict=True) if used],
        params={**eqn.params, "jaxpr": inner, "num_consts": sum(consts_r), "num_carry": sum(kept)},
    )


define(
    scan_p,
    abstract=_scan_abstract,
    impl=_scan_impl,
    jvp=_scan_jvp,
    transpose=_scan_transpose,
    batch=_scan_batch,
    partial_eval=_scan_partial_eval,
    effects=lambda *, jaxpr, **_: jaxpr.effects,
    dce=_scan_dce,
    eager=at_once(scan_p, lambda *, length, **_: length),
)
