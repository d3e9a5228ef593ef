"""The text of jaxprs, against files in tests/golden."""

from functools import partial

import numpy as np
import pytest

from funcflow import lax
from funcflow.core.aval import ShapedArray, ShapeDtypeStruct
from funcflow.core.errors import LeafTypeError
from funcflow.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.pprint import equation_texts, jaxpr_to_text
from funcflow.core.rules import Absent
from funcflow.core.source import Source
from funcflow.core.staging import stage_out
from funcflow.lax.arithmetic import mul, neg
from funcflow.lax.forms import add, add_p
from funcflow.lax.shape import reduce_sum
from funcflow.transforms.jit import jit

F32 = np.dtype("float32")
VECTOR = ShapedArray((3,), F32)
WEIGHTS = np.array([1.0, -0.0, np.inf], F32)


def weighted(x, y):
    z = mul(x, y)
    mul(z, z)
    return [reduce_sum(add(z, WEIGHTS), (0,)), add(x, 2.0)]


def nested(x):
    inner = jit(lambda a: neg(jit(neg)(a)))
    return [add(inner(x), inner(x))]


def weak(x, y):
    return [add(x, 1), mul(y, y)]


def control_flow(p, x):
    first = lax.index_in_dim(x, 0, keepdims=False)
    carry, sums = lax.scan(lambda c, row: (lax.add(c, row), lax.mul(c, row)), first, x)
    count, _ = lax.while_loop(
        lambda c: lax.lt(c[0], 3), lambda c: (lax.add(c[0], 1), lax.sin(c[1])), (0, carry)
    )
    return [lax.cond(p, lax.sin, lambda y: y, sums), count]


def indexing(x, i):
    numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
    return [lax.gather(x, i, numbers, (1, 3), mode="clip"), lax.sort(x, dimension=0)]


PROGRAMS = {
    "weighted": (weighted, [VECTOR, VECTOR]),
    "nested": (nested, [VECTOR]),
    "weak": (weak, [ShapedArray((), np.dtype("int32"), True), ShapedArray((0, 2), F32)]),
    "identity": (lambda x: [x], [VECTOR]),
    "constant": (lambda: [np.float32(1.5)], []),
    "control_flow": (control_flow, [ShapedArray((), np.dtype(bool)), ShapedArray((2, 3), F32)]),
    "indexing": (indexing, [ShapedArray((4, 3), F32), ShapedArray((2, 1), np.dtype("int32"))]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_golden_text(name, golden):
    function, avals = PROGRAMS[name]
    golden(f"pprint_{name}.txt", jaxpr_to_text(stage_out(function, avals)) + "\n")


@pytest.mark.parametrize("name", ["weighted", "nested"])
def test_golden_text_of_the_saved_format(name, golden):
    function, avals = PROGRAMS[name]
    golden(f"pprint_{name}_saved.txt", jaxpr_to_text(stage_out(function, avals), versioned=True))


def test_a_jaxpr_prints_as_its_text():
    closed = stage_out(*PROGRAMS["weighted"])
    assert str(closed) == repr(closed) == str(closed.jaxpr) == jaxpr_to_text(closed)


def test_lines_name_their_source():
    closed = stage_out(*PROGRAMS["weak"])
    first = jaxpr_to_text(closed, source=True).splitlines()[1]
    line = weak.__code__.co_firstlineno + 1
    assert first == f"    c:i32[]* = add a 1:i32[]*  # {__file__}:{line} (weak)"


def test_equation_texts_are_the_lines_of_the_jaxpr():
    closed = stage_out(*PROGRAMS["weighted"])
    lines = jaxpr_to_text(closed).splitlines()[1:-1]
    assert equation_texts(closed.jaxpr) == [line.strip() for line in lines]


def test_variables_are_named_past_z_and_around_the_words_of_the_format():
    variables = [Var(ShapedArray((), F32)) for _ in range(300)]
    header = jaxpr_to_text(Jaxpr((), variables, (), ()))
    names = [word.partition(":")[0] for word in header.split() if ":f32[]" in word]
    assert names[:2] == ["a", "b"]
    assert names[25:28] == ["z", "ba", "bb"]
    assert names[221] == "io"  # after "im" comes "in", which is a word of the format
    assert len(set(names)) == 300


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (True, "True"),
        (0.5, "0.5"),
        (-0.0, "-0.0"),
        (float("inf"), "inf"),
        (1 - 2j, "complex(1.0, -2.0)"),
        ("sum", "'sum'"),
        ((), "()"),
        ((1,), "(1,)"),
        ((0, (1, None)), "(0, (1, None))"),
        (np.dtype("float32"), "float32"),
        (np.dtype("bool"), "bool"),
        (np.float32(0.1), "float32(0.1)"),
        (frozenset({"b", "a"}), "{'a', 'b'}"),
        (Absent.NONLINEAR, "Absent.NONLINEAR"),
        (Source("a.py", 3, "f"), "Source(file='a.py', line=3, function='f', notes=())"),
        (ShapedArray((2,), F32, True), "f32[2]*"),
        (ShapeDtypeStruct((2,), "int32"), "ShapeDtypeStruct(i32[2])"),
        (weighted, "<weighted>"),
        (partial(weighted, 1), "<weighted>"),
        (lambda x: x, "<lambda>"),
        (object(), "<object>"),
    ],
    ids=lambda x: x if isinstance(x, str) else type(x).__name__,
)
def test_parameters(value, text):
    x, y = Var(VECTOR), Var(VECTOR)
    jaxpr = Jaxpr((), [x], [y], [JaxprEqn([x, x], [y], add_p, {"p": value})])
    assert jaxpr_to_text(jaxpr).splitlines()[1] == f"    b:f32[3] = add[p={text}] a a"


