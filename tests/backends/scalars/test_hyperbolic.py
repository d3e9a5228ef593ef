"""Error bounds of hyperbolic functions and their inverses."""

import mpmath
import numpy as np
import pytest

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
EDGES = (
    89.41598, 89.4, 710.4758600739439, 710.4, 88.72283, 9.0, 9.1, 19.0, 19.1, 1.0, -1.0, 0.17328,
    2.0**25, 2.0**54, 2.0**-25, 0.999,
)  # fmt: skip
BOUNDS = {
    "sinh": (2, 2), "cosh": (1.5, 1.5), "tanh": (2.5, 2.2),
    "asinh": (2, 2), "acosh": (2, 2), "atanh": (2.1, 2),
}  # fmt: skip


@DENSITY
@pytest.mark.parametrize("name", BOUNDS)
def test_hyperbolic_functions(within, name, mantissas):
    wide = getattr(np, f"arc{name[1:]}" if name.startswith("a") else name)
    exact = lambda x: mpmath.re(getattr(mpmath, name)(x))  # noqa: E731
    within(name, BOUNDS[name], wide, exact, special=EDGES, mantissas=mantissas)
