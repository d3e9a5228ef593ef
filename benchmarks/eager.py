"""The cost of one eager operation on ten float32 elements."""

import harness  # first: it cleans the environment

# isort: split
import importlib
import timeit
from collections.abc import Callable

import numpy as np

OPERATIONS = ("x + y", "xp.sin(x)", "x[2]", "xp.sum(x)")
NAMESPACES = {"numpy": "numpy", "jax": "jax.numpy", "torch": "torch", "funcflow": "funcflow.numpy"}
CALLS_PER_ROUND = 5_000


def call_time(operation: str, library: str) -> Callable[[], float]:
    xp = importlib.import_module(NAMESPACES[library])
    x = xp.asarray(np.linspace(0, 1, 10, dtype=np.float32))
    y = xp.asarray(np.linspace(1, 2, 10, dtype=np.float32))
    # The operation is a statement, not a function, so that no call but its own is timed.
    timer = timeit.Timer(operation, globals={"xp": xp, "x": x, "y": y})
    return lambda: timer.timeit(CALLS_PER_ROUND) / CALLS_PER_ROUND


def measure(rounds: int) -> dict[str, dict[str, float]]:
    libraries = harness.with_installed_peers("numpy", "jax", "torch")
    return {
        f"`{operation}`": harness.interleave(
            {library: call_time(operation, library) for library in libraries}, rounds
        )
        for operation in OPERATIONS
    }


if __name__ == "__main__":
    harness.run("eager", "Eager call", measure, rounds=21, unit="us")
