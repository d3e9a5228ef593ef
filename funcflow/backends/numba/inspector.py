"""What people see of the CPU backend: each stage of compiling as text, and what a program costs.

It is loaded when somebody looks, so that programs start without it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from funcflow.backends.explain import Explanation, donation_facts, explain, program_text
from funcflow.backends.numba import threads
from funcflow.backends.numba.backend import compiled, program_of
from funcflow.backends.numba.executable import Executable
from funcflow.backends.numba.kernels import store
from funcflow.backends.numba.listing import kernels_text, llvm_text, source_text
from funcflow.backends.passes.fuse import Fusion
from funcflow.backends.pipeline import PASSES, prepare
from funcflow.backends.program import Program
from funcflow.core.jaxpr import ClosedJaxpr


class CpuInspector:
    """Shows programs for the processor."""

    def texts(self, jaxpr: ClosedJaxpr) -> Mapping[str, Callable[[], str]]:
        stages = prepare(jaxpr)
        *_, prepared = stages.values()

        def show(text: Callable[[Program], str]) -> Callable[[], str]:
            return lambda: text(program_of(jaxpr))

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
        before = store().compiled, store().loaded
        executable = compiled(jaxpr)
        made, loaded = store().compiled - before[0], store().loaded - before[1]
        facts = [
            ("threads", threads.serial_reason() or str(threads.thread_count())),
            ("native code", f"{made} compiled and {loaded} loaded now; the rest was known"),
            ("disk cache", store().disk.status.removeprefix("disk cache ")),
        ]
        given = donation_facts(executable.donations(list(donated)), donated)
        timings = executable.timings(buffers) if buffers is not None else None
        memory = executable.memory()
        return explain(executable.program, title, memory, timings, [*given, *facts])

    def text(self, executable: Executable) -> str:
        return program_text(executable.program)
