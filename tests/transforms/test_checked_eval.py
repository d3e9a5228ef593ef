"""Checks of evaluation: they nest, end with their blocks, and see each operation."""

import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core.errors import ArgumentError
from funcflow.core.trace import EVAL, current_trace
from funcflow.transforms.checked_eval import evaluation_checked, silent_equation
from funcflow.transforms.jit import jit_p


def recording():
    seen = []

    def check(evaluate, primitive, args, params):
        out = evaluate(primitive, args, params)
        seen.append(primitive.name)
        return out

    return check, seen


def test_each_operation_is_seen():
    check, seen = recording()
    with evaluation_checked("f", check, True):
        fnp.sin(fnp.cos(1.0))
        ff.jit(fnp.tan)(1.0)
    fnp.exp(1.0)
    assert seen == ["cos", "sin", "jit"]


def test_checks_nest():
    first, seen_by_first = recording()
    second, seen_by_second = recording()
    with evaluation_checked("f", first, True):
        with evaluation_checked("f", second, True), evaluation_checked("f", first, True):
            fnp.sin(1.0)
        with evaluation_checked("f", second, True), evaluation_checked("f", first, False):
            fnp.cos(1.0)
        fnp.tan(1.0)
        with evaluation_checked("f", first, False):
            assert current_trace.get() is EVAL
    assert seen_by_first == ["sin", "tan"]
    assert seen_by_second == ["sin", "cos"]


def test_not_in_functions_that_are_transformed():
    check, _ = recording()

    def f(x):
        with evaluation_checked("my_scope", check, True):
            return x

    with pytest.raises(ArgumentError, match="my_scope: the block lies in"):
        ff.vmap(f)(fnp.ones(2))


def test_equations_without_what_they_print():
    def f(x):
        ff.debug.print("{}", x)
        return 2 * x

    closed = ff.make_jaxpr(f)(1.0)
    eqn = silent_equation(jit_p, [fnp.ones(())], {"jaxpr": closed, "name": "f"})
    assert [e.primitive.name for e in eqn.params["jaxpr"].eqns] == ["mul"]
    assert not eqn.effects
