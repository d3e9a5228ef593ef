"""What native code makes of a call's arguments."""

import sys

import numpy as np
import pytest

from funcflow.backends.numba import direct, interpreter
from funcflow.backends.numba.runner import StepTable
from funcflow.core.array import ConcreteArray, WeakArray


def test_arrays_are_found_inside_of_ours():
    assert interpreter.offset_of_value() is not None  # or all calls would be slow


def test_counts_of_references_are_kept():
    inner, plain, out = np.zeros((2, 3)), np.zeros(4), np.zeros(3)
    ours = ConcreteArray(inner)
    table = StepTable(2, 1, [], [])
    run = table.guarded((ours, plain))
    arguments, outputs, other = (ours, plain), (out,), (ours, np.zeros(5))
    assert run(arguments, outputs, None) and not run(other, outputs, None)
    watched = (inner, ours, plain, out, arguments, outputs, inner.dtype.type)
    before = [sys.getrefcount(x) for x in watched]
    answers = sys.getrefcount(True) + sys.getrefcount(False)
    for _ in range(1000):
        run(arguments, outputs, None)
        run(other, outputs, None)
    assert [sys.getrefcount(x) for x in watched] == before
    # other threads of the test's process may refer to these as well
    assert abs(sys.getrefcount(True) + sys.getrefcount(False) - answers) < 500


LIKE = np.zeros((2, 3))
EMPTY = ConcreteArray.__new__(ConcreteArray)  # nothing was put into it


@pytest.mark.parametrize(
    "other",
    [
        LIKE,
        WeakArray(LIKE),
        ConcreteArray(LIKE[:, :2]),
        ConcreteArray(LIKE[0]),
        ConcreteArray(np.zeros((3, 2)).T),
        ConcreteArray(LIKE.astype("float32")),
        ConcreteArray(LIKE.astype(">f8")),
        ConcreteArray(np.ma.array(LIKE)),
        ConcreteArray(None),
        EMPTY,
        None,
        0.0,
    ],
)
def test_what_is_different_is_refused(other):
    run = StepTable(1, 0, [], []).guarded((ConcreteArray(LIKE),))
    assert run((ConcreteArray(LIKE.copy()),), (), None)
    assert not run((other,), (), None)
    assert not run((), (), None)
    assert not run((ConcreteArray(LIKE), ConcreteArray(LIKE)), (), None)


def test_no_axes_and_no_elements():
    arrays = ConcreteArray(np.zeros(())), np.zeros((0, 3))
    run = StepTable(2, 0, [], []).guarded(arrays)
    assert run(arrays, (), None)
    assert not run((arrays[0], np.zeros((0, 4))), (), None)
    assert StepTable(0, 0, [], []).guarded(())((), (), None)


def test_classes_that_native_code_does_not_know():
    class Mine(ConcreteArray):
        pass

    for x in (Mine(LIKE), np.ma.array(LIKE), ConcreteArray(np.ma.array(LIKE)), 1.0):
        assert direct.guard(0, [x]) is None
