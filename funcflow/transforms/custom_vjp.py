"""`custom_vjp`: functions with a reverse-mode rule of their own."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from types import MethodType
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of, is_array_like
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import ArgumentError, ShapeError, TreeStructureError
from funcflow.core.flatten import FlatFunction, check_leaves, flatten_arguments, name_of
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import PyTreeDef, tree_flatten, tree_unflatten
from funcflow.core.rewrite import hoist
from funcflow.core.rules import NO_FORWARD, define
from funcflow.core.source import own_lines
from funcflow.core.staging import StagingTrace, stage_out
from funcflow.core.trace import current_trace
from funcflow.lax.casting import convert_element_type
from funcflow.lax.shape import instantiate, zeros
from funcflow.transforms.custom_jvp import (
    bind_arguments,
    call_abstract,
    call_impl,
    call_transpose,
    named,
    resolve_kwargs,
    unreachable,
)
from funcflow.transforms.mapped_rules import (
    Dims,
    FlatFun,
    map_flat,
    map_in_front,
    map_pullback,
    map_with_residuals,
    mapped_in_front,
)

FwdFun = Callable[..., tuple[list[Any], list[Any]]]


class VJPRule:
    """A flat function and its reverse rule.

    `fwd(*args) -> (outs, residuals)`; `bwd(residuals, cotangents) -> cotangents of the args`,
    one per argument.
    """

    def __init__(
        self, name: str, call: FlatFun, fwd: FwdFun, bwd: Callable[..., list[Any]]
    ) -> None:
        self.name = name
        self.call = call
        self.fwd = fwd
        self.bwd = bwd
        self.out_dims: list[int | None] = []

    def apply_fwd(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Outputs, and tangents that only a transposition can make sense of."""
        outs, residuals = self.fwd(*primals)
        given = [i for i, t in enumerate(tangents) if type(t) is not Zero]
        out_avals = tuple(aval_of(x).strip_weak_type() for x in outs)
        out_tangents = custom_lin_p.bind(
            *residuals,
            *(tangents[i] for i in given),
            bwd=self.bwd,
            num_residuals=len(residuals),
            places=tuple(given),
            out_avals=out_avals,
        )
        return outs, [
            t if dtypes.is_inexact(a.dtype) else Zero(a)
            for t, a in zip(out_tangents, out_avals, strict=True)
        ]

    def batch(self, ctx: Any, dims: Dims) -> "VJPRule":
        """The rule of the mapped function."""
        residual_dims: list[int | None] = []

        def call(*args: Any) -> list[Any]:
            outs, batched.out_dims = map_flat(ctx, self.call, args, dims)
            return outs

        def fwd(*args: Any) -> tuple[list[Any], list[Any]]:
            outs, batched.out_dims, residuals, residual_dims[:] = map_with_residuals(
                ctx, self.fwd, args, dims
            )
            return outs, residuals

        def bwd(residuals: list[Any], cts: list[Any]) -> list[Any]:
            return map_pullback(
                ctx, self.bwd, residuals, residual_dims, cts, batched.out_dims, dims
            )

        batched = VJPRule(self.name, call, named(fwd, self.fwd), named(bwd, self.bwd))
        return batched

    def stage(self, trace: StagingTrace, args: Sequence[Any]) -> list[Any]:
        """One equation that stands for the call."""
        closed = stage_out(self.call, [aval_of(x) for x in args])
        inner, consts = hoist(closed)
        params = {
            "call_jaxpr": inner,
            "fwd": self.fwd,
            "bwd": self.bwd,
            "num_consts": len(consts),
            "name": self.name,
        }
        return trace.process(custom_vjp_call_p, [*consts, *args], params)


custom_vjp_call_p = Primitive("custom_vjp_call", multiple_results=True)


def _custom_vjp_jvp(
    ctx: Any,
    primals: Any,
    tangents: Any,
    *,
    call_jaxpr: ClosedJaxpr,
    fwd: FwdFun,
    bwd: Any,
    num_consts: int,
    name: str,
) -> Any:
    rule = VJPRule(name, unreachable, fwd, bwd)
    return rule.apply_fwd(primals[num_consts:], tangents[num_consts:])


