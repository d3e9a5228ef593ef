"""Which view holds which value."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.copying import copy_step
from funcflow.backends.planner import Planner
from funcflow.backends.program import HostCall, Routine
from funcflow.core.jaxpr import Literal, Var

X = np.arange(6, dtype="f4").reshape(2, 3)


def unexpected(v: Var):
    raise AssertionError(f"{v} is materialised")


def planner(f, *args, fill=unexpected):
    closed = ff.make_jaxpr(f)(*args)
    return Planner(closed, copy_step, fill), closed.jaxpr


def test_arguments_and_constants_have_views():
    captured = fnp.array([[1.0, 2.0, 3.0]])
    plan, jaxpr = planner(lambda x: x + captured, X)
    assert plan.operand(jaxpr.invars[0]).buffer.role == "argument"
    assert plan.operand(jaxpr.constvars[0]).buffer.role == "constant"
    ((view, value),) = plan.constants
    assert view is plan.operand(jaxpr.constvars[0])
    assert value.tolist() == [[1.0, 2.0, 3.0]]


def test_literals_are_constants():
    plan, jaxpr = planner(lambda x: x * 2, X)
    (literal,) = [v for v in jaxpr.eqns[0].invars if isinstance(v, Literal)]
    view = plan.operand(literal)
    assert (view.shape, view.buffer.role) == ((), "constant")
    assert plan.constants[-1][1] == 2


def test_results_are_outputs_or_temporaries():
    plan, jaxpr = planner(lambda x: fnp.sin(fnp.cos(x)), X)
    inner, outer = (eqn.outvars[0] for eqn in jaxpr.eqns)
    assert not plan.is_output(inner)
    assert plan.result(inner).buffer.role == "temporary"
    assert plan.is_output(outer)
    assert plan.result(outer).buffer.role == "output"
    assert plan.operand(outer) is plan.views[outer]


def test_what_has_no_view_is_materialised():
    made = []

    def fill(v, target):
        made.append(v)
        return [copy_step(target, target)]

    plan, jaxpr = planner(lambda x: fnp.sin(x), X, fill=fill)
    (v,) = jaxpr.outvars
    assert plan.operand(v).shape == (2, 3)
    assert made == [v]
    plan.operand(v)
    assert made == [v]


def test_dense_copies_only_what_is_not():
    plan, jaxpr = planner(lambda x: x + 1, X)
    view = plan.operand(jaxpr.invars[0])
    assert plan.dense(view) is view
    assert plan.steps == []
    copied = plan.dense(view.transpose((1, 0)))
    assert copied.dense
    (step,) = plan.steps
    assert step.note.startswith("copy")


def test_a_copy_is_shared_until_either_side_is_written_to():
    plan, jaxpr = planner(lambda x: x, X)
    view = plan.operand(jaxpr.invars[0]).transpose((1, 0))
    source = plan.temporary((2, 3), "f4")
    turned = source.transpose((1, 0))
    first, second = plan.copied(view), plan.copied(turned)
    assert plan.copied(view) is first
    assert plan.copied(turned) is second
    plan.copy(plan.operand(jaxpr.invars[0]), source)
    assert plan.copied(view) is first
    assert plan.copied(turned) is not second
    plan.copy(view, first)
    assert plan.copied(view) is not first


def test_routines_get_the_addresses_before_their_parameters():
    plan, jaxpr = planner(lambda x: x + 1, X)
    (eqn,) = jaxpr.eqns
    x = plan.operand(jaxpr.invars[0])
    resource = object()
    plan.call(
        Routine("f", "", (11, 12)),
        [x],
        [plan.result(eqn.outvars[0])],
        (3, 4),
        eqn,
        "why",
        (resource,),
    )
    (step,) = plan.steps
    assert step.params == (11, 12, 3, 4)
    assert (step.eqns, step.note, step.resources) == ((eqn,), "why", (resource,))


def test_host_calls_read_dense_views():
    plan, jaxpr = planner(lambda x: lax.sort(x.T), X)
    transpose, sort = jaxpr.eqns
    plan.views[transpose.outvars[0]] = plan.operand(jaxpr.invars[0]).transpose((1, 0))
    plan.host(sort, "sort has no native form")
    copy, call = plan.steps
    assert copy.note.startswith("copy")
    assert call.work == HostCall(sort, "sort has no native form")
    assert all(view.dense for view in call.reads)


@pytest.mark.parametrize(
    ("f", "copies"),
    [
        (lambda x: x, 1),  # an argument
        (lambda x: (x, x), 2),
        (lambda x: 2.0, 1),
        (lambda x: fnp.sin(x), 0),
        (lambda x: (lambda y: (y, y))(fnp.sin(x)), 1),  # the same output twice
    ],
)
def test_outputs_have_memory_of_their_own(f, copies):
    plan, jaxpr = planner(f, X)
    for eqn in jaxpr.eqns:
        plan.host(eqn, "")
    program = plan.finish()
    assert sum(step.note.startswith("copy") for step in program.steps) == copies
    buffers = [view.buffer for view in program.outputs]
    assert len(set(buffers)) == len(buffers)
    assert {buffer.role for buffer in buffers} == {"output"}


def test_parts_of_an_output_are_outputs_of_their_own():
    """A part of a buffer lies inside of it, so what is returned must not be the buffer's start."""
    y, x = np.arange(1, 11, dtype=np.float32), np.arange(10, dtype=np.float32)
    f = ff.jit(lambda x: (lambda y: (y[:2], y[5:7], y, y[9:]))(x + 1))
    for part, expected in zip(f(x), (y[:2], y[5:7], y, y[9:]), strict=True):
        np.testing.assert_array_equal(part, expected)
