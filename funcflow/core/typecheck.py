"""The rules that every jaxpr obeys, checked.

A variable is assigned once and used after its assignment; each equation has the types and effects
that its primitive's rules give for its arguments; the same holds for the jaxprs among parameters.
"""

from collections.abc import Iterator, Sequence

from funcflow.core import rules
from funcflow.core.array import aval_of
from funcflow.core.aval import ShapedArray
from funcflow.core.axes import Axis, bind_axis
from funcflow.core.errors import FuncflowError, JaxprTypeError
from funcflow.core.jaxpr import NO_EFFECTS, Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.pprint import equation_texts
from funcflow.core.source import at_source
from funcflow.core.typing import is_tuple


def check_jaxpr(jaxpr: Jaxpr | ClosedJaxpr) -> None:
    """Refuse a jaxpr that breaks the rules of its type system.

    Raises:
        JaxprTypeError: naming the equation and the user's line that it comes from.
    """
    inner = jaxpr
    if isinstance(jaxpr, ClosedJaxpr):
        inner = jaxpr.jaxpr
        _check_constants(jaxpr)
    assert isinstance(inner, Jaxpr)
    defined: set[Var] = set()
    try:
        _define(defined, (*inner.constvars, *inner.invars))
    except _Broken as broken:
        raise JaxprTypeError(f"check_jaxpr: the arguments of the jaxpr: {broken}") from None
    for number, eqn in enumerate(inner.eqns):
        try:
            _check_equation(defined, eqn)
        except (_Broken, FuncflowError) as error:
            raise _equation_error(inner, number, error) from error
    try:
        _use(defined, inner.outvars)
    except _Broken as broken:
        raise JaxprTypeError(f"check_jaxpr: the results of the jaxpr: {broken}") from None
    effects = frozenset[str]().union(*(eqn.effects for eqn in inner.eqns))
    if inner.effects != effects:
        raise JaxprTypeError(
            f"check_jaxpr: the jaxpr claims the effects {sorted(inner.effects)}, "
            f"its equations have {sorted(effects)}"
        )


class _Broken(Exception):
    """What is wrong; the caller adds where."""


def _equation_error(jaxpr: Jaxpr, number: int, error: Exception) -> JaxprTypeError:
    with at_source(jaxpr.eqns[number].source):
        text = equation_texts(jaxpr)[number]
        return JaxprTypeError(
            f"check_jaxpr: equation {number}, `{text}`: {error}",
            mend="correct the rule of the primitive, or the text the jaxpr was read from",
        )


def _check_constants(closed: ClosedJaxpr) -> None:
    variables, values = closed.jaxpr.constvars, closed.consts
    if len(variables) != len(values):
        raise JaxprTypeError(f"check_jaxpr: {len(variables)} constants have {len(values)} values")
    for var, value in zip(variables, values, strict=True):
        if aval_of(value) != var.aval:
            raise JaxprTypeError(
                f"check_jaxpr: a constant of type {_show([var.aval])} "
                f"has a value of type {_show([aval_of(value)])}"
            )


def _check_equation(defined: set[Var], eqn: JaxprEqn) -> None:
    _use(defined, eqn.invars)
    # a mapped function's jaxpr may use the axis that its equation names
    with bind_axis(eqn.params.get("axis_name"), Axis(eqn.params.get("size", 0))):
        for inner in _inner_jaxprs(eqn):
            check_jaxpr(inner)
    primitive = eqn.primitive
    avals = rules.abstract[primitive](*[v.aval for v in eqn.invars], **eqn.params)
    expected = list(avals) if primitive.multiple_results else [avals]
    written = [v.aval for v in eqn.outvars]
    if expected != written:
        raise _Broken(
            f"the results have the types {_show(written)}, "
            f"the rule of {primitive.name} gives {_show(expected)}"
        )
    rule = rules.effects.get(primitive)
    effects = NO_EFFECTS if rule is None else rule(**eqn.params)
    if eqn.effects != effects:
        raise _Broken(
            f"the effects are {sorted(eqn.effects)}, "
            f"the rule of {primitive.name} gives {sorted(effects)}"
        )
    _define(defined, eqn.outvars)


def _inner_jaxprs(eqn: JaxprEqn) -> Iterator[Jaxpr | ClosedJaxpr]:
    for value in eqn.params.values():
        for item in value if is_tuple(value) else (value,):
            if isinstance(item, Jaxpr | ClosedJaxpr):
                yield item


def _use(defined: set[Var], atoms: Sequence[Atom]) -> None:
    for v in atoms:
        if isinstance(v, Literal):
            if (v.val.shape, v.val.dtype) != (v.aval.shape, v.aval.dtype) or v.aval.shape:
                raise _Broken(f"a literal of type {v.aval} holds {v.val!r}")
        elif v not in defined:
            raise _Broken(f"a variable of type {_show([v.aval])} is used before its assignment")


def _define(defined: set[Var], variables: Sequence[Var]) -> None:
    for var in variables:
        if var in defined:
            raise _Broken(f"a variable of type {_show([var.aval])} is assigned twice")
        defined.add(var)


def _show(avals: Sequence[ShapedArray]) -> str:
    return ", ".join(f"{a}*" if a.weak_type else str(a) for a in avals) or "none"
