"""Which results may take which arguments' memory."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.lower import lower_program
from funcflow.backends.passes.donate import donate


def donations(f, *args):
    program = lower_program(ff.make_jaxpr(f)(*args), {})
    return donate(program, range(len(args)))


X = np.ones((3, 4), "f4")


@pytest.mark.parametrize(
    ("f", "takes"),
    [
        (lambda x, y: x + y, {0: 0}),
        (lambda x, y: (x + y, x - y), {1: 0}),  # the second kernel reads both again
        (lambda x, y: x @ y.T, {}),  # no result has the shape
        (lambda x, y: x + y[0], {0: 0}),  # y is read again for the next row
        (lambda x, y: lax.rev(x, (0,)), {0: 1}),  # of y nothing is read at all
        (lambda x, y: (fnp.sin(x), fnp.cos(y)), {0: 0, 1: 1}),
        (lambda x, y: (lax.rev(y, (0,)), lax.rev(x, (1,))), {1: 1}),  # y is read before
    ],
)
def test_takes(f, takes):
    assert donations(f, X, X).takes == takes


def test_a_better_matching_is_found():
    """The first argument fits both results, the second one only the first."""

    def f(x, y):
        rows = x @ x.T  # the last use of x, by a step that writes neither
        return fnp.sin(y) + rows, fnp.cos(y) * rows

    square = X[:, :3]
    assert donations(f, square, square).takes.keys() == {0, 1}


def test_types_must_agree():
    found = donations(lambda x: (x > 0, x.reshape(4, 3), x.astype("i4")), X)
    assert found.takes == {}
    assert found.refused == {0: "no result has its shape and dtype"}


def test_others_may_have_taken_what_there_is():
    found = donations(lambda x, y: x + y, X, X)
    assert found.refused == {1: "others take the results of its type"}