def _custom_vjp_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    call_jaxpr: ClosedJaxpr,
    fwd: FwdFun,
    bwd: Any,
    num_consts: int,
    name: str,
) -> Any:
    args, dims = mapped_in_front(ctx, args, dims, num_consts)
    inner, _ = ctx.jaxpr(call_jaxpr, [d is not None for d in dims], True)
    rule = VJPRule(name, unreachable, fwd, bwd).batch(ctx, dims[num_consts:])
    outs = custom_vjp_call_p.bind(
        *args, call_jaxpr=inner, fwd=rule.fwd, bwd=rule.bwd, num_consts=num_consts, name=name
    )
    return outs, [0] * len(outs)


define(
    custom_vjp_call_p,
    abstract=call_abstract,
    impl=call_impl,
    jvp=_custom_vjp_jvp,
    transpose=call_transpose,
    batch=_custom_vjp_batch,
    effects=lambda *, call_jaxpr, **_: call_jaxpr.effects,
)

# The tangent of a function of which only the reverse rule is known: it can be transposed, and
# nothing else.
custom_lin_p = Primitive("custom_lin", multiple_results=True)


def _lin_abstract(
    *avals: ShapedArray, out_avals: tuple[ShapedArray, ...], **_: Any
) -> list[ShapedArray]:
    return list(out_avals)


def _lin_transpose(
    ctx: Any,
    cts: Any,
    *args: Any,
    bwd: Any,
    num_residuals: int,
    places: tuple[int, ...],
    out_avals: Any,
) -> list[Any]:
    residuals = list(args[:num_residuals])
    results = bwd(residuals, [instantiate(ct) for ct in cts])
    tangent_cts = [
        results[place] if is_undefined(x) else None
        for place, x in zip(places, args[num_residuals:], strict=True)
    ]
    return [*[None] * num_residuals, *tangent_cts]


def _lin_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    bwd: Any,
    num_residuals: int,
    places: tuple[int, ...],
    out_avals: tuple[ShapedArray, ...],
) -> Any:
    args = [
        x if i < num_residuals and d is None else ctx.to_front(x, d)
        for i, (x, d) in enumerate(zip(args, dims, strict=True))
    ]
    residual_dims = [None if d is None else 0 for d in dims[:num_residuals]]

    def batched_bwd(residuals: list[Any], cts: list[Any]) -> list[Any]:
        return map_in_front(
            ctx,
            lambda *xs: bwd(list(xs[:num_residuals]), list(xs[num_residuals:])),
            [*residuals, *cts],
            [*residual_dims, *[0] * len(cts)],
        )

    outs = custom_lin_p.bind(
        *args,
        bwd=named(batched_bwd, bwd),
        num_residuals=num_residuals,
        places=places,
        out_avals=tuple(a.update(shape=(ctx.size, *a.shape)) for a in out_avals),
    )
    return outs, [0] * len(outs)


define(
    custom_lin_p,
    abstract=_lin_abstract,
    impl=NO_FORWARD,
    jvp=NO_FORWARD,
    transpose=_lin_transpose,
    batch=_lin_batch,
)


class custom_vjp:
    """A function with a reverse-mode rule of its own.

    Args:
        fun: a function of pytrees of arrays.
        nondiff_argnums: positional arguments that are no arrays; `fwd` gets them in place,
            `bwd` gets them first.

    Give the rule with `defvjp(fwd, bwd)`: `fwd(*args) -> (out, residuals)` and
    `bwd(residuals, cotangent) -> tuple of cotangents`, one per differentiable argument; None
    stands for zero.

    Example:
        >>> @ff.custom_vjp
        ... def clip_gradient(x):
        ...     return x
        >>> clip_gradient.defvjp(lambda x: (x, None), lambda _, g: (fnp.clip(g, -1, 1),))
        >>> ff.grad(lambda x: 10 * clip_gradient(x))(1.0)
        Array(1., dtype=float32)
    """

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        wraps(fun)(self)
        self._fun = fun
        self._nondiff = tuple(nondiff_argnums)
        self._fwd: Callable[..., Any] | None = None
        self._bwd: Callable[..., Any] | None = None

    def defvjp(
        self, fwd: Callable[..., Any], bwd: Callable[..., Any], optimize_remat: bool = False
    ) -> None:
        """Set the rule; `optimize_remat` is accepted for compatibility."""
        self._fwd, self._bwd = own_lines(fwd), own_lines(bwd)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._fwd is None or self._bwd is None:
            raise ArgumentError(
                f"custom_vjp: {name_of(self._fun)} has no rule", mend="give it one with defvjp"
            )
        name, fun = name_of(self._fun), self._fun
        args = resolve_kwargs(fun, args, kwargs)
        dynamic, fixed, bound = bind_arguments(fun, args, self._nondiff)
        _, _, bound_fwd = bind_arguments(self._fwd, args, self._nondiff)
        leaves, in_tree = flatten_arguments(name, dynamic, {})
        flat = FlatFunction(bound, in_tree)
        trees = _Trees(name, flat, [aval_of(x) for x in leaves])
        rule = VJPRule(
            name,
            flat,
            named(partial(trees.fwd, bound_fwd), self._fwd),
            named(partial(trees.bwd, partial(self._bwd, *fixed)), self._bwd),
        )
        outs = current_trace.get().process_custom_vjp(rule, leaves)
        return flat.out_tree.unflatten(outs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)


