"""`custom_rule`: one object that holds a function's rules for both modes and for `vmap`.

The rule is split as linearisation splits a function: `linearize` computes the value and what the
derivative needs of it (the residuals), `tangent` is the linear function of the tangents that the
residuals determine. Forward mode calls both; reverse mode transposes the second, or calls the
`cotangent` that the rule gives for that. No part is written twice, and none is guessed.
"""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, Zero
from funcflow.core.errors import ArgumentError, ShapeError, TreeStructureError
from funcflow.core.flatten import check_leaves, flatten_arguments
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.pytree import PyTreeDef, tree_flatten, tree_unflatten
from funcflow.core.rewrite import hoist
from funcflow.core.rules import define
from funcflow.core.source import own_lines
from funcflow.core.staging import StagingTrace, stage_out
from funcflow.core.trace import current_trace
from funcflow.lax.casting import convert_element_type
from funcflow.lax.shape import moveaxis, zeros
from funcflow.transforms.custom_jvp import (
    call_abstract,
    call_impl,
    call_transpose,
    tangent_array,
)
from funcflow.transforms.jvp import tangent_aval
from funcflow.transforms.linear_call import linear_call
from funcflow.transforms.mapped_rules import (
    Dims,
    FlatFun,
    map_flat,
    map_pullback,
    map_with_residuals,
    mapped_in_front,
)


class custom_rule:
    """Base of functions that bring their own derivative and, if need be, their own batching.

    A subclass gives

        call(*args) -> out
        linearize(*args) -> (out, residuals)
        tangent(residuals, *tangents) -> tangent of out; linear in the tangents
        cotangent(residuals, ct) -> one cotangent per argument (a tuple; None for zero). Optional:
            without it, `tangent` is transposed.
        batch(axis_size, in_batched, *args) -> (out, out_batched). Optional: without it, the
            operations of `call` are mapped. Mapped arguments have the mapped axis in front.
            `in_batched` holds a bool per argument, or a tree of them if the argument is a tree;
            `out_batched` is a bool, or a tree of them like `out`.

    and its instances are functions. Arguments and results are pytrees of arrays, residuals too;
    tangents have the structure of the arguments, with zeros for integers. Every transform takes
    such a function, in any order and nested; derivatives of higher order differentiate the methods.

    Raises:
        TreeStructureError, ShapeError: a method returns something else than it should.

    Example:
        >>> class Cbrt(ff.custom_rule):
        ...     def call(self, x):
        ...         return ff.pure_callback(np.cbrt, x, x, vmap_method="expand_dims")
        ...     def linearize(self, x):
        ...         y = self(x)
        ...         return y, y
        ...     def tangent(self, y, dx):
        ...         return dx / (3 * y * y)
        >>> cbrt = Cbrt()
        >>> ff.grad(cbrt)(8.0)
        Array(0.08333334, dtype=float32)
        >>> ff.vmap(ff.grad(ff.grad(cbrt)))(fnp.array([1.0, 8.0]))
        Array([-0.22222225, -0.00694445], dtype=float32)
    """

    cotangent: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None

    def call(self, *args: Any) -> Any:
        """The function's value."""
        raise self._missing("call(*args)")

    def linearize(self, *args: Any) -> Any:
        """The value, and the residuals for `tangent` and `cotangent`."""
        raise self._missing("linearize(*args)")

    def tangent(self, residuals: Any, *tangents: Any) -> Any:
        """The tangent of the value."""
        raise self._missing("tangent(residuals, *tangents)")

    def _missing(self, method: str) -> ArgumentError:
        return ArgumentError(
            f"custom_rule: {type(self).__name__} has no method {method}", mend="define the method"
        )

    def __call__(self, *args: Any) -> Any:
        name = type(self).__name__
        leaves, in_tree = flatten_arguments(name, args, {})
        trees = _Trees(self, in_tree, [aval_of(x) for x in leaves])
        rule = Rule(
            name,
            trees.call,
            trees.linearize,
            trees.tangent,
            None if self.cotangent is None else trees.cotangent,
            None if self.batch is None else trees.batch,
        )
        outs = current_trace.get().process_custom_jvp(rule, leaves)
        assert trees.out_tree is not None
        return trees.out_tree.unflatten(outs)


