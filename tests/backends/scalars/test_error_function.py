"""Error bounds of the error function, and the bits of its inverse."""

import mpmath
import numpy as np
import pytest
from scipy import special

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
EDGES = (0.5, 1.0, -1.0, 3.92, 3.95, 5.9, 6.0, 9.19, 10.05, 26.5, 27.2, 2.0, -2.0)


@DENSITY
def test_erf(within, mantissas):
    within("erf", (1.5, 1.2), special.erf, mpmath.erf, special=EDGES, mantissas=mantissas)


@DENSITY
def test_erfc(within, mantissas):
    exact = lambda x: mpmath.erfc(x) if x < 100 else mpmath.mpf(0)  # noqa: E731
    within("erfc", (4, 4), special.erfc, exact, special=EDGES, mantissas=mantissas)


def test_erf_grows_up_to_1(evaluate):
    x = np.linspace(3, 5, 20000, dtype=np.float32)
    found = evaluate("erf", x)
    assert (np.diff(found) >= 0).all()
    assert found.max() == 1
