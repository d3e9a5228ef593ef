"""Parts of complex numbers: views of the same memory as real numbers."""

from collections.abc import Mapping
from dataclasses import replace

from funcflow.backends.families.nest import as_parts
from funcflow.backends.planner import Lowering, Planner
from funcflow.backends.program import View
from funcflow.core.jaxpr import JaxprEqn
from funcflow.core.primitive import Primitive
from funcflow.lax.complex import complex_p, imag_p, real_p


def part_of(view: View, number: int) -> View:
    """The real parts (0) or the imaginary ones (1) of complex numbers."""
    parts = as_parts(view)
    offset = parts.offset + number
    return replace(parts, shape=parts.shape[:-1], strides=parts.strides[:-1], offset=offset)


def lower_real(plan: Planner, eqn: JaxprEqn) -> None:
    """A view."""
    plan.views[eqn.outvars[0]] = part_of(plan.operand(eqn.invars[0]), 0)


def lower_imag(plan: Planner, eqn: JaxprEqn) -> None:
    """A view."""
    plan.views[eqn.outvars[0]] = part_of(plan.operand(eqn.invars[0]), 1)


def lower_complex(plan: Planner, eqn: JaxprEqn) -> None:
    """Both operands are copied to their parts of the result."""
    sources = [plan.operand(v) for v in eqn.invars]
    result = plan.result(eqn.outvars[0])
    for number, source in enumerate(sources):
        if source.size:
            plan.copy(source, part_of(result, number), (eqn,))


LOWERINGS: Mapping[Primitive, Lowering] = {
    complex_p: lower_complex,
    imag_p: lower_imag,
    real_p: lower_real,
}
