"""Error bounds of trigonometric functions: all floats are angles."""

import mpmath
import numpy as np
import pytest

DENSITY = pytest.mark.parametrize("mantissas", [4, pytest.param(4096, marks=pytest.mark.slow)])
# near multiples of pi/2, the nearest of all, and where the reduction changes
ANGLES = (
    *(np.pi / 2 * np.array([1, 2, 3, 4, 29, 355, 10**4, 10**6, 10**9])), 16367173.0 * 2.0**72,
    np.pi / 4, 3 * np.pi / 4, 2.0**15, 2.0**27, 2.0**43, 2.0**150, 1e30, 1e37,
)  # fmt: skip


@DENSITY
@pytest.mark.parametrize("name, bounds", [("sin", (1.1, 1)), ("cos", (1.1, 1)), ("tan", (2.5, 2))])
def test_functions_of_angles(within, name, bounds, mantissas):
    wide, exact = getattr(np, name), getattr(mpmath, name)
    within(name, bounds, wide, exact, special=ANGLES, mantissas=mantissas)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_angles_near_multiples_of_a_quadrant(within, name):
    # the double that is nearest to a multiple of pi/2, and others
    angles = np.array([6381956970095103.0 * 2.0**797, 1e300, 1e22, -1e200, 2.0**1023, 1.7e308])
    near = np.arange(1, 200) * (np.pi / 2)
    special = np.concatenate([angles, near])
    within(name, (2.5, 2), getattr(np, name), getattr(mpmath, name), special=special)


@DENSITY
@pytest.mark.parametrize(
    "name, bounds", [("asin", (2.3, 2)), ("acos", (1.5, 1.5)), ("atan", (1.5, 1.5))]
)
def test_inverse_functions(within, name, bounds, mantissas):
    wide, exact = getattr(np, name.replace("a", "arc", 1)), getattr(mpmath, name)
    edges = (0.5, -0.5, 0.5**0.5, 0.999, 0.9999999, 1.0, -1.0, 1e-8)
    within(name, bounds, wide, exact, special=edges, mantissas=mantissas)


def test_atan2(within):
    ends = [0.0, -0.0, 1.0, -1.0, 2.5, np.inf, -np.inf, np.nan, 1e-45, -3e38, 1e-38]

    def arguments(dtype):
        rng = np.random.default_rng(0)
        y, x = (side.ravel() for side in np.meshgrid(ends, ends))
        many = rng.normal(0, 1, (2, 500)) * 2.0 ** rng.uniform(-60, 60, (2, 500))
        return [np.concatenate([a, b]).astype(dtype) for a, b in zip((y, x), many, strict=True)]

    within("atan2", (1.6, 1.6), np.arctan2, mpmath.atan2, arguments=arguments)
