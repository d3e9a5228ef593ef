"""A linear function with a transpose of its own."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.transforms.linear_call import linear_call

X, T = np.array([0.5, -1.0]), np.array([2.0, 3.0])


def scaled(x, t):
    """`t sin(x)`, with a transpose that is told by a factor of ten."""
    (out,) = linear_call(
        lambda kept, t: [fnp.sin(kept[0]) * t],
        lambda kept, cts: [10 * fnp.sin(kept[0]) * cts[0]],
        [x],
        [t],
    )
    return out


def test_both_directions():
    for transform in (lambda f: f, ff.jit):
        np.testing.assert_allclose(transform(scaled)(X, T), np.sin(X) * T)
        pull = transform(lambda ct: ff.linear_transpose(lambda t: scaled(X, t), T)(ct)[0])
        np.testing.assert_allclose(pull(T), 10 * np.sin(X) * T)


def test_derivatives():
    for transform in (lambda f: f, ff.jit, lambda f: ff.jit(ff.vmap(f))):
        _, tangent = transform(lambda x, t: ff.jvp(scaled, (x, t), (t, x)))(X, T)
        np.testing.assert_allclose(tangent, np.cos(X) * T * T + np.sin(X) * X)
        total = lambda x, t: fnp.sum(scaled(x, t))  # noqa: E731
        x_bar, t_bar = transform(ff.grad(total, (0, 1)))(X, T)
        np.testing.assert_allclose(x_bar, np.cos(X) * T)
        np.testing.assert_allclose(t_bar, 10 * np.sin(X))


def test_mapped_residuals_and_shared_tangents():
    total = lambda x, t: fnp.sum(ff.vmap(scaled, (0, None))(x, t))  # noqa: E731
    np.testing.assert_allclose(total(X, 2.0), 2 * np.sin(X).sum())
    np.testing.assert_allclose(ff.grad(total, 1)(X, np.float64(2)), 10 * np.sin(X).sum())
    total = lambda x, t: fnp.sum(ff.vmap(scaled, (None, 0))(x, t))  # noqa: E731
    np.testing.assert_allclose(ff.grad(total, 1)(np.float64(0.5), T), 10 * np.sin([0.5, 0.5]))
