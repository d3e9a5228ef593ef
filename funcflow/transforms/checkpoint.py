"""`checkpoint`: save little in the forward pass, and compute it again in the backward pass.

When a checkpointed block is split by partial evaluation, what the tangents need is not handed
over as it is: the staged equation gets the block's inputs (and the values that the policy lets
it save) and computes the rest again.
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, flatten_arguments, name_of
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import tree_map
from funcflow.core.rewrite import dce, dce_closed, hoist, used_inputs
from funcflow.core.rules import define
from funcflow.core.staging import SplitJaxpr, split_jaxpr, stage_out
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.convolution import conv_general_dilated_p
from funcflow.lax.dot import dot_general_p
from funcflow.lax.shape import moveaxis
from funcflow.transforms.static_arguments import StaticArguments, listed

Policy = Callable[..., bool]

checkpoint_p = Primitive("checkpoint", multiple_results=True)
name_p = Primitive("name")


def checkpoint(
    fun: Callable[..., Any] | None = None,
    *,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
) -> Any:
    """`fun`, whose intermediate values are computed again in the backward pass, not saved.

    Args:
        fun: a function of pytrees of arrays.
        prevent_cse: accepted for compatibility: the recomputation is never merged away.
        policy: which intermediate values to save all the same; one of `checkpoint_policies`, or
            `policy(primitive, *avals, **params) -> bool`. By default none.
        static_argnums: arguments that are Python values, by place.
        static_argnames: the same by name.

    Example:
        >>> ff.grad(ff.checkpoint(lambda x: fnp.sin(fnp.sin(x))))(0.0)
        Array(1., dtype=float32)
    """
    if fun is None:
        return partial(
            checkpoint,
            prevent_cse=prevent_cse,
            policy=policy,
            static_argnums=static_argnums,
            static_argnames=static_argnames,
        )
    name = f"checkpoint of {name_of(fun)}"
    static = StaticArguments(name, fun, listed(static_argnums), listed(static_argnames))

    @hides_internal_frames
    @wraps(fun)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        bound, args, kwargs, _ = static.bind(fun, args, kwargs)
        leaves, in_tree = flatten_arguments(name, args, kwargs)
        flat = FlatFunction(bound, in_tree)
        closed = stage_out(flat, [aval_of(x) for x in leaves])
        outs = _bind(closed, policy, *leaves)
        return flat.out_tree.unflatten(outs)

    return checkpointed


def _bind(closed: ClosedJaxpr, policy: Policy | None, *args: Any) -> list[Any]:
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
    outs = _bind(inner, policy, *primals, *(t for t in tangents if type(t) is not Zero))
    count = len(out_nonzero)
    rest = iter(outs[count:])
    return outs[:count], [
        next(rest) if nz else Zero(aval_of(x))
        for x, nz in zip(outs[:count], out_nonzero, strict=True)
    ]


def _batch(ctx: Any, args: Any, dims: Any, *, jaxpr: ClosedJaxpr, policy: Policy | None) -> Any:
    args = [x if d is None else moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
    inner, out_batched = ctx.jaxpr(jaxpr, [d is not None for d in dims], False)
    return _bind(inner, policy, *args), [0 if b else None for b in out_batched]


def _partial_eval(
    ctx: Any, unknown: Any, args: Any, *, jaxpr: ClosedJaxpr, policy: Policy | None
) -> list[Any]:
    split = ctx.jaxpr(jaxpr, unknown, False)
    known = [x for x, u in zip(args, unknown, strict=True) if not u]
    first, again = _recomputation(split, policy)
    outs = _bind(first, policy, *known)
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
    recompute = ClosedJaxpr(again, [values[v] for v in again.constvars])
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
    outs, nonzeros = iter(_bind(closed, policy, *known, *given)), iter(out_nonzero)
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
)

# --- names and policies ---------------------------------------------------------------------


def checkpoint_name(x: Any, name: str) -> Any:
    """`x`, with a name by which `checkpoint_policies.save_only_these_names` knows it."""
    return tree_map(lambda leaf: name_p.bind(leaf, name=name), x)


define(
    name_p,
    abstract=lambda x, *, name: x,
    impl=lambda xp, x, *, name: x,
    jvp=lambda ctx, primals, tangents, *, name: (name_p.bind(primals[0], name=name), tangents[0]),
    transpose=lambda ctx, ct, x, *, name: [ct],
    batch=lambda ctx, args, dims, *, name: (name_p.bind(args[0], name=name), dims[0]),
)


class checkpoint_policies:
    """What `checkpoint` may save: `checkpoint(f, policy=checkpoint_policies.dots_saveable)`."""

    @staticmethod
    def everything_saveable(primitive: Primitive, *_: Any, **__: Any) -> bool:
        """Save all values."""
        return True

    @staticmethod
    def nothing_saveable(primitive: Primitive, *_: Any, **__: Any) -> bool:
        """Save no value: compute all again."""
        return False

    @staticmethod
    def dots_saveable(primitive: Primitive, *_: Any, **__: Any) -> bool:
        """Save matrix products and convolutions."""
        return primitive in (dot_general_p, conv_general_dilated_p)

    @staticmethod
    def dots_with_no_batch_dims_saveable(primitive: Primitive, *_: Any, **params: Any) -> bool:
        """Save matrix products that have no batch dimensions."""
        return primitive is dot_general_p and not params["dimension_numbers"][1][0]

    checkpoint_dots = dots_saveable
    checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable

    @staticmethod
    def save_only_these_names(*names: str) -> Policy:
        """Save only values named with `checkpoint_name`."""

        def saves_names(primitive: Primitive, *_: Any, **params: Any) -> bool:
            return primitive is name_p and params["name"] in names

        return saves_names

    @staticmethod
    def save_any_names_but_these(*names: str) -> Policy:
        """Save all named values but these."""

        def saves_other_names(primitive: Primitive, *_: Any, **params: Any) -> bool:
            return primitive is name_p and params["name"] not in names

        return saves_other_names

    @staticmethod
    def save_anything_except_these_names(*names: str) -> Policy:
        """Save all values, named or not, but these."""

        def saves_all_but_names(primitive: Primitive, *_: Any, **params: Any) -> bool:
            return not (primitive is name_p and params["name"] in names)

        return saves_all_but_names

    @staticmethod
    def save_from_both_policies(*policies: Policy) -> Policy:
        """Save what one of the policies saves."""

        def saves_either(primitive: Primitive, *avals: Any, **params: Any) -> bool:
            return any(policy(primitive, *avals, **params) for policy in policies)

        return saves_either
