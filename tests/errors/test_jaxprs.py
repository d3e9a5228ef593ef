"""Jaxprs that break the rules, text that is no jaxpr, primitives without rules."""

import funcflow as ff
from funcflow import errors
from funcflow.core.parse import parse_jaxpr
from funcflow.core.primitive import Primitive
from funcflow.core.typecheck import check_jaxpr


def test_a_result_of_another_type(refuses):
    jaxpr = parse_jaxpr("{ lambda ; a:f32[3]. let b:f32[4] = sin a in (b,) }")
    call = lambda: check_jaxpr(jaxpr)  # noqa: E731
    refuses(errors.JaxprTypeError, call, "equation 0", "sin a", "f32[4]", "gives f32[3]")


def test_text_that_is_no_jaxpr(refuses):
    text = "{ lambda ; a:f32[3]. let b:f32[3] = sine a in (b,) }"
    message = refuses(
        errors.JaxprParseError, lambda: parse_jaxpr(text), "line 1, column 37", "'sine'"
    )
    shown, pointer = message.splitlines()[1:3]
    assert shown[pointer.index("^") :].startswith("sine")


def test_primitives_without_rules(refuses):
    new_p = Primitive("new")
    refuses(errors.MissingRuleError, lambda: new_p.bind(1.0), "'new'", "abstract", "define(new_p")
    call = lambda: ff.jit(lambda x: new_p.bind(x))(1.0)  # noqa: E731
    refuses(errors.MissingRuleError, call, "'new'", "abstract")
