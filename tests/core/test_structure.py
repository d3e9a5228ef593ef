"""Structural keys: equal for programs that do the same, different for all others."""

import itertools
import time

import numpy as np
from hypothesis import given

from funcflow.core.aval import ShapedArray
from funcflow.core.jaxpr import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from funcflow.core.pprint import jaxpr_to_text
from funcflow.core.rules import Absent
from funcflow.core.source import Source
from funcflow.core.staging import stage_out
from funcflow.core.structure import same_structure, structural_key
from funcflow.lax.arithmetic import mul, neg, neg_p
from funcflow.lax.forms import add, add_p
from funcflow.testing.jaxprs import programs, trace_program
from funcflow.transforms.jit import jit

F32 = np.dtype("float32")
VECTOR = ShapedArray((3,), F32)


@given(programs())
def test_tracing_twice_gives_one_key(steps):
    a, b = trace_program(steps), trace_program(steps)
    assert structural_key(a) == structural_key(b)
    assert hash(structural_key(a)) == hash(structural_key(b))
    assert same_structure(a, b)


@given(programs(), programs())
def test_equal_keys_mean_equal_texts(first, second):
    a, b = trace_program(first), trace_program(second)
    assert same_structure(a, b) == (jaxpr_to_text(a) == jaxpr_to_text(b))


def different():
    """Jaxprs of which no two do the same."""

    def one(primitive_params, avals=(VECTOR,), ins=None, literal=None):
        variables = [Var(aval) for aval in avals]
        out = Var(VECTOR)
        atoms = [variables[i] for i in ins or (0, 0)]
        if literal is not None:
            atoms[1] = literal
        return Jaxpr((), variables, [out], [JaxprEqn(atoms, [out], *primitive_params)])

    def scalar(value, weak=False):
        value = np.asarray(value)
        return Literal(value, ShapedArray((), value.dtype, weak))

    yield Jaxpr((), (), (), ())
    yield one((add_p, {}))
    yield one((neg_p, {}))
    x, y, z = Var(VECTOR), Var(VECTOR), Var(VECTOR)
    yield Jaxpr([x], [y], [x], ())
    yield Jaxpr([x], [y], [y], ())
    yield Jaxpr((), [x, y], [x], ())
    yield Jaxpr((), [x, y], [y], ())
    yield Jaxpr((), [x, y], [x, x], ())
    yield Jaxpr((), [x, y], [z], [JaxprEqn([x, y], [z], add_p, {})])
    yield Jaxpr((), [x, y], [z], [JaxprEqn([y, x], [z], add_p, {})])
    yield Jaxpr((), [x, y], [x], [JaxprEqn([y, x], [z], add_p, {})])
    for aval in (
        ShapedArray((3, 1), F32),
        ShapedArray((3,), np.dtype("float64")),
        ShapedArray((3,), F32, True),
    ):
        yield one((add_p, {}), [aval])
    for value in (0.0, -0.0, 1.0, np.float32(0), np.nan, 0, False):
        yield one((add_p, {}), literal=scalar(value))
    yield one((add_p, {}), literal=scalar(0.0, weak=True))
    inner = Jaxpr((), [x], [x], ())
    values = [
        *(0, 1, True, 0.0, -0.0, 1.0, 1j, complex(-0.0, 1.0), "1", None, ()),
        *((1,), (1.0,), (True,), (1, 1), ((1,), 1), frozenset({1})),
        *(np.dtype("int32"), np.dtype("int64"), Absent.NONLINEAR, Absent.NO_FORWARD),
        *(Source("a", 1, "f"), ("a", 1, "f"), Source("a", 1, "g")),
        *(inner, ClosedJaxpr(inner), (inner,), Jaxpr((), [x], [x, x], ())),
        *(ClosedJaxpr(Jaxpr([x], (), [x], ()), [np.full(3, v, F32)]) for v in (0.0, -0.0, 1.0)),
    ]
    for value in values:
        yield one((add_p, {"p": value}))
    yield one((add_p, {"q": 1}))
    yield one((add_p, {"q": 1, "p": 1}))


def test_different_programs_have_different_keys():
    for a, b in itertools.combinations(list(different()), 2):
        assert not same_structure(a, b), f"{a}\n{b}"


def test_every_key_equals_itself_built_again():
    for a, b in zip(different(), different(), strict=True):
        assert same_structure(a, b)
        assert hash(structural_key(a)) == hash(structural_key(b))


def test_the_order_of_parameters_does_not_count():
    x, y = Var(VECTOR), Var(VECTOR)
    a, b = (
        Jaxpr((), [x], [y], [JaxprEqn([x, x], [y], add_p, params)])
        for params in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    )
    assert same_structure(a, b)


def test_values_of_constants_do_not_count():
    ones, zeros = np.ones(3, F32), np.zeros(3, F32)
    a = stage_out(lambda x: [add(x, ones)], [VECTOR])
    b = stage_out(lambda x: [add(x, zeros)], [VECTOR])
    assert same_structure(a, b)


def test_traced_constants_are_told_apart_by_identity():
    def outer(x, y):
        first, again, other = (
            ClosedJaxpr(Jaxpr([v := Var(VECTOR)], (), [v], ()), [value]) for value in (x, x, y)
        )

        def key(closed):
            z = Var(VECTOR)
            return structural_key(Jaxpr((), (), [z], [JaxprEqn([], [z], neg_p, {"f": closed})]))

        assert key(first) == key(again)
        assert key(first) != key(other)
        return [x]

    stage_out(outer, [VECTOR, VECTOR])


def test_undefined_variables_are_told_apart():
    x, y = Var(VECTOR), Var(VECTOR)
    assert not same_structure(Jaxpr((), (), [x], ()), Jaxpr((), (), [y], ()))


def test_keys_of_other_types_differ():
    key = structural_key(Jaxpr((), (), (), ()))
    assert key != key.items


def test_a_key_costs_microseconds_per_equation():
    def function(x):
        for _ in range(1000):
            x = add(mul(x, x), 1.0)
        return [x]

    closed = stage_out(function, [VECTOR])
    start = time.perf_counter()
    structural_key(closed)
    # about 2 ms; the bound leaves room for a machine that is busy
    assert time.perf_counter() - start < 0.2


def test_inner_jaxprs_count():
    def program(f):
        return stage_out(lambda x: jit(f)(x), [VECTOR])

    def function(x):
        return [neg(x)]

    assert same_structure(program(function), program(function))
    assert not same_structure(program(function), program(lambda x: [neg(neg(x))]))
