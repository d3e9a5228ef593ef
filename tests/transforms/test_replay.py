"""Equations that are evaluated once more, and the jaxprs that they call."""

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.interpret import eval_buffers
from funcflow.core.jaxpr import Literal
from funcflow.transforms.replay import (
    called,
    evaluated,
    shards_together,
    solve_operands,
    values_of,
)


def only_equation(function, *args):
    (eqn,) = ff.make_jaxpr(function)(*args).eqns
    return eqn


def test_values():
    eqn = only_equation(lambda x: x * 2.0, fnp.ones(3))
    variable, literal = eqn.invars
    assert isinstance(literal, Literal)
    assert values_of({variable: "x"}, eqn.invars) == ["x", literal.val]


def test_equations_with_and_without_jaxprs():
    x = np.ones(3, "float32")
    (out,) = evaluated(only_equation(lambda x: x + x, x), [x, x])
    np.testing.assert_array_equal(out, [2, 2, 2])
    eqn = only_equation(ff.jit(lambda x: (x + 1, x)), x)
    np.testing.assert_array_equal(evaluated(eqn, [x]), [2 * x, x])


def test_calls():
    x = np.ones(3, "float32")
    eqn = only_equation(ff.jit(lambda x: x + 1), x)
    assert called(eqn) is eqn.params["jaxpr"]
    assert called(only_equation(ff.checkpoint(lambda x: x + 1), x)) is not None
    assert called(only_equation(lambda x: x + 1, x)) is None


def test_solves_take_their_own_constants():
    def f(a, b):
        solve = lambda matvec, b: b / a  # noqa: E731
        return lax.custom_linear_solve(lambda x: a * x, b, solve, symmetric=True)

    (eqn,) = (
        e for e in ff.make_jaxpr(f)(2.0, 3.0).eqns if e.primitive.name.endswith("linear_solve")
    )
    taken = solve_operands(eqn)
    given = [eqn.invars[i].aval.strip_weak_type() for i in taken]
    assert given == [v.aval.strip_weak_type() for v in eqn.params["solve"].jaxpr.invars]


def test_shards_run_together():
    eqn = only_equation(ff.pmap(lambda x: lax.psum(x, "i"), "i"), fnp.arange(2.0))
    together = shards_together(eqn)
    assert together.in_avals[0].shape == (2,)
    (out,) = eval_buffers(together, [np.array([1, 2], "float32")])
    np.testing.assert_array_equal(out, [3, 3])
