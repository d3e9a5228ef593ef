"""What compiling costs: the first call, a process with its caches warm, new shapes."""

import harness  # first: it cleans the environment

# isort: split
import importlib
import tempfile
from collections.abc import Callable
from functools import partial
from time import perf_counter
from types import ModuleType
from typing import Any

import comparison
import models
import numpy as np
from comparison import Measured, Options, Row, Table

NEW_SHAPES = 50
SHAPES_TARGET, WARM_TARGET = 0.02, 0.4

MODELS: dict[str, models.Model] = {
    "MLP training step": models.MLP(),
    "image CNN training step": models.CNN(),
    "transformer step, 4 layers": models.Transformer(layers=4),
    "transformer step, 12 layers": models.Transformer(layers=12),
}
FUSED = "small fused function"
FIRST_CALL_TARGETS = dict(zip([FUSED, *MODELS], [0.5, 0.25, 0.2, 0.15, 0.08], strict=True))
QUICK = (FUSED, "MLP training step")


# --- in a fresh process ---------------------------------------------------------------------


def program(api: ModuleType, name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function and its arguments."""
    if name == FUSED:
        x, scale = np.linspace(-3, 3, 1000, dtype=np.float32), np.float32(0.5)
        return fused(api), comparison.own_arrays(api, (x, scale))
    model = MODELS[name]
    arrays = comparison.own_arrays(api, model.batch())
    return models.training_step(api, model), (models.initial_state(api, model), *arrays)


def fused(api: ModuleType) -> Callable[..., Any]:
    xp = api.numpy
    return lambda x, scale: xp.tanh(x) * scale + xp.exp(-x * x)


def first_call(library: str, name: str) -> float:
    """Seconds of the first call; the library is imported and has compiled something trivial."""
    api = importlib.import_module(library)
    api.jit(lambda x: x + 1)(api.numpy.ones(3)).block_until_ready()
    function, arguments = program(api, name)
    start = perf_counter()
    api.block_until_ready(api.jit(function)(*arguments))
    return perf_counter() - start


def result(library: str, name: str) -> float:
    """The program's first number: what a process that computes it would print."""
    api = importlib.import_module(library)
    function, arguments = program(api, name)
    return float(comparison.leaves(api.jit(function)(*arguments))[0].ravel()[0])


def new_shapes(library: str, name: str, count: int) -> float:
    """Seconds of a call with a new size of the first axis, after a call with another."""
    api = importlib.import_module(library)
    function, _ = program(api, name)
    compiled = api.jit(function)
    sizes = range(100, 101 + count)
    first, *others = [arguments_of_size(api, name, size) for size in sizes]
    api.block_until_ready(compiled(*first))
    start = perf_counter()
    for arguments in others:
        api.block_until_ready(compiled(*arguments))
    return (perf_counter() - start) / count


def arguments_of_size(api: ModuleType, name: str, size: int) -> tuple[Any, ...]:
    if name == FUSED:
        x = np.linspace(-3, 3, size, dtype=np.float32)
        return comparison.own_arrays(api, (x, np.float32(0.5)))
    model = models.MLP(batch_size=size)
    return models.initial_state(api, model), *comparison.own_arrays(api, model.batch())


# --- measured -------------------------------------------------------------------------------


# JAX keeps nothing on disk unless it is told where, and then only what took long to compile.
CACHED_JAX = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def in_cold_process(function: str, *arguments: Any) -> Callable[[Options], Measured]:
    """Measures the seconds that a function returns in processes that find their caches empty."""

    def case(library: str) -> float:
        with tempfile.TemporaryDirectory() as empty:
            environment = {"FUNCFLOW_CACHE_DIR": empty, "JAX_ENABLE_COMPILATION_CACHE": "false"}
            return harness.in_fresh_process(
                "compile_times", function, library, *arguments, environment=environment
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
        return harness.in_fresh_process(
            "compile_times", "result", library, name, environment=environment
        )

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
