"""`cond` and `switch`: run one of several branches.

Under `vmap` there may be an index for each lane, in an array of the leading dimensions of all
operands and results. A backend may run each lane's own branch alone; `select_branches` runs all
branches for all lanes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of, ndim_of, shape_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError, TreeStructureError
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, flatten_arguments
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import NO_EFFECTS, ClosedJaxpr, Effects, Jaxpr, Var, has_side_effects
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import structure_difference
from funcflow.core.rewrite import dce_closed
from funcflow.core.rules import define
from funcflow.core.staging import SplitJaxpr, stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.at_once import at_once
from funcflow.lax.casting import convert_element_type
from funcflow.lax.comparison import clamp, ne, select_n
from funcflow.lax.index_check import unchecked
from funcflow.lax.shape import broadcast_to, expand_dims, zeros

cond_p = Primitive("cond", multiple_results=True)

Branches = tuple[ClosedJaxpr, ...]


_NO_OPERAND = object()


@hides_internal_frames
def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
    operand: Any = _NO_OPERAND,
) -> Any:
    """`true_fun(*operands)` if `pred` else `false_fun(*operands)`.

    Args:
        pred: a boolean or real scalar; numbers count as true unless they are zero.
        true_fun: a function of the operands.
        false_fun: another one, whose result has the same tree structure, shapes and dtypes.
        operands: pytrees of arrays.
        operand: the only operand, by keyword.

    Raises:
        ShapeError: `pred` is no scalar.
        DtypeError: `pred` is complex.
        TreeStructureError: the branches' results differ in structure, shape or dtype.

    Example:
        >>> ff.lax.cond(True, lambda x: x + 1, lambda x: x - 1, 1.0)
        Array(2., dtype=float32, weak_type=True)
    """
    if not callable(true_fun) or not callable(false_fun):
        raise ArgumentError(
            f"cond: the branches must be functions, got {true_fun!r} and {false_fun!r}",
            mend="cond(pred, true_fun, false_fun, *operands)",
        )
    operands = _operands("cond", operands, operand)
    aval = _check_scalar("cond: pred", pred)
    if dtypes.is_complex(aval.dtype):
        raise DtypeError(
            f"cond: pred must be a boolean or a real number, got {aval}", mend="pred != 0"
        )
    if aval.dtype != np.dtype(bool):
        pred = ne(pred, np.zeros((), aval.dtype))
    index = convert_element_type(pred, np.dtype("int32"))
    return _bind("cond", index, (false_fun, true_fun), ("false_fun", "true_fun"), operands)


@hides_internal_frames
def switch(
    index: Any,
    branches: Sequence[Callable[..., Any]],
    *operands: Any,
    operand: Any = _NO_OPERAND,
) -> Any:
    """`branches[index](*operands)`; the index is clamped to the range of branches.

    Args:
        index: an integer scalar.
        branches: functions of the operands whose results have the same tree structure, shapes
            and dtypes.
        operands: pytrees of arrays.
        operand: the only operand, by keyword.

    Raises:
        ArgumentError: there are no branches, or one is no function.
        DtypeError: the index is no integer.
        TreeStructureError: the branches' results differ in structure, shape or dtype.

    Example:
        >>> ff.lax.switch(1, [lambda x: x, lambda x: 2 * x], 3.0)
        Array(6., dtype=float32, weak_type=True)
    """
    branches = tuple(branches)
    if not branches:
        raise ArgumentError("switch: no branches", mend="pass at least one function")
    if not all(map(callable, branches)):
        raise ArgumentError(
            f"switch: the branches must be functions, got {branches!r}",
            mend="switch(index, [f, g, h], *operands)",
        )
    operands = _operands("switch", operands, operand)
    aval = _check_scalar("switch: index", index)
    if not dtypes.is_integer(aval.dtype):
        raise DtypeError(
            f"switch: the index must be an integer, got {aval}", mend="index.astype('int32')"
        )
    if len(branches) == 1:
        return branches[0](*operands)
    # clamped before it is converted, since an int64 may not fit
    last = min(len(branches) - 1, np.iinfo(aval.dtype).max)
    index = clamp(np.zeros((), aval.dtype), index, np.asarray(last, aval.dtype))
    index = convert_element_type(index, np.dtype("int32"))
    names = [f"branches[{i}]" for i in range(len(branches))]
    return _bind("switch", index, branches, names, operands)


def _operands(function: str, operands: tuple[Any, ...], operand: Any) -> tuple[Any, ...]:
    if operand is _NO_OPERAND:
        return operands
    if operands:
        raise ArgumentError(
            f"{function}: {len(operands)} operands and operand= are given",
            mend="pass all operands by position",
        )
    return (operand,)


def _check_scalar(what: str, x: Any) -> ShapedArray:
    aval = aval_of(x)
    if aval.shape != ():
        raise ShapeError(
            f"{what} must be a scalar, got {aval}",
            mend="use fnp.where for elementwise choices, or ff.vmap",
        )
    return aval


def _bind(
    function: str,
    index: Any,
    branches: Sequence[Callable[..., Any]],
    names: Sequence[str],
    operands: tuple[Any, ...],
) -> Any:
    leaves, in_tree = flatten_arguments(function, operands, {})
    flats = [FlatFunction(branch, in_tree) for branch in branches]
    avals = [aval_of(x) for x in leaves]
    traced = [stage_out(flat, avals) for flat in flats]
    for i in range(1, len(branches)):
        what = f"{function}: the results of {names[0]} and {names[i]}"
        _check_same_results(what, flats[0], traced[0], flats[i], traced[i])
    consts, unified = unify_constants(traced)
    outs = cond_p.bind(index, *consts, *leaves, branches=unified)
    return flats[0].out_tree.unflatten(outs)


def _check_same_results(
    what: str, first: FlatFunction, a: ClosedJaxpr, other: FlatFunction, b: ClosedJaxpr
) -> None:
    x_tree, y_tree = first.out_tree.unflatten(a.out_avals), other.out_tree.unflatten(b.out_avals)
    if first.out_tree != other.out_tree:
        raise TreeStructureError(
            f"{what} differ in structure {structure_difference(x_tree, y_tree)}",
            mend="return the same structure from every branch",
        )
    for x, y in zip(a.out_avals, b.out_avals, strict=True):
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            raise TreeStructureError(
                f"{what} differ in type: {x_tree} and {y_tree}",
                mend="return the same shapes and dtypes from every branch (.astype, reshape)",
            )


def unify_constants(traced: Sequence[ClosedJaxpr]) -> tuple[list[Any], Branches]:
    """Give several jaxprs the same leading arguments: the constants of all of them."""
    consts = [c for closed in traced for c in closed.consts]
    unified: list[ClosedJaxpr] = []
    for i, closed in enumerate(traced):
        own: list[Var] = []
        for j, other in enumerate(traced):
            own += [v if i == j else Var(v.aval) for v in other.jaxpr.constvars]
        invars = (*own, *closed.jaxpr.invars)
        unified.append(ClosedJaxpr(closed.jaxpr.replace(constvars=(), invars=invars)))
    return consts, tuple(unified)


def _cond_abstract(index: ShapedArray, *operands: ShapedArray, branches: Branches) -> Any:
    outs = zip(*(branch.out_avals for branch in branches), strict=True)
    return [avals[0].update(weak_type=all(a.weak_type for a in avals)) for avals in outs]


def _cond_impl(xp: Any, index: Any, *operands: Any, branches: Branches) -> list[Any]:
    index = xp.asarray(index)
    if not index.ndim:
        return eval_buffers(branches[int(index)], operands)
    first, *others = [int(i) for i in xp.unique(index)] or [0]
    outs = [xp.array(x) for x in eval_buffers(branches[first], operands)]
    for number in others:
        lanes = index == number
        for out, x in zip(outs, eval_buffers(branches[number], operands), strict=True):
            out[lanes] = xp.asarray(x)[lanes]
    return outs


def _cond_jvp(ctx: Any, primals: Any, tangents: Any, *, branches: Branches) -> Any:
    index, *operands = primals
    nonzero = [type(t) is not Zero for t in tangents[1:]]
    out_nonzero = [False] * len(branches[0].jaxpr.outvars)
    for branch in branches:
        out_nonzero = ctx.jaxpr(branch, nonzero, out_nonzero)[1]
    inner = tuple(ctx.jaxpr(branch, nonzero, out_nonzero)[0] for branch in branches)
    given = [t for t in tangents[1:] if type(t) is not Zero]
    outs = bind_branches(index, inner, *operands, *given)
    count = len(out_nonzero)
    rest = iter(outs[count:])
    out_tangents = [
        next(rest) if nz else Zero(x.aval) for x, nz in zip(outs[:count], out_nonzero, strict=True)
    ]
    return outs[:count], out_tangents


def _cond_transpose(ctx: Any, cts: Any, index: Any, *args: Any, branches: Branches) -> Any:
    linear = [is_undefined(x) for x in args]
    nonzero = [type(ct) is not Zero for ct in cts]
    inner = tuple(ctx.jaxpr(branch, linear, nonzero, True)[0] for branch in branches)
    known = [x for x in args if not is_undefined(x)]
    given = [ct for ct in cts if type(ct) is not Zero]
    outs = iter(bind_branches(index, inner, *known, *given))
    return [None, *(next(outs) if is_undefined(x) else None for x in args)]


def _cond_batch(ctx: Any, args: Any, dims: Any, *, branches: Branches) -> Any:
    index, *operands = args
    index_dim, *operand_dims = dims
    if index_dim is not None or ndim_of(index):
        return _batch_lanes(ctx, args, dims, branches)
    operands = [
        x if d is None else ctx.to_front(x, d) for x, d in zip(operands, operand_dims, strict=True)
    ]
    batched = [d is not None for d in operand_dims]
    out_batched = [False] * len(branches[0].jaxpr.outvars)
    for branch in branches:
        out_batched = ctx.jaxpr(branch, batched, out_batched)[1]
    inner = tuple(ctx.jaxpr(branch, batched, out_batched)[0] for branch in branches)
    outs = bind_branches(index, inner, *operands)
    return outs, [0 if b else None for b in out_batched]


def _batch_lanes(ctx: Any, args: Any, dims: Any, branches: Branches) -> Any:
    """Lanes may take different branches."""
    index, *operands = (ctx.to_front(x, d) for x, d in zip(args, dims, strict=True))
    inner = tuple(ctx.jaxpr(branch, [True] * len(operands), True)[0] for branch in branches)
    if has_side_effects(_cond_effects(branches=inner)):
        outs = select_branches(index, operands, tuple(map(unchecked, inner)))
    else:
        outs = bind_branches(index, inner, *operands)
    return outs, [0] * len(outs)


def select_branches(index: Any, operands: Sequence[Any], branches: Branches) -> list[Any]:
    """The results where each lane has an index of its own: run all branches and select."""
    results = [eval_closed(branch, *operands) for branch in branches]
    outs = []
    for choices in zip(*results, strict=True):
        which = expand_dims(index, range(ndim_of(index), ndim_of(choices[0])))
        outs.append(select_n(broadcast_to(which, shape_of(choices[0])), *choices))
    return outs


def bind_branches(index: Any, branches: Sequence[ClosedJaxpr], *operands: Any) -> list[Any]:
    """Bind `cond_p` for branches that may have constants."""
    consts, unified = unify_constants(branches)
    return cond_p.bind(index, *consts, *operands, branches=unified)


def _cond_partial_eval(ctx: Any, unknown: Any, args: Any, *, branches: Branches) -> list[Any]:
    index, *operands = args
    if unknown[0]:
        return ctx.stage(cond_p, args, {"branches": branches})
    out_unknown = [False] * len(branches[0].jaxpr.outvars)
    for branch in branches:
        out_unknown = ctx.jaxpr(branch, unknown[1:], out_unknown).unknown_outs
    splits = [ctx.jaxpr(branch, unknown[1:], out_unknown) for branch in branches]
    known_branches, staged_branches, count = _share_residuals(splits)
    known = [x for x, u in zip(operands, unknown[1:], strict=True) if not u]
    if ndim_of(index):  # what a branch saves need not have lanes: it is computed again
        known_outs = iter(bind_branches(index, [_without_residuals(s) for s in splits], *known))
        consts, again = unify_constants([_with_residuals(s, unknown[1:]) for s in splits])
        staged = iter(ctx.stage(cond_p, [index, *consts, *operands], {"branches": again}))
        return [next(staged) if u else next(known_outs) for u in out_unknown]
    outs = bind_branches(index, known_branches, *known)
    kept = len(outs) - count
    staged_args = [*outs[kept:], *(x for x, u in zip(operands, unknown[1:], strict=True) if u)]
    staged = iter(ctx.stage(cond_p, [index, *staged_args], {"branches": staged_branches}))
    known_outs = iter(outs[:kept])
    return [next(staged) if u else next(known_outs) for u in out_unknown]


def _share_residuals(splits: Sequence[SplitJaxpr]) -> tuple[list[ClosedJaxpr], Branches, int]:
    """Let all branches save the same list of residuals; slots are shared between equal types.

    Not so those of integers and booleans, which count steps and choose branches: lanes may run all
    branches, and loops in one that they do not take must get zeros, not what another has saved.
    """
    slots: list[ShapedArray] = []
    places: list[list[int]] = []
    for split in splits:
        free = [i for i, aval in enumerate(slots) if dtypes.is_inexact(aval.dtype)]
        mine: list[int] = []
        for v in split.known.jaxpr.outvars[len(split.known.jaxpr.outvars) - split.residuals :]:
            place = next((i for i in free if slots[i] == v.aval), None)
            if place is None:
                place = len(slots)
                slots.append(v.aval)
            else:
                free.remove(place)
            mine.append(place)
        places.append(mine)
    known = [_fill_slots(split, mine, slots) for split, mine in zip(splits, places, strict=True)]
    staged = tuple(
        _read_slots(split, mine, slots) for split, mine in zip(splits, places, strict=True)
    )
    return known, staged, len(slots)


def _without_residuals(split: SplitJaxpr) -> ClosedJaxpr:
    jaxpr: Jaxpr = split.known.jaxpr
    outvars = jaxpr.outvars[: len(jaxpr.outvars) - split.residuals]
    return dce_closed(ClosedJaxpr(jaxpr.replace(outvars=outvars), split.known.consts))


def _with_residuals(split: SplitJaxpr, unknown: Sequence[bool]) -> ClosedJaxpr:
    """The staged part as a function of all operands: it computes what the known part saves."""

    def function(*operands: Any) -> list[Any]:
        sides: tuple[list[Any], list[Any]] = [], []
        for x, u in zip(operands, unknown, strict=True):
            sides[u].append(x)
        saved = eval_closed(split.known, *sides[False])
        return eval_closed(split.staged, *saved[len(saved) - split.residuals :], *sides[True])

    known, staged = iter(split.known.in_avals), iter(split.staged.in_avals[split.residuals :])
    return dce_closed(stage_out(function, [next(staged if u else known) for u in unknown]))


def _fill_slots(split: SplitJaxpr, mine: list[int], slots: list[ShapedArray]) -> ClosedJaxpr:
    def function(*args: Any) -> list[Any]:
        outs = eval_closed(split.known, *args)
        count = len(outs) - split.residuals
        saved = dict(zip(mine, outs[count:], strict=True))
        return outs[:count] + [saved[i] if i in saved else zeros(a) for i, a in enumerate(slots)]

    return stage_out(function, split.known.in_avals)


def _read_slots(split: SplitJaxpr, mine: list[int], slots: list[ShapedArray]) -> ClosedJaxpr:
    jaxpr: Jaxpr = split.staged.jaxpr
    own = dict(zip(mine, jaxpr.invars[: split.residuals], strict=True))
    invars = [own.get(i, Var(a)) for i, a in enumerate(slots)]
    return ClosedJaxpr(jaxpr.replace(invars=(*invars, *jaxpr.invars[split.residuals :])))


def _cond_effects(*, branches: Branches) -> Effects:
    return NO_EFFECTS.union(*(branch.effects for branch in branches))


define(
    cond_p,
    abstract=_cond_abstract,
    impl=_cond_impl,
    jvp=_cond_jvp,
    transpose=_cond_transpose,
    batch=_cond_batch,
    partial_eval=_cond_partial_eval,
    effects=_cond_effects,
    eager=at_once(cond_p, lambda **_: 1),
)
