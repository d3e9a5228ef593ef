"""Implicit derivatives against closed forms."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import errors, lax
from funcflow.testing import check_laws

A = np.array([[3.0, 1.0, 0.0], [0.5, 2.0, 0.3], [0.1, 0.0, 4.0]])
B = np.array([1.0, -2.0, 0.5])


def bisect(f, x):
    low, high = x - 10, x + 10

    def step(_, ends):
        low, high = ends
        middle = (low + high) / 2
        right = f(middle) < 0
        return fnp.where(right, middle, low), fnp.where(right, high, middle)

    return lax.fori_loop(0, 60, step, (low, high))[0]


def scalar_solve(g, y):
    return y / g(1.0)


def cube_root(a):
    return lax.custom_root(lambda x: x**3 - a, np.float64(1), bisect, scalar_solve)


def test_a_root_and_its_derivatives():
    for transform in (lambda f: f, ff.jit):
        np.testing.assert_allclose(transform(cube_root)(8.0 * np.ones(())), 2)
        derivative = transform(ff.grad(cube_root))
        np.testing.assert_allclose(derivative(np.float64(8)), 8 ** (-2 / 3) / 3)
        np.testing.assert_allclose(transform(ff.grad(ff.grad(cube_root)))(np.float64(8)), -1 / 144)
    np.testing.assert_allclose(ff.vmap(ff.grad(cube_root))(np.array([1.0, 8.0])), [1 / 3, 1 / 12])
    np.testing.assert_allclose(ff.jacfwd(cube_root)(np.float64(8)), 1 / 12)


def test_root_laws():
    check_laws(cube_root, (np.array(3.0),))


def test_a_root_of_a_tree_with_auxiliary_result():
    def solve(f, guess):
        x, y = guess
        return (lax.stop_gradient(x * 0 + 2.0), y * 0 + 3.0), {"steps": 7}

    def tangent_solve(g, y):
        columns = ff.jacfwd(lambda v: fnp.stack(g((v[0], v[1]))))(np.zeros(2))
        solution = fnp.linalg.solve(columns, fnp.stack(y))
        return solution[0], solution[1]

    def f(a):
        root, aux = lax.custom_root(
            lambda v: (v[0] - a, v[0] * v[1] - 3 * a),
            (np.float64(0), np.float64(0)),
            solve,
            tangent_solve,
            has_aux=True,
        )
        return root, aux

    (x_dot, y_dot), aux = ff.jvp(f, (np.float64(2),), (np.float64(1),))[1]
    np.testing.assert_allclose([x_dot, y_dot], [1, 0], atol=1e-12)
    assert aux["steps"].dtype == ff.float0
    assert int(f(np.float64(2))[1]["steps"]) == 7


def solve_with(a, b, **options):
    return lax.custom_linear_solve(
        lambda x: a @ x,
        b,
        lambda matvec, rhs: fnp.linalg.solve(a, rhs),
        lambda vecmat, rhs: fnp.linalg.solve(a.T, rhs),
        **options,
    )


def test_a_linear_solve_and_its_derivatives():
    check_laws(solve_with, (A, B))
    got = ff.grad(lambda a, b: fnp.sum(solve_with(a, b)), (0, 1))(A, B)
    adjoint = np.linalg.solve(A.T, np.ones(3))
    np.testing.assert_allclose(got[1], adjoint)
    np.testing.assert_allclose(got[0], -np.outer(adjoint, np.linalg.solve(A, B)))


def test_a_symmetric_solve_needs_no_transpose():
    s = A @ A.T

    def f(b):
        solver = lambda matvec, rhs: fnp.linalg.solve(s, rhs)  # noqa: E731
        return lax.custom_linear_solve(lambda x: s @ x, b, solver, symmetric=True)

    check_laws(f, (B,))


def test_solve_with_auxiliary_result():
    def f(b):
        solver = lambda matvec, rhs: (fnp.linalg.solve(A, rhs), {"residual": 1.5})  # noqa: E731
        return lax.custom_linear_solve(lambda x: A @ x, b, solver, has_aux=True)

    x, aux = f(B)
    np.testing.assert_allclose(x, np.linalg.solve(A, B))
    assert float(aux["residual"]) == 1.5
    np.testing.assert_allclose(ff.jacfwd(lambda b: f(b)[0])(B), np.linalg.inv(A))


def test_errors():
    with pytest.raises(errors.TreeStructureError, match="custom_root: f"):
        lax.custom_root(lambda x: (x, x), 1.0, bisect, scalar_solve)
    with pytest.raises(errors.ShapeError, match="custom_linear_solve: matvec"):
        lax.custom_linear_solve(lambda x: x[:2], B, lambda f, b: b)
    with pytest.raises(errors.ArgumentError, match="transpose_solve"):
        solver = lambda matvec, rhs: fnp.linalg.solve(A, rhs)  # noqa: E731
        ff.grad(lambda b: lax.custom_linear_solve(lambda x: A @ x, b, solver).sum())(B)


def test_golden_text(golden):
    def f(a, b):
        divide = lambda matvec, rhs: rhs / a  # noqa: E731
        return lax.custom_linear_solve(lambda x: a * x, b, divide, symmetric=True)

    x = fnp.ones(2)
    texts = [ff.make_jaxpr(f)(x, x), ff.make_jaxpr(ff.grad(lambda *xs: fnp.sum(f(*xs))))(x, x)]
    golden("transform_implicit.txt", "\n".join(map(str, texts)) + "\n")
