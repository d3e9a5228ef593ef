"""Chains of elementwise operations and rows reduced: work that memory bounds once it is fused."""

import comparison  # first: it cleans the environment

# isort: split
from collections.abc import Callable
from types import ModuleType
from typing import Any

import models
import numpy as np
from comparison import Options, Program, Row, Table, Work

SIZES = {"10^4": 10**4, "10^6": 10**6, "3*10^7": 3 * 10**7}
FROM_MEMORY = 10**6  # elements from which on the time is compared with that of a copy
COLUMNS = 1000  # of the matrices whose rows are normalised
TARGET = 0.7


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def axpy(n: int) -> Work:
    return Work(
        function=lambda api: lambda a, x, y: a * x + y,
        torch=lambda torch: lambda a, x, y: torch.add(y, x, alpha=1.7),
        inputs=lambda: (np.float32(1.7), normal(n), normal(2 * n)[n:]),
        moved=12 * n,
    )


def gelu(n: int) -> Work:
    return Work(
        function=lambda api: api.nn.gelu,
        torch=lambda torch: lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        inputs=lambda: (normal(n),),
        moved=8 * n,
    )


def softmax(n: int) -> Work:
    return Work(
        function=lambda api: api.nn.softmax,
        torch=lambda torch: lambda x: torch.softmax(x, -1),
        inputs=lambda: (normal(n // COLUMNS, COLUMNS),),
        moved=8 * n,
    )


def layernorm(n: int) -> Work:
    return Work(
        function=lambda api: lambda x, norm: models.layer_norm(api, norm, x),
        torch=lambda torch: (
            lambda x, norm: torch.nn.functional.layer_norm(
                x, (COLUMNS,), norm["scale"], norm["shift"], models.NORM_EPSILON
            )
        ),
        inputs=lambda: (
            normal(n // COLUMNS, COLUMNS),
            {"scale": normal(COLUMNS), "shift": normal(COLUMNS)},
        ),
        moved=8 * n,
    )


def logsumexp(n: int) -> Work:
    return Work(
        function=lambda api: lambda x: api.nn.logsumexp(x, -1),
        torch=lambda torch: lambda x: torch.logsumexp(x, -1),
        inputs=lambda: (normal(n // COLUMNS, COLUMNS),),
        moved=4 * n,
    )


def adam_in_place(torch: ModuleType, parameter: np.ndarray, gradient: np.ndarray) -> Program:
    tensor = torch.nn.Parameter(torch.from_numpy(parameter.copy()))
    tensor.grad = torch.from_numpy(gradient.copy())
    optimizer = torch.optim.Adam([tensor], lr=models.ADAM_RATE, fused=True)

    def program() -> Any:
        optimizer.step()
        memory = optimizer.state[tensor]
        moments = memory["exp_avg"], memory["exp_avg_sq"]
        return tensor, (memory["step"], *moments)

    return program


def adam(n: int) -> Callable[[Options], comparison.Measured]:
    """The optimiser's update alone: four arrays read, three written.

    It carries its state, so that JAX and funcflow may update in place as PyTorch does.
    """

    def update(api: ModuleType) -> Callable[..., Any]:
        def step(state: Any, gradient: Any) -> Any:
            parameter, memory = state
            return (), models.adam.update(api, parameter, memory, gradient)

        return step

    def program(library: str) -> Program:
        api = comparison.load(library)
        parameter, gradient = normal(n), normal(2 * n)[n:]
        if library == "torch":
            return adam_in_place(api, parameter, gradient)
        array = comparison.own_arrays(api, parameter)
        state = array, models.adam.init(api, array)
        return comparison.carrying(api, update(api), state, (gradient,))

    def measure(options: Options) -> comparison.Measured:
        programs = {library: program(library) for library in comparison.libraries()}
        comparison.check_equal({name: call() for name, call in programs.items()}, 1e-3)
        return comparison.median_times(programs, options, 28 * n if n >= FROM_MEMORY else None)

    return measure


WORKS = [axpy, gelu, softmax, layernorm, logsumexp]


def tables(quick: bool) -> list[Table]:
    rows = []
    for make in WORKS:
        for size, n in list(SIZES.items())[: 1 if quick else None]:
            work = make(n)
            work = work if n >= FROM_MEMORY else work._replace(moved=None)
            rows.append(Row(make.__name__, size, TARGET, comparison.timed(work)))
    sizes = list(SIZES.items())[: 1 if quick else None]
    rows += [Row("Adam update", size, TARGET, adam(n)) for size, n in sizes]
    return [Table("elementwise", rows)]


if __name__ == "__main__":
    comparison.main("Elementwise work and normalised rows", tables, rounds=15)
