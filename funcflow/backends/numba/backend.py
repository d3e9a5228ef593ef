"""The CPU backend: a jaxpr becomes a program, and a program one native call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial

from funcflow.backends.families import LOWERINGS as FAMILIES
from funcflow.backends.lower import lower_program
from funcflow.backends.numba import (
    blas,
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
from funcflow.backends.numba.runner import DEFAULT_MODE, Mode
from funcflow.backends.passes.carries import Carry, alike_in_place, in_place
from funcflow.backends.passes.loop_slices import loop_slices
from funcflow.backends.passes.memory import is_copy, plan_memory, without_idle_copies
from funcflow.backends.passes.row_blocks import by_row_blocks
from funcflow.backends.pipeline import lower, prepare, prepared
from funcflow.backends.planner import Lowering
from funcflow.backends.program import HostCall, Program, Routine, Step
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
    program = program_of(jaxpr, _begin)
    mode = Mode(config.flush_denormals, config.parallel)
    return _executable(replace(program, steps=_awakened(program.steps)), mode)


def _awakened(steps: Sequence[Step]) -> list[Step]:
    """The steps, of which those behind the first parallel one find its threads awake."""
    first = next((i for i, s in enumerate(steps) if s.extent >= 2 * s.grain > 0), len(steps))
    return [*steps[: first + 1], *map(_for_awake_threads, steps[first + 1 :])]


def _for_awake_threads(step: Step) -> Step:
    """A step for threads that are awake, for which less work is worth while.

    They wait actively for some time after their work. To hand a part over then takes 2 us: a tenth
    of what a product is that is worth waking a thread, and half of what another step is. The parts
    of large stacks are not for their work's sake, but few.
    """
    if step.extent > blas.MOST_PARTS and isinstance(step.work, Routine):
        return step
    fraction = 4 if isinstance(step.work, Routine) else 2
    return replace(step, grain=-(-step.grain // fraction))


@lru_cache(maxsize=1024)
def _compiled_body(
    jaxpr: ClosedJaxpr, carries: tuple[Carry, ...] = (), mode: Mode = DEFAULT_MODE
) -> Executable:
    """The body of a loop or a branch, which may run again and again, and what it carries.

    In native code it takes subnormal numbers for what its caller does.
    """
    return _compiled_steps(in_place(_body_program(jaxpr, carries), carries), mode)


@lru_cache(maxsize=1024)
def _compiled_branches(branches: tuple[ClosedJaxpr, ...]) -> list[Executable]:
    """The branches of a condition, any one of which may run."""
    return [*map(_compiled_steps, alike_in_place([*map(_body_program, branches)]))]


def _compiled_steps(program: Program, mode: Mode = DEFAULT_MODE) -> Executable:
    """The steps of a body. In a loop threads are awake."""
    return _executable(replace(program, steps=[*map(_for_awake_threads, program.steps)]), mode)


@lru_cache(maxsize=1024)
def _compiled_blocks(
    jaxpr: ClosedJaxpr, carries: tuple[Carry, ...], length: int
) -> Executable | None:
    """The body of a scan, to be run for blocks of rows, if that is possible and pays."""
    carried = [carry.argument for carry in carries]
    program = by_row_blocks(_body_program(jaxpr, carries), carried, length, _begin)
    return None if program is None else _executable(in_place(program, carries))


@lru_cache(maxsize=1024)
def _body_program(jaxpr: ClosedJaxpr, carries: tuple[Carry, ...] = ()) -> Program:
    return lower_program(loop_slices(prepared(jaxpr), carries), LOWERINGS, _begin)


def _executable(program: Program, mode: Mode = DEFAULT_MODE) -> Executable:
    arena, compile_body = plan_memory(program), partial(_compiled_body, mode=mode)
    return Executable(without_idle_copies(program, arena), arena, compile_body, mode)


def _begin(step: Step) -> None:
    """Compile a step's function beside what follows; a copy may yet turn out to be idle."""
    if not isinstance(step.work, HostCall) and not is_copy(step):
        store().request(step.work)


LOWERINGS: Mapping[Primitive, Lowering] = {
    **FAMILIES,
    **control.lowerings(_compiled_body, _compiled_blocks, _compiled_branches),
    **tape.lowerings(_compiled_body, _executable),
    **convolution.LOWERINGS,
    **dot.LOWERINGS,
    **index_check.LOWERINGS,
    **pooling.LOWERINGS,
    **progress.LOWERINGS,
    **user_kernels.LOWERINGS,
}
