"""A Kalman filter fitted by Newton's method: how fast the level of the Nile wanders.

The local level model says that an unseen level walks at random and is observed with noise,

    y_t = mu_t + eps_t,        eps_t ~ N(0, sigma_eps^2),
    mu_{t+1} = mu_t + eta_t,   eta_t ~ N(0, sigma_eta^2).

The Kalman filter, a `scan`, predicts each observation from those before it, with an error v_t of
variance F_t. Without knowledge of the first level, the log likelihood is

    log L = -n/2 log(2 pi) - 1/2 sum_{t=2..n} (log F_t + v_t^2 / F_t).

For the annual flow of the Nile at Aswan, 1871 to 1970, in 10^8 m^3, it is greatest for
sigma_eps^2 = 15099, sigma_eta^2 = 1469.1 (J. Durbin and S. J. Koopman, "Time Series Analysis by
State Space Methods", 2nd ed. 2012, chapter 2), where it is -633.46 (R package `statespacer`).
The likelihood is also compared with that of the differences y_t - y_1, which are jointly normal
with the covariances sigma_eps^2 (1 + [s = t]) + sigma_eta^2 (min(s, t) - 1).

    python examples/kalman.py
"""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax

# fmt: off
NILE = np.array([
    1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180,
    799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833,
    701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845,
    864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649,
    846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923, 975, 815,
    1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
], dtype=float)
# fmt: on
PUBLISHED = np.array([15099, 1469.1])
PUBLISHED_LOG_LIKELIHOOD = -633.46


def log_likelihood(log_variances, observations):
    """The Kalman filter as one `scan`."""
    noise, walk = fnp.exp(log_variances)

    def observe(prediction, y):
        level, variance = prediction
        error, error_variance = y - level, variance + noise
        gain = variance / error_variance
        fit = fnp.log(error_variance) + error**2 / error_variance
        return (level + gain * error, variance * (1 - gain) + walk), fit

    after_first = (observations[0], noise + walk)
    _, fits = lax.scan(observe, after_first, observations[1:])
    return -0.5 * (len(observations) * np.log(2 * np.pi) + fnp.sum(fits))


@ff.jit(static_argnums=1)
def fit(observations, newton_steps=12):
    """The log variances of greatest likelihood, and the likelihoods on the way."""

    def improve(log_variances, _):
        value, gradient = ff.value_and_grad(log_likelihood)(log_variances, observations)
        curvature = ff.hessian(log_likelihood)(log_variances, observations)
        step = fnp.linalg.solve(curvature, gradient)
        return log_variances - step / fnp.maximum(1, fnp.linalg.norm(step)), value

    start = fnp.log(fnp.var(observations) * np.array([0.5, 0.1]))
    return lax.scan(improve, start, length=newton_steps)


def direct_log_likelihood(log_variances, observations):
    """The same from the joint normal density, in NumPy: O(n^3) where the filter takes O(n)."""
    noise, walk = np.exp(log_variances)
    differences = observations[1:] - observations[0]
    t = np.arange(1, len(observations))
    covariance = noise * (1 + np.eye(len(t))) + walk * np.minimum(t[:, None], t)
    fit = differences @ np.linalg.solve(covariance, differences)
    log_determinant = np.linalg.slogdet(covariance)[1]
    return -0.5 * (len(observations) * np.log(2 * np.pi) + log_determinant + fit)


def main():
    """Compare likelihood and estimates with what is known."""
    log_variances, course = fit(NILE)
    print("log likelihood in Newton's steps:", *(f"{value:.4f}" for value in course[:5]), "...")
    direct = direct_log_likelihood(log_variances, NILE)
    print(f"at the end {course[-1]:.8f}, directly {direct:.8f}, known: {PUBLISHED_LOG_LIKELIHOOD}")
    assert abs(course[-1] - direct) < 1e-8, "the filter's likelihood is not that of the model"
    assert abs(direct - PUBLISHED_LOG_LIKELIHOOD) < 0.005, "the likelihood is not the known one"

    slope = ff.grad(log_likelihood)(log_variances, NILE)
    assert fnp.max(fnp.abs(slope)) < 1e-8, f"Newton's method has not converged: {slope}"
    variances = np.exp(log_variances)
    print(f"variances of noise and walk: {variances.round(2)}, known: {PUBLISHED}")
    np.testing.assert_allclose(variances, PUBLISHED, rtol=1e-4, err_msg="the variances")


if __name__ == "__main__":
    main()
