"""The loops that are measured, written once for JAX and funcflow.

`api` is the module of either library. Each function returns a function of arrays, to be jitted.
Where a loop would be chaotic, its parameters or its length keep it from that, so that results which
differ by rounding stay close enough to compare.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import fresh
import models
import numpy as np

LORENZ_STEP, RING_STEP = 2e-5, 1e-4
FORCE = 0.5  # too weak for chaos in the ring
RATE, ECCENTRICITY = 0.01, 0.4  # of the relaxation, of Kepler's orbits
CHEAP, DEAR = 4, 400  # iterations of the two branches of `branching`
LEAPFROGS, LEAPFROG_STEP = 5, 0.05  # for posteriors as wide as that of `HMC_ROWS` observations
HMC_ROWS, HMC_COLUMNS = 569, 30  # of scikit-learn's breast cancer data

Function = Callable[..., Any]


# --- scans ----------------------------------------------------------------------------------


def lorenz(api: ModuleType, steps: int, **options: Any) -> Function:
    """The state of Lorenz' equations after some steps, from a scan with some options."""
    step = runge_kutta(api)
    return lambda s: api.lax.scan(lambda s, _: (step(s), None), s, None, length=steps, **options)[0]


def runge_kutta(api: ModuleType) -> Function:
    """A step of the classical Runge-Kutta method for Lorenz' equations."""

    def slope(s: Any) -> Any:
        x, y, z = s[0], s[1], s[2]
        return api.numpy.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])

    def step(s: Any) -> Any:
        h = LORENZ_STEP
        a = slope(s)
        b = slope(s + h / 2 * a)
        c = slope(s + h / 2 * b)
        d = slope(s + h * c)
        return s + h / 6 * (a + 2 * b + 2 * c + d)

    return step


def lorenz_gradient(api: ModuleType, steps: int, **options: Any) -> Function:
    solve = lorenz(api, steps, **options)
    return api.grad(lambda s: api.numpy.sum(solve(s) ** 2))


def lorenz_open_gradient(api: ModuleType, steps: int) -> Function:
    """The same through a loop that goes up to an argument; JAX has to know where, and scans."""
    if api.__name__ == "jax":
        return lambda s, n: lorenz_gradient(api, steps)(s)
    step = runge_kutta(api)

    def loss(s: Any, n: Any) -> Any:
        return api.numpy.sum(api.lax.fori_loop(0, n, lambda i, s: step(s), s) ** 2)

    return api.grad(loss)


def lorenz_trajectory(api: ModuleType, steps: int, **options: Any) -> Function:
    """All states on the way."""
    step = runge_kutta(api)
    return lambda s: api.lax.scan(lambda s, _: (step(s), s), s, None, length=steps, **options)[1]


def lorenz_first_call(library: str, steps: int, dtype: str) -> float:
    """Seconds of the first call of the gradient, in a process of its own."""
    api = importlib.import_module(library)
    with api.enable_x64(dtype == "float64"):
        start = api.numpy.ones(3, dtype)
        return fresh.seconds_to_result(api, lorenz_gradient(api, steps), (start,))


def ring(api: ModuleType, steps: int) -> Function:
    """Euler's method for Lorenz' equations of 1996, each site's number a carry of its own."""

    def step(x: tuple[Any, ...], _: None) -> tuple[tuple[Any, ...], None]:
        n = len(x)
        return tuple(
            x[i] + RING_STEP * ((x[(i + 1) % n] - x[i - 2]) * x[i - 1] - x[i] + FORCE)
            for i in range(n)
        ), None

    return lambda x: api.lax.scan(step, x, None, length=steps)[0]


def ring_gradient(api: ModuleType, steps: int) -> Function:
    solve = ring(api, steps)
    return api.grad(lambda x: sum(y * y for y in solve(x)))


def linear_recurrence(api: ModuleType) -> Function:
    """All y[i] = a[i] * y[i - 1] + b[i]."""

    def combine(first: Any, second: Any) -> Any:
        return first[0] * second[0], first[1] * second[0] + second[1]

    return lambda a, b: api.lax.associative_scan(combine, (a, b))[1]


def running_sum(api: ModuleType) -> Function:
    return lambda a, b: api.lax.associative_scan(api.numpy.add, b)


# --- recurrent nets -------------------------------------------------------------------------


@dataclass(frozen=True)
class RNN(models.LSTM):
    """A tanh layer over the same sequences as the LSTM's; the last state is classified."""

    units: int = 32

    def init(self) -> models.Params:
        rng = np.random.default_rng(0)
        return {
            "input": models.dense_params(rng, self.inputs, self.units),
            "recurrent": models.weights(rng, self.units, self.units, inputs=self.units),
            "out": models.dense_params(rng, self.units, 10),
        }

    def loss(self, api: ModuleType, params: models.Params, sequences: Any, labels: Any) -> Any:
        def cell(state: Any, projected: Any) -> tuple[Any, None]:
            return api.numpy.tanh(projected + state @ params["recurrent"]), None

        zeros = api.numpy.zeros((sequences.shape[1], self.units), "float32")
        state, _ = api.lax.scan(cell, zeros, models.dense(params["input"], sequences))
        return models.cross_entropy(api, models.dense(params["out"], state), labels)


