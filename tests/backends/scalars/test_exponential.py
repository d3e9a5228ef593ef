"""Error bounds of exponentials, at all exponents and where results overflow or vanish."""

import mpmath
import numpy as np
import pytest

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
# e^x is infinite or 0 beyond, or subnormal; and halves of log(2)
EDGES = (
    88.72283, 88.0, -87.33655, -103.97208, -103.27893, 709.782712893384, -708.3964185322641,
    -745.1332191019411, -744.4400719213812, 0.34657359, 1.0397207, -0.34657359,
)  # fmt: skip


def _logistic(x):
    return 1 / (1 + np.exp(-x))


@DENSITY
def test_exp(within, mantissas):
    within("exp", (1, 1), np.exp, mpmath.exp, special=EDGES, mantissas=mantissas)


@DENSITY
def test_exp2(within, mantissas):
    edges = (127.99999, 128, -126, -149, -150, 1023.9999999999999, 1024, -1022, -1074, -1075, 0.5)
    exact = lambda x: mpmath.power(2, x)  # noqa: E731
    within("exp2", (1.1, 1), np.exp2, exact, special=edges, mantissas=mantissas)


@DENSITY
def test_expm1(within, mantissas):
    edges = (*EDGES, -17.3, -18, -37.4, -38)
    within("expm1", (1.5, 1.9), np.expm1, mpmath.expm1, special=edges, mantissas=mantissas)


@DENSITY
def test_logistic(within, mantissas):
    exact = lambda x: 1 / (1 + mpmath.exp(-x))  # noqa: E731
    within("logistic", (2.2, 2.2), _logistic, exact, special=EDGES, mantissas=mantissas)
