"""The CPU backend: a jaxpr becomes a program, and a program one native call."""

from collections.abc import Mapping
from functools import lru_cache

from funcflow.backends.families import LOWERINGS as FAMILIES
from funcflow.backends.lower import lower_program
from funcflow.backends.numba import control, convolution, dot, pooling, user_kernels
from funcflow.backends.numba.executable import Executable
from funcflow.backends.passes.memory import plan_memory
from funcflow.backends.pipeline import lower, prepare
from funcflow.backends.planner import Lowering
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive


class CpuBackend:
    """Compiles for the processor."""

    name = "cpu"

    def lower(self, jaxpr: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
        return lower(jaxpr)

    def compile(self, jaxpr: ClosedJaxpr) -> Executable:
        return _compiled(jaxpr)


def _compiled(jaxpr: ClosedJaxpr) -> Executable:
    *_, prepared = prepare(jaxpr).values()
    program = lower_program(prepared, LOWERINGS)
    return Executable(program, plan_memory(program), _compiled_body)


# The bodies of loops and branches, which Python calls again and again.
_compiled_body = lru_cache(maxsize=1024)(_compiled)

LOWERINGS: Mapping[Primitive, Lowering] = {
    **FAMILIES,
    **control.lowerings(_compiled_body),
    **convolution.LOWERINGS,
    **dot.LOWERINGS,
    **pooling.LOWERINGS,
    **user_kernels.LOWERINGS,
}
