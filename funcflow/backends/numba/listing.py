"""A program's kernels as text: as loops, as LLVM IR, and as Python source."""

from collections.abc import Mapping
from os.path import basename

from funcflow.backends.explain import kernel_name, program_text
from funcflow.backends.loop_ir import Kernel, Value
from funcflow.backends.numba.kernels import batch_text
from funcflow.backends.numba.source import kernel_source
from funcflow.backends.program import Program, Routine, Step
from funcflow.backends.scalars import expand
from funcflow.core.errors import CompileError
from funcflow.core.jaxpr import JaxprEqn


def kernels_text(program: Program) -> str:
    """The loop IR of each kernel, once."""
    return "\n\n".join(f"{name}:\n{kernel}" for name, (kernel, _) in _kernels(program).items())


def llvm_text(program: Program) -> str:
    """The LLVM IR of kernels and routines, as it is compiled."""
    works: dict[str, Kernel | Routine] = {n: kernel for n, (kernel, _) in _kernels(program).items()}
    works |= {s.work.name: s.work for s in program.steps if isinstance(s.work, Routine)}
    return batch_text(works)


def source_text(program: Program) -> str:
    """The steps as comments, and each kernel as a Python function that Numba can compile.

    At the ends of lines stands the user's code that they compute.
    """
    imports: dict[str, None] = {}
    parts: dict[str, None] = {}  # kernels share helpers
    for name, (kernel, step) in _kernels(program).items():
        try:
            text = kernel_source(kernel, name, _comments(step)).rstrip()
        except CompileError:  # an operation that Python has no name for, so it is taken apart
            text = kernel_source(expand(kernel), name).rstrip()
        for part in text.split("\n\n\n"):
            into = imports if part.startswith(("import ", "from ")) else parts
            into |= dict.fromkeys(part.splitlines() if into is imports else [part])
    heading = "\n".join(f"# {line}" for line in program_text(program).splitlines())
    first = ["\n".join(sorted(imports))] if imports else []
    return "\n\n\n".join([heading, *first, *parts]) + "\n"


def _kernels(program: Program) -> dict[str, tuple[Kernel, Step]]:
    """Each kernel by its name, with the first step that runs it."""
    found: dict[str, tuple[Kernel, Step]] = {}
    for step in program.steps:
        if isinstance(step.work, Kernel):
            found.setdefault(kernel_name(step.work), (step.work, step))
    return found


def _comments(step: Step) -> Mapping[Value, str]:
    return {value: _said(eqn) for value, eqn in step.origins.items() if eqn.source is not None}


def _said(eqn: JaxprEqn) -> str:
    source = eqn.source
    assert source is not None
    place = f"{basename(source.file)}:{source.line}"
    text = source.text()
    return f"{place}: {text}" if text else place
