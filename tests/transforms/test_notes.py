"""Notes at the source of operations, and what they tell."""

import operator

import numpy as np

import funcflow as ff
import funcflow.numpy as fnp
from funcflow.core.aval import ShapedArray
from funcflow.core.source import Source
from funcflow.transforms.notes import (
    ForwardRule,
    Lanes,
    in_lanes,
    is_derivative,
    of_transpose,
)

HERE = Source("model.py", 3, "loss")


def lanes(primitive, size, operands, results, name=None):
    places = [[(ShapedArray(s, np.dtype("f4")), d) for s, d in xs] for xs in (operands, results)]
    note = Lanes(primitive, size, name, places[0], list)
    note.settle(places[1])
    return note


def test_places_are_equal_whatever_is_noted():
    noted = HERE.noted("a").noted("b")
    assert noted == HERE and hash(noted) == hash(HERE) and operator.ne(noted, HERE) is False
    assert noted.notes == ("a", "b") and HERE.notes == ()
    assert str(noted) == str(HERE)


def test_derivatives():
    assert not is_derivative(None, "mul") and not is_derivative(HERE, "mul")
    rule = HERE.noted(ForwardRule("pow"))
    assert is_derivative(rule, "log") and not is_derivative(rule, "pow")
    backward = of_transpose(rule)
    assert is_derivative(backward, "pow")
    assert of_transpose(backward).notes == backward.notes
    assert of_transpose(None) is None


def test_a_lane_is_taken_out_of_shape_and_index():
    source = HERE.noted(lanes("log", 5, [((5, 3), 0)], [((3, 5), 1)], "batch"))
    assert in_lanes(source, "log", (3, 5), (2, 4)) == (["lane 4 of axis 'batch'"], (3,), (2,))
    assert in_lanes(None, "log", (3, 5), (2, 4)) == ([], (3, 5), (2, 4))


def test_the_outermost_lane_comes_first():
    source = HERE.noted(lanes("log", 2, [], [((2,), 0)])).noted(lanes("log", 3, [], [((2, 3), 1)]))
    assert in_lanes(source, "log", (2, 3), (1, 2)) == (["lane 2", "lane 1"], (), ())


def test_nothing_is_said_where_operands_and_results_disagree():
    note = lanes("dot_general", 3, [((3, 3), 0)], [((3, 3), 1)])
    assert in_lanes(HERE.noted(note), "dot_general", (3, 3), (1, 2)).lanes == ["lane 2"]
    assert in_lanes(HERE.noted(note), "mul", (3, 3), (1, 2)) == ([], (3, 3), (1, 2))
    backward = of_transpose(HERE.noted(note))
    assert in_lanes(backward, "dot_general", (3, 3), (1, 2)).lanes == []
    alike = of_transpose(HERE.noted(lanes("mul", 3, [((3, 3), 0)], [((3, 3), 0)])))
    assert in_lanes(alike, "div", (3, 3), (1, 2)).lanes == ["lane 1"]


def test_staged_equations_have_the_notes():
    def f(x):
        return ff.vmap(fnp.log, 1, axis_name="i")(x)

    jaxpr = ff.make_jaxpr(f)(np.ones((2, 3), np.float32))
    (log,) = (eqn for eqn in jaxpr.eqns if eqn.primitive.name == "log")
    (note,) = log.source.notes
    assert isinstance(note, Lanes)
    assert (note.primitive, note.size, note.name) == ("log", 3, "i")
    assert note.axis_of((2, 3), "log", False) == 1
