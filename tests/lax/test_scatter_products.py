"""`scatter_mul` and `scatter_apply`; `test_scattering` has the laws of all scatters."""

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


def bound(name, **options):
    return lambda x, i, u: getattr(lax, name)(x, i, u, SINGLE, **options)


def vjp(f, *args):
    return [np.asarray(ct).tolist() for ct in ff.vjp(f, *args)[1](np.ones(4, "f4"))]


# --- scatter_mul ----------------------------------------------------------------------------


def test_derivatives_of_products_of_zeros():
    u = np.array([0.0, 2.0, 3.0, 4.0], "f4")  # the first and third update meet
    _, u_ct = vjp(lambda x, u: bound("scatter_mul")(x, REPEATED, u), X, u)
    assert u_ct == [-1.5, 0.75, 0, 0]
    check_laws(lambda x, u: bound("scatter_mul")(x, REPEATED, u), (X, u))


def test_an_infinite_element_that_is_not_multiplied_has_a_finite_derivative():
    x = np.array([np.inf, 1.0], "f4")
    f = bound("scatter_mul", unique_indices=True)
    u, u_dot = np.float32([2]), np.float32([3])
    _, tangent = ff.jvp(lambda u: f(x, np.array([[1]]), u), (u,), (u_dot,))
    assert tangent.tolist() == [0, 3]


def test_windows_with_batching_axes_are_multiplied_one_by_one():
    x = np.array([[1.5, 0.5], [2.0, -1.0]], "f4")
    indices = np.array([[[0], [0]], [[1], [1]]], "int32")
    u = np.array([[0.5, 3.0], [-2.0, 1.5]], "f4")
    dims = lax.ScatterDimensionNumbers((), (1,), (1,), (0,), (0,))
    check_laws(lambda x, u: lax.scatter_mul(x, indices, u, dims), (x, u))


# --- scatter_apply --------------------------------------------------------------------------


def apply(x, i, **options):
    return lax.scatter_apply(x, i, lax.square, SINGLE, update_shape=(len(i),), **options)


def test_apply_applies_once_for_each_index_vector():
    np.testing.assert_array_equal(apply(X, REPEATED), [1.5, 0.0625, 2, 0.5625])
    np.testing.assert_array_equal(apply(X, REPEATED, mode="clip"), [1.5, 0.0625, 2, 0.75**4])
    np.testing.assert_array_equal(apply(X, UNIQUE, unique_indices=True), [2.25, 0.25, 2, 0.5625])


@pytest.mark.parametrize("unique", [True, False])
def test_apply_laws(unique):
    indices = UNIQUE if unique else REPEATED
    check_laws(lambda x, i: apply(x, i, unique_indices=unique), (X, indices))


def test_apply_to_windows_with_batching_axes():
    x = np.arange(1, 13, dtype="f4").reshape(2, 2, 3)
    indices = np.array([[[0], [1]], [[1], [1]]], "int32")
    dims = lax.ScatterDimensionNumbers((1,), (1,), (1,), (0,), (0,))
    got = lax.scatter_apply(x, indices, lax.neg, dims, update_shape=(2, 3, 2))
    signs = np.array([[-1, -1], [1, 1]], "f4")[:, :, None]
    np.testing.assert_array_equal(got, x * signs)


def test_apply_keeps_shape_and_dtype():
    def widened(x):
        return lax.convert_element_type(x, "float64")

    with pytest.raises(ff.errors.ShapeError, match="scatter_apply: func made"):
        lax.scatter_apply(X, UNIQUE, widened, SINGLE, update_shape=(4,))
