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
from funcflow.core.rewrite import hoist
from funcflow.core.rules import Absent
from funcflow.core.source import at_source, set_source
from funcflow.core.staging import stage_out
from funcflow.core.trace import current_trace
from funcflow.core.tracebacks import hides_internal_frames
from funcflow.lax.casting import convert_element_type
from funcflow.lax.forms import add_p
from funcflow.lax.shape import instantiate
from funcflow.lax.silent import silent
from funcflow.transforms.masking import (
    Mask,
    cleared,
    common,
    either,
    harmless_factors,
    masks_of_inputs,
)
from funcflow.transforms.notes import of_transpose


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
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    args: Sequence[Any],
    cotangents: Sequence[Any],
) -> list[Any]:
    """Cotangents of the arguments that are `UndefinedPrimal`; None for the others.

    Equations that depend on no linear argument are evaluated; the others are transposed, last
    first.
    """
    return masked_backward(jaxpr, consts, args, cotangents, [None] * len(cotangents))[0]


def masked_backward(
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    args: Sequence[Any],
    cotangents: Sequence[Any],
    masks: Sequence[Mask | None],
) -> tuple[list[Any], list[Mask | None]]:
    """`backward` of cotangents that have masks (see `masking`), and the masks of the results."""
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

        accumulated = _Accumulator(linear)
        for v, ct, mask in zip(jaxpr.outvars, cotangents, masks, strict=True):
            accumulated.add(v, ct, mask)
        for eqn in reversed(to_transpose):
            cts = [accumulated.cts.pop(v, None) for v in eqn.outvars]
            if any(ct is not None for ct in cts):
                set_source(of_transpose(eqn.source))
                _transpose_equation(eqn, cts, env, accumulated)
    results = [accumulated.cts.get(v, Zero(v.aval)) if v in linear else None for v in jaxpr.invars]
    return results, [accumulated.masks.get(v) for v in jaxpr.invars]


def _read(env: dict[Var, Any], v: Atom) -> Any:
    return v.value if isinstance(v, Literal) else env[v]


class _Accumulator:
    """The cotangents of linear variables so far, and the masks of those that have one."""

    def __init__(self, linear: set[Var]) -> None:
        self.linear = linear
        self.cts: dict[Var, Any] = {}
        self.masks: dict[Var, Mask | None] = {}

    def add(self, v: Atom, ct: Any, mask: Mask | None) -> None:
        """Add a contribution; the sum is masked where all contributions are."""
        if ct is None or type(ct) is Zero or v not in self.linear:
            return
        assert isinstance(v, Var)
        known = self.cts.get(v)
        if known is None:
            self.cts[v], self.masks[v] = ct, mask
        else:
            self.cts[v] = add_p.bind(known, ct)
            self.masks[v] = either(self.masks[v], mask)


def _transpose_equation(
    eqn: JaxprEqn, cts: list[Any], env: dict[Var, Any], accumulated: _Accumulator
) -> None:
    linear = accumulated.linear
    full = [Zero(v.aval) if ct is None else ct for v, ct in zip(eqn.outvars, cts, strict=True)]
    ins = [UndefinedPrimal(v.aval) if v in linear else _read(env, v) for v in eqn.invars]
    out_masks = [accumulated.masks.pop(v, None) for v in eqn.outvars]
    if rules.transpose[eqn.primitive] is rules.CALLS:
        results, masks = _transpose_call(eqn, full, ins, out_masks)
    else:
        mask = common([m for m, ct in zip(out_masks, cts, strict=True) if ct is not None])
        results, masks = _apply_rule(eqn, full, ins, mask), masks_of_inputs(eqn, ins, mask)
    for v, result, input_mask in zip(eqn.invars, results, masks, strict=True):
        accumulated.add(v, result, input_mask)


def _apply_rule(eqn: JaxprEqn, full: list[Any], ins: list[Any], mask: Mask | None) -> Sequence[Any]:
    rule = rules.transpose[eqn.primitive]
    if isinstance(rule, Absent):
        raise not_linear(eqn, "linear in its arguments")
    several = eqn.primitive.multiple_results
    ct = full if several else full[0]
    try:
        results = rule(TRANSPOSE, ct, *harmless_factors(eqn, ins, mask), **eqn.params)
    except LeafTypeError as error:  # the rule needs the value of a linear input
        raise not_linear(eqn, "jointly linear in these arguments") from error
    return [cleared(result, mask) for result in results] if several else results


def _transpose_call(
    eqn: JaxprEqn, full: list[Any], ins: list[Any], out_masks: list[Mask | None]
) -> tuple[list[Any], list[Mask | None]]:
    """Call the transposed jaxpr; masks go in and come out as further values."""
    closed: ClosedJaxpr = eqn.params["jaxpr"]
    known = [x for x in ins if not is_undefined(x)]
    given = [ct for ct in full if type(ct) is not Zero]
    mask_args = [m.array() for m in out_masks if m is not None]
    found: list[tuple[bool, Mask | None]] = []

    def function(*args: Any) -> list[Any]:
        values = iter(args)
        inner_ins = [x if is_undefined(x) else next(values) for x in ins]
        inner_cts = [ct if type(ct) is Zero else next(values) for ct in full]
        inner_masks = [m and m.with_values(next(values)) for m in out_masks]
        cts, masks = masked_backward(closed.jaxpr, closed.consts, inner_ins, inner_cts, inner_masks)
        found[:] = [
            (ct is not None and type(ct) is not Zero, m) for ct, m in zip(cts, masks, strict=True)
        ]
        outs = [ct for ct, (nonzero, _) in zip(cts, found, strict=True) if nonzero]
        return outs + [m.array() for nonzero, m in found if nonzero and m is not None]

    args = [*known, *given, *mask_args]
    inner, consts = hoist(stage_out(function, [aval_of(x) for x in args]))
    outs = iter(eqn.primitive.bind(*consts, *args, **{**eqn.params, "jaxpr": inner}))
    results = [
        next(outs) if nonzero else Zero(x.aval) if is_undefined(x) else None
        for x, (nonzero, _) in zip(ins, found, strict=True)
    ]
    masks = [
        m.with_values(next(outs)) if nonzero and m is not None else None for nonzero, m in found
    ]
    return results, masks


def not_linear(eqn: JaxprEqn, what: str) -> NotDifferentiableError:
    """The error for an equation that cannot be transposed."""
    return NotDifferentiableError(
        f"{eqn.primitive.name} is not {what}, so it has no transpose",
        mend="linear_transpose takes linear functions only",
    )


@hides_internal_frames
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
    # there is no forward pass that could print
    closed = silent(stage_out(flat, [aval_of(x) for x in leaves]))
    args = [UndefinedPrimal(a) for a in closed.in_avals]

    @hides_internal_frames
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