def test_parameters_that_are_none_stand_in_the_saved_text_only():
    x, y = Var(VECTOR), Var(VECTOR)
    jaxpr = Jaxpr((), [x], [y], [JaxprEqn([x, x], [y], add_p, {"a": None, "b": (None,)})])
    assert "= add[b=(None,)] a a" in jaxpr_to_text(jaxpr)
    assert "= add[a=None b=(None,)] a a" in jaxpr_to_text(jaxpr, versioned=True)
    jaxpr = Jaxpr((), [x], [y], [JaxprEqn([x, x], [y], add_p, {"a": None})])
    assert "= add a a" in jaxpr_to_text(jaxpr)


def test_parameters_are_sorted_by_name():
    x, y = Var(VECTOR), Var(VECTOR)
    jaxpr = Jaxpr((), [x], [y], [JaxprEqn([x, x], [y], add_p, {"z": 1, "a": 2, "m": 3})])
    assert "add[a=2 m=3 z=1] a a" in jaxpr_to_text(jaxpr)


def test_an_equation_without_results():
    x = Var(VECTOR)
    jaxpr = Jaxpr((), [x], [], [JaxprEqn([x], [], add_p, {})])
    assert jaxpr_to_text(jaxpr) == "{ lambda ; a:f32[3]. let\n    add a\n  in () }"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float32(0.1), "0.1:f32[]"),
        (np.float64(0.1), "0.1:f64[]"),
        (np.float16(0.1), "0.1:f16[]"),
        (np.float32(1e-45), "1e-45:f32[]"),
        (np.float32(-np.inf), "-inf:f32[]"),
        (np.float32(np.nan), "nan:f32[]"),
        (np.uint32(0xFFC00001).view(np.float32), "nan(0xffc00001):f32[]"),
        (np.complex64(complex(-0.0, 2)), "complex(-0.0, 2.0):c64[]"),
        (np.int8(-3), "-3:i8[]"),
        (np.uint64(2**64 - 1), "18446744073709551615:u64[]"),
        (np.bool_(True), "True:bool[]"),
    ],
    ids=str,
)
def test_literals(value, text):
    literal = Literal(np.asarray(value), ShapedArray((), np.asarray(value).dtype))
    assert jaxpr_to_text(Jaxpr((), (), [literal], ())) == f"{{ lambda ; . let in ({text},) }}"


def test_a_traced_constant_cannot_be_saved():
    def outer(x):
        closed = stage_out(lambda y: [add(x, y)], [VECTOR])
        assert "lambda a:f32[3]; b:f32[3]" in str(closed)
        with pytest.raises(LeafTypeError):
            jaxpr_to_text(closed, versioned=True)
        return [x]

    stage_out(outer, [VECTOR])


def test_an_open_jaxpr_says_so_when_saved():
    x = Var(VECTOR)
    jaxpr = Jaxpr((), [x], [x], ())
    assert jaxpr_to_text(jaxpr) == jaxpr_to_text(ClosedJaxpr(jaxpr))
    assert jaxpr_to_text(jaxpr, versioned=True).splitlines()[1].startswith("open { lambda")
