"""Which conditions of lanes stay for kernels, and what becomes of the others."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.passes.inline import inline
from funcflow.backends.passes.lanes import lanes
from funcflow.backends.pipeline import prepared
from funcflow.core.interpret import BufferProgram

X = np.linspace(-2, 2, 100)
W = np.ones((100, 30, 30)) / 30


def passed(function, *args):
    """The jaxpr before the pass and after it."""
    before = inline(ff.make_jaxpr(function)(*args))
    return before, lanes(before, prepared)


def names(closed):
    return [eqn.primitive.name for eqn in closed.jaxpr.eqns]


def check(function, *args):
    """The pass changes no bit; returns the names of the equations after it."""
    before, after = passed(function, *args)
    values = [np.asarray(x) for x in args]
    for x, y in zip(BufferProgram(before)(values), BufferProgram(after)(values), strict=True):
        np.testing.assert_array_equal(x, y)
    return names(after)


def countdown(body, axes=0):
    return ff.vmap(
        lambda n, x: lax.while_loop(lambda c: c[0] > 0, lambda c: (c[0] - 1, body(c[1])), (n, x)),
        in_axes=axes,
    )


def test_straight_code_stays():
    assert "while" in check(countdown(fnp.sin), np.arange(100), X)
    after = passed(countdown(fnp.sin), np.arange(100), X)[1]
    (loop,) = [eqn for eqn in after.jaxpr.eqns if eqn.primitive.name == "while"]
    assert loop.params["cond_jaxpr"].out_avals[0].shape == (100,)
    dear = ff.vmap(lambda x: lax.cond(x > 0, fnp.exp, fnp.sin, x))
    assert "cond" in check(dear, X)


def test_other_loops_get_a_mask():
    n, x = np.arange(100), np.ones((100, 30))
    _, after = passed(countdown(lambda c: fnp.sort(c) * 0.5), n, x)
    (loop,) = [eqn for eqn in after.jaxpr.eqns if eqn.primitive.name == "while"]
    assert loop.params["cond_jaxpr"].out_avals[0].shape == ()
    check(countdown(lambda c: fnp.sort(c) * 0.5), n, x)


def test_other_branches_are_selected_from():
    function = ff.vmap(lambda x: lax.cond(x[0] > 0, fnp.sort, lambda x: x * 2, x))
    found = check(function, np.sin(np.arange(3000.0)).reshape(100, 30))
    assert "cond" not in found
    assert "select_n" in found


def test_quick_branches_are_selected_from():
    found = check(ff.vmap(lambda x: lax.cond(x > 0, lambda x: x + 1, lambda x: x * 2, x)), X)
    assert "cond" not in found


def test_lanes_of_two_dimensions_get_a_mask():
    n, x = np.arange(12).reshape(3, 4), np.ones((3, 4))
    assert check(ff.vmap(countdown(fnp.sin)), n, x).count("while") == 1


def test_jaxprs_without_lanes_stay_as_they_are():
    closed = inline(ff.make_jaxpr(lambda x: lax.cond(x[0] > 0, fnp.sin, fnp.cos, x))(X))
    assert lanes(closed, prepared) is closed


@pytest.mark.parametrize("function", [countdown(fnp.sin), countdown(lambda c: c * W[0, 0, 0])])
def test_constants_and_empty_lanes(function):
    check(function, np.arange(0), np.ones(0))
    check(function, np.zeros(5, int), np.ones(5))


def test_branches_of_branches():
    """What is selected from has branches of lanes itself."""

    def inner(x):
        return lax.cond(x[0] > 1, lambda x: fnp.sort(x) * 2, lambda x: x + 1, x)

    function = ff.vmap(lambda x: lax.cond(x[0] > 0, inner, lambda x: x - 1, x))
    x = np.array([[-1.0, 4.0], [0.5, 3.0], [2.0, 1.0]])
    assert "cond" not in check(function, x)
    np.testing.assert_array_equal(ff.jit(function)(x), [[-2, 3], [1.5, 4], [2, 4]])
