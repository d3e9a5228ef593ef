"""How long `import library` takes in a fresh interpreter."""

import harness  # first: it cleans the environment

# isort: split
import subprocess
import sys
from collections.abc import Callable

PROGRAM = """
from time import perf_counter
start = perf_counter()
import {library}
print(perf_counter() - start)
"""


def import_time(library: str) -> Callable[[], float]:
    command = [sys.executable, "-c", PROGRAM.format(library=library)]

    def case() -> float:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(result.stdout)

    return case


def measure(rounds: int) -> dict[str, dict[str, float]]:
    libraries = harness.with_installed_peers("numpy", "jax", "torch")
    return {"`import`": harness.interleave({lib: import_time(lib) for lib in libraries}, rounds)}


if __name__ == "__main__":
    harness.run("imports", "Fresh interpreter", measure, rounds=11, unit="ms")
