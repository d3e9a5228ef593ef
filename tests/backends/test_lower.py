"""From jaxprs to programs."""

import numpy as np
import pytest
from hypothesis import given, settings

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.families.joining import LOWERINGS
from funcflow.backends.loop_ir import Kernel
from funcflow.backends.lower import lower_program
from funcflow.backends.pipeline import prepare
from funcflow.backends.program import HostCall, Routine
from funcflow.core.interpret import BufferProgram
from funcflow.core.jaxpr import ClosedJaxpr
from funcflow.core.rewrite import constants_to_arguments
from funcflow.lax.sorting import sort_p
from funcflow.testing.jaxprs import jaxprs

X = np.random.default_rng(0).integers(-9, 10, (4, 24)).astype("f4")


def lowered(f, *args, lowerings=LOWERINGS):
    return lower_program(prepare(ff.make_jaxpr(f)(*args))["dce"], lowerings)


def agrees(run_program, f, *args):
    closed = prepare(ff.make_jaxpr(f)(*args))["dce"]
    hoisted = ClosedJaxpr(constants_to_arguments(closed.jaxpr))
    expected = BufferProgram(hoisted)([np.asarray(x) for x in (*closed.consts, *args)])
    for a, b in zip(expected, run_program(closed, *args), strict=True):
        np.testing.assert_array_equal(b, a)


def roles(program):
    return [{v.buffer.role for v in step.writes} for step in program.steps]


def test_one_group_is_one_kernel():
    program = lowered(lambda x: fnp.floor(x * 2) - 1, X)
    (step,) = program.steps
    assert isinstance(step.work, Kernel)
    assert step.writes[0] is program.outputs[0]
    assert [eqn.primitive.name for eqn in step.eqns] == ["mul", "floor", "sub"]


def test_only_what_is_read_outside_is_stored():
    (step,) = lowered(lambda x: (x * 2 + 1, lax.reduce_max(x * 2 + 1, (1,))), X).steps
    assert [v.shape for v in step.writes] == [(4, 24), (4,)]


def test_views_take_no_steps():
    program = lowered(lambda x: lax.rev(x.T[2:5], (0,)) * 2, X)
    assert len(program.steps) == 1
    assert program.steps[0].reads[0].strides == (-1, 24)


def test_a_reshape_of_what_is_not_one_piece_is_copied(run_program):
    def f(x):
        return lax.reshape(x.T, (96,)) * 2

    assert [step.note[:4] for step in lowered(f, X).steps] == ["copy", ""]
    agrees(run_program, f, X)


def test_a_view_of_a_group_is_made_of_what_the_group_stores(run_program):
    def f(x):
        y = x * 2
        return fnp.sort(y.T), fnp.cumsum(y, 0)

    program = lowered(f, X)
    assert isinstance(program.steps[0].work, Kernel)
    assert len(program.steps[0].writes) == 1
    agrees(run_program, f, X)


def test_what_has_no_native_form_is_a_host_call():
    (step,) = lowered(lambda x: lax.sort(x), X).steps
    assert isinstance(step.work, HostCall)
    assert step.work.reason == "sort has no native form"


def test_the_targets_table_lowers_the_rest():
    def lower_sort(plan, eqn):
        plan.call(
            Routine("sort", ""),
            [plan.operand(eqn.invars[0])],
            [plan.result(eqn.outvars[0])],
            (1,),
            eqn,
        )

    (step,) = lowered(lambda x: lax.sort(x), X, lowerings={sort_p: lower_sort}).steps
    assert step.work == Routine("sort", "")


def test_cheap_values_are_stored_only_for_library_calls(run_program):
    def f(x):
        mask = fnp.tril(fnp.ones((24, 24), dtype=bool))
        return fnp.where(mask, x[:1], 0), fnp.sort(mask.astype("float32"))

    program = lowered(f, X)
    assert any(isinstance(step.work, HostCall) for step in program.steps)
    agrees(run_program, f, X)


