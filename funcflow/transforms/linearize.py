"""Linearisation and reverse mode.

A function is linearised by carrying tangents (`jvp`) that a `PartialEvalTrace` writes down: what
depends on primals only is computed at once, what depends on tangents becomes a linear jaxpr.
Reverse mode transposes that jaxpr.
"""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import as_array, aval_of
from funcflow.core.aval import ShapedArray, UndefinedPrimal, Zero
from funcflow.core.errors import NotDifferentiableError
from funcflow.core.evaluate import eval_jaxpr
from funcflow.core.flatten import FlatFunction, check_function, flatten_arguments, name_of
from funcflow.core.jaxpr import Jaxpr
from funcflow.core.pytree import PyTreeDef
from funcflow.core.registration import Partial
from funcflow.core.rewrite import dce
from funcflow.core.staging import PartialEvalTrace, StagedTracer
from funcflow.core.trace import current_trace, set_trace
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.transforms.jvp import (
    check_tangents,
    instantiate_tangent,
    jvp_flat,
    strip_aux,
    tangent_aval,
)
from funcflow.transforms.transpose import backward, check_cotangents


class Linearization:
    """A function's outputs at a point and its derivative there, as a linear jaxpr.

    The jaxpr's constvars stand for the residuals; its inputs are the tangents of the
    differentiable inputs, its outputs those of the outputs marked in `out_nonzero`.
    """

    __slots__ = ("in_avals", "jaxpr", "out_avals", "out_nonzero", "outs", "residuals")

    def __init__(
        self,
        outs: list[Any],
        jaxpr: Jaxpr,
        residuals: list[Any],
        in_avals: list[ShapedArray],
        out_nonzero: list[bool],
    ) -> None:
        self.outs = outs
        self.jaxpr = jaxpr
        self.residuals = residuals
        self.in_avals = in_avals
        self.out_nonzero = out_nonzero
        self.out_avals = [aval_of(x).strip_weak_type() for x in outs]

    def release(self) -> list[Any]:
        """The residuals, for a function that is handed them; no value is kept here."""
        residuals, self.residuals, self.outs = self.residuals, [], []
        return residuals


def linearize_flat(function: Callable[..., Sequence[Any]], primals: Sequence[Any]) -> Linearization:
    """Linearise a flat function in its floating-point and complex inputs."""
    trace = PartialEvalTrace(current_trace.get())
    in_avals = [aval_of(x) for x in primals]
    tangents = [
        trace.new_input(tangent_aval(a)) if dtypes.is_inexact(a.dtype) else Zero(a)
        for a in in_avals
    ]
    try:
        with set_trace(trace):
            outs, out_tangents = jvp_flat(function, primals, tangents)
        for out in outs:
            if isinstance(out, StagedTracer) and out.owner is trace:
                raise NotDifferentiableError(
                    "a custom derivative rule computes the function's value from its tangent",
                    mend="compute the primal output of the rule from the primals alone",
                )
        nonzero = [type(t) is not Zero for t in out_tangents]
        jaxpr, residuals = trace.finish(
            [t for t, nz in zip(out_tangents, nonzero, strict=True) if nz]
        )
    finally:
        trace.alive = False
    kept = dce(jaxpr)
    values = dict(zip(jaxpr.constvars, residuals, strict=True))
    return Linearization(outs, kept, [values[v] for v in kept.constvars], in_avals, nonzero)


