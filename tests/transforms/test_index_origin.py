"""The first index of a program that is out of bounds in a lane that runs."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.lax.index_check import checking
from funcflow.transforms.checked_eval import silent_equation
from funcflow.transforms.index_origin import ALL, _spread, index_origin
from funcflow.transforms.jit import jit_p


def found(function, *args):
    """The index, where it is in its array, and the frames around."""
    token = checking.set(True)
    closed = ff.make_jaxpr(function)(*args)
    checking.reset(token)
    args = [np.asarray(x) for x in args]
    origin = index_origin(silent_equation(jit_p, args, {"jaxpr": closed, "name": "f"}), args)
    if origin is None:
        return None
    index = origin.element.index
    return int(origin.operands[0][index]), index, [str(frame) for frame in origin.context]


X = fnp.arange(5.0)


def test_the_first_one():
    assert found(lambda i: X[i] + X[2 * i], 3) == (6, (), [])
    assert found(lambda i: X[i] + X[2 * i], fnp.array([1, 5, 8])) == (5, (1,), [])
    assert found(lambda i: X[i] + X[2 * i], 2) is None


def test_loops_in_loops():
    def inner(i):
        return lax.while_loop(lambda s: s[0] < i, lambda s: (s[0] + 1, X[s[0]]), (0, 0.0))[1]

    def f(n):
        return lax.scan(lambda c, i: (c, inner(i)), 0, fnp.arange(9) + n)[1]

    assert found(f, -2) == (5, (), ["iteration 8 of scan", "iteration 5 of while"])
    assert found(f, -3) is None


def test_reverse_scans_are_numbered_along_their_inputs():
    def f(xs):
        return lax.scan(lambda c, i: (c, X[i]), 0, xs, reverse=True)[1]

    assert found(f, fnp.array([9, 0, 8, 0])) == (8, (), ["iteration 2 of scan"])


def test_solves():
    def f(b, i):
        solve = lambda matvec, b: b / X[i]  # noqa: E731
        return lax.custom_linear_solve(lambda x: x * 2, b, solve, symmetric=True)

    assert found(f, 3.0, 7) == (7, (), [])


# --- masks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3), [[True, False, True], [False, False, False]]),
        ((2, 3, 4), [[[True]] * 3, [[False]] * 3]),
        ((2,), [True, False]),
        ((3,), [True, False, True]),
        ((4,), [True]),
        ((), True),
    ],
)
def test_masks_for_indices_that_lanes_share(shape, expected):
    running = np.array([[True, False, True], [False, False, False]])
    mask = _spread(running, shape)
    if shape == (2, 3, 4):
        expected = running[..., None]
    np.testing.assert_array_equal(mask, expected)
    np.broadcast_shapes(mask.shape, shape)


def test_without_lanes_all_run():
    assert _spread(ALL, (3, 2)).shape == (1, 1) and _spread(ALL, (3, 2)).all()


def test_indices_that_lanes_of_a_loop_share():
    def f(i, n):
        step = lambda s: (s[0] + 1, X[i])  # noqa: E731
        return lax.while_loop(lambda s: s[0] < n, step, (0, 0.0))

    lanes = ff.vmap(f, (None, 0))
    assert found(lanes, 7, fnp.array([0, 2])) == (7, (), ["iteration 0 of while"])
    assert found(lanes, 7, fnp.array([0, 0])) is None
