"""`check_jaxpr` accepts what tracing gives and refuses jaxprs that break a rule."""

import numpy as np
import pytest
from hypothesis import given

from funcflow.core.aval import ShapedArray
from funcflow.core.errors import JaxprTypeError
from funcflow.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.primitive import Primitive
from funcflow.core.rules import abstract
from funcflow.core.source import Source
from funcflow.core.staging import stage_out
from funcflow.core.typecheck import check_jaxpr
from funcflow.lax.arithmetic import neg, neg_p
from funcflow.lax.forms import add, add_p
from funcflow.testing.jaxprs import jaxprs
from funcflow.transforms.jit import jit, jit_p

F32 = np.dtype("float32")
VECTOR = ShapedArray((3,), F32)
WEAK = ShapedArray((), F32, True)


def variables(*avals):
    return [Var(aval) for aval in avals]


def broken(jaxpr, *words):
    with pytest.raises(JaxprTypeError) as caught:
        check_jaxpr(jaxpr)
    for word in words:
        assert word in str(caught.value)
    return caught.value


@given(jaxprs())
def test_traced_jaxprs_are_well_typed(closed):
    check_jaxpr(closed)
    check_jaxpr(closed.jaxpr)


def test_use_before_assignment():
    a, b, c = variables(VECTOR, VECTOR, VECTOR)
    eqns = [JaxprEqn([c], [b], neg_p, {}), JaxprEqn([a], [c], neg_p, {})]
    broken(Jaxpr((), [a], [b], eqns), "equation 0", "= neg", "used before its assignment")


def test_use_in_its_own_equation():
    (a,) = variables(VECTOR)
    broken(Jaxpr((), (), [a], [JaxprEqn([a], [a], neg_p, {})]), "used before")


def test_undefined_result():
    (a,) = variables(VECTOR)
    broken(Jaxpr((), (), [a], ()), "the results of the jaxpr", "f32[3] is used before")


@pytest.mark.parametrize("where", ["inputs", "constants", "equation", "equations"])
def test_double_assignment(where):
    a, b = variables(VECTOR, VECTOR)
    eqn = JaxprEqn([a], [b], neg_p, {})
    jaxpr = {
        "inputs": Jaxpr((), [a, a], [a], ()),
        "constants": Jaxpr([a], [a], [a], ()),
        "equation": Jaxpr((), [a], [a], [JaxprEqn([a], [a], neg_p, {})]),
        "equations": Jaxpr((), [a], [b], [eqn, eqn]),
    }[where]
    broken(jaxpr, "f32[3] is assigned twice")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (ShapedArray((2,), F32), "f32[2]"),
        (ShapedArray((3,), np.dtype("float64")), "f64[3]"),
        (ShapedArray((3,), F32, True), "f32[3]*"),
    ],
)
def test_wrong_result_type(written, shown):
    a, b = variables(VECTOR, written)
    jaxpr = Jaxpr((), [a], [b], [JaxprEqn([a], [b], neg_p, {})])
    broken(jaxpr, f"have the types {shown}, the rule of neg gives f32[3]")


def test_wrong_number_of_results():
    a, b, c = variables(VECTOR, VECTOR, VECTOR)
    broken(Jaxpr((), [a], [b], [JaxprEqn([a], [b, c], neg_p, {})]), "f32[3], f32[3]")


def test_arguments_that_the_rule_refuses():
    a, b, c = variables(VECTOR, ShapedArray((4,), F32), VECTOR)
    jaxpr = Jaxpr((), [a, b], [c], [JaxprEqn([a, b], [c], add_p, {})])
    error = broken(jaxpr, "`c:f32[3] = add a b`", "do not broadcast")
    assert error.__cause__ is not None


def test_the_error_names_the_line_of_the_equation():
    a, b = variables(VECTOR, WEAK)
    source = Source(__file__, 1, "somewhere")
    error = broken(Jaxpr((), [a], [b], [JaxprEqn([a], [b], neg_p, {}, source=source)]))
    assert error.source == source
    assert f"{__file__}:1 (somewhere)" in str(error)


@pytest.mark.parametrize(
    "literal",
    [
        Literal(np.float32(1), WEAK.update(dtype=np.dtype("float64"))),
        Literal(np.ones(3, F32), VECTOR),
        Literal(np.ones(3, F32), WEAK),
    ],
)
def test_wrong_literals(literal):
    broken(Jaxpr((), (), [literal], ()), "a literal of type")


def test_weak_literals_make_strong_results_with_strong_arguments():
    check_jaxpr(stage_out(lambda x: [add(x, 1.0), add(2.0, 1.0)], [VECTOR]))


@pytest.mark.parametrize("values", [[], [np.ones(2, F32)], [np.ones(3)], [1.0]])
def test_wrong_constants(values):
    (a,) = variables(VECTOR)
    broken(ClosedJaxpr(Jaxpr([a], (), [a], ()), values), "constant")


def test_inner_jaxprs_are_checked():
    a, b, c, d = variables(VECTOR, VECTOR, VECTOR, WEAK)
    inner = ClosedJaxpr(Jaxpr((), [c], [d], [JaxprEqn([c], [d], neg_p, {})]))
    outer = Jaxpr((), [a], [b], [JaxprEqn([a], [b], jit_p, {"jaxpr": inner, "name": "f"})])
    broken(outer, "equation 0", "jit", "the rule of neg gives f32[3]")
    assert "check_jaxpr: equation 0, `b:f32[]* = neg a`" in str(broken(inner))


def test_types_of_higher_order_equations():
    closed = stage_out(lambda x: jit(lambda y: [neg(y)])(x), [VECTOR])
    (eqn,) = closed.eqns
    wrong = closed.jaxpr.replace(eqns=[eqn.replace(outvars=variables(WEAK))], outvars=())
    broken(wrong, "f32[]*", "the rule of jit gives f32[3]")


def test_effects():
    a, b = variables(VECTOR, VECTOR)
    eqn = JaxprEqn([a], [b], neg_p, {}, frozenset({"print"}))
    broken(Jaxpr((), [a], [b], [eqn]), "effects are ['print']", "gives []")
    jaxpr = Jaxpr((), [a], [a], ())
    jaxpr.effects = frozenset({"print"})
    broken(jaxpr, "claims the effects ['print']")


def test_a_primitive_without_rules():
    a, b = variables(VECTOR, VECTOR)
    unknown = Primitive("unknown")
    assert unknown not in abstract
    broken(Jaxpr((), [a], [b], [JaxprEqn([a], [b], unknown, {})]), "has no abstract rule")
