"""Transposition: run a linear jaxpr backwards, from cotangents of outputs to those of inputs."""

from collections.abc import Callable, Sequence
from typing import Any

from funcflow.core import dtypes, rules
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray, UndefinedPrimal, Zero, is_undefined
from funcflow.core.errors import (
    LeafTypeError,
    NotDifferentiableError,
    ShapeError,
    TreeStructureError,
)
from funcflow.core.flatten import FlatFunction
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.pytree import (
    PyTreeDef,
    keystr,
    structure_difference,
    tree_flatten,
    tree_flatten_with_path,
    tree_unflatten,
)
from funcflow.core.rules import Absent
from funcflow.core.source import at_source, set_source
from funcflow.core.staging import stage_out
from funcflow.core.trace import current_trace
from funcflow.lax.casting import convert_element_type
from funcflow.lax.forms import add_p
from funcflow.lax.shape import instantiate


class TransposeContext:
    """What a transpose rule is handed: transposition for the jaxprs among its parameters."""

    __slots__ = ()

    def jaxpr(
        self,
        closed: ClosedJaxpr,
        linear: Sequence[bool],
        nonzero: Sequence[bool],
        instantiate: bool = False,
    ) -> tuple[ClosedJaxpr, list[bool]]:
        """The jaxpr (nonlinear args, nonzero cotangents) -> nonzero cotangents of linear args.

        With `instantiate`, zero cotangents count as nonzero. Also returns, for each linear
        argument, whether its cotangent is among the results.
        """
        return transpose_jaxpr(closed, linear, nonzero, instantiate)


TRANSPOSE = TransposeContext()


def transpose_jaxpr(
    closed: ClosedJaxpr, linear: Sequence[bool], nonzero: Sequence[bool], force: bool
) -> tuple[ClosedJaxpr, list[bool]]:
    """See `TransposeContext.jaxpr`."""
    given = [a for a, is_linear in zip(closed.in_avals, linear, strict=True) if not is_linear]
    cotangents = [
        a.strip_weak_type() for a, nz in zip(closed.out_avals, nonzero, strict=True) if nz
    ]
    out_nonzero: list[bool] = []

    def function(*args: Any) -> list[Any]:
        known, cts = iter(args[: len(given)]), iter(args[len(given) :])
        ins = [
            UndefinedPrimal(a) if is_linear else next(known)
            for a, is_linear in zip(closed.in_avals, linear, strict=True)
        ]
        outs = [
            next(cts) if nz else Zero(a) for a, nz in zip(closed.out_avals, nonzero, strict=True)
        ]
        results = backward(closed.jaxpr, closed.consts, ins, outs)
        results = [ct for ct, is_linear in zip(results, linear, strict=True) if is_linear]
        if force:
            results = [instantiate(ct) for ct in results]
        out_nonzero[:] = [type(ct) is not Zero for ct in results]
        return [ct for ct in results if type(ct) is not Zero]

    return stage_out(function, [*given, *cotangents]), out_nonzero