def loss(api: ModuleType, model: models.Model) -> Function:
    return lambda params, *batch: model.loss(api, params, *batch)


def loss_gradient(api: ModuleType, model: models.Model) -> Function:
    return api.value_and_grad(loss(api, model))


# --- loops without a fixed end, branches -----------------------------------------------------


def relaxation(api: ModuleType, x: Any, square: Any) -> Any:
    """A small step towards the square root: three operations."""
    return x + RATE * (square - x * x)


def kepler(api: ModuleType, x: Any, mean: Any) -> Any:
    """A step of Newton's method for Kepler's equation, `x - e sin x = mean`."""
    sine, cosine = api.numpy.sin(x), api.numpy.cos(x)
    return x - (x - ECCENTRICITY * sine - mean) / (1 - ECCENTRICITY * cosine)


Body = Callable[[ModuleType, Any, Any], Any]  # from a lane's value and constant to the next value


def repeated(api: ModuleType, body: Body) -> Function:
    """As many steps of the body as the last argument says."""

    def function(x: Any, constant: Any, steps: Any) -> Any:
        def going(state: tuple[Any, Any]) -> Any:
            return state[0] < steps

        def step(state: tuple[Any, Any]) -> tuple[Any, Any]:
            return state[0] + 1, body(api, state[1], constant)

        return api.lax.while_loop(going, step, (api.numpy.zeros_like(steps), x))[1]

    return function


def repeated_in_lanes(api: ModuleType, body: Body) -> Function:
    return api.vmap(repeated(api, body))


def branching(api: ModuleType, body: Body) -> Function:
    """Many steps in the lanes where `dear` is true, few in the others."""

    def steps(count: int, x: Any, constant: Any) -> Any:
        return api.lax.fori_loop(0, count, lambda i, y: body(api, y, constant), x)

    def lane(dear: Any, x: Any, constant: Any) -> Any:
        return api.lax.cond(dear, partial(steps, DEAR), partial(steps, CHEAP), x, constant)

    return api.vmap(lane)


# --- Hamiltonian Monte Carlo ----------------------------------------------------------------


def hamiltonian(api: ModuleType, steps: int) -> Function:
    """Means of the samples and of the acceptance over all chains, for a logistic regression.

    The function takes the chains' keys and starts, then the features and the labels, 0 or 1.
    """
    xp, lax, random = api.numpy, api.lax, api.random

    def run(keys: Any, starts: Any, features: Any, labels: Any) -> Any:
        def log_density(w: Any) -> Any:
            logits = features @ w
            fit = xp.sum(labels * logits - xp.logaddexp(logits, 0.0))
            return fit - 0.5 * xp.sum(w * w)

        density = api.value_and_grad(log_density)

        def leapfrog(state: Any, _: None) -> tuple[Any, None]:
            w, momentum, _, slope = state
            momentum = momentum + 0.5 * LEAPFROG_STEP * slope
            w = w + LEAPFROG_STEP * momentum
            height, slope = density(w)
            return (w, momentum + 0.5 * LEAPFROG_STEP * slope, height, slope), None

        def step(old: Any, key: Any) -> tuple[Any, Any]:
            momentum_key, accept_key = random.split(key)
            w, height, slope = old
            momentum = random.normal(momentum_key, w.shape, "float32")
            start = w, momentum, height, slope
            (w, end, *there), _ = lax.scan(leapfrog, start, None, length=LEAPFROGS)
            gain = there[0] - height + 0.5 * (xp.sum(momentum**2) - xp.sum(end**2))
            accepted = xp.log(random.uniform(accept_key, (), "float32")) < gain
            new = api.tree.map(lambda a, b: xp.where(accepted, a, b), (w, *there), old)
            return new, (new[0], accepted)

        def chain(key: Any, start: Any) -> Any:
            keys = random.split(key, steps)
            return lax.scan(step, (start, *density(start)), keys)[1]

        samples, accepted = api.vmap(chain)(keys, starts)
        return xp.mean(samples, (0, 1)), xp.mean(samples**2, (0, 1)), xp.mean(accepted)

    return run


def regression(chains: int) -> tuple[np.ndarray, ...]:
    """Keys and starts of the chains, features and labels."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**32, (chains, 2), np.uint32)
    starts = 0.1 * rng.standard_normal((chains, HMC_COLUMNS), np.float32)
    features = rng.standard_normal((HMC_ROWS, HMC_COLUMNS), np.float32)
    truth = 0.5 * rng.standard_normal(HMC_COLUMNS, np.float32)
    labels = features @ truth > rng.logistic(size=HMC_ROWS)
    return keys, starts.astype(np.float32), features, labels.astype(np.float32)
