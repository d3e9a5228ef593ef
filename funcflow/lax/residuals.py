"""What a loop need not save for its reverse, since it is cheap to compute again."""

from collections.abc import Container, Iterable, Sequence
from typing import Any

from funcflow.core.evaluate import eval_closed, eval_jaxpr
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.rewrite import dce, used_inputs
from funcflow.core.staging import stage_out
from funcflow.lax.arithmetic import (
    abs_p,
    add_p,
    integer_pow_p,
    max_p,
    min_p,
    mul_p,
    neg_p,
    sign_p,
    square_p,
    sub_p,
)
from funcflow.lax.bitwise import and_p, not_p, or_p
from funcflow.lax.casting import convert_element_type_p
from funcflow.lax.comparison import clamp_p, eq_p, ge_p, gt_p, le_p, lt_p, ne_p, select_n_p
from funcflow.lax.joining import concatenate_p, split_p
from funcflow.lax.rounding import is_finite_p
from funcflow.lax.shape import broadcast_in_dim_p, reshape_p, transpose_p
from funcflow.lax.slicing import rev_p, slice_p

# An operation of these costs less than to write its result into memory and to read it again.
CHEAP = frozenset(
    [
        *(neg_p, abs_p, sign_p, add_p, sub_p, mul_p, square_p, integer_pow_p, max_p, min_p),
        *(eq_p, ne_p, lt_p, le_p, gt_p, ge_p, and_p, or_p, not_p),
        *(select_n_p, clamp_p, is_finite_p, convert_element_type_p),
        *(reshape_p, broadcast_in_dim_p, transpose_p, slice_p, rev_p, concatenate_p, split_p),
    ]
)


def recomputation(body: Jaxpr, residuals: Sequence[Atom], given: Iterable[Var]) -> Jaxpr:
    """The jaxpr that gets residuals from what must be saved of them.

    A residual is computed again if that takes only cheap operations on other residuals and on
    values that are `given` anyway. The loop's state may be saved in their place, if that is less.
    The arguments of the result are variables of `body`.
    """
    known, needed = dict.fromkeys(given), {v for v in residuals if isinstance(v, Var)}
    choices = [_again(body, residuals, known, saved) for saved in (needed, {*body.invars})]

    def saved_bytes(again: Jaxpr) -> int:
        return sum(v.aval.size * v.aval.dtype.itemsize for v in again.invars if v not in known)

    return min(choices, key=saved_bytes)


def _again(
    body: Jaxpr, residuals: Sequence[Atom], given: Iterable[Var], saved: Container[Var]
) -> Jaxpr:
    """The same where of the arguments of the body those in `saved` may be."""
    needed = {v for v in residuals if isinstance(v, Var)}
    known = dict.fromkeys([*given, *(v for v in body.invars if v in saved)])
    sources, again = list(known), list[JaxprEqn]()
    for eqn in body.eqns:
        if eqn.primitive in CHEAP and all(isinstance(v, Literal) or v in known for v in eqn.invars):
            again.append(eqn)
            known |= dict.fromkeys(eqn.outvars)
            continue
        kept = [v for v in eqn.outvars if v in needed and v not in known]
        known |= dict.fromkeys(kept)
        sources += kept
    jaxpr = dce(Jaxpr((), sources, residuals, again))
    used = used_inputs(jaxpr)
    return jaxpr.replace(invars=[v for v, u in zip(sources, used, strict=True) if u])


def composed(first: Jaxpr, then: ClosedJaxpr) -> ClosedJaxpr:
    """`then` with its first arguments computed by `first`."""
    given, count = len(first.invars), len(first.outvars)

    def both(*args: Any) -> list[Any]:
        return eval_closed(then, *eval_jaxpr(first, (), *args[:given]), *args[given:])

    return stage_out(both, [v.aval for v in first.invars] + then.in_avals[count:])
