"""The Lorenz system: derivatives through a long loop, and how fast they grow.

    x' = sigma (y - x),   y' = x (rho - z) - y,   z' = x y - beta z

with sigma = 10, rho = 28, beta = 8/3 (E. N. Lorenz, "Deterministic nonperiodic flow", 1963) is
solved by the classical Runge-Kutta method of order four, step after step in a `scan`.

Three things are known of its derivatives:

1. Reverse mode (`grad`), forward mode (`jvp`) and differences give the same gradient.
2. The flow contracts volumes at a constant rate, the divergence of the right-hand side. So the
   Jacobian of the state at time t has the determinant exp(-(sigma + 1 + beta) t) (Liouville).
3. Tangents grow like exp(lambda t), where the largest Lyapunov exponent is lambda = 0.9056
   (J. C. Sprott, "Chaos and Time-Series Analysis", 2003).

    python examples/lorenz.py [--full]
"""

import argparse

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

SIGMA, RHO, BETA = 10.0, 28.0, 8.0 / 3.0
LYAPUNOV = 0.9056
START = np.array([1.0, 1.0, 20.0])
STEP = 0.01


def velocity(state):
    """The right-hand side of the differential equation."""
    x, y, z = state
    return fnp.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z])


def runge_kutta(state, step):
    """The state one step later."""
    k1 = velocity(state)
    k2 = velocity(state + step / 2 * k1)
    k3 = velocity(state + step / 2 * k2)
    k4 = velocity(state + step * k3)
    return state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def flow(state, steps, step=STEP):
    """The state after a number of steps."""
    return lax.scan(lambda s, _: (runge_kutta(s, step), None), state, length=steps)[0]


def final_height(state):
    """What is differentiated: z after 5 units of time."""
    return flow(state, 500)[2]


def gradients():
    """The gradient of `final_height` by reverse mode, forward mode and central differences."""
    height = ff.jit(final_height)
    forward = ff.jit(ff.vmap(lambda v: ff.jvp(final_height, (START,), (v,))[1]))
    shifts = 1e-6 * np.eye(3)
    differences = [(height(START + h) - height(START - h)) / 2e-6 for h in shifts]
    return ff.jit(ff.grad(final_height))(START), forward(np.eye(3)), np.array(differences)


def contraction(steps=50, step=STEP / 10):
    """The rate at which the flow changes volumes: log |det Jacobian| / time."""
    jacobian = ff.jit(ff.jacfwd(lambda state: flow(state, steps, step)))(START)
    return fnp.linalg.slogdet(jacobian)[1] / (steps * step)


@ff.jit(static_argnums=1)
def lyapunov(state, rounds, steps=10):
    """The mean growth rate of a tangent, scaled back to length 1 after every few steps."""

    def one_round(carry, _):
        state, tangent = carry
        state, tangent = ff.jvp(lambda s: flow(s, steps), (state,), (tangent,))
        length = fnp.linalg.norm(tangent)
        return (state, tangent / length), fnp.log(length)

    start = (flow(state, 1000), fnp.ones_like(state))
    (start, _) = lax.scan(one_round, start, length=100)  # the tangent finds its direction
    _, growth = lax.scan(one_round, start, length=rounds)
    return fnp.mean(growth) / (steps * STEP)


def main(time):
    """Compare all three with what is known."""
    reverse, forward, differences = gradients()
    print(f"gradient of z(5), reverse mode: {reverse}")
    print(f"                  forward mode: {forward}")
    print(f"                   differences: {differences}")
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, err_msg="forward and reverse mode")
    np.testing.assert_allclose(reverse, differences, rtol=1e-6, err_msg="gradient, differences")

    rate, divergence = contraction(), -(SIGMA + 1 + BETA)
    print(f"contraction of volumes: {rate:.8f}, the divergence is {divergence:.8f}")
    assert abs(rate - divergence) < 1e-6, "the Jacobian's determinant is not Liouville's"

    exponent = float(lyapunov(START, rounds=round(time / (10 * STEP))))
    print(f"largest Lyapunov exponent over {time} units of time: {exponent:.4f}, known: {LYAPUNOV}")
    assert abs(exponent - LYAPUNOV) < 0.5 / time**0.5, "the Lyapunov exponent is off"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="follow the tangent ten times as long")
    main(time=100_000 if parser.parse_args().full else 10_000)
