"""A scan over scans does what one scan does."""

import numpy as np
import pytest

from funcflow.core.array import aval_of
from funcflow.core.staging import stage_out
from funcflow.lax.arithmetic import mul
from funcflow.lax.forms import add
from funcflow.lax.pieces import (
    Pieces,
    Stretch,
    in_pieces,
    in_stretches,
    size_without_rest,
    step_in_pieces,
)
from funcflow.lax.scan import bind_scan

XS = np.linspace(0.1, 0.7, 7)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("length", [0, 1, 6, 7])
@pytest.mark.parametrize("reverse", [False, True])
def test_pieces_make_up_the_scan(size, length, reverse):
    w, c, xs = np.float64(0.9), np.float64(0.5), XS[:length]
    body = stage_out(
        lambda w, c, x: [add(mul(w, c), x), c], [aval_of(w), aval_of(c), aval_of(XS[0])]
    )
    steps = []

    def piece(consts, carry, xs, count):
        steps.append(count)
        return bind_scan(body, consts, carry, xs, count, reverse)

    got = in_pieces(bind_scan, piece, size, [w], [c], [xs], length, reverse)
    for a, b in zip(got, bind_scan(body, [w], [c], [xs], length, reverse), strict=True):
        np.testing.assert_array_equal(a, b)
    rest = [length % size] if length % size else []
    assert steps == ([size, *rest] if length > size else [length])


@pytest.mark.parametrize("stretches", [[7], [4, 3], [1, 5, 1]])
@pytest.mark.parametrize("reverse", [False, True])
def test_stretches_make_up_the_scan(stretches, reverse):
    w, c = np.float64(0.9), np.float64(0.5)
    avals = [aval_of(w), aval_of(c), aval_of(XS[0])]
    body = stage_out(lambda w, c, x: [add(mul(w, c), x), c], avals)
    steps = []

    def run(*args):
        steps.append(args[4])
        return bind_scan(*args)

    args = body, [w], [c], [XS], len(XS), reverse
    got = in_stretches([Stretch(n, run) for n in stretches])(*args)
    assert steps == stretches
    for a, b in zip(got, bind_scan(*args), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("length", "least", "most", "multiple", "size"),
    [(100, 10, 13, 1, 10), (999, 32, 42, 1, 37), (97, 10, 13, 1, 10), (120, 9, 18, 3, 12)],
)
def test_sizes_that_leave_no_rest_come_first(length, least, most, multiple, size):
    assert size_without_rest(length, least, most, multiple) == size


def test_the_steps_of_pieces_by_their_notes():
    rest, segments = Pieces(0, 40), Pieces(4, 0)
    assert step_in_pieces([], 3) == (False, 3)
    assert step_in_pieces([rest], 3) == (False, 43)  # the rest, as one loop
    assert step_in_pieces([segments], 3) == (True, 12)
    assert step_in_pieces([Pieces(4, 2)], 3) == (True, 14)  # backwards, the rest comes first
    assert step_in_pieces([rest, segments], 3) == (True, 12)  # the loop in it adds the 40
    assert step_in_pieces([segments, Pieces(5, 0)], 3) == (True, 60)  # 15 pieces of 4 steps
    assert step_in_pieces([segments, Pieces(0, 5)], 3) == (True, 32)  # the rest of the pieces
