"""Kepler's equation: the derivative of a root is not that of the solver that found it.

A planet on an ellipse of eccentricity e has at the mean anomaly M (the time since perihelion, as an
angle) the eccentric anomaly E that solves

    E - e sin E = M.

`custom_root` takes any solver, here Newton's method in a `while_loop`, and gives the root the
derivatives of the implicit function theorem: from (1 - e cos E) dE = dM + sin E de follow

    dE/dM = 1 / (1 - e cos E),   dE/de = sin E / (1 - e cos E),   d2E/dM2 = -e sin E (dE/dM)^3.

The root itself is compared with Bessel's series E = M + sum_n 2/n J_n(n e) sin(n M) (F. W. Bessel,
1824; Watson, "A Treatise on the Theory of Bessel Functions", 1922, section 17.2).

    python examples/fixed_point.py [--full]
"""

import argparse

import numpy as np
from scipy.special import jv

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax


def newton(f, start):
    """A root of a scalar function: Newton's method, until the steps are negligible."""

    def improve(state):
        x, _ = state
        value, slope = ff.jvp(f, (x,), (fnp.ones_like(x),))
        return x - value / slope, fnp.abs(value / slope)

    def go_on(state):
        return state[1] > 1e-14

    return lax.while_loop(go_on, improve, (start, fnp.full_like(start, fnp.inf)))[0]


def eccentric_anomaly(mean_anomaly, eccentricity):
    """The root E of Kepler's equation, for one planet."""

    def kepler(anomaly):
        return anomaly - eccentricity * fnp.sin(anomaly) - mean_anomaly

    # From pi, Newton's method converges for every eccentricity below 1.
    start = fnp.full_like(mean_anomaly, fnp.pi)
    return lax.custom_root(kepler, start, newton, lambda slope, y: y / slope(fnp.ones_like(y)))


def bessel_series(mean_anomaly, eccentricity, terms=80):
    """The same from Bessel's series, which converges fast for small eccentricities."""
    n = np.arange(1, terms + 1)[:, None]
    coefficients = 2 / n * jv(n, n * eccentricity)
    return mean_anomaly + np.sum(coefficients * np.sin(n * mean_anomaly), axis=0)


def closed_forms(anomaly, eccentricity):
    """dE/dM, dE/de and d2E/dM2 by the implicit function theorem."""
    by_mean = 1 / (1 - eccentricity * np.cos(anomaly))
    return by_mean, np.sin(anomaly) * by_mean, -eccentricity * np.sin(anomaly) * by_mean**3


@ff.jit
def derivatives(mean_anomaly, eccentricity):
    """The same by reverse mode through `custom_root`, for many planets at once."""
    by_mean = ff.grad(eccentric_anomaly, 0)
    functions = by_mean, ff.grad(eccentric_anomaly, 1), ff.grad(by_mean, 0)
    return [ff.vmap(f)(mean_anomaly, eccentricity) for f in functions]


def main(planets):
    """Compare roots and derivatives with the closed forms."""
    rng = np.random.default_rng(0)
    mean_anomaly = rng.uniform(0, 2 * np.pi, planets)
    eccentricity = rng.uniform(0, 0.5, planets)

    anomaly = ff.jit(ff.vmap(eccentric_anomaly))(mean_anomaly, eccentricity)
    error = np.max(np.abs(anomaly - bessel_series(mean_anomaly, eccentricity)))
    print(f"eccentric anomalies of {planets} planets: {error:.1e} from Bessel's series")
    assert error < 1e-13, "the roots are not those of Kepler's equation"

    expected = closed_forms(np.asarray(anomaly), eccentricity)
    found = derivatives(mean_anomaly, eccentricity)
    for name, ours, exact in zip(("dE/dM", "dE/de", "d2E/dM2"), found, expected, strict=True):
        error = np.max(np.abs(ours - exact))
        print(f"{name}: {error:.1e} from the implicit function theorem")
        assert error < 1e-13, f"{name} is not that of the implicit function theorem"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="a hundred times as many planets")
    main(planets=100_000 if parser.parse_args().full else 1000)
