import itertools
from typing import Any

import numpy as np
import pytest

import funcflow.numpy as fnp
from funcflow import lax


def test_concatenated_parts_are_copied_to_their_places(check: Any, numbers: Any) -> None:
    x, y = numbers.array(3, 4), numbers.array(5, 4)
    z = numbers.array(0, 4)
    check(lambda x, y, z: lax.concatenate([x, y + 1, z, x[::2]], 0), x, y, z)
    check(lambda x, y: lax.concatenate([x.T, y.T], 1), x, y)
    check(lambda x: fnp.stack([x, x[::-1]], 1), numbers.array(3, dtype="complex64"))


def test_parts_of_a_split_are_views(check: Any, numbers: Any) -> None:
    program = check(
        lambda x: sum(part.sum(1) for part in lax.split(x, (1, 2, 3), 1)), numbers.array(5, 6)
    )
    assert not [s for s in program.steps if s.note == "copy"]
    check(lambda x: lax.split(x, (1, 0, 3), 0), numbers.array(4, 3))


@pytest.mark.parametrize("high", [-2, 0, 2])
@pytest.mark.parametrize("low", [-2, 0, 1])
def test_padding(check: Any, numbers: Any, low: int, high: int) -> None:
    value = np.float32(7)
    for n, interior in itertools.product([2, 3, 5], [0, 1, 2]):
        if (n - 1) * (interior + 1) + 1 + low + high >= 0:
            config = [(low, high, interior), (0, 0, 0)]
            check(lambda x, v, c=config: lax.pad(x, v, c), numbers.array(n, 2), value)


def test_padding_of_several_axes_and_of_nothing(check: Any, numbers: Any) -> None:
    config = [(1, -1, 1), (-1, 2, 0)]
    check(lambda x, v: lax.pad(x.T, v, config), numbers.array(5, 6), np.float32(7))
    check(lambda x, v: lax.pad(x, v, [(1, 2, 1)]), numbers.array(0), np.float32(7))
    check(lambda x, v: lax.pad(x, v, [(0, 0, 0)]), numbers.array(4), np.float32(7))
