"""Reading jaxprs from text: the inverse of printing, and errors that name the place."""

import re

import numpy as np
import pytest
from hypothesis import given

import funcflow as ff
from funcflow import lax
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.dtypes import ALL, bfloat16
from funcflow.core.errors import JaxprParseError
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.parse import parse_jaxpr
from funcflow.core.pprint import jaxpr_to_text
from funcflow.core.rules import Absent
from funcflow.core.source import Source
from funcflow.core.structure import same_structure
from funcflow.core.typecheck import check_jaxpr
from funcflow.lax.forms import add_p
from funcflow.testing import strategies as st
from funcflow.testing.jaxprs import SHAPE, jaxprs

F32 = np.dtype("float32")
VECTOR = ShapedArray((3,), F32)


def saved(jaxpr):
    return jaxpr_to_text(jaxpr, versioned=True)


def with_parameter(value):
    x, y = Var(VECTOR), Var(VECTOR)
    return ClosedJaxpr(Jaxpr((), [x], [y], [JaxprEqn([x, x], [y], add_p, {"p": value})]))


@given(jaxprs())
def test_reading_inverts_printing(closed):
    read = parse_jaxpr(saved(closed))
    assert isinstance(read, ClosedJaxpr)
    assert same_structure(read, closed)
    assert saved(read) == saved(closed)
    for got, expected in zip(read.consts, closed.consts, strict=True):
        assert got.dtype == expected.dtype
        assert got.tobytes() == expected.tobytes()


