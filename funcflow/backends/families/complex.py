"""Complex numbers and their parts, which are views of the same memory as real numbers."""

from collections.abc import Mapping

from funcflow.backends.planner import Lowering, Planner
from funcflow.core.jaxpr import JaxprEqn, Var
from funcflow.core.primitive import Primitive
from funcflow.lax.complex import complex_p, imag_p, real_p


def lower_real(plan: Planner, eqn: JaxprEqn) -> None:
    """A view."""
    plan.views[eqn.outvars[0]] = plan.operand(eqn.invars[0]).half(0)


def lower_imag(plan: Planner, eqn: JaxprEqn) -> None:
    """A view."""
    plan.views[eqn.outvars[0]] = plan.operand(eqn.invars[0]).half(1)


def lower_complex(plan: Planner, eqn: JaxprEqn) -> None:
    """Parts that do not lie in the result yet are copied there."""
    (out,) = eqn.outvars
    result = plan.views[out] if out in plan.views else plan.result(out)
    for number, v in enumerate(eqn.invars):
        part = result.half(number)
        lies_there = isinstance(v, Var) and plan.views.get(v) == part
        if result.size and not lies_there:
            plan.store(v, part, eqn)


LOWERINGS: Mapping[Primitive, Lowering] = {
    complex_p: lower_complex,
    imag_p: lower_imag,
    real_p: lower_real,
}
