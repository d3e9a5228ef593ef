"""The stiff van der Pol oscillator: reverse mode through a solver with adaptive steps.

    x'' = mu (1 - x^2) x' - x

creeps for times of order mu and jumps within times of order 1 / mu. Explicit methods would need
tiny steps throughout. A Rosenbrock method solves linear systems with the Jacobian J of the
right-hand side f instead: its stages are (2 / h - J) g_i = f(y_i) + sum_{j<i} c_ij g_j / h. Four
of them, by L. F. Shampine, "Implementation of Rosenbrock methods" (1982), give a result of order
four and an estimate of its error, by which a `while_loop` chooses the steps h. How many there are
depends on mu, and yet the gradient of the result goes back through all of them.

The period and its derivative are compared with the expansion begun by A. A. Dorodnicyn (1947),

    T = (3 - 2 log 2) mu + 3 alpha mu^(-1/3) - 2/3 log(mu) / mu - 1.3233 / mu + O(mu^(-5/3)),

where -alpha is the first zero of Airy's function, and with SciPy's `Radau` at a tolerance of 1e-11.

    python examples/van_der_pol.py [--full]
"""

import argparse

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

PERIODS_BY_SCIPY = {100: 162.83707109, 1000: 1614.40112581}
AIRY_ZERO = 2.33810741

# Where the stages evaluate f (in units of the g_j), the c_ij, and the weights of the stages.
PLACES = ((), (2,), (48 / 25, 6 / 25), (48 / 25, 6 / 25))
COUPLINGS = ((), (-8,), (372 / 25, 12 / 5), (-112 / 125, -54 / 125, -2 / 5))
RESULT = (19 / 9, 1 / 2, 25 / 108, 125 / 108)
ERROR = (17 / 54, 7 / 36, 0, 125 / 108)


def velocity(state, mu):
    """The right-hand side for the state (x, x')."""
    x, v = state
    return fnp.stack([v, mu * (1 - x**2) * v - x])


def combine(weights, stages):
    """The sum of stages with weights."""
    return sum(w * g for w, g in zip(weights, stages, strict=False))


def rosenbrock(state, step, mu):
    """The state after one step, and an estimate of its error."""
    inverse = fnp.linalg.inv(2 / step * fnp.eye(2) - ff.jacfwd(velocity)(state, mu))
    stages = []
    for places, couplings in zip(PLACES, COUPLINGS, strict=True):
        slope = velocity(state + combine(places, stages), mu)
        stages.append(inverse @ (slope + combine(couplings, stages) / step))
    return state + combine(RESULT, stages), combine(ERROR, stages)


def next_zero(state, mu, tolerance):
    """When x, now positive or about to become so, falls through 0, and the state there.

    A tolerable step is taken unless it ends beyond the zero; then Newton's method shortens it. As
    the choice of the steps has no influence but on the error, it has no derivative.
    """

    def advance(progress):
        time, state, step, _ = progress
        end, error = rosenbrock(state, step, mu)
        excess = fnp.max(fnp.abs(error) / (1 + fnp.abs(end))) / tolerance
        good, beyond = excess <= 1, end[0] < 0
        factor = lax.stop_gradient(fnp.clip(0.9 * excess**-0.25, 0.2, 4))
        take, arrived = good & ~beyond, good & beyond
        time, state = fnp.where(take, time + step, time), fnp.where(take, end, state)
        return time, state, fnp.where(arrived, step, step * factor), arrived

    def shorten(_, step):
        x, v = rosenbrock(state, step, mu)[0]
        return step - x / v

    start = (fnp.zeros_like(mu), state, fnp.full_like(mu, 1e-4), False)
    time, state, step, _ = lax.while_loop(lambda progress: ~progress[3], advance, start)
    step = lax.fori_loop(0, 8, shorten, step)
    return time + step, rosenbrock(state, step, mu)[0]


def period(mu, tolerance):
    """Twice the time between two zeros of x: the second half is the first with signs reversed."""
    _, falling = next_zero(fnp.stack([fnp.full_like(mu, 2), fnp.zeros_like(mu)]), mu, tolerance)
    return 2 * next_zero(-falling, mu, tolerance)[0]


def expansion(mu):
    """The period for large mu."""
    leading = (3 - 2 * np.log(2)) * mu + 3 * AIRY_ZERO * mu ** (-1 / 3)
    return leading - (2 / 3 * fnp.log(mu) + 1.3233) / mu


def main(mu, tolerance):
    """Compare the period and its derivative with what is known."""
    found, mu, scipy = lambda mu: period(mu, tolerance), np.float64(mu), PERIODS_BY_SCIPY[mu]
    value, reverse = ff.jit(ff.value_and_grad(found))(mu)
    print(f"mu = {mu}: period {value:.8f}, expansion {expansion(mu):.4f}, by SciPy {scipy}")
    assert abs(value - expansion(mu)) < 4 * mu ** (-5 / 3), "the period is not Dorodnicyn's"
    assert abs(value / scipy - 1) < 10 * tolerance, "the period is not SciPy's"

    _, forward = ff.jit(lambda mu: ff.jvp(found, (mu,), (fnp.ones_like(mu),)))(mu)
    known = ff.grad(expansion)(mu)
    print(f"dT/dmu: reverse mode {reverse:.10f}, forward {forward:.10f}, expansion {known:.5f}")
    assert abs(reverse / forward - 1) < 1e-8, "forward and reverse mode differ"
    assert abs(reverse / known - 1) < 2e-4, "the derivative is not that of the expansion"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="mu = 1000 instead of 100")
    main(mu=1000, tolerance=1e-9) if parser.parse_args().full else main(mu=100, tolerance=1e-7)
