"""Error bounds of powers and cube roots, and the limits of C99."""

import mpmath
import numpy as np
import pytest

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
ENDS = [
    0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3e38, -3e38, 2.5, -2.5, 3.0,
    -3.0, 2.0, -2.0, 0.5, -0.5, 16777215.0, 33554432.0, -16777215.0, 1 + 2.0**-23, 1 - 2.0**-24,
]  # fmt: skip


def _arguments(dtype):
    rng = np.random.default_rng(0)
    x, y = (side.ravel() for side in np.meshgrid(ENDS, ENDS))
    lowest, highest = (-150, 129) if dtype == np.float32 else (-1076, 1025)
    count = 3000 if dtype == np.float32 else 300
    any_size = np.exp2(rng.uniform(lowest + 2, highest - 2, count))
    bases = np.concatenate([any_size, 1 + rng.normal(0, 1e-3, count), rng.uniform(0, 4, count)])
    bases = bases.astype(dtype)
    # exponents for which the results are of all sizes
    with np.errstate(divide="ignore"):
        exponents = rng.uniform(lowest, highest, bases.size) / np.log2(bases.astype(np.float64))
    return [np.concatenate(pair).astype(dtype) for pair in ((x, bases), (y, exponents))]


def _exact(x, y):
    return mpmath.re(mpmath.power(x, y))


def test_pow(within):
    within("pow", (1.2, 1), np.power, _exact, arguments=_arguments)


def test_pow_with_an_integer_exponent(within):
    def arguments(dtype):
        x, y = np.meshgrid([1.5, -2.0, 0.0, -0.0, 1e3], [0, 1, 2, 3, -3])
        return [x.ravel().astype(dtype), y.ravel().astype(np.int32)]

    within("pow", (1.2, 1), np.power, _exact, arguments=arguments)


@DENSITY
def test_cbrt(within, mantissas):
    exact = lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x))  # noqa: E731
    within("cbrt", (1, 1), np.cbrt, exact, special=(8.0, 27.0, 64.0), mantissas=mantissas)
