"""Hamiltonian Monte Carlo: a thousand chains sample a Bayesian logistic regression.

What is sampled is the posterior density p of the 30 coefficients theta of `logistic.py`. A chain
gives its place z a random momentum m, follows Hamilton's equations z' = m, m' = grad log p(z) by
the leapfrog method, and accepts where it arrives with the probability min(1, exp(-dE)), where dE is
the change of the energy |m|^2 / 2 - log p(z) (R. M. Neal, "MCMC using Hamiltonian dynamics", 2011).
`vmap` makes a thousand chains of one. They walk in coordinates z in which Laplace's approximation
of the posterior is N(0, 1).

Mean and deviations are compared with those of importance sampling, in NumPy, and the chains with
each other by the potential scale reduction R-hat (A. Gelman and D. B. Rubin, 1992).

    python examples/hmc.py [--full]
"""

import argparse

import numpy as np
from logistic import laplace, log_posterior, tumours
from scipy.special import softmax

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, random

CHAINS = 1000
STEP, LEAPS = 0.3, 5  # a quarter of a period in the whitened coordinates


def leapfrog(force, place, momentum):
    """Where Hamilton's equations lead: half a kick, drifts and kicks in turn, half a kick less."""

    def leap(_, state):
        place, momentum = state
        place = place + STEP * momentum
        return place, momentum + STEP * force(place)

    start = (place, momentum + STEP / 2 * force(place))
    place, momentum = lax.fori_loop(0, LEAPS, leap, start)
    return place, momentum - STEP / 2 * force(place)


def hmc_step(log_density, place, key):
    """The next place of a chain; the same if the one proposed is not accepted."""
    momentum_key, accept_key = random.split(key)
    momentum = random.normal(momentum_key, place.shape, place.dtype)
    end, end_momentum = leapfrog(ff.grad(log_density), place, momentum)
    log_chance = log_density(end) - log_density(place)
    log_chance += fnp.sum(momentum**2 - end_momentum**2) / 2
    accepted = fnp.log(random.uniform(accept_key, dtype=place.dtype)) < log_chance
    return fnp.where(accepted, end, place)


@ff.jit(static_argnums=(1, 2))
def sample(signed, warm_up, steps):
    """Where the chains are at each step, of shape (chains, steps, coefficients)."""
    mode, factor = laplace(signed)

    def step(place, key):
        place = hmc_step(lambda z: log_posterior(mode + factor @ z, signed), place, key)
        return place, mode + factor @ place

    def chain(key):
        start = 2 * random.normal(key, mode.shape, mode.dtype)  # wider than the posterior
        keys = random.split(random.fold_in(key, 1), warm_up + steps)
        return lax.scan(step, start, keys)[1][warm_up:]

    return ff.vmap(chain)(random.split(random.key(0), CHAINS))


def importance_sampling(signed, draws=40_000):
    """The posterior's mean and deviations from weighted normal draws, at first Laplace's."""
    mean, factor = map(np.asarray, laplace(signed))
    rng = np.random.default_rng(0)
    for _ in range(2):  # the second time with mean and covariance found in the first
        z = 1.1 * rng.standard_normal((draws, len(mean)))
        theta = mean + z @ factor.T
        log_density = -np.logaddexp(0, -theta @ signed.T).sum(1) - (theta**2).sum(1) / 2
        weights = softmax(log_density + (z**2).sum(1) / 2 / 1.1**2)
        mean = weights @ theta
        factor = np.linalg.cholesky(np.cov(theta.T, aweights=weights))
    return mean, np.sqrt(np.sum(factor**2, axis=1))


def main(warm_up, steps):
    """Compare the chains with each other and with importance sampling."""
    signed = tumours()
    thetas = np.asarray(sample(signed, warm_up, steps))
    within, between = thetas.var(axis=1, ddof=1).mean(0), thetas.mean(axis=1).var(0, ddof=1)
    r_hat = np.max(np.sqrt(1 - 1 / steps + between / within))
    print(f"{CHAINS} chains of {steps} steps: R-hat is {r_hat:.4f}")
    assert r_hat < 1 + 0.5 / steps, "the chains do not agree"

    mean, (known, deviation) = thetas.mean((0, 1)), importance_sampling(signed)
    error = np.max(np.abs(mean - known) / deviation)
    print(f"means by HMC {mean[:5].round(2)}, by importance sampling {known[:5].round(2)}, ...")
    print(f"the largest difference is {error:.3f} standard deviations")
    assert error < 0.05, "the posterior means are not those of importance sampling"
    np.testing.assert_allclose(thetas.std((0, 1)), deviation, rtol=0.05, err_msg="deviations")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="1000 steps instead of 60")
    main(warm_up=20, steps=1000 if parser.parse_args().full else 60)