@given(jaxprs())
def test_what_is_read_computes_the_same(closed):
    args = [np.linspace(-1, 1, 6, dtype=F32).reshape(SHAPE), np.ones(SHAPE, F32)]
    for got, expected in zip(
        eval_closed(parse_jaxpr(saved(closed)), *args), eval_closed(closed, *args), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@given(jaxprs())
def test_the_short_text_can_be_read_too(closed):
    read = parse_jaxpr(jaxpr_to_text(closed, source=True))
    assert same_structure(read, closed)
    assert isinstance(read, Jaxpr) == bool(closed.consts)


X = np.ones((2, 3), F32)
IMAGE, KERNEL = np.ones((1, 2, 5, 5), F32), np.ones((3, 2, 3, 3), F32)
PROGRAMS = {
    "convolution": lambda: lax.conv_general_dilated(IMAGE, KERNEL, (1, 1), "SAME"),
    "dot_general": lambda: lax.dot_general(X, X, (((1,), (1,)), ((), ()))),
    "gather": lambda: lax.gather(
        X, np.zeros((2, 1), "int32"), lax.GatherDimensionNumbers((1,), (0,), (0,)), (1, 3)
    ),
    "scatter": lambda: lax.scatter_add(
        X, np.zeros((2, 1), "int32"), X, lax.ScatterDimensionNumbers((1,), (0,), (0,))
    ),
    "pad": lambda: lax.pad(X, np.float32(0), ((1, -1, 0), (0, 0, 2))),
    "reduce_window": lambda: lax.reduce_window(
        X, np.float32(-np.inf), lax.max, (1, 2), (1, 1), "VALID"
    ),
    "sort": lambda: lax.sort((X, X), num_keys=2),
    "argmax": lambda: lax.argmax(X, 1, "int32"),
    "iota": lambda: lax.iota("bfloat16", 3),
    "switch": lambda: lax.switch(
        lax.reduce_max(lax.argmax(X, 1, "int32"), (0,)), [lax.sin, lax.cos], X
    ),
    "scan": lambda: lax.scan(lambda c, x: (lax.add(c, x), c), X[0], X),
    "while_loop": lambda: lax.while_loop(lambda i: lax.lt(i, 3), lambda i: lax.add(i, 1), 0),
    "gradient of scan": lambda: ff.grad(
        lambda x: lax.reduce_sum(lax.scan(lambda c, r: (lax.mul(c, r), c), x, X)[0], (0,))
    )(X[0]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    closed = ff.make_jaxpr(PROGRAMS[name])()
    read = parse_jaxpr(saved(closed))
    assert same_structure(read, closed)
    assert saved(read) == saved(closed)
    # what the short text leaves out are parameters that are None
    assert same_structure(parse_jaxpr(str(closed)), closed)
    check_jaxpr(read)


@given(st.arrays(shape=(), special=True))
def test_literals_keep_every_bit(x):
    value = np.asarray(x)
    literal = Literal(value, ShapedArray((), value.dtype))
    read = parse_jaxpr(saved(Jaxpr((), (), [literal], ())))
    assert read.outvars[0] == literal


@pytest.mark.parametrize("dtype", [d for d in ALL if d.kind in "fcV"], ids=str)
def test_nans_keep_sign_and_payload(dtype):
    bits = np.frombuffer(bytes(range(1, dtype.itemsize)) + b"\xff", np.uint8)
    value = np.frombuffer(bits.tobytes(), dtype).reshape(())
    literal = Literal(value, ShapedArray((), dtype, True))
    assert parse_jaxpr(saved(Jaxpr((), (), [literal], ()))).outvars[0] == literal


@given(st.arrays(special=True))
def test_constants_keep_every_bit(x):
    var = Var(x.aval)
    read = parse_jaxpr(saved(ClosedJaxpr(Jaxpr([var], (), [var], ()), [x])))
    assert read.consts[0].aval == x.aval
    assert read.consts[0].tobytes() == x.tobytes()


@pytest.mark.parametrize(
    "value",
    [
        3,
        -(2**70),
        True,
        False,
        None,
        0.1,
        -0.0,
        float("-inf"),
        1 - 2j,
        complex(-0.0, float("inf")),
        "sum",
        "it's",
        'a "quoted"\n name \\',
        (),
        (1,),
        ((0, 2), ((1,), ()), None, "x"),
        frozenset({"i", "j"}),
        frozenset(),
        *ALL,
        np.float32(0.1),
        np.int8(-1),
        np.complex64(1 + 2j),
        np.asarray(1.5, bfloat16)[()],
        Absent.NO_FORWARD,
        (Absent.NONLINEAR, 1),
        Source("a.py", 3, "f"),
        Source(None, (1, 2), Source("b.py", 1, "g")),
        VECTOR,
        ShapedArray((), F32, True),
        (VECTOR, VECTOR),
        ShapeDtypeStruct((2, 3), "bool"),
    ],
    ids=lambda value: type(value).__name__,  # the order of a set differs between processes
)
def test_parameters(value):
    (eqn,) = parse_jaxpr(saved(with_parameter(value))).eqns
    got = eqn.params["p"]
    assert type(got) is type(value)
    assert got == value
    assert repr(got) == repr(value)  # tells -0.0 from 0.0


def test_jaxprs_as_parameters():
    x = Var(VECTOR)
    opened = Jaxpr((), [x], [x], ())
    value = (opened, with_parameter(opened), with_parameter((1, (opened,))))
    original = with_parameter(value)
    read = parse_jaxpr(saved(original))
    assert same_structure(read, original)
    got = read.eqns[0].params["p"]
    assert [type(inner) for inner in got] == [Jaxpr, ClosedJaxpr, ClosedJaxpr]


def test_an_equation_without_results():
    x = Var(VECTOR)
    jaxpr = Jaxpr((), [x], [x], [JaxprEqn([x], [], add_p, {}), JaxprEqn([x], [], add_p, {})])
    assert same_structure(parse_jaxpr(saved(jaxpr)), jaxpr)


@pytest.mark.parametrize("jaxpr", [Jaxpr((), (), (), ()), ClosedJaxpr(Jaxpr((), (), (), ()))])
def test_open_and_closed_are_told_apart(jaxpr):
    assert type(parse_jaxpr(saved(jaxpr))) is type(jaxpr)


def test_comments_and_white_space_do_not_matter():
    text = """
        # a comment
        { lambda ;a:f32[3]. let   # another
          b:f32[3]=add a 1.0:f32[]*
        in (b,)}
    """
    read = parse_jaxpr(text)
    assert str(read).splitlines()[1] == "    b:f32[3] = add a 1.0:f32[]*"


# Each text is wrong where it says.
MISTAKES = {
    "text": ("", 1, 1, "expected '{', got 'the end of the text'"),
    "character": ("{ lambda ; ? }", 1, 12, "'?' is no part of a jaxpr"),
    "rest": ("{ lambda ; . let in () } x", 1, 26, "expected the end of the text, got 'x'"),
    "version": ("funcflow.jaxpr 9\n{ lambda ; . let in () }", 1, 16, "version 9 of the format"),
    "variable": ("{ lambda ; . let\n  in (a,) }", 2, 7, "the variable 'a' is not defined"),
    "twice": ("{ lambda ; a:f32[] a:f32[]. let in () }", 1, 20, "'a' is assigned twice"),
    "type": ("{ lambda ; a. let in () }", 1, 13, "expected ':', got '.'"),
    "dtype": ("{ lambda ; a:g32[]. let in () }", 1, 14, "there is no dtype 'g32'"),
    "primitive": (
        "{ lambda ; a:f32[]. let\n    b:f32[] = ad a\n  in () }",
        2,
        15,
        "there is no primitive named 'ad'",
    ),
    "argument": (
        "{ lambda ; a:f32[]. let\n    b:f32[] = add a c\n  in () }",
        2,
        21,
        "the variable 'c' is not defined",
    ),
    "function": (
        "{ lambda ; a:f32[]. let\n    b:f32[] = add[f=<rule>] a\n  in () }",
        2,
        21,
        "<rule> stands for a Python object",
    ),
    "format": (
        "{ lambda ; a:f32[]. let\n    b:f32[] = add[f=<print '{:>3}'>] a\n  in () }",
        2,
        21,
        "<print '{:>3}'> stands for a Python object",
    ),
    "value": ("{ lambda ; . let\n    add[f=.]\n  in () }", 2, 11, "expected a value, got '.'"),
    "class": ("{ lambda ; . let\n    add[f=Path.x]\n  in () }", 2, 11, "no class named 'Path'"),
    "member": ("{ lambda ; . let\n    add[f=Absent.x]\n  in () }", 2, 18, "no member 'x'"),
    "field": ("{ lambda ; . let\n    add[f=Source(x=1)]\n  in () }", 2, 11, "'x'"),
    "bracket": ("{ lambda ; . let\n    add[f=1 in () }", 2, 16, "expected '=', got '('"),
    "literal": ("{ lambda ; . let in (1.5:i32[],) }", 1, 22, "1.5 is no int32"),
    "large": ("{ lambda ; . let in (300:u8[],) }", 1, 22, "300 is no uint8"),
    "bits": ("{ lambda ; . let in (nan(0x123456789):f32[],) }", 1, 22, "is no float32"),
    "shadow": (
        "{ lambda ; a:f32[]. let add[f={ lambda ; . let in (a,) }] in () }",
        1,
        52,
        "the variable 'a' is not defined",
    ),
    "constants": (
        "{ lambda a:f32[2]; . let in (a,) } where a = [1.0]",
        1,
        46,
        "expected 2 values for f32[2], got 1",
    ),
    "constant": (
        "{ lambda a:f32[] b:f32[]; . let in () } where b = 1.0",
        1,
        47,
        "expected the value of another constant, got 'b'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name):
    text, line, column, message = MISTAKES[name]
    with pytest.raises(JaxprParseError) as caught:
        parse_jaxpr(text)
    assert re.search(f"line {line}, column {column}: .*{re.escape(message)}", str(caught.value))


def test_the_error_points_at_the_place():
    with pytest.raises(JaxprParseError) as caught:
        parse_jaxpr(MISTAKES["primitive"][0])
    shown = str(caught.value).splitlines()[1:3]
    assert shown == ["      b:f32[] = ad a", "                ^"]


def test_every_beginning_of_a_text_is_refused():
    text = saved(with_parameter((1, ("x", None), Source("a", 1, "b"), F32, VECTOR))).rstrip()
    for end in range(len(text)):
        with pytest.raises(JaxprParseError):
            parse_jaxpr(text[:end])
