"""The CPU backend: a jaxpr becomes a program, and a program one native call."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache, partial

from funcflow.backends.families import LOWERINGS as FAMILIES
from funcflow.backends.lower import lower_program
from funcflow.backends.numba import (
    control,
    convolution,
    dot,
    index_check,
    pooling,
    progress,
    tape,
    user_kernels,
)
from funcflow.backends.numba.executable import Executable
from funcflow.backends.numba.kernels import store
from funcflow.backends.passes.memory import is_copy, plan_memory, without_idle_copies
from funcflow.backends.passes.row_blocks import by_row_blocks
from funcflow.backends.pipeline import lower, prepare
from funcflow.backends.planner import Lowering
from funcflow.backends.program import HostCall, Program, Step
from funcflow.core.config import config
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive


class CpuBackend:
    """Compiles for the processor."""

    name = "cpu"

    def lower(self, jaxpr: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
        return lower(jaxpr)

    def compile(self, jaxpr: ClosedJaxpr) -> Executable:
        return compiled(jaxpr)

    def kernels_compiled(self) -> int:
        return store().compiled


def program_of(jaxpr: ClosedJaxpr, begin: Callable[[Step], None] | None = None) -> Program:
    """The steps of a jaxpr; `begin` is called with each as soon as it is known."""
    *_, prepared = prepare(jaxpr).values()
    return lower_program(prepared, LOWERINGS, begin)


def compiled(jaxpr: ClosedJaxpr) -> Executable:
    """The executable of a jaxpr, under the settings in force."""
    return _executable(program_of(jaxpr, _begin), config.flush_denormals)


@lru_cache(maxsize=1024)
def _compiled_body(jaxpr: ClosedJaxpr, flush: bool = False) -> Executable:
    """The body of a loop or a branch, which may run again and again.

    In native code it takes subnormal numbers for what its caller does.

    Threads wait actively for a while after their work, so in a loop they are awake: half as much
    work as elsewhere is worth one.
    """
    program = _body_program(jaxpr)
    steps = [replace(step, grain=-(-step.grain // 2)) for step in program.steps]
    return _executable(replace(program, steps=steps), flush)


@lru_cache(maxsize=1024)
def _compiled_blocks(
    jaxpr: ClosedJaxpr, consts: int, carries: int, length: int
) -> Executable | None:
    """The body of a scan, to be run for blocks of rows, if that is possible and pays."""
    carried = range(consts, consts + carries)
    program = by_row_blocks(_body_program(jaxpr), carried, length, _begin)
    return None if program is None else _executable(program)


@lru_cache(maxsize=1024)
def _body_program(jaxpr: ClosedJaxpr) -> Program:
    return program_of(jaxpr, _begin)


def _executable(program: Program, flush: bool = False) -> Executable:
    arena, compile_body = plan_memory(program), partial(_compiled_body, flush=flush)
    return Executable(without_idle_copies(program, arena), arena, compile_body, flush)


def _begin(step: Step) -> None:
    """Compile a step's function beside what follows; a copy may yet turn out to be idle."""
    if not isinstance(step.work, HostCall) and not is_copy(step):
        store().request(step.work)


LOWERINGS: Mapping[Primitive, Lowering] = {
    **FAMILIES,
    **control.lowerings(_compiled_body, _compiled_blocks),
    **tape.lowerings(_compiled_body, _executable),
    **convolution.LOWERINGS,
    **dot.LOWERINGS,
    **index_check.LOWERINGS,
    **pooling.LOWERINGS,
    **progress.LOWERINGS,
    **user_kernels.LOWERINGS,
}
