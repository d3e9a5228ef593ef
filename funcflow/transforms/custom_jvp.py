"""Functions with derivative rules of their own: `custom_jvp` and `custom_vjp`.

Such a function reaches the current trace as one object, a *rule*, so that under `jvp` and `grad`
the user's rule runs on values, and under `jit` it becomes one equation that keeps the rule.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from types import MethodType
from typing import Any, TypeVar

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero, is_undefined
from funcflow.core.errors import (
    ArgumentError,
    ShapeError,
    TreeStructureError,
)
from funcflow.core.evaluate import eval_closed
from funcflow.core.flatten import FlatFunction, check_leaves, flatten_arguments, name_of
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import (
    structure_difference,
    tree_flatten,
    tree_map,
    tree_unflatten,
)
from funcflow.core.rewrite import hoist
from funcflow.core.rules import define
from funcflow.core.source import own_lines
from funcflow.core.staging import StagingTrace, stage_out
from funcflow.core.trace import current_trace
from funcflow.lax.casting import convert_element_type
from funcflow.lax.shape import zeros
from funcflow.transforms.jvp import tangent_aval
from funcflow.transforms.mapped_rules import Dims, FlatFun, map_flat, mapped_in_front

_Fun = TypeVar("_Fun", bound=Callable[..., Any])


def tangent_array(t: Any) -> Any:
    """A tangent for a user's rule: an array, of the primal's dtype where that is integer."""
    return zeros(t.aval) if type(t) is Zero else t


def named(function: _Fun, user: Callable[..., Any]) -> _Fun:
    """The function that calls a user's rule, under the rule's name, as jaxprs show it."""
    function.__name__ = name_of(user)
    return function


# --- forward rules ----------------------------------------------------------------------------


class JVPRule:
    """A flat function and its forward rule: `jvp(*primals, *tangents) -> [*outs, *tangents]`."""

    def __init__(self, name: str, call: FlatFun, jvp: FlatFun) -> None:
        self.name = name
        self.call = call
        self.jvp = jvp
        self.out_dims: list[int | None] = []

    def apply_jvp(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Outputs and their tangents, by the rule."""
        results = self.jvp(*primals, *map(tangent_array, tangents))
        count = len(results) // 2
        return results[:count], [
            t if dtypes.is_inexact(aval_of(x).dtype) else Zero(aval_of(x))
            for x, t in zip(results[:count], results[count:], strict=True)
        ]

    def batch(self, ctx: Any, dims: Dims) -> "JVPRule":
        """The rule of the mapped function."""

        def call(*args: Any) -> list[Any]:
            outs, batched.out_dims = map_flat(ctx, self.call, args, dims)
            return outs

        def jvp(*args: Any) -> list[Any]:
            outs, out_dims = map_flat(ctx, self.jvp, args, (*dims, *dims))
            batched.out_dims = out_dims[: len(outs) // 2]
            return outs

        batched = JVPRule(self.name, call, named(jvp, self.jvp))
        return batched

    def stage(self, trace: StagingTrace, args: Sequence[Any]) -> list[Any]:
        """One equation that stands for the call."""
        closed = stage_out(self.call, [aval_of(x) for x in args])
        inner, consts = hoist(closed)
        params = {
            "call_jaxpr": inner,
            "jvp": self.jvp,
            "num_consts": len(consts),
            "name": self.name,
        }
        return trace.process(custom_jvp_call_p, [*consts, *args], params)


custom_jvp_call_p = Primitive("custom_jvp_call", multiple_results=True)


def call_abstract(*avals: ShapedArray, call_jaxpr: ClosedJaxpr, **_: Any) -> list[ShapedArray]:
    """The types of what the function returns."""
    return call_jaxpr.out_avals


def call_impl(xp: Any, *buffers: Any, call_jaxpr: ClosedJaxpr, **_: Any) -> list[Any]:
    """Evaluate the function itself; rules are for derivatives."""
    return eval_buffers(call_jaxpr, buffers)


def _custom_jvp_jvp(
    ctx: Any, primals: Any, tangents: Any, *, jvp: FlatFun, num_consts: int, name: str, **_: Any
) -> Any:
    rule = JVPRule(name, unreachable, jvp)
    return rule.apply_jvp(primals[num_consts:], tangents[num_consts:])


def unreachable(*args: Any) -> list[Any]:
    """Stands for the function in a rule that was taken from an equation."""
    raise AssertionError("a rule taken from an equation has no function to call")


def _custom_jvp_batch(
    ctx: Any,
    args: Any,
    dims: Any,
    *,
    call_jaxpr: ClosedJaxpr,
    jvp: FlatFun,
    num_consts: int,
    name: str,
) -> Any:
    args, dims = mapped_in_front(ctx, args, dims, num_consts)
    inner, _ = ctx.jaxpr(call_jaxpr, [d is not None for d in dims], True)
    rule = JVPRule(name, unreachable, jvp).batch(ctx, dims[num_consts:])
    outs = custom_jvp_call_p.bind(
        *args, call_jaxpr=inner, jvp=rule.jvp, num_consts=num_consts, name=name
    )
    return outs, [0] * len(outs)


def call_transpose(ctx: Any, cts: Any, *args: Any, call_jaxpr: ClosedJaxpr, **_: Any) -> Any:
    """Transpose the function itself, where it is linear."""
    linear = [is_undefined(x) for x in args]
    inner, _ = ctx.jaxpr(call_jaxpr, linear, [type(ct) is not Zero for ct in cts], True)
    known = [x for x in args if not is_undefined(x)]
    outs = iter(eval_closed(inner, *known, *(ct for ct in cts if type(ct) is not Zero)))
    return [next(outs) if lin else None for lin in linear]


define(
    custom_jvp_call_p,
    abstract=call_abstract,
    impl=call_impl,
    jvp=_custom_jvp_jvp,
    transpose=call_transpose,
    batch=_custom_jvp_batch,
    effects=lambda *, call_jaxpr, **_: call_jaxpr.effects,
)


def bind_arguments(
    fun: Callable[..., Any], args: tuple[Any, ...], nondiff: tuple[int, ...]
) -> tuple[tuple[Any, ...], tuple[Any, ...], Callable[..., Any]]:
    """The differentiable arguments, the others, and `fun` as a function of the former."""
    places = {i % len(args) for i in nondiff if -len(args) <= i < len(args)}
    fixed = {i: args[i] for i in sorted(places)}

    def bound(*dynamic: Any) -> Any:
        rest = iter(dynamic)
        return fun(*(fixed[i] if i in fixed else next(rest) for i in range(len(args))))

    dynamic = tuple(x for i, x in enumerate(args) if i not in fixed)
    return dynamic, tuple(fixed.values()), bound


class custom_jvp:
    """A function with a forward-mode rule of its own, which serves reverse mode too.

    Args:
        fun: a function of pytrees of arrays.
        nondiff_argnums: positional arguments that are no arrays; the rule gets them first.

    Give the rule with `defjvp` (for all arguments at once) or `defjvps` (one per argument).

    Example:
        >>> @ff.custom_jvp
        ... def log1pexp(x):
        ...     return fnp.log(1 + fnp.exp(x))
        >>> @log1pexp.defjvp
        ... def log1pexp_jvp(primals, tangents):
        ...     (x,), (t,) = primals, tangents
        ...     return log1pexp(x), (1 - 1 / (1 + fnp.exp(x))) * t
        >>> ff.grad(log1pexp)(100.0)
        Array(1., dtype=float32)
    """

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        wraps(fun)(self)
        self._fun = fun
        self._nondiff = tuple(nondiff_argnums)
        self._jvp: Callable[..., Any] | None = None

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule `jvp(*nondiff, primals, tangents) -> (primal_out, tangent_out)`.

        Tangents are always arrays; `symbolic_zeros` is accepted for compatibility.
        """
        self._jvp = own_lines(jvp)
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set one rule per argument, `jvp(tangent, primal_out, *primals)`; None for zero."""
        if self._nondiff:
            raise ArgumentError("defjvps does not go with nondiff_argnums", mend="use defjvp")

        def jvp(primals: Any, tangents: Any) -> Any:
            out = self(*primals)
            terms = [
                own_lines(rule)(t, out, *primals)
                for rule, t in zip(jvps, tangents, strict=True)
                if rule is not None
            ]
            if not terms:
                return out, tree_map(lambda x: zeros(aval_of(x)), out)
            total = terms[0]
            for term in terms[1:]:
                total = tree_map(lambda a, b: a + b, total, term)
            return out, total

        jvp.__name__ = f"{name_of(self._fun)}_jvp"
        self._jvp = jvp

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._jvp is None:
            raise ArgumentError(
                f"custom_jvp: {name_of(self._fun)} has no rule", mend="give it one with defjvp"
            )
        name, fun = name_of(self._fun), self._fun
        args = resolve_kwargs(fun, args, kwargs)
        dynamic, fixed, bound = bind_arguments(fun, args, self._nondiff)
        leaves, in_tree = flatten_arguments(name, dynamic, {})
        flat = FlatFunction(bound, in_tree)
        flat_jvp = named(partial(_flat_jvp, name, partial(self._jvp, *fixed), flat), self._jvp)
        outs = current_trace.get().process_custom_jvp(JVPRule(name, flat, flat_jvp), leaves)
        return flat.out_tree.unflatten(outs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)


def resolve_kwargs(
    fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...]:
    """Keyword arguments and defaults as positional ones."""
    if not kwargs and len(args) == getattr(getattr(fun, "__code__", None), "co_argcount", -1):
        return args
    try:
        bound = inspect.signature(fun).bind(*args, **kwargs)
    except ValueError:  # a builtin without a signature
        return args
    bound.apply_defaults()
    if bound.kwargs:
        raise ArgumentError(
            f"{name_of(fun)}: keyword-only arguments {sorted(bound.kwargs)} cannot go with a "
            "custom derivative rule",
            mend="make them positional, or bind them with functools.partial",
        )
    return bound.args


def _flat_jvp(name: str, jvp: Callable[..., Any], flat: FlatFunction, *values: Any) -> list[Any]:
    count = len(values) // 2
    primals = tree_unflatten(flat.in_tree, values[:count])[0]
    tangents = tree_unflatten(flat.in_tree, values[count:])[0]
    result = jvp(primals, tangents)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        raise TreeStructureError(
            f"the jvp rule of {name} must return a pair (primal_out, tangent_out), "
            f"it returned {type(result).__name__}",
            mend="return both",
        )
    out, out_tangent = result
    difference = structure_difference(out, out_tangent)
    if difference:
        raise TreeStructureError(
            f"the jvp rule of {name}: the tangent's structure differs from the primal's "
            f"{difference}",
            mend="return one tangent per leaf of the output",
        )
    outs, flat.out_tree = tree_flatten(out)
    check_leaves(out, outs, f"the jvp rule of {name}: primal_out")
    tangents_out = [
        _checked_tangent(name, x, t)
        for x, t in zip(outs, tree_flatten(out_tangent)[0], strict=True)
    ]
    return [*outs, *tangents_out]


def _checked_tangent(name: str, x: Any, t: Any) -> Any:
    primal = aval_of(x)
    if not dtypes.is_inexact(primal.dtype):
        return zeros(primal)
    expected, got = tangent_aval(primal), aval_of(t)
    if got.shape != expected.shape:
        raise ShapeError(
            f"the jvp rule of {name}: the output is {primal}, its tangent {got}",
            mend="a tangent has its primal's shape and dtype",
        )
    return convert_element_type(t, expected.dtype)
