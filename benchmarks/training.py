"""Training steps (loss, gradient, update of the parameters): their time and their peak memory."""

import harness  # first: it cleans the environment

# isort: split
import ctypes
import importlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import comparison
import models
from comparison import Measured, Options, Program, Row, Table

TIME_TARGET, MEMORY_TARGET = 0.7, 1.0
CHECKED_STEPS = 3
TINY = models.MLP(batch_size=2, widths=(4, 4))
STEPS_IN_MEMORY = 3  # steps whose peak is taken
MEMORY_ROUNDS = 3  # processes: a peak varies less than a time

FULL: dict[str, models.Model] = {
    "MLP 784-512-512-10, Adam": models.MLP(),
    "image CNN, SGD": models.CNN(),
    "LSTM of 100 units, SGD": models.LSTM(),
    "transformer of 4 layers, Adam": models.Transformer(),
}
QUICK: dict[str, models.Model] = {
    "MLP 784-512-512-10, Adam": models.MLP(batch_size=8),
    "image CNN, SGD": models.CNN(batch_size=2, size=16),
    "LSTM of 100 units, SGD": models.LSTM(batch_size=4, length=10),
    "transformer of 4 layers, Adam": models.Transformer(batch_size=1, context=16, width=64),
}
SIZES: dict[type[models.Model], Callable[..., str]] = {
    models.MLP: lambda model: f"batch {model.batch_size}",
    models.CNN: lambda model: f"{model.batch_size} of {model.size}x{model.size}x3",
    models.LSTM: lambda model: f"{model.batch_size} of {model.length} steps",
    models.Transformer: lambda model: f"{model.batch_size} of T={model.context}, d={model.width}",
}


def programs(library: str, model: models.Model, *, torch_compile: bool) -> dict[str, Program]:
    """The training step as programs whose result is the loss before the step."""
    api = comparison.load(library)
    if library == "torch":
        # Imported here, since processes that measure other libraries must not have PyTorch.
        training_program = importlib.import_module("torch_models").training_program
        variants = {library: False, **({"torch_compile": True} if torch_compile else {})}
        return {name: training_program(model, compiled=how) for name, how in variants.items()}
    step, state = models.training_step(api, model), models.initial_state(api, model)
    run = comparison.carrying(api, step, state, model.batch())
    return {library: lambda: run()[0]}


def step_time(model: models.Model, options: Options) -> Measured:
    cases: dict[str, Program] = {}
    for library in comparison.libraries():
        cases |= programs(library, model, torch_compile=options.torch_compile)
    for _ in range(CHECKED_STEPS):  # later losses depend on the gradients and the updates
        comparison.check_equal({name: case() for name, case in cases.items()}, 1e-3)
    return comparison.median_times(cases, options)


# --- memory ---------------------------------------------------------------------------------


def step_memory(name: str, options: Options) -> Measured:
    def case(library: str) -> float:
        arguments = library, name, options.quick
        return harness.in_fresh_process("training", "peak_bytes", *arguments).result

    cases = {library: partial(case, library) for library in comparison.libraries()}
    return comparison.medians(cases, min(options.rounds, MEMORY_ROUNDS))


def peak_bytes(library: str, name: str, quick: bool) -> int:
    """What training takes beyond a library that has trained something tiny: in a fresh process.

    That is the memory held between steps (parameters, the optimiser's state, compiled programs)
    and the highest rise above it during some steps. Compilation is over by then, and the high-water
    mark is reset. Pages of files, such as the code of the libraries, do not count.
    """
    trained_step(library, TINY)  # loads whatever the library loads at its first use
    return bytes_taken(lambda: trained_step(library, (QUICK if quick else FULL)[name]))


def bytes_taken(make: Callable[[], Program]) -> int:
    """What making a program leaves held, and the highest rise above it during some calls of it."""
    started = status_bytes("RssAnon")
    program = make()
    held = status_bytes("RssAnon") - started
    before = status_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from VmRSS (man 5 proc)
    for _ in range(STEPS_IN_MEMORY):
        program()
    return held + status_bytes("VmHWM") - before


def trained_step(library: str, model: models.Model) -> Program:
    """The training step, taken once."""
    (step,) = programs(library, model, torch_compile=False).values()
    return taken_once(step)


def taken_once(step: Program) -> Program:
    """A program that was called once; what compiling it has freed is back with the system."""
    step()
    ctypes.CDLL(None).malloc_trim(0)
    return step


def status_bytes(field: str) -> int:
    """A size in /proc/self/status, which only Linux has."""
    status = Path("/proc/self/status").read_text("utf-8")
    found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
    if not found:
        raise OSError(f"/proc/self/status does not tell {field}")
    return 1024 * int(found[1])


def tables(quick: bool) -> list[Table]:
    chosen = QUICK if quick else FULL
    times, memory = (
        [
            Row(name, SIZES[type(model)](model), target, measure)
            for name, model in chosen.items()
            for measure in [make(name, model)]
        ]
        for target, make in (
            (TIME_TARGET, lambda name, model: partial(step_time, model)),
            (MEMORY_TARGET, lambda name, model: partial(step_memory, name)),
        )
    )
    return [
        Table("training", times, in_readme=True),
        Table("memory", memory, unit="MB", in_readme=True),
    ]


if __name__ == "__main__":
    comparison.main("Training steps", tables, rounds=11)
