"""Gathers compute their indices themselves, where that saves storing them."""

from typing import Any

import numpy as np
import pytest

import funcflow.numpy as fnp


def steps(program: Any) -> list[str]:
    return [step.eqns[-1].primitive.name for step in program.steps]


@pytest.mark.parametrize("mode", ["clip", "fill", None])
def test_bounds_and_negative_indices_are_part_of_the_gather(
    check: Any, numbers: Any, mode: Any
) -> None:
    x, i = numbers.array(20, 33), numbers.indices(-40, 40, 20, 50, dtype=np.int32)
    program = check(lambda x, i: fnp.take_along_axis(x, i, 1, mode=mode), x, i)
    assert steps(program) == ["gather"]
    program = check(lambda x, i: x.at[i].get(mode=mode), x, i[0])
    assert steps(program) == ["gather"]


def test_indices_of_several_arrays_and_positions(check: Any, numbers: Any) -> None:
    x = numbers.array(40, 3)
    i, j = numbers.indices(0, 40, 6, 1), numbers.indices(0, 40, 50)

    def shifted(x: Any, i: Any, j: Any) -> Any:
        return x[(i + 3 * j + fnp.arange(50)) % 2 + fnp.minimum(i, j).T.T]

    check(shifted, x, i, j)
    assert steps(check(lambda x, i, j: x[fnp.minimum(i, j) + 1 - 1], x, i, j)) == ["gather"]
    assert steps(check(lambda x, j: x[j + fnp.arange(50) - 30], x, j)) == ["gather"]
    assert steps(check(lambda x, i: x[i.T - 1], x, i)) == ["gather"]


def test_positions_alone(check: Any, numbers: Any) -> None:
    program = check(lambda x: x[2 * fnp.arange(9)[:, None] + fnp.arange(2)], numbers.array(20, 3))
    assert steps(program) == ["gather"]


def test_two_gathers_compute_cheap_indices_twice(check: Any, numbers: Any) -> None:
    x, y, i = numbers.array(20), numbers.array(20, 2), numbers.indices(-20, 20, 30)
    assert steps(check(lambda x, y, i: (x[i], y[i]), x, y, i)) == ["gather", "gather"]


def test_indices_that_others_need_are_stored(check: Any, numbers: Any) -> None:
    x, i = numbers.array(20), numbers.indices(0, 10, 30)

    def both(x: Any, i: Any) -> Any:
        j = fnp.clip(i + 1, 0, 19)
        return x.at[j].get(mode="promise_in_bounds"), j

    assert len(check(both, x, i).steps) > 1


def test_dear_indices_are_stored(check: Any, numbers: Any) -> None:
    x, i = numbers.array(20), numbers.indices(0, 100, 30)
    program = check(lambda x, i: fnp.take(x, i, mode="wrap"), x, i)
    assert steps(program)[-1] == "gather"
    assert len(program.steps) == 2


def test_vectors_of_several_components_are_stored(check: Any, numbers: Any) -> None:
    x, i, j = numbers.array(20, 10), numbers.indices(0, 20, 30), numbers.indices(0, 10, 30)
    assert len(check(lambda x, i, j: x[i, j], x, i, j).steps) > 1
