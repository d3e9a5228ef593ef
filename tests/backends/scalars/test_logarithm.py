"""Error bounds of logarithms."""

import mpmath
import numpy as np
import pytest

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
EDGES = (0.5**0.5, 2**0.5, 1.0, 2.0**0.5 - 1, 0.5**0.5 - 1, -1.0, 2.0**24, 2.0**53, 0.99, 1.01)


def _real(function):
    return lambda x: mpmath.re(function(x))


@DENSITY
def test_log(within, mantissas):
    within("log", (1, 1), np.log, _real(mpmath.log), special=EDGES, mantissas=mantissas)


@DENSITY
def test_log1p(within, mantissas):
    within("log1p", (1.5, 1.2), np.log1p, _real(mpmath.log1p), special=EDGES, mantissas=mantissas)
