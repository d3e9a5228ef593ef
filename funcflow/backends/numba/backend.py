"""The CPU backend: a jaxpr becomes a program, and a program one native call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from funcflow.backends.explain import Explanation, donation_facts, explain, program_text
from funcflow.backends.families import LOWERINGS as FAMILIES
from funcflow.backends.lower import lower_program
from funcflow.backends.numba import control, convolution, dot, pooling, threads, user_kernels
from funcflow.backends.numba.executable import Executable
from funcflow.backends.numba.kernels import store
from funcflow.backends.numba.listing import kernels_text, llvm_text, source_text
from funcflow.backends.passes.fuse import Fusion
from funcflow.backends.passes.memory import is_copy, plan_memory, without_idle_copies
from funcflow.backends.pipeline import PASSES, lower, prepare
from funcflow.backends.planner import Lowering
from funcflow.backends.program import HostCall, Program, Step
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.primitive import Primitive


class CpuBackend:
    """Compiles for the processor."""

    name = "cpu"

    def lower(self, jaxpr: ClosedJaxpr) -> dict[str, ClosedJaxpr]:
        return lower(jaxpr)

    def compile(self, jaxpr: ClosedJaxpr) -> Executable:
        return _compiled(jaxpr)

    def texts(self, jaxpr: ClosedJaxpr) -> Mapping[str, Callable[[], str]]:
        stages = prepare(jaxpr)
        *_, prepared = stages.values()

        def show(text: Callable[[Program], str]) -> Callable[[], str]:
            return lambda: text(_program(jaxpr))

        # the passes that have run before run again, on calls that are inlined now
        passes = {f"{n} again" if n in PASSES else n: partial(str, j) for n, j in stages.items()}
        return {
            **passes,
            "fusion": lambda: str(Fusion(prepared.jaxpr)),
            "program": show(program_text),
            "kernels": show(kernels_text),
            "llvm": show(llvm_text),
            "source": show(source_text),
        }

    def explain(
        self,
        jaxpr: ClosedJaxpr,
        title: str,
        buffers: Sequence[Any] | None,
        donated: Mapping[int, str],
    ) -> Explanation:
        # compiled anew, since a program in the cache may have come from equal lines elsewhere
        compiled, loaded = store().compiled, store().loaded
        executable = _compiled(jaxpr)
        compiled, loaded = store().compiled - compiled, store().loaded - loaded
        facts = [
            ("threads", threads.serial_reason() or str(threads.thread_count())),
            ("native code", f"{compiled} compiled and {loaded} loaded now; the rest was known"),
            ("disk cache", store().disk.status.removeprefix("disk cache ")),
        ]
        given = donation_facts(executable.donations(list(donated)), donated)
        timings = executable.timings(buffers) if buffers is not None else None
        memory = executable.memory()
        return explain(executable.program, title, memory, timings, [*given, *facts])

    def kernels_compiled(self) -> int:
        return store().compiled


def _program(jaxpr: ClosedJaxpr, begin: Callable[[Step], None] | None = None) -> Program:
    *_, prepared = prepare(jaxpr).values()
    return lower_program(prepared, LOWERINGS, begin)


def _compiled(jaxpr: ClosedJaxpr) -> Executable:
    return _executable(_program(jaxpr, _begin))


@lru_cache(maxsize=1024)
def _compiled_body(jaxpr: ClosedJaxpr) -> Executable:
    """The body of a loop or a branch, which may run again and again.

    Threads wait actively for a while after their work, so in a loop they are awake: half as much
    work as elsewhere is worth one.
    """
    program = _program(jaxpr, _begin)
    steps = [replace(step, grain=-(-step.grain // 2)) for step in program.steps]
    return _executable(replace(program, steps=steps))


def _executable(program: Program) -> Executable:
    arena = plan_memory(program)
    return Executable(without_idle_copies(program, arena), arena, _compiled_body)


def _begin(step: Step) -> None:
    """Compile a step's function beside what follows; a copy may yet turn out to be idle."""
    if not isinstance(step.work, HostCall) and not is_copy(step):
        store().request(step.work)


LOWERINGS: Mapping[Primitive, Lowering] = {
    **FAMILIES,
    **control.lowerings(_compiled_body),
    **convolution.LOWERINGS,
    **dot.LOWERINGS,
    **pooling.LOWERINGS,
    **user_kernels.LOWERINGS,
}
