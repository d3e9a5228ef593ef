"""Pulling cotangents back with few carries in memory: in the right order, and not too often."""

import numpy as np
import pytest

import funcflow as ff
from funcflow.lax.while_checkpoints import pull_back


@pytest.mark.parametrize("kept", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("count", [*range(12), 40, 41, 100])
def test_each_step_is_pulled_once_and_last_one_first(count, kept):
    """The carry counts; each pull appends the digit of its step."""
    seen = []

    def pull(carry, cotangents):
        ff.debug.callback(lambda i: seen.append(int(i)), carry[0])
        return [cotangents[0] + carry[0]]

    found = pull_back(np.int32(count), lambda i: [i + 1], [np.int32(0)], pull, [np.int32(0)], kept)
    assert seen == list(range(count))[::-1]
    assert int(found[0]) == count * (count - 1) // 2


def steps_taken(count, kept):
    taken = []

    def step(i):
        ff.debug.callback(lambda i: taken.append(int(i)), i)
        return [i + 1]

    pull_back(np.int32(count), step, [np.int32(0)], lambda c, ct: ct, [np.int32(0)], kept)
    return len(taken)


def test_what_is_taken_again():
    """All carries kept: each step once. Few: log2(n) / 2 times, or a little more."""
    assert steps_taken(64, 64) == 63
    assert steps_taken(64, 1) <= 64 * 4
    assert steps_taken(64, 8) < steps_taken(64, 1)
