"""Places in programs, in words."""

import numpy as np

from funcflow.transforms.whereabouts import Element, Frame, Origin, at, first_true


def test_words():
    assert (at(()), at((1, 2))) == ("", " at index (1, 2)")
    origin = Origin(None, [], Element(0, ()))
    outer = origin.within(Frame("iteration", 3, "scan")).within(Frame("branch", 0, "cond"))
    assert [str(frame) for frame in outer.context] == ["branch 0 of cond", "iteration 3 of scan"]


def test_the_first_true_element():
    assert first_true(np.array([[False, False], [True, True]])) == (1, 0)
