"""What `compile_times` runs in processes of its own; it imports no more than that takes."""

import importlib
from collections.abc import Callable
from time import perf_counter
from types import ModuleType
from typing import Any

import models
import numpy as np

MODELS: dict[str, models.Model] = {
    "MLP training step": models.MLP(),
    "image CNN training step": models.CNN(),
    "transformer step, 4 layers": models.Transformer(layers=4),
    "transformer step, 12 layers": models.Transformer(layers=12),
}
FUSED = "small fused function"


def program(api: ModuleType, name: str) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function and its arguments."""
    if name == FUSED:
        return fused(api), arguments_of_size(api, name, 1000)
    model = MODELS[name]
    arrays = own_arrays(api, model.batch())
    return models.training_step(api, model), (models.initial_state(api, model), *arrays)


def fused(api: ModuleType) -> Callable[..., Any]:
    xp = api.numpy
    return lambda x, scale: xp.tanh(x) * scale + xp.exp(-x * x)


def arguments_of_size(api: ModuleType, name: str, size: int) -> tuple[Any, ...]:
    if name == FUSED:
        x = np.linspace(-3, 3, size, dtype=np.float32)
        return own_arrays(api, (x, np.float32(0.5)))
    model = models.MLP(batch_size=size)
    return models.initial_state(api, model), *own_arrays(api, model.batch())


def own_arrays(api: ModuleType, tree: Any) -> Any:
    return api.tree.map(api.numpy.array, tree)


def first_call(library: str, name: str) -> float:
    """Seconds of the first call; the library is imported and has compiled something trivial."""
    api = importlib.import_module(library)
    return seconds_to_result(api, *program(api, name))


def seconds_to_result(
    api: ModuleType, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> float:
    """Seconds of the first call of a function, after one of something trivial."""
    api.jit(lambda x: x + 1)(api.numpy.ones(3)).block_until_ready()
    start = perf_counter()
    api.block_until_ready(api.jit(function)(*arguments))
    return perf_counter() - start


def result(library: str, name: str) -> float:
    """The program's first number: what a process that computes it would print."""
    api = importlib.import_module(library)
    function, arguments = program(api, name)
    return float(np.ravel(api.tree.leaves(api.jit(function)(*arguments))[0])[0])


def new_shapes(library: str, name: str, count: int) -> float:
    """Seconds of a call with a new size of the first axis, after a call with another.

    Raises:
        AssertionError: funcflow has compiled a kernel for one of the later sizes.
    """
    api = importlib.import_module(library)
    function, _ = program(api, name)
    compiled = api.jit(function)
    first, *others = [arguments_of_size(api, name, size) for size in range(100, 101 + count)]
    api.block_until_ready(compiled(*first))
    kernels = kernels_compiled(library)
    start = perf_counter()
    for arguments in others:
        api.block_until_ready(compiled(*arguments))
    seconds = perf_counter() - start
    assert kernels_compiled(library) == kernels
    return seconds / count


def kernels_compiled(library: str) -> int:
    """How many kernels funcflow has compiled; JAX compiles whole programs."""
    if library != "funcflow":
        return 0
    return importlib.import_module("funcflow.core.backend").get_backend().kernels_compiled()
