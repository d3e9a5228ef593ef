"""Which results of a body lie where arguments do, and what then is copied."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.lower import lower_program
from funcflow.backends.numba.backend import LOWERINGS
from funcflow.backends.passes.carries import (
    Carry,
    alike_in_place,
    carries_in_place,
    in_place,
    is_in_place,
)
from funcflow.backends.passes.memory import is_copy
from funcflow.backends.pipeline import prepared

X, Y, AT = np.ones(8, "f4"), np.full(8, 2, "f4"), np.int32(3)
NOTE = "copy: what a loop carries, not in place, since "


def body(f, *args):
    return lower_program(prepared(ff.make_jaxpr(f)(*args)), LOWERINGS)


def changed(f, *args, copied=False):
    """A body whose first results are what its first arguments are next."""
    program = body(f, *args)
    count = min(len(args), len(program.outputs))
    return in_place(program, [Carry(i, i) for i in range(count)], copied=copied)


def copies(program):
    return [step for step in program.steps if is_copy(step)]


def does_sort(step):
    return any(eqn.primitive.name == "sort" for eqn in step.eqns)


def put(x, i, value):
    return lax.dynamic_update_slice(x, value[None], (i,))


IN_PLACE = {
    "an update": lambda x, i: (put(x, i, x[0] + 1),),
    "two updates": lambda x, i: (put(put(x, i, x[0] * 2), i - 1, x[1] * 3),),
    "a sum at a place": lambda x, i: (x.at[i].add(1),),
    "all elements": lambda x, i: (x * 2 + 1,),
    "an update of what all elements became": lambda x, i: (put(x * 2, i, x[0] + 1),),
    "the old value read element by element": lambda x, i: (put(x, i, x[0] + 1), i, x * 2),
    "the new value read": lambda x, i: (
        (new := put(x, i, fnp.sin(x[0]))),
        i,
        fnp.concatenate([new, new]),
    ),
    "a part of it": lambda x, i: (lax.dynamic_update_slice(x, x[1:4], (i,)),),
    "another shape": lambda x, i: (put(x.reshape(2, 4).reshape(8), i, x[0] + 1),),
    "a loop": lambda x, i: (lax.fori_loop(0, 3, lambda j, x: put(x, i + j, x[j] + 1), x),),
    "nothing": lambda x, i: (x,),
}


@pytest.mark.parametrize("f", IN_PLACE.values(), ids=IN_PLACE)
def test_changed_in_place(f):
    program = changed(f, X, AT)
    assert is_in_place(program, Carry(0, 0))
    assert not [s for s in copies(program) if s.writes[0].buffer is program.outputs[0].buffer]


def test_old_values_may_be_results_too():
    """They are copied before the update."""
    program = changed(lambda x, i: (put(x, i, x[0] + 1), i, x), X, AT)
    assert is_in_place(program, Carry(0, 0))
    old = [s for s in program.steps if s.writes[0].buffer is program.outputs[2].buffer]
    update = [s for s in program.steps if s.writes[0].buffer is program.outputs[0].buffer]
    assert program.steps.index(old[-1]) < program.steps.index(update[0])


def test_steps_that_read_the_old_value_come_first():
    def f(x, i):
        new = put(x, i, fnp.float32(2))
        return new, i, fnp.sort(x)

    program = body(f, X, AT)
    program.steps.sort(key=does_sort)
    found = in_place(program, [Carry(0, 0)])
    assert is_in_place(found, Carry(0, 0))
    update = next(s for s in found.steps if s.writes[0].buffer is found.outputs[0].buffer)
    assert does_sort(found.steps[found.steps.index(update) - 1])


def test_who_needs_both_values_has_them_apart():
    def f(x, i):
        new = put(x, i, x[0] + 1)
        return new, i, x @ fnp.sort(new)

    program = changed(f, X, AT)
    assert not is_in_place(program, Carry(0, 0))
    (copy,) = copies(program)
    assert copy.note == NOTE + "a step that needs the new value reads the old one"


def test_a_swap_is_not_in_place():
    program = changed(lambda x, y: (y, x), X, Y)
    assert carries_in_place(program) == []
    assert len(copies(program)) == 2


def test_one_of_two_may_be_in_place():
    """What was read of the second one is the old value: it must not be changed before."""
    program = changed(lambda x, y: (put(y, 0, x[0]), y * 2), X, Y)
    assert carries_in_place(program) == [Carry(1, 1)]


def test_the_order_serves_all():
    """Each update reads the other array as it was; one of them can be in place, the other not."""

    def f(x, y, i):
        return put(x, i, fnp.sort(y)[0]), put(y, i, fnp.sort(x)[0])

    assert len(carries_in_place(changed(f, X, Y, AT))) == 2

    def crossed(x, y, i):
        x_new = put(x, i, fnp.sort(y)[0])
        return x_new, put(y, i, fnp.sort(x_new)[0] + fnp.sort(x)[0])

    assert len(carries_in_place(changed(crossed, X, Y, AT))) == 2

    def circle(x, y, i):
        x_new = put(x, i, X[0])
        y_new = put(y, i, fnp.sort(x_new)[0])
        return x_new, y_new, fnp.sort(y_new) @ x, fnp.sort(x_new) @ y

    assert carries_in_place(changed(circle, X, Y, AT)) == [Carry(1, 1)]


def test_only_copies_count_for_branches():

    def double(x, i):
        return x * 2

    def update(x, i):
        return put(x, i, x[0] + 1)

    def keep(x, i):
        return x

    assert carries_in_place(changed(lambda *a: (double(*a),), X, AT, copied=True)) == []
    for branches, expected in (
        ([update, keep], [Carry(0, 0)]),
        ([keep, update], [Carry(0, 0)]),
        ([update, double], []),
        ([double, update], []),
    ):
        programs = alike_in_place([body(f, X, AT) for f in branches])
        assert [carries_in_place(p) for p in programs] == [expected] * 2


def test_an_argument_has_one_place():
    program = body(lambda x, i: (put(x, i, X[1]), put(x, i, X[0])), X, AT)
    found = in_place(program, [Carry(0, 0), Carry(0, 1)])
    assert carries_in_place(found) == [Carry(0, 0)]


def test_no_carries_no_change():
    program = body(lambda x: x * 2, X)
    assert in_place(program, []) is program
