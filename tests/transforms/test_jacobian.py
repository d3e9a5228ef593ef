"""Jacobians and Hessians against closed forms."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors

MODES = pytest.mark.parametrize("jacobian", [ff.jacfwd, ff.jacrev, ff.jacobian])
X = np.array([0.5, 1.0, 2.0])
MATRIX = np.arange(6.0).reshape(2, 3)


@MODES
def test_a_linear_function(jacobian):
    np.testing.assert_array_equal(jacobian(lambda x: MATRIX @ x)(X), MATRIX)


@MODES
def test_shapes_are_the_outputs_then_the_arguments(jacobian):
    got = jacobian(lambda x: x.T * 2)(MATRIX)
    expected = np.zeros((3, 2, 2, 3))
    for i in range(3):
        for j in range(2):
            expected[i, j, j, i] = 2
    np.testing.assert_array_equal(got, expected)


@MODES
def test_pytrees_on_both_sides(jacobian):
    got = jacobian(lambda p: {"s": p["a"] * p["b"], "t": [fnp.sum(p["b"])]})({"a": 2.0, "b": X})
    np.testing.assert_allclose(got["s"]["a"], X)
    np.testing.assert_allclose(got["s"]["b"], 2 * np.eye(3))
    np.testing.assert_allclose(got["t"][0]["a"], 0)
    np.testing.assert_allclose(got["t"][0]["b"], np.ones(3))


@MODES
def test_argnums_keywords_and_aux(jacobian):
    f = lambda x, y, *, k: (k * x * y, x)  # noqa: E731
    (dx, dy), aux = jacobian(f, argnums=(0, 1), has_aux=True)(X, 2.0, k=3.0)
    np.testing.assert_allclose(dx, 6 * np.eye(3))
    np.testing.assert_allclose(dy, 3 * X)
    np.testing.assert_array_equal(aux, X)
    np.testing.assert_allclose(jacobian(lambda x, y: x * y, -1)(X, 2.0), X)


@MODES
def test_holomorphic(jacobian):
    z = X + 1j
    np.testing.assert_allclose(jacobian(lambda z: z * z, holomorphic=True)(z), np.diag(2 * z))


@MODES
def test_empty_and_scalar(jacobian):
    assert jacobian(lambda x: x)(np.ones((0, 2))).shape == (0, 2, 0, 2)
    assert float(jacobian(lambda x: x * x)(3.0)) == 6


def test_jacrev_of_real_functions_of_complex_arguments():
    z = X + 1j
    got = ff.jacrev(lambda z: fnp.abs(z) ** 2)(z)
    np.testing.assert_allclose(got, np.diag(2 * z.conj()))


@MODES
@pytest.mark.parametrize(("x", "f"), [(1, lambda x: x * 2.0), (1j, lambda x: x)])
def test_functions_that_are_not_real(jacobian, x, f):
    with pytest.raises(errors.NotDifferentiableError, match=r"args\[0\]|the output must be real"):
        jacobian(f)(x)


def test_jacrev_of_integer_results_and_arguments():
    with pytest.raises(errors.NotDifferentiableError, match="output"):
        ff.jacrev(lambda x: x > 0)(1.0)
    assert ff.jacrev(lambda n: n * 2.0, allow_int=True)(3).dtype == ff.float0


@pytest.mark.parametrize("outer", [ff.jacfwd, ff.jacrev])
@pytest.mark.parametrize("inner", [ff.jacfwd, ff.jacrev])
def test_second_derivatives_in_all_orders(outer, inner):
    f = lambda x: fnp.sum(x**3) + x[0] * x[1]  # noqa: E731
    expected = np.diag(6 * X)
    expected[0, 1] = expected[1, 0] = 1
    np.testing.assert_allclose(outer(inner(f))(X), expected)
    np.testing.assert_allclose(ff.jit(outer(inner(f)))(X), expected)
    np.testing.assert_allclose(ff.hessian(f)(X), expected)


def test_hessian_of_pytrees_with_aux():
    f = lambda p: (p["a"] ** 2 * p["b"], p["a"])  # noqa: E731
    got, aux = ff.hessian(f, has_aux=True)({"a": 2.0, "b": 3.0})
    assert {k: {m: float(v) for m, v in row.items()} for k, row in got.items()} == {
        "a": {"a": 6, "b": 4},
        "b": {"a": 4, "b": 0},
    }
    assert float(aux["a"] if isinstance(aux, dict) else aux) == 2


def test_golden_text(golden):
    texts = [ff.make_jaxpr(jac(fnp.sin))(fnp.ones(2)) for jac in (ff.jacfwd, ff.jacrev)]
    golden("transform_jacobian.txt", "\n".join(map(str, texts)) + "\n")
