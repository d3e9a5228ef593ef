"""L-BFGS, a quasi-Newton method with a short memory, as one compiled `while_loop`.

The method (J. Nocedal, "Updating quasi-Newton matrices with limited storage", 1980) walks along
-H g, where g is the gradient and H stands for the inverse Hessian. H is not stored; H g follows
from the last steps s_i and changes of the gradient y_i, with rho_i = 1 / (s_i . y_i):

    q = g;                        q -= alpha_i y_i,  alpha_i = rho_i s_i . q    from new to old
    r = q (s_0 . y_0) / |y_0|^2;  r += (alpha_i - rho_i y_i . r) s_i            from old to new

A step along -H g is halved until the function falls enough (Armijo's condition).

The extended Rosenbrock function (J. J. More, B. S. Garbow and K. E. Hillstrom, "Testing
unconstrained optimization software", 1981, number 21) has its minimum at (1, ..., 1), which is
found from many points at once by `vmap`. For the regression of `logistic.py` the result is
compared with that of Newton's method.

    python examples/lbfgs.py [--full]
"""

import argparse

import numpy as np
from logistic import laplace, log_posterior, tumours

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

MEMORY = 10


def descent(gradient, steps, changes):
    """The direction -H g. Pairs of zeros, which stand for those not yet known, change nothing."""
    products = fnp.sum(steps * changes, axis=1)
    rho = fnp.where(products > 0, 1 / products, 0.0)

    def to_older(q, pair):
        s, y, rho = pair
        alpha = rho * (s @ q)
        return q - alpha * y, alpha

    def to_newer(r, pair):
        s, y, rho, alpha = pair
        return r + (alpha - rho * (y @ r)) * s, None

    q, alphas = lax.scan(to_older, gradient, (steps, changes, rho))
    scale = fnp.where(rho[0] > 0, products[0] / (changes[0] @ changes[0]), 1.0)
    return -lax.scan(to_newer, scale * q, (steps, changes, rho, alphas), reverse=True)[0]


def line_search(f, x, value, gradient, direction):
    """The longest of the steps 1, 1/2, 1/4, ... after which the function has fallen enough."""
    enough = 1e-4 * (gradient @ direction)
    rounding = 1e-15 * fnp.abs(value)

    def too_long(length):
        return f(x + length * direction) > value + length * enough + rounding

    return lax.while_loop(too_long, lambda length: length / 2, fnp.ones_like(value))


def minimize(f, x, tolerance=1e-8, max_steps=1000):
    """Where the gradient of a function vanishes, downhill from a point, and the number of steps."""

    def step(state):
        count, x, value, gradient, steps, changes = state
        direction = descent(gradient, steps, changes)
        s = line_search(f, x, value, gradient, direction) * direction
        value, new_gradient = ff.value_and_grad(f)(x + s)
        y = new_gradient - gradient
        useful = s @ y > 1e-12 * (y @ y)  # only then H stays positive definite
        steps = fnp.where(useful, fnp.concatenate([s[None], steps[:-1]]), steps)
        changes = fnp.where(useful, fnp.concatenate([y[None], changes[:-1]]), changes)
        return count + 1, x + s, value, new_gradient, steps, changes

    def go_on(state):
        return (fnp.max(fnp.abs(state[3])) > tolerance) & (state[0] < max_steps)

    nothing = fnp.zeros((MEMORY, len(x)), x.dtype)
    start = (0, x, *ff.value_and_grad(f)(x), nothing, nothing)
    count, x, *_ = lax.while_loop(go_on, step, start)
    return x, count


def rosenbrock(x):
    """Valleys that are steep across and flat along, one for each pair of coordinates."""
    return fnp.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2)


def main(dimension, starts):
    """Compare both minima with the known ones."""
    points = np.random.default_rng(0).uniform(-2, 2, (starts, dimension))
    found, counts = ff.jit(ff.vmap(lambda x: minimize(rosenbrock, x)))(points)
    error = np.max(np.abs(found - 1))
    print(f"Rosenbrock's function in {dimension} dimensions, from {starts} points:")
    print(f"{np.min(counts)} to {np.max(counts)} steps, at most {error:.1e} from (1, ..., 1)")
    assert error < 1e-7, "not the minimum of Rosenbrock's function"

    signed = tumours()
    found, count = ff.jit(lambda x: minimize(lambda x: -log_posterior(x, signed), x))(np.zeros(30))
    error = np.max(np.abs(found - laplace(signed)[0]))
    print(f"logistic regression: {count} steps, {error:.1e} from the mode by Newton's method")
    assert error < 1e-7, "not the mode of the logistic regression"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="ten times the dimensions and points")
    if parser.parse_args().full:
        main(dimension=100, starts=1000)
    else:
        main(dimension=10, starts=100)