def test_outputs_that_are_views_of_other_outputs_are_copied(run_program):
    agrees(run_program, lambda x: (lambda y: (y, y.T, y))(x * 2), X)
    agrees(run_program, lambda x: (x, x.T, x[0]), X)
    agrees(run_program, lambda x: (fnp.ones(3), 2.0), X)


def test_constants(run_program):
    captured = fnp.array(X[0])
    agrees(run_program, lambda x: x + captured, X)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_arrays(run_program, shape):
    x = np.zeros(shape, "f4")

    def f(x):
        return x + 1, lax.reduce_sum(x, (0,)), x.T, fnp.concatenate([x, x]), lax.exp(x) > 0

    agrees(run_program, f, x)
    assert not any(isinstance(step.work, HostCall) for step in lowered(f, x).steps)


REDUCTIONS = {
    "float32": [lax.reduce_sum, lax.reduce_prod, lax.reduce_max, lax.reduce_min],
    "float16": [lax.reduce_sum, lax.reduce_max],
    "int8": [lax.reduce_sum, lax.reduce_max, lax.reduce_and, lax.reduce_or, lax.reduce_xor],
    "bool": [lax.reduce_and, lax.reduce_or, lax.reduce_max],
}


@pytest.mark.parametrize("dtype", REDUCTIONS)
def test_reductions_of_nothing(run_program, dtype):
    x = np.zeros((3, 0, 2), dtype)

    def f(x):
        return [reduce(x, axes) for reduce in REDUCTIONS[dtype] for axes in ((1,), (0, 1))]

    agrees(run_program, f, x)
    assert not any(isinstance(step.work, HostCall) for step in lowered(f, x).steps)


def test_empty_results_of_callbacks_need_the_callback():
    shape = ff.ShapeDtypeStruct((0,), np.float32)
    (step,) = lowered(lambda x: ff.pure_callback(lambda x: x[0, :0], shape, x), X).steps
    assert isinstance(step.work, HostCall)


def test_scalars(run_program):
    agrees(run_program, lambda x: (x * 2 + 1, -x), np.float32(3))


def test_effects_happen_in_order(run_program, capsys):
    def f(x):
        y = x * 2
        ff.debug.print("first {}", y[0, 0])
        z = y + 1
        ff.debug.print("second")
        ff.debug.print("third {}", z[0, 1])
        return z

    closed = prepare(ff.make_jaxpr(f)(X))["dce"]
    steps = lower_program(closed, LOWERINGS).steps
    calls = [step.work.eqn for step in steps if isinstance(step.work, HostCall)]
    assert [e for e in calls if e.effects] == [e for e in closed.eqns if e.effects]


@given(jaxprs(max_steps=10))
@settings(max_examples=40, deadline=None)
def test_random_programs(run_program, closed):
    """NaN and infinities included; sums may be rounded otherwise."""
    closed = prepare(closed)["dce"]
    args = [
        np.array([[1, 2, -3], [0, np.inf, 0.5]], "f4"),
        np.array([[2, -1, 4], [1, 1, -2]], "f4"),
    ]
    hoisted = ClosedJaxpr(constants_to_arguments(closed.jaxpr))
    expected = BufferProgram(hoisted)([np.asarray(x) for x in (*closed.consts, *args)])
    for a, b in zip(expected, run_program(closed, *args), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)


# --- values that are joined -----------------------------------------------------------------------


def kernels_and_copies(program):
    """How many steps compute something, and how many only copy."""
    copies = [step for step in program.steps if step.note.startswith("copy")]
    return len(program.steps) - len(copies), len(copies)


@pytest.mark.parametrize("axis", [0, 1])
def test_values_are_computed_where_a_concatenation_wants_them(run_program, axis):
    def f(x, y):
        return lax.concatenate([lax.floor(x), y * 2, lax.neg(x)], axis)

    program = lowered(f, X, X)
    assert kernels_and_copies(program) == (3, 0)
    assert {v.buffer for step in program.steps for v in step.writes} == {program.outputs[0].buffer}
    agrees(run_program, f, X, X[::-1])


