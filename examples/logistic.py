"""Logistic regression by Newton's method; `hmc.py` and `lbfgs.py` take the model from here.

Of 569 tumours, y_i = +1 or -1 says whether they were benign, and x_i are 30 measurements, each with
mean 0 and variance 1. With the prior theta ~ N(0, 1) the posterior density has the logarithm

    log p(theta) = sum_i log sigmoid(y_i theta . x_i) - |theta|^2 / 2 + constant.

It is concave, so Newton's method, with gradient and Hessian from `grad` and `hessian`, finds the
mode in a few steps. It is compared with scikit-learn's `LogisticRegression`. The inverse of the
Hessian there is the covariance of Laplace's approximation of the posterior.

    python examples/logistic.py
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax, nn


def tumours():
    """The measurements x_i, each times y_i: an array of shape (569, 30)."""
    data = load_breast_cancer()
    standardised = (data.data - data.data.mean(0)) / data.data.std(0)
    return standardised * np.where(data.target == 1, 1.0, -1.0)[:, None]


def log_posterior(theta, signed):
    """The logarithm of the posterior density, up to a constant."""
    return fnp.sum(nn.log_sigmoid(signed @ theta)) - fnp.sum(theta**2) / 2


@ff.jit
def laplace(signed, newton_steps=12):
    """The mode, and the Cholesky factor of the covariance there."""

    def improve(_, theta):
        slope, curvature = (d(log_posterior)(theta, signed) for d in (ff.grad, ff.hessian))
        return theta - fnp.linalg.solve(curvature, slope)

    mode = lax.fori_loop(0, newton_steps, improve, fnp.zeros(signed.shape[1], signed.dtype))
    return mode, fnp.linalg.cholesky(fnp.linalg.inv(-ff.hessian(log_posterior)(mode, signed)))


def main():
    """Compare the mode with scikit-learn's."""
    signed = tumours()
    mode, _ = laplace(signed)
    slope = fnp.max(fnp.abs(ff.grad(log_posterior)(mode, signed)))
    print(f"the mode: {mode[:4].round(4)}, ..., gradient {slope:.1e}")

    labels = load_breast_cancer().target
    model = LogisticRegression(C=1, fit_intercept=False, solver="newton-cholesky", tol=1e-10)
    known = model.fit(signed * np.where(labels == 1, 1, -1)[:, None], labels).coef_[0]
    error = np.max(np.abs(mode - known))
    print(f"scikit-learn's: {known[:4].round(4)}, ..., at most {error:.1e} away")
    assert slope < 1e-10, "Newton's method has not converged"
    assert error < 1e-8, "the mode is not scikit-learn's"


if __name__ == "__main__":
    main()
