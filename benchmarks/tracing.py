"""The time to trace, differentiate and lower the training step of a 12-layer transformer.

The model is a decoder-only transformer over bytes, its layers unrolled and its parameters a list of
dicts. It is written once: `api` is JAX or funcflow.
"""

import harness  # first: it cleans the environment

# isort: split
import importlib
from collections.abc import Callable, Iterator
from time import perf_counter
from types import ModuleType
from typing import Any

import models

MODEL = models.Transformer(layers=12)


def arguments(api: ModuleType) -> tuple[Any, ...]:
    batch = api.tree.map(api.numpy.asarray, MODEL.batch())
    return models.initial_state(api, MODEL), *batch


def lowering_time(api: ModuleType) -> Callable[[], float]:
    args = arguments(api)

    def case() -> float:
        step = models.training_step(api, MODEL)
        start = perf_counter()
        api.jit(step).lower(*args)
        return perf_counter() - start

    return case


def inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs among an equation's parameters: alone or in a tuple, closed or open."""
    for value in params.values():
        for item in value if isinstance(value, list | tuple) else [value]:
            jaxpr = getattr(item, "jaxpr", item)
            if hasattr(jaxpr, "eqns"):
                yield jaxpr


def equations(jaxpr: Any) -> int:
    """The equations of a jaxpr that compute; one that holds jaxprs counts as what is in them."""
    total = 0
    for equation in jaxpr.eqns:
        inner = list(inner_jaxprs(equation.params))
        total += sum(map(equations, inner)) if inner else 1
    return total


def measure(rounds: int) -> dict[str, dict[str, float]]:
    libraries = harness.with_installed_peers("jax")
    apis = {library: importlib.import_module(library) for library in libraries}
    for name, api in apis.items():
        traced = api.make_jaxpr(models.training_step(api, MODEL))(*arguments(api))
        print(f"{harness.LIBRARIES[name]}: {equations(traced.jaxpr):,} equations")
    times = harness.interleave({name: lowering_time(api) for name, api in apis.items()}, rounds)
    return {"`jit(step).lower(...)`": times}


if __name__ == "__main__":
    harness.run("tracing", "12-layer transformer with Adam", measure, rounds=7, unit="ms")