class _Trees:
    """The tree structures that `fwd` finds and `bwd` needs."""

    residual_tree: PyTreeDef

    def __init__(self, name: str, flat: FlatFunction, in_avals: list[ShapedArray]) -> None:
        self.name = name
        self.flat = flat
        self.in_avals = in_avals

    def fwd(self, function: Callable[..., Any], *leaves: Any) -> tuple[list[Any], list[Any]]:
        result = function(*tree_unflatten(self.flat.in_tree, leaves)[0])
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TreeStructureError(
                f"the fwd rule of {self.name} must return a pair (out, residuals), "
                f"it returned {type(result).__name__}",
                mend="return both; the residuals may be None",
            )
        out, residuals = result
        outs, self.flat.out_tree = tree_flatten(out)
        check_leaves(out, outs, f"the fwd rule of {self.name}: out")
        kept, self.residual_tree = tree_flatten(residuals)
        check_leaves(residuals, kept, f"the fwd rule of {self.name}: residuals")
        return outs, kept

    def bwd(self, function: Callable[..., Any], residuals: list[Any], cts: list[Any]) -> list[Any]:
        cotangent = self.flat.out_tree.unflatten(cts)
        result = function(self.residual_tree.unflatten(residuals), cotangent)
        args_tree = self.flat.in_tree.children()[0]
        if not isinstance(result, tuple | list) or len(result) != args_tree.num_children:
            got = f"{len(result)} entries" if isinstance(result, tuple | list) else repr(result)
            raise TreeStructureError(
                f"the bwd rule of {self.name} must return a tuple with one cotangent for each of "
                f"the {args_tree.num_children} arguments, it returned {got}",
                mend="return a tuple; None stands for a zero cotangent",
            )
        flat: list[Any] = []
        for child, ct in zip(args_tree.children(), result, strict=True):
            flat += _checked_leaves(self.name, child, ct)
        return [self._checked(ct, aval) for ct, aval in zip(flat, self.in_avals, strict=True)]

    def _checked(self, ct: Any, aval: ShapedArray) -> Any:
        if ct is None or not dtypes.is_inexact(aval.dtype):
            return zeros(aval.strip_weak_type())
        got = aval_of(ct)
        if got.shape != aval.shape:
            raise ShapeError(
                f"the bwd rule of {self.name}: the argument is {aval}, its cotangent {got}",
                mend="a cotangent has its argument's shape",
            )
        return convert_element_type(ct, aval.dtype)


def _checked_leaves(name: str, treedef: PyTreeDef, ct: Any) -> list[Any]:
    """The cotangents of one argument; None where the rule gives zero."""
    try:
        leaves = _leaves_up_to(treedef, ct)
        problem = next((x for x in leaves if x is not None and not is_array_like(x)), None)
    except ValueError as error:
        problem = error
    if problem is not None:
        raise TreeStructureError(
            f"the bwd rule of {name}: a cotangent's structure differs from its argument's: "
            f"{problem}",
            mend="return cotangents in the structure of the arguments",
        )
    return leaves


def _leaves_up_to(treedef: PyTreeDef, ct: Any) -> list[Any]:
    """One entry for each leaf of `treedef`; None in `ct` may stand for a whole subtree."""
    if ct is None:
        return [None] * treedef.num_leaves
    level = treedef.one_level()
    if level is None:  # a leaf
        return [ct]
    pairs = zip(treedef.children(), level.flatten_up_to(ct), strict=True)
    return [leaf for child, part in pairs for leaf in _leaves_up_to(child, part)]
