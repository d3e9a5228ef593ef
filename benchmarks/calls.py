"""What a call of a compiled function costs, whatever it computes."""

import comparison  # first: it cleans the environment

# isort: split
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from comparison import Measured, Options, Program, Row, Table

ELEMENTS, LEAVES = 10, 50


def vector(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(ELEMENTS, np.float32)


def add(api: ModuleType) -> Callable[..., Any]:
    return lambda x, y: x + y


def double_leaves(api: ModuleType) -> Callable[..., Any]:
    return lambda tree: api.tree.map(lambda x: x * 2, tree)


def layered_tree() -> dict[str, dict[str, np.ndarray]]:
    """Fifty vectors, two to a layer, as a model's parameters are."""
    return {
        f"layer{i}": {"weight": vector(i), "bias": vector(LEAVES + i)} for i in range(LEAVES // 2)
    }


def call(
    function: Callable[[ModuleType], Callable[..., Any]], *inputs: Any
) -> Callable[[Options], Measured]:
    """How the call alone is measured: results this small are computed when it returns."""

    def program(library: str) -> Program:
        api = comparison.load(library)
        compiled, arrays = api.jit(function(api)), comparison.own_arrays(api, inputs)
        return lambda: compiled(*arrays)

    def measure(options: Options) -> Measured:
        names = comparison.libraries("jax")
        programs = {library: program(library) for library in names}
        comparison.check_equal({name: program() for name, program in programs.items()}, 1e-6)
        return comparison.median_times(programs, options)

    return measure


def tables(quick: bool) -> list[Table]:
    rows = [
        Row("jitted `x + y`", f"two arrays of {ELEMENTS}", 1.0, call(add, vector(), vector(1))),
        Row("jitted map over a tree", f"{LEAVES} leaves", 0.6, call(double_leaves, layered_tree())),
    ]
    return [Table("calls", rows, unit="us", in_readme=True)]


if __name__ == "__main__":
    comparison.main("Calls of compiled functions", tables, rounds=31)