class _Trees:
    """A rule's methods as functions of flat lists."""

    def __init__(self, owner: custom_rule, in_tree: PyTreeDef, in_avals: list[ShapedArray]) -> None:
        self.owner = owner
        self.name = type(owner).__name__
        self.in_tree = in_tree
        self.in_avals = in_avals
        self.out_tree: PyTreeDef | None = None
        self.residual_tree: PyTreeDef | None = None

    def arguments(self, leaves: Sequence[Any]) -> tuple[Any, ...]:
        return tree_unflatten(self.in_tree, leaves)[0]

    def call(self, *leaves: Any) -> list[Any]:
        return self._outputs("call", self.owner.call(*self.arguments(leaves)))

    def _outputs(self, method: str, out: Any) -> list[Any]:
        outs, self.out_tree = tree_flatten(out)
        check_leaves(out, outs, f"the result of {self.name}.{method} at ")
        return outs

    def linearize(self, *leaves: Any) -> tuple[list[Any], list[Any]]:
        result = own_lines(self.owner.linearize)(*self.arguments(leaves))
        out, residuals = self._pair("linearize", "(out, residuals)", result)
        kept, self.residual_tree = tree_flatten(residuals)
        check_leaves(residuals, kept, f"{self.name}.linearize: the residuals at ")
        return self._outputs("linearize", out), kept

    def tangent(self, residuals: Sequence[Any], *tangents: Any) -> list[Any]:
        assert self.residual_tree is not None
        kept = self.residual_tree.unflatten(residuals)
        result = own_lines(self.owner.tangent)(kept, *self.arguments(tangents))
        return self._like_tree("tangent", self.out_tree, result)

    def cotangent(self, residuals: Sequence[Any], cts: Sequence[Any]) -> list[Any]:
        assert self.residual_tree is not None and self.out_tree is not None
        assert self.owner.cotangent is not None
        kept, ct = self.residual_tree.unflatten(residuals), self.out_tree.unflatten(cts)
        results = own_lines(self.owner.cotangent)(kept, ct)
        children = self.in_tree.children()[0].children()
        if not isinstance(results, tuple | list) or len(results) != len(children):
            raise TreeStructureError(
                f"{self.name}.cotangent must return a tuple with one cotangent for each of the "
                f"{len(children)} arguments, it returned {results!r}",
                mend="return a tuple; None stands for a zero cotangent",
            )
        flat: list[Any] = []
        for child, result in zip(children, results, strict=True):
            given = result is not None
            flat += (
                self._like_tree("cotangent", child, result) if given else [None] * child.num_leaves
            )
        return [
            zeros(a.strip_weak_type()) if ct is None else _converted(self.name, "cotangent", ct, a)
            for ct, a in zip(flat, self.in_avals, strict=True)
        ]

    def batch(
        self, size: int, in_batched: Sequence[bool], leaves: Sequence[Any]
    ) -> tuple[list[Any], list[bool]]:
        assert self.owner.batch is not None
        result = self.owner.batch(size, self.arguments(in_batched), *self.arguments(leaves))
        out, out_batched = self._pair("batch", "(out, out_batched)", result)
        outs = self._outputs("batch", out)
        single = isinstance(out_batched, bool)
        mapped = (
            [out_batched] * len(outs)
            if single
            else self._like_tree("batch", self.out_tree, out_batched)
        )
        for x, m in zip(outs, mapped, strict=True):
            if m and aval_of(x).shape[:1] != (size,):
                raise ShapeError(
                    f"{self.name}.batch: a result is {aval_of(x)}, but out_batched says that its "
                    f"leading axis has the {size} lanes",
                    mend="put the mapped axis in front, or return False for results without it",
                )
        return outs, mapped

    def _pair(self, method: str, what: str, result: Any) -> tuple[Any, Any]:
        if not (isinstance(result, tuple) and len(result) == 2):
            raise TreeStructureError(
                f"{self.name}.{method} must return a pair {what}, "
                f"it returned {type(result).__name__}",
                mend="return both",
            )
        return result

    def _like_tree(self, method: str, treedef: PyTreeDef | None, tree: Any) -> list[Any]:
        leaves, found = tree_flatten(tree)
        if found != treedef:
            raise TreeStructureError(
                f"{self.name}.{method}: expected the structure {treedef}, got {found}",
                mend="return one leaf for each leaf of the output (cotangent: of the argument)",
            )
        return leaves


def _converted(name: str, method: str, t: Any, primal: ShapedArray) -> Any:
    """A tangent or cotangent in its primal's dtype; zeros where that is an integer."""
    if not dtypes.is_inexact(primal.dtype):
        return zeros(primal.strip_weak_type())
    if aval_of(t).shape != primal.shape:
        raise ShapeError(
            f"{name}.{method}: got {aval_of(t)} for a primal of type {primal}",
            mend="tangents and cotangents have their primal's shape",
        )
    return convert_element_type(t, tangent_aval(primal).dtype)


