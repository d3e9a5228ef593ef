"""Linear algebra of small matrices within loops, against LAPACK."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.numba.backend import program_of

RNG = np.random.default_rng(0)


def agree(body, *args, rtol=1e-9, vmapped=False):
    """What one iteration computes is what it computes eagerly; the loop is one kernel."""

    def function(*args):
        return lax.scan(lambda c, _: (c + 1, body(*args)), 0, None, length=1)[1]

    function = ff.vmap(function) if vmapped else function
    got, want = ff.jit(function)(*args), function(*args)
    for x, y in zip(ff.tree.leaves(got), ff.tree.leaves(want), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x.astype(float), y.astype(float), rtol=rtol, atol=rtol)
    program = program_of(ff.jit(function).lower(*args).jaxpr)
    assert all(isinstance(s.work, Kernel) for s in program.steps), [s.note for s in program.steps]


@pytest.mark.parametrize("vmapped", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (4, 4), (3, 5), (5, 3)])
def test_lu(shape, vmapped):
    x = RNG.standard_normal((40, *shape) if vmapped else shape)
    agree(lax.linalg.lu, x, vmapped=vmapped)


def test_lu_of_special_matrices():
    zeros, singular = np.zeros((3, 3)), np.ones((3, 3))
    permuted = np.eye(4)[[2, 0, 3, 1]]
    for x in (zeros, singular, permuted):
        agree(lax.linalg.lu, x)
    # many at once, since LAPACK takes any pivot where there is a NaN
    agree(lax.linalg.lu, np.array([[[1, 2], [np.nan, 3]]] * 40), vmapped=True)


@pytest.mark.parametrize("vmapped", [False, True])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_solve(n, vmapped):
    stack = (40,) if vmapped else ()
    a, b = RNG.standard_normal((*stack, n, n)), RNG.standard_normal((*stack, n, 2))
    agree(fnp.linalg.solve, a, b, vmapped=vmapped, rtol=1e-6)
    agree(lambda a, b: fnp.linalg.solve(a.T, b[:, 0]), a, b, vmapped=vmapped, rtol=1e-6)
    agree(fnp.linalg.inv, a, vmapped=vmapped, rtol=1e-6)


def test_one_matrix_for_all_lanes():
    a, b = RNG.standard_normal((3, 3)), RNG.standard_normal((40, 3))
    agree(ff.vmap(lambda b: fnp.linalg.solve(a, b)), b, rtol=1e-6)


@pytest.mark.parametrize("side", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_solve(side, lower, transpose, unit):
    a, b = RNG.standard_normal((3, 3)) + 3 * np.eye(3), RNG.standard_normal((3, 3))

    def body(a, b):
        return lax.linalg.triangular_solve(
            a, b, left_side=side, lower=lower, transpose_a=transpose, unit_diagonal=unit
        )

    agree(body, a, b)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_cholesky(dtype):
    x = RNG.standard_normal((40, 3, 3))
    x = fnp.asarray(x @ x.swapaxes(1, 2) + np.eye(3), dtype=dtype)
    rtol = {"float64": 1e-9, "float32": 1e-5, "bfloat16": 2e-2}[dtype]
    agree(lax.linalg.cholesky, x[0], rtol=rtol)
    agree(lax.linalg.cholesky, x, vmapped=True, rtol=rtol)


def test_cholesky_of_what_is_not_positive():
    agree(lax.linalg.cholesky, np.array([[1.0, 2.0], [2.0, 1.0]]))
    agree(lax.linalg.cholesky, np.array([[1.0, 0.0], [0.0, 0.0]]))
    agree(lax.linalg.cholesky, np.array([[np.nan, 0.0], [0.0, 1.0]]))


def test_gradients_of_a_loop_of_solves():
    a = RNG.standard_normal((3, 3)) + 3 * np.eye(3)

    def loss(a):
        return lax.fori_loop(
            0, 5, lambda i, x: fnp.linalg.solve(a, x) + 0.5, fnp.ones(3, "f8")
        ).sum()

    np.testing.assert_allclose(ff.jit(ff.grad(loss))(a), ff.grad(loss)(a), rtol=1e-9)
