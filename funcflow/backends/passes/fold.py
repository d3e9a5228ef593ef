"""Constant folding, and the algebra that is exact.

Differentiation leaves products with 1 and scalars computed from scalars behind. They are folded
here, but only where the result is the same to the last bit for every input: `x * 1` is `x` also
for NaN, infinities and -0.0, but `x * 0` is not 0, and `x + 0.0` turns -0.0 into 0.0.
"""

from collections.abc import Callable

import numpy as np

from funcflow.core import dtypes, rules
from funcflow.core.interpret import BufferProgram
from funcflow.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, subjaxprs
from funcflow.core.primitive import Primitive
from funcflow.lax.arithmetic import add_p, div_p, integer_pow_p, mul_p, sub_p

# What an equation is equal to, or None.
Identity = Callable[[JaxprEqn], Atom | None]


def fold(closed: ClosedJaxpr) -> ClosedJaxpr:
    """The same jaxpr without equations that only repeat an operand or compute a known scalar."""
    jaxpr = closed.jaxpr
    known: dict[Var, Atom] = {}

    def read(v: Atom) -> Atom:
        return known.get(v, v) if isinstance(v, Var) else v

    eqns: list[JaxprEqn] = []
    for eqn in jaxpr.eqns:
        if known and any(read(v) is not v for v in eqn.invars):
            eqn = eqn.replace(invars=[read(v) for v in eqn.invars])
        found = folded(eqn)
        if found is None:
            eqns.append(eqn)
        else:
            known[eqn.outvars[0]] = found
    outvars = [read(v) for v in jaxpr.outvars]
    return ClosedJaxpr(jaxpr.replace(eqns=eqns, outvars=outvars), closed.consts)


def folded(eqn: JaxprEqn) -> Atom | None:
    """What an equation is equal to, if it only repeats an operand or computes a known scalar."""
    if eqn.effects or eqn.primitive.multiple_results:
        return None
    identity = _IDENTITIES.get(eqn.primitive)
    same = identity(eqn) if identity is not None else None
    if same is not None and same.aval == eqn.outvars[0].aval:
        return same
    return _computed(eqn)


def _computed(eqn: JaxprEqn) -> Literal | None:
    """The scalar that an equation of literals gives."""
    (out,) = eqn.outvars
    if out.aval.shape or not eqn.invars or not all(isinstance(v, Literal) for v in eqn.invars):
        return None
    if subjaxprs(eqn) or isinstance(rules.impl[eqn.primitive], rules.Absent):
        return None
    program = BufferProgram(ClosedJaxpr(Jaxpr((), (), (out,), (eqn,))))
    return Literal(np.asarray(program(())[0]), out.aval)


def _is(v: Atom, value: int, *, negative_zero: bool = False) -> bool:
    """Whether an atom is the literal `value`, of the given sign if it is a floating zero."""
    if not isinstance(v, Literal) or v.val != value:
        return False
    if value or not dtypes.is_inexact(v.aval.dtype):
        return True
    return not dtypes.is_complex(v.aval.dtype) and bool(np.signbit(v.val)) == negative_zero


def _times_one(eqn: JaxprEqn) -> Atom | None:
    x, y = eqn.invars
    if dtypes.is_complex(eqn.outvars[0].aval.dtype):
        return None  # (inf + 0i) * (1 + 0i) has a NaN
    return x if _is(y, 1) else y if _is(x, 1) else None


def _over_one(eqn: JaxprEqn) -> Atom | None:
    x, y = eqn.invars
    return x if _is(y, 1) and not dtypes.is_complex(x.aval.dtype) else None


def _plus_zero(eqn: JaxprEqn) -> Atom | None:
    x, y = eqn.invars
    return x if _is(y, 0, negative_zero=True) else y if _is(x, 0, negative_zero=True) else None


def _minus_zero(eqn: JaxprEqn) -> Atom | None:
    x, y = eqn.invars
    return x if _is(y, 0) else None


def _first_power(eqn: JaxprEqn) -> Atom | None:
    return eqn.invars[0] if eqn.params["y"] == 1 else None


_IDENTITIES: dict[Primitive, Identity] = {
    mul_p: _times_one,
    div_p: _over_one,
    add_p: _plus_zero,
    sub_p: _minus_zero,
    integer_pow_p: _first_power,
}
