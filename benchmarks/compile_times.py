"""What compiling costs: the first call, a process with its caches warm, new shapes."""

import harness  # first: it cleans the environment

# isort: split
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import comparison
from comparison import Measured, Options, Row, Table
from fresh import FUSED, MODELS

NEW_SHAPES = 50
SHAPES_TARGET, WARM_TARGET = 0.02, 0.4
FIRST_CALL_TARGETS = dict(zip([FUSED, *MODELS], [0.5, 0.25, 0.2, 0.15, 0.08], strict=True))
QUICK = (FUSED, "MLP training step")


# JAX keeps nothing on disk unless it is told where, and then only what took long to compile.
CACHED_JAX = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def in_cold_process(
    function: str, *arguments: Any, module: str = "fresh"
) -> Callable[[Options], Measured]:
    """Measures the seconds that a function returns in processes that find their caches empty."""

    def case(library: str) -> float:
        with tempfile.TemporaryDirectory() as empty:
            environment = {"FUNCFLOW_CACHE_DIR": empty, "JAX_ENABLE_COMPILATION_CACHE": "false"}
            return harness.in_fresh_process(
                module, function, library, *arguments, environment=environment
            ).result

    return lambda options: comparison.medians(
        {library: partial(case, library) for library in comparison.libraries("jax")},
        options.rounds,
    )


def warm_process(name: str, options: Options) -> Measured:
    """The seconds of whole processes, from start to end, whose programs are cached on disk."""

    def run(directory: str, library: str) -> harness.Finished:
        places = {"FUNCFLOW_CACHE_DIR": directory, "JAX_COMPILATION_CACHE_DIR": directory}
        environment = places | CACHED_JAX
        return harness.in_fresh_process("fresh", "result", library, name, environment=environment)

    def seconds(directory: str, library: str) -> float:
        return run(directory, library).seconds

    with tempfile.TemporaryDirectory() as directory:
        libraries = comparison.libraries("jax")
        filled = {library: run(directory, library).result for library in libraries}
        comparison.check_equal(filled, 1e-3)
        cases = {library: partial(seconds, directory, library) for library in libraries}
        return comparison.medians(cases, options.rounds)


def tables(quick: bool) -> list[Table]:
    names, shapes = (QUICK, 2) if quick else ([FUSED, *MODELS], NEW_SHAPES)
    first = [
        Row(name, "first call", FIRST_CALL_TARGETS[name], in_cold_process("first_call", name))
        for name in names
    ]
    warm = [
        Row(name, "process, cache warm", WARM_TARGET, partial(warm_process, name)) for name in names
    ]
    new = [
        Row(name, "new shape", SHAPES_TARGET, in_cold_process("new_shapes", name, shapes))
        for name in QUICK
    ]
    return [Table("compile_times", [*first, *warm, *new], in_readme=True)]


if __name__ == "__main__":
    comparison.main("Compilation", tables, rounds=3)