def test_a_group_writes_several_parts(run_program):
    def f(x):
        y = lax.floor(x * 0.5)
        return lax.sort(lax.concatenate([y + 1, y * 2], 1)), lax.reduce_max(y, (1,))

    program = lowered(f, X)
    step, *_ = program.steps
    assert len({v.buffer for v in step.writes}) == 2
    assert kernels_and_copies(program)[1] == 0
    agrees(run_program, lambda x: lax.concatenate([x + 1, x * 2], 1) * 3, X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.concatenate([x, lax.neg(x)], 0),  # an argument
        lambda x: ((y := lax.neg(x)), lax.concatenate([y, lax.abs(x)], 0)),  # a result
        lambda x: lax.concatenate([(y := lax.neg(x)), lax.floor(y)], 0),  # read by a kernel
        lambda x: lax.concatenate([lax.neg(x)] * 2, 0),  # joined twice
        lambda x: lax.concatenate([lax.neg(x)[:, :9], lax.abs(x)], 1),  # a view
        lambda x: lax.concatenate([lax.reduce_max(x, (1,))[:, None], lax.neg(x)], 1),  # a column
    ],
)
def test_other_values_are_copied(run_program, f):
    assert kernels_and_copies(lowered(f, X))[1] >= 1
    agrees(run_program, f, X)


def test_what_is_joined_may_be_joined_again(run_program):
    def f(x):
        inner = lax.concatenate([lax.neg(x), lax.abs(x)], 0)
        return lax.concatenate([inner, lax.floor(x)], 0)

    assert kernels_and_copies(lowered(f, X)) == (3, 1)
    agrees(run_program, f, X)


# --- results in another shape -------------------------------------------------------------------


def test_what_only_changes_its_shape_is_written_where_the_result_lies(run_program):
    def f(x):
        y = lax.sort(x)  # no kernel
        return y.reshape(-1), y.reshape(2, -1), x.reshape(-1)

    closed = prepare(ff.make_jaxpr(f)(X))["dce"]
    program = lower_program(closed, LOWERINGS)
    (first,) = [s for s in program.steps if isinstance(s.work, HostCall)]
    assert first.writes[0].buffer is program.outputs[0].buffer
    assert program.outputs[1].buffer is not program.outputs[0].buffer
    agrees(run_program, f, X)


def test_a_reshape_of_a_reshape_is_written_where_the_result_lies(run_program):
    def f(x):
        return lax.reshape(lax.reshape(lax.sort(x), (2, 48)), (96,))

    program = lowered(f, X)
    assert [s.writes[0].buffer for s in program.steps] == [program.outputs[0].buffer]
    agrees(run_program, f, X)


@pytest.mark.parametrize("reverse", [False, True])
def test_stacks_that_are_joined_are_written_where_they_lie(reverse, run_program):
    def f(x):
        c, first = lax.scan(lambda c, r: (c + r, c * r), x[0], x, reverse=reverse)
        c, second = lax.scan(lambda c, r: (c - r, (c, c + r)), c, x, reverse=reverse)
        # the second is used once more, so it stays apart
        return lax.concatenate((lax.reshape(first, (2, 2, 24)), second[1].reshape(2, 2, 24)), 0), (
            lax.concatenate((second[0], x), 0),
            second[0] * 2,
        )

    program = lowered(f, X)
    scans = [s for s in program.steps if isinstance(s.work, HostCall)]
    joined = program.outputs[0].buffer
    assert [v.buffer is joined for v in scans[0].writes] == [False, True]
    assert [v.buffer is joined for v in scans[1].writes] == [False, False, True]
    agrees(run_program, f, X)


def test_stacks_that_do_not_lie_together_where_they_are_joined_are_copied(run_program):
    def f(x):
        _, ys = lax.scan(lambda c, r: (c + r, c * r), x[0], x)
        return lax.concatenate((ys, x), 1)

    program = lowered(f, X)
    (scan,) = [s for s in program.steps if isinstance(s.work, HostCall)]
    assert all(v.buffer is not program.outputs[0].buffer for v in scan.writes)
    agrees(run_program, f, X)
