"""Residuals are computed again where that is cheap, and from what is there."""

import numpy as np

import funcflow as ff
from funcflow import lax
from funcflow.core.evaluate import eval_jaxpr
from funcflow.core.jaxpr import Jaxpr
from funcflow.core.typecheck import check_jaxpr
from funcflow.lax.residuals import recomputation

X, Y = np.float32(0.5), np.float32(-3)


def again(f, given=()) -> tuple[Jaxpr, list[str]]:
    """The recomputation of a function's results, and what it takes as its arguments.

    The places in `given` are those of values that are there anyway: arguments, then equations.
    """
    body = ff.make_jaxpr(f)(X, Y).jaxpr
    names = dict(zip(body.invars, "xy", strict=True))
    names |= {v: e.primitive.name for e in body.eqns for v in e.outvars}
    variables = [*body.invars, *(v for e in body.eqns for v in e.outvars)]
    jaxpr = recomputation(body, body.outvars, [variables[i] for i in given])
    check_jaxpr(jaxpr)
    values = dict(zip(body.invars, (X, Y), strict=True))
    for e in body.eqns:
        inside = body.replace(eqns=body.eqns, outvars=e.outvars)
        values |= zip(e.outvars, eval_jaxpr(inside, (), X, Y), strict=True)
    for got, v in zip(
        eval_jaxpr(jaxpr, (), *(values[v] for v in jaxpr.invars)), body.outvars, strict=True
    ):
        assert np.asarray(got).tobytes() == np.asarray(values[v]).tobytes()
    return jaxpr, [names[v] for v in jaxpr.invars]


def computed(jaxpr: Jaxpr) -> list[str]:
    return [eqn.primitive.name for eqn in jaxpr.eqns]


def test_a_cheap_function_of_another_residual():
    jaxpr, saved = again(lambda x, y: ((t := lax.tanh(x)), 1 - lax.square(t)))
    assert saved == ["tanh"]
    assert computed(jaxpr) == ["square", "sub"]


def test_what_is_given_is_used():
    jaxpr, saved = again(lambda x, y: [x * y], given=[0, 1])
    assert saved == ["x", "y"]
    assert computed(jaxpr) == ["mul"]


def test_what_is_given_but_of_no_use_is_not_asked_for():
    _, saved = again(lambda x, y: [lax.exp(x)], given=[0, 1])
    assert saved == ["exp"]


def test_operands_that_are_not_there_are_not_saved_for_it():
    jaxpr, saved = again(lambda x, y: [x * y])
    assert saved == ["mul"]
    assert computed(jaxpr) == []


def test_what_is_dear_is_saved():
    jaxpr, saved = again(lambda x, y: (lax.exp(x), lax.exp(x) / y), given=[0, 1])
    assert saved == ["exp", "div"]
    assert computed(jaxpr) == []


def test_an_argument_that_is_a_residual_is_saved():
    jaxpr, saved = again(lambda x, y: (x, -x))
    assert saved == ["x"]
    assert computed(jaxpr) == ["neg"]
