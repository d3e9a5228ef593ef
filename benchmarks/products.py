"""Matrix products: large and small, in both floating widths, transposed, in batches."""

import comparison  # first: it cleans the environment

# isort: split
from types import ModuleType
from typing import Any

import numpy as np
from comparison import Measured, Options, Row, Table, Work

LARGE, SMALL = (256, 512, 1024, 2048), (16, 32, 64, 128)
BATCHES = ((1000, 16), (256, 32), (64, 64))
LARGE_TARGET, SMALL_TARGET = 0.7, 1.0

FORMS = {
    "x @ y": lambda x, y: x @ y,
    "x.T @ y": lambda x, y: x.swapaxes(-1, -2) @ y,
    "x @ y.T": lambda x, y: x @ y.swapaxes(-1, -2),
}


def product(form: str, dtype: str, *shape: int) -> Work:
    def function(module: ModuleType) -> Any:
        return FORMS[form]

    def inputs() -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng(0)
        return tuple(rng.standard_normal(shape).astype(dtype) for _ in range(2))

    tolerance = 1e-4 if dtype == "float32" else 1e-10
    return Work(function, function, inputs, tolerance=tolerance)


def row(form: str, size: str, dtype: str, target: float, *shape: int) -> Row:
    timed = comparison.timed(product(form, dtype, *shape))

    def measure(options: Options) -> Measured:
        # Without it JAX makes arrays of 32 bits from those of 64.
        if "jax" in comparison.libraries():
            comparison.load("jax").config.update("jax_enable_x64", True)
        return timed(options)

    return Row(f"`{form}`, {dtype}", size, target, measure)


def tables(quick: bool) -> list[Table]:
    large, small, batches = (
        (LARGE[:1], SMALL[:2], BATCHES[2:]) if quick else (LARGE, SMALL, BATCHES)
    )
    rows = [
        row(form, f"{n}", dtype, LARGE_TARGET, n, n)
        for dtype in ("float32", "float64")
        for n in large
        for form in FORMS
    ]
    rows += [row("x @ y", f"{n}", "float32", SMALL_TARGET, n, n) for n in small]
    rows += [
        row("x @ y", f"{count} of {n}", "float32", SMALL_TARGET, count, n, n)
        for count, n in batches
    ]
    return [Table("products", rows)]


if __name__ == "__main__":
    comparison.main("Matrix products", tables, rounds=15)
