"""A hidden Markov model fitted by gradient: calm and busy times of the earth.

The numbers x_t of major earthquakes (magnitude 7 or more) in the years 1900 to 2006 are Poisson
variates whose mean lambda_i depends on a hidden state i, which is a stationary Markov chain with
transition probabilities gamma_ij. The forward algorithm sums over all paths of states,

    log alpha_t(j) = log p(x_t | lambda_j) + log sum_i exp(log alpha_{t-1}(i) + log gamma_ij),

one step of a `scan` per year; log L = log sum_j exp(log alpha_n(j)). Its gradient comes from
`grad`, where the usual way (EM) needs a second, backward recursion.

The estimates for three states are those of W. Zucchini, I. L. MacDonald and R. Langrock, "Hidden
Markov Models for Time Series", 2nd ed. 2016, chapter 3: means 13.146, 19.721, 29.714,
log L = -329.4603, and the probabilities below.

    python examples/hmm.py
"""

import numpy as np
from scipy.optimize import minimize

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, nn

# fmt: off
EARTHQUAKES = np.array([
    13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14, 23,
    18, 17, 19, 20, 22, 19, 13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27, 35, 26,
    28, 36, 39, 21, 17, 22, 17, 19, 15, 34, 10, 15, 22, 18, 15, 20, 15, 22, 19, 16, 30, 27, 29, 23,
    20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6, 11, 8, 7, 18, 16, 13, 12, 13, 20, 15,
    16, 12, 18, 15, 16, 13, 15, 16, 11, 11,
], dtype=float)
# fmt: on
MEANS = np.array([13.146, 19.721, 29.714])
TRANSITIONS = np.array([[0.955, 0.024, 0.021], [0.050, 0.899, 0.051], [0.000, 0.197, 0.803]])
STATIONARY = np.array([0.444, 0.404, 0.152])
LOG_LIKELIHOOD = -329.4603


def model_of(parameters):
    """Means, transition probabilities and stationary distribution, from 9 unbounded numbers.

    The means are exponentials. Of each row of `scores`, whose diagonal is 0, softmax makes
    probabilities. The stationary distribution solves delta (1 - gamma + ones) = (1, 1, 1).
    """
    log_means, off_diagonal = parameters[:3], parameters[3:]
    rows, columns = np.nonzero(1 - np.eye(3))
    scores = fnp.zeros((3, 3), parameters.dtype).at[rows, columns].set(off_diagonal)
    transitions = nn.softmax(scores, axis=1)
    stationary = fnp.linalg.solve((fnp.eye(3) - transitions + 1).T, fnp.ones(3, parameters.dtype))
    return fnp.exp(log_means), transitions, stationary


def log_poisson(count, mean):
    """The logarithm of the probability of a count."""
    return count * fnp.log(mean) - mean - lax.lgamma(count + 1)


def log_likelihood(parameters, counts):
    """The forward algorithm as one `scan`."""
    means, transitions, stationary = model_of(parameters)
    log_transitions = fnp.log(transitions)

    def next_year(log_alpha, count):
        log_paths = nn.logsumexp(log_alpha[:, None] + log_transitions, axis=0)
        return log_paths + log_poisson(count, means), None

    first = fnp.log(stationary) + log_poisson(counts[0], means)
    log_alpha, _ = lax.scan(next_year, first, counts[1:])
    return nn.logsumexp(log_alpha)


def fit(counts):
    """The parameters of greatest likelihood, by SciPy's BFGS with our gradient."""
    start = np.concatenate([np.log([10.0, 20.0, 30.0]), np.full(6, -2.0)])
    loss = ff.jit(ff.value_and_grad(lambda parameters: -log_likelihood(parameters, counts)))
    found = minimize(lambda p: tuple(map(np.asarray, loss(p))), start, jac=True, method="BFGS")
    print(f"{found.nfev} evaluations of likelihood and gradient")
    return found.x, -found.fun


def main():
    """Compare the estimates with the book's."""
    parameters, value = fit(EARTHQUAKES)
    model = [np.asarray(part) for part in model_of(parameters)]
    print(f"log likelihood: {value:.4f}, known: {LOG_LIKELIHOOD}")
    assert abs(value - LOG_LIKELIHOOD) < 1e-4, "the likelihood is not that of the book"

    names = ("means", "transition probabilities", "stationary distribution")
    published = (MEANS, TRANSITIONS, STATIONARY)
    for name, ours, known in zip(names, model, published, strict=True):
        print(f"{name}:\n{ours.round(3)}")
        np.testing.assert_allclose(ours, known, rtol=1e-4, atol=1e-3, err_msg=name)


if __name__ == "__main__":
    main()
