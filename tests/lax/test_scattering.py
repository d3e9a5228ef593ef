"""The other scatters; `test_addressing` checks them with loops."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.testing import check_laws

SINGLE = lax.ScatterDimensionNumbers((), (0,), (0,))
X = np.array([1.5, -0.5, 2.0, 0.75], "f4")
REPEATED = np.array([[1], [3], [1], [7]], "int32")
UNIQUE = np.array([[1], [3], [0], [7]], "int32")
UPDATES = np.array([0.5, -1.25, 2.5, 3.0], "f4")
ALL = ["scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max"]


def bound(name, **options):
    return lambda x, i, u: getattr(lax, name)(x, i, u, SINGLE, **options)


def vjp(f, *args):
    return [np.asarray(ct).tolist() for ct in ff.vjp(f, *args)[1](np.ones(4, "f4"))]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("mode", ["clip", "drop"])
def test_laws(name, mode):
    for indices, unique in ((REPEATED, False), (UNIQUE[:3], True)):
        f = bound(name, mode=mode, unique_indices=unique)
        check_laws(
            lambda x, i, u, f=f: lax.square(f(x, i, u)), (X, indices, UPDATES[: len(indices)])
        )


@pytest.mark.parametrize("name", ["scatter", "scatter_sub", "scatter_mul"])
def test_laws_of_complex_scatters(name):
    z, u = X.astype("c8") * (1 + 0.5j), UPDATES.astype("c8") * (0.5 - 1j)
    check_laws(lambda z, u: bound(name)(z, REPEATED, u), (z, u))


@pytest.mark.parametrize("name", ALL)
def test_a_mapped_scatter_is_one_scatter(name):
    args = (np.stack([X] * 3), np.stack([REPEATED] * 3), np.stack([UPDATES] * 3))
    names = [eqn.primitive.name for eqn in ff.make_jaxpr(ff.vmap(bound(name)))(*args).eqns]
    assert names == [name]


@pytest.mark.parametrize("name", ALL)
def test_derivatives_in_one_argument_alone(name):
    check_laws(lambda x: bound(name)(x, REPEATED, UPDATES), (X,), order=1)
    check_laws(lambda u: bound(name)(X, REPEATED, u), (UPDATES,), order=1)


# --- scatter --------------------------------------------------------------------------------


def test_the_last_update_stays_and_has_the_derivative():
    f = bound("scatter")
    assert f(X, REPEATED, UPDATES).tolist() == [1.5, 2.5, 2.0, -1.25]
    x_ct, u_ct = vjp(lambda x, u: f(x, REPEATED, u), X, UPDATES)
    assert x_ct == [1, 0, 1, 0]
    assert u_ct == [0, 1, 1, 0]


@pytest.mark.parametrize("unique", [True, False])
def test_scatter_transposes(unique):
    indices = UNIQUE if unique else REPEATED
    f = bound("scatter", unique_indices=unique)
    transposed = ff.linear_transpose(lambda x, u: f(x, indices, u), X, UPDATES)
    x_ct, u_ct = transposed(np.array([1.0, 2.0, 3.0, 4.0], "f4"))
    if unique:
        assert x_ct.tolist() == [0, 0, 3, 0]
        assert u_ct.tolist() == [2, 4, 1, 0]
    else:
        assert x_ct.tolist() == [1, 0, 3, 0]
        assert u_ct.tolist() == [0, 4, 2, 0]


def test_derivatives_of_updates_that_are_dropped_are_zero_even_where_they_are_infinite():
    def f(u):
        return bound("scatter")(X, np.array([[0], [9]]), lax.sqrt(u))

    _, u_ct = ff.vjp(f, np.array([4.0, 0.0], "f4"))
    assert u_ct(np.ones(4, "f4"))[0].tolist() == [0.25, 0]


# --- scatter_min, scatter_max ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["scatter_min", "scatter_max"])
def test_equal_extrema_share_the_derivative(name):
    sign = 1 if name == "scatter_max" else -1
    x = np.array([0.0, 2.0, 0.0], "f4") * sign
    indices = np.array([[0], [0], [1], [1], [2]], "int32")
    u = np.array([1.0, 1.0, 2.0, 1.0, -1.0], "f4") * sign

    def f(x, u):
        return lax.reduce_sum(bound(name)(x, indices, u), (0,))

    x_ct, u_ct = ff.vjp(f, x, u)[1](np.float32(1))
    assert x_ct.tolist() == [0, 0.5, 1]
    assert u_ct.tolist() == [0.5, 0.5, 0.5, 0, 0]


@pytest.mark.parametrize("name", ["scatter_min", "scatter_max"])
def test_nan_wins_and_has_a_finite_derivative(name):
    u = np.array([np.nan, 1.0], "f4")
    f = lambda x, u: bound(name)(x, np.array([[1], [2]]), u)  # noqa: E731
    np.testing.assert_array_equal(np.isnan(f(X, u)), [False, True, False, False])
    _, tangent = ff.jvp(f, (X, u), (np.ones_like(X), np.ones_like(u)))
    assert tangent.tolist() == [1, 1, 1, 1]