def backward(
    jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """Cotangents of the arguments that are `UndefinedPrimal`; None for the others.

    Equations that depend on no linear argument are evaluated; the others are transposed, last
    first.
    """
    env: dict[Var, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
    linear = {v for v, x in zip(jaxpr.invars, args, strict=True) if is_undefined(x)}
    env.update((v, x) for v, x in zip(jaxpr.invars, args, strict=True) if v not in linear)
    trace = current_trace.get()
    to_transpose: list[JaxprEqn] = []
    with at_source(None):
        for eqn in jaxpr.eqns:
            if any(v in linear for v in eqn.invars):
                to_transpose.append(eqn)
                linear.update(eqn.outvars)
            else:
                set_source(eqn.source)
                out = trace.process(eqn.primitive, [_read(env, v) for v in eqn.invars], eqn.params)
                outs = out if eqn.primitive.multiple_results else [out]
                env.update(zip(eqn.outvars, outs, strict=True))

        accumulated: dict[Var, Any] = {}
        for v, ct in zip(jaxpr.outvars, cotangents, strict=True):
            _accumulate(accumulated, linear, v, ct)
        for eqn in reversed(to_transpose):
            cts = [accumulated.pop(v, None) for v in eqn.outvars]
            if all(ct is None for ct in cts):
                continue
            set_source(eqn.source)
            _transpose_equation(eqn, cts, env, linear, accumulated)
    return [accumulated.get(v, Zero(v.aval)) if v in linear else None for v in jaxpr.invars]


def _read(env: dict[Var, Any], v: Atom) -> Any:
    return v.value if isinstance(v, Literal) else env[v]


def _accumulate(accumulated: dict[Var, Any], linear: set[Var], v: Atom, ct: Any) -> None:
    if ct is None or type(ct) is Zero or v not in linear:
        return
    assert isinstance(v, Var)
    known = accumulated.get(v)
    accumulated[v] = ct if known is None else add_p.bind(known, ct)


def _transpose_equation(
    eqn: JaxprEqn,
    cts: list[Any],
    env: dict[Var, Any],
    linear: set[Var],
    accumulated: dict[Var, Any],
) -> None:
    rule = rules.transpose[eqn.primitive]
    if isinstance(rule, Absent):
        raise not_linear(eqn, "linear in its arguments")
    full = [Zero(v.aval) if ct is None else ct for v, ct in zip(eqn.outvars, cts, strict=True)]
    ins = [UndefinedPrimal(v.aval) if v in linear else _read(env, v) for v in eqn.invars]
    ct = full if eqn.primitive.multiple_results else full[0]
    try:
        results = rule(TRANSPOSE, ct, *ins, **eqn.params)
    except LeafTypeError as error:  # the rule needs the value of a linear input
        raise not_linear(eqn, "jointly linear in these arguments") from error
    for v, result in zip(eqn.invars, results, strict=True):
        _accumulate(accumulated, linear, v, result)


def not_linear(eqn: JaxprEqn, what: str) -> NotDifferentiableError:
    """The error for an equation that cannot be transposed."""
    return NotDifferentiableError(
        f"{eqn.primitive.name} is not {what}, so it has no transpose",
        mend="linear_transpose takes linear functions only",
    )


def linear_transpose(fun: Callable[..., Any], *primals: Any) -> Callable[[Any], tuple[Any, ...]]:
    """The transpose of a linear function: from cotangents of its output to those of its inputs.

    Args:
        fun: a function that is linear in all its arguments together.
        primals: arguments, or `ShapeDtypeStruct`s; only shapes and dtypes matter.

    Returns:
        A function of one value with the structure of `fun`'s result, which returns a tuple with
        one entry per argument.

    Raises:
        NotDifferentiableError: `fun` is not linear.

    Example:
        >>> ff.linear_transpose(lambda x: 3 * x, 1.0)(2.0)
        (Array(6., dtype=float32),)
    """
    leaves, in_tree = tree_flatten((primals, {}))
    flat = FlatFunction(fun, in_tree)
    closed = stage_out(flat, [aval_of(x) for x in leaves])
    args = [UndefinedPrimal(a) for a in closed.in_avals]

    def transposed(cotangent: Any) -> tuple[Any, ...]:
        cts = check_cotangents("linear_transpose", flat.out_tree, closed.out_avals, cotangent)
        results = [instantiate(ct) for ct in backward(closed.jaxpr, closed.consts, args, cts)]
        return tree_unflatten(in_tree, results)[0]

    return transposed


def check_cotangents(
    function: str, out_tree: PyTreeDef, out_avals: Sequence[ShapedArray], cotangent: Any
) -> list[Any]:
    """The cotangent's leaves, checked against the output's avals; `Zero` for integers."""
    cts, treedef = tree_flatten(cotangent)
    if treedef != out_tree:
        expected = out_tree.unflatten([0] * out_tree.num_leaves)
        raise TreeStructureError(
            f"{function}: the cotangent's structure differs from the output's "
            f"{structure_difference(expected, cotangent)}",
            mend="pass one cotangent per leaf of the output",
        )
    checked: list[Any] = []
    paths = [keystr(path) for path, _ in tree_flatten_with_path(cotangent)[0]]
    for path, ct, aval in zip(paths, cts, out_avals, strict=True):
        if not dtypes.is_inexact(aval.dtype):
            checked.append(Zero(aval))
            continue
        found = aval_of(ct)
        if found.shape != aval.shape or (found.dtype != aval.dtype and not found.weak_type):
            raise ShapeError(
                f"{function}: the argument cotangent{path} is {found}, the output is {aval}",
                mend="a cotangent has its output's shape and dtype",
            )
        checked.append(convert_element_type(ct, aval.dtype))
    return checked
