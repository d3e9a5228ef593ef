"""What a loop need not save for its reverse, since it is cheap to compute again."""

from collections.abc import Iterable, Sequence

from funcflow.core.jaxpr import Atom, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.rewrite import dce, used_inputs
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
from funcflow.lax.rounding import is_finite_p

# An operation of these costs less than to write its result into memory and to read it again.
CHEAP = frozenset(
    [
        *(neg_p, abs_p, sign_p, add_p, sub_p, mul_p, square_p, integer_pow_p, max_p, min_p),
        *(eq_p, ne_p, lt_p, le_p, gt_p, ge_p, and_p, or_p, not_p),
        *(select_n_p, clamp_p, is_finite_p, convert_element_type_p),
    ]
)


def recomputation(body: Jaxpr, residuals: Sequence[Atom], given: Iterable[Var]) -> Jaxpr:
    """The jaxpr that gets residuals from what must be saved of them.

    A residual is computed again if that takes only cheap operations on other residuals and on
    values that are `given` anyway. The arguments of the result are variables of `body`.
    """
    needed = {v for v in residuals if isinstance(v, Var)}
    known = dict.fromkeys([*given, *(v for v in body.invars if v in needed)])
    sources, again = list(known), list[JaxprEqn]()
    for eqn in body.eqns:
        if eqn.primitive in CHEAP and all(isinstance(v, Literal) or v in known for v in eqn.invars):
            again.append(eqn)
            known |= dict.fromkeys(eqn.outvars)
            continue
        saved = [v for v in eqn.outvars if v in needed and v not in known]
        known |= dict.fromkeys(saved)
        sources += saved
    jaxpr = dce(Jaxpr((), sources, residuals, again))
    used = used_inputs(jaxpr)
    return jaxpr.replace(invars=[v for v, u in zip(sources, used, strict=True) if u])