class Rule:
    """A flat function with its rules, as traces are handed it (see `Trace.process_custom_jvp`)."""

    def __init__(
        self,
        name: str,
        call: FlatFun,
        linearize: Callable[..., tuple[list[Any], list[Any]]],
        tangent: Callable[..., list[Any]],
        cotangent: Callable[..., list[Any]] | None,
        batch_call: Callable[..., tuple[list[Any], list[bool]]] | None = None,
    ) -> None:
        self.name = self.__name__ = name  # the latter for the text of jaxprs
        self.call = call
        self.linearize = linearize
        self.tangent = tangent
        self.cotangent = cotangent
        self.batch_call = batch_call
        self.out_dims: list[int | None] = []

    def apply_jvp(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Outputs and their tangents."""
        outs, residuals = self.linearize(*primals)
        given = [tangent_array(t) for t in tangents]
        if self.cotangent is None:
            found = self.tangent(residuals, *given)
        else:
            found = linear_call(self.tangent, self.cotangent, residuals, given)
        return outs, [
            _converted(self.name, "tangent", t, aval_of(x))
            if dtypes.is_inexact(aval_of(x).dtype)
            else Zero(aval_of(x))
            for x, t in zip(outs, found, strict=True)
        ]

    def batch(self, ctx: Any, dims: Dims) -> "Rule":
        """The rule of the mapped function."""
        residual_dims: list[int | None] = []

        def call(*args: Any) -> list[Any]:
            if self.batch_call is None or all(d is None for d in dims):
                outs, batched.out_dims = map_flat(ctx, self.call, args, dims)
                return outs
            full = [x if d is None else moveaxis(x, d, 0) for x, d in zip(args, dims, strict=True)]
            outs, mapped = self.batch_call(ctx.size, [d is not None for d in dims], full)
            batched.out_dims = [0] * len(outs)
            return [ctx.to_front(x, 0 if m else None) for x, m in zip(outs, mapped, strict=True)]

        def linearize(*args: Any) -> tuple[list[Any], list[Any]]:
            outs, batched.out_dims, residuals, residual_dims[:] = map_with_residuals(
                ctx, self.linearize, args, dims
            )
            return outs, residuals

        def tangent(residuals: Sequence[Any], *tangents: Any) -> list[Any]:
            count = len(residuals)
            values, places = ctx.flat(
                lambda *xs: self.tangent(xs[:count], *xs[count:]),
                [*residuals, *tangents],
                [*residual_dims, *dims],
            )
            return [
                x if wanted is None else ctx.to_front(x, d)
                for x, d, wanted in zip(values, places, batched.out_dims, strict=True)
            ]

        def cotangent(residuals: list[Any], cts: list[Any]) -> list[Any]:
            assert self.cotangent is not None
            return map_pullback(
                ctx, self.cotangent, residuals, residual_dims, cts, batched.out_dims, dims
            )

        pulls = None if self.cotangent is None else cotangent
        batched = Rule(self.name, call, linearize, tangent, pulls)
        return batched

    def stage(self, trace: StagingTrace, args: Sequence[Any]) -> list[Any]:
        """One equation that stands for the call."""
        closed = stage_out(self.call, [aval_of(x) for x in args])
        inner, consts = hoist(closed)
        params = {"call_jaxpr": inner, "rule": self, "num_consts": len(consts)}
        return trace.process(custom_rule_call_p, [*consts, *args], params)


# --- the call, as an equation -----------------------------------------------------------------

custom_rule_call_p = Primitive("custom_rule_call", multiple_results=True)


def _call_jvp(
    ctx: Any, primals: Any, tangents: Any, *, rule: Rule, num_consts: int, **_: Any
) -> Any:
    return rule.apply_jvp(primals[num_consts:], tangents[num_consts:])


def _call_batch(
    ctx: Any, args: Any, dims: Any, *, call_jaxpr: ClosedJaxpr, rule: Rule, num_consts: int
) -> Any:
    args, dims = mapped_in_front(ctx, args, dims, num_consts)
    batched = rule.batch(ctx, dims[num_consts:])
    if rule.batch_call is None:
        inner, _ = ctx.jaxpr(call_jaxpr, [d is not None for d in dims], True)
        outs = custom_rule_call_p.bind(*args, call_jaxpr=inner, rule=batched, num_consts=num_consts)
        return outs, [0] * len(outs)
    outs = current_trace.get().process_custom_jvp(batched, args[num_consts:])
    return outs, [0] * len(outs)


define(
    custom_rule_call_p,
    abstract=call_abstract,
    impl=call_impl,
    jvp=_call_jvp,
    transpose=call_transpose,
    batch=_call_batch,
    effects=lambda *, call_jaxpr, **_: call_jaxpr.effects,
)
