"""Calls become the equations of what they call."""

import numpy as np
from hypothesis import given, settings

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.backends.passes.inline import BODIES, inline
from funcflow.core.evaluate import eval_closed
from funcflow.core.typecheck import check_jaxpr
from funcflow.testing.jaxprs import jaxprs

X = np.array([[1.5, np.nan, -0.0], [np.inf, -2.0, 1e-40]], "f4")


def inlined(f, *args):
    closed = ff.make_jaxpr(f)(*args)
    left = inline(closed)
    check_jaxpr(left)
    for expected, got in zip(eval_closed(closed, *args), eval_closed(left, *args), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(expected).tobytes()
    assert not {e.primitive.name for e in left.eqns} & BODIES.keys()
    return left


def names(f, *args):
    return [eqn.primitive.name for eqn in inlined(f, *args).eqns]


def test_calls_in_calls():
    inner = ff.jit(lambda x: x * 2)
    outer = ff.jit(lambda x: inner(x) + inner(-x))
    assert names(outer, X) == ["mul", "neg", "mul", "add"]


def test_what_is_called_twice_has_variables_of_its_own():
    half = ff.jit(lambda x: x * 0.5)
    left = inlined(lambda x: half(half(x)), X)
    first, second = left.eqns
    assert first.outvars[0] is not second.outvars[0]
    assert second.invars[0] is first.outvars[0]


def test_a_call_may_return_its_argument_or_a_literal():
    f = ff.jit(lambda x: (x, 2.0, x))
    left = inline(ff.make_jaxpr(f)(X))
    check_jaxpr(left)
    assert left.eqns == ()
    assert left.jaxpr.outvars[0] is left.jaxpr.invars[0]


def test_constants_of_what_is_called_become_constants():
    captured = fnp.array([1.0, 2.0, 3.0])
    left = inlined(ff.jit(lambda x: x + captured), X)
    assert [np.asarray(c).tolist() for c in left.consts] == [[1.0, 2.0, 3.0]]


def test_custom_derivatives_are_calls():
    @ff.custom_jvp
    def f(x):
        return fnp.sin(x)

    f.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))

    @ff.custom_vjp
    def g(x):
        return fnp.cos(x)

    g.defvjp(lambda x: (g(x), x), lambda x, ct: (ct,))
    assert names(lambda x: g(f(x)), X) == ["sin", "cos"]


def test_checkpoints_are_calls():
    assert names(ff.checkpoint(lambda x: fnp.sin(x) * x), X) == ["sin", "mul"]


def test_loops_stay():
    half = ff.jit(lambda x: x * 0.5)
    (eqn,) = inlined(lambda x: ff.lax.scan(lambda c, _: (half(c), None), x, length=3)[0], X).eqns
    assert eqn.primitive.name == "scan"


@given(jaxprs(max_steps=10))
@settings(max_examples=40)
def test_random_programs_keep_types_and_values(closed):
    left = inline(closed)
    check_jaxpr(left)
    assert "jit" not in [eqn.primitive.name for eqn in left.eqns]
    args = [X, X[::-1]]
    for expected, got in zip(eval_closed(closed, *args), eval_closed(left, *args), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(expected).tobytes()