def pull_back(
    linear: Linearization, residuals: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """Cotangents of the inputs: `Zero` where there is none."""
    args = [UndefinedPrimal(v.aval) for v in linear.jaxpr.invars]
    kept = [ct for ct, nz in zip(cotangents, linear.out_nonzero, strict=True) if nz]
    results = iter(backward(linear.jaxpr, residuals, args, kept))
    return [next(results) if dtypes.is_inexact(a.dtype) else Zero(a) for a in linear.in_avals]


def _linearized(
    transform: str, fun: Callable[..., Any], primals: tuple[Any, ...], has_aux: bool
) -> tuple[Linearization, FlatFunction, Any]:
    """`fun` linearised at the primals, what is known of it as a flat function, and its value."""
    check_function(transform, fun)
    leaves, in_tree = flatten_arguments(transform, primals, {})
    flat = FlatFunction(fun, in_tree, has_aux)
    linear = linearize_flat(flat, leaves)
    return linear, flat, flat.out_tree.unflatten([as_array(x) for x in linear.outs])


@hides_internal_frames
def linearize(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun` at `primals` and the linear function that maps tangents there.

    Cheaper than calling `jvp` repeatedly: what depends on the primals is computed once.

    Returns:
        `(out, f_jvp)`, and the auxiliary part if `has_aux`; `f_jvp(*tangents)` takes one tangent
        per argument.

    Example:
        >>> y, f_jvp = ff.linearize(fnp.sin, 0.0)
        >>> f_jvp(2.0)
        Array(2., dtype=float32)
    """
    linear, flat, out = _linearized("linearize", fun, primals, has_aux)
    pushforward = _Pushforward(linear, flat.in_tree, flat.out_tree, name_of(fun))
    f_jvp = Partial(pushforward, linear.release())
    return (out, f_jvp, strip_aux(flat.aux)) if has_aux else (out, f_jvp)


class _Pushforward:
    """The function `(residuals, *tangents) -> tangent of the output`."""

    def __init__(
        self, linear: Linearization, in_tree: PyTreeDef, out_tree: PyTreeDef, name: str
    ) -> None:
        self.linear = linear
        self.primals = in_tree.unflatten(linear.in_avals)[0]
        self.out_tree = out_tree
        self.name = name

    def __repr__(self) -> str:
        return f"<pushforward of {self.name}>"

    @hides_internal_frames
    def __call__(self, residuals: Sequence[Any], *tangents: Any) -> Any:
        linear = self.linear
        checked = check_tangents("f_jvp", self.primals, tangents)
        given = [t for t in checked if type(t) is not Zero]
        results = iter(eval_jaxpr(linear.jaxpr, residuals, *given))
        outs = [
            as_array(next(results)) if nz else instantiate_tangent(Zero(aval))
            for nz, aval in zip(linear.out_nonzero, linear.out_avals, strict=True)
        ]
        return self.out_tree.unflatten(outs)


@hides_internal_frames
def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `fun` at `primals` and the function that pulls cotangents back.

    Returns:
        `(out, f_vjp)`, and the auxiliary part if `has_aux`; `f_vjp(cotangent)` takes a value of
        the structure of `out` and returns a tuple with one entry per argument. Integer and
        boolean arguments get `float0` zeros. `f_vjp` is a pytree, so it can be returned from a
        jitted function.

    Raises:
        TreeStructureError, ShapeError: the cotangent does not match the output.

    Example:
        >>> y, f_vjp = ff.vjp(lambda x, y: x * y, 2.0, 3.0)
        >>> f_vjp(1.0)
        (Array(3., dtype=float32), Array(2., dtype=float32))
    """
    linear, flat, out = _linearized("vjp", fun, primals, has_aux)
    pullback = _Pullback(linear, flat.in_tree, flat.out_tree, name_of(fun))
    f_vjp = Partial(pullback, linear.release())
    return (out, f_vjp, strip_aux(flat.aux)) if has_aux else (out, f_vjp)


class _Pullback:
    """The function `(residuals, cotangent) -> cotangents of the arguments`."""

    def __init__(
        self, linear: Linearization, in_tree: PyTreeDef, out_tree: PyTreeDef, name: str
    ) -> None:
        self.linear = linear
        self.in_tree = in_tree
        self.out_tree = out_tree
        self.name = name

    def __repr__(self) -> str:
        return f"<pullback of {self.name}>"

    @hides_internal_frames
    def __call__(self, residuals: Sequence[Any], cotangent: Any) -> Any:
        cts = check_cotangents("f_vjp", self.out_tree, self.linear.out_avals, cotangent)
        results = [instantiate_tangent(ct) for ct in pull_back(self.linear, residuals, cts)]
        return self.in_tree.unflatten(results)[0]
