from typing import Any

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax

PLACES = [-9, -1, 0, 3, 100]


@pytest.mark.parametrize("place", PLACES)
def test_slices_are_moved_inside(check: Any, numbers: Any, place: int) -> None:
    x, i = numbers.array(5, 4, 6), np.int32(place)
    check(lambda x, i: lax.dynamic_slice(x, (i, 1, i), (1, 2, 3)), x, i)


@pytest.mark.parametrize("place", PLACES)
def test_updates_are_moved_inside(check: Any, numbers: Any, place: int) -> None:
    x, u, i = numbers.array(5, 4, 6), numbers.array(2, 2, 2), np.int64(place)
    check(lambda x, u, i: lax.dynamic_update_slice(x, u, (i, 1, i)), x, u, i)


@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "float64", "complex64", "complex128"])
def test_elements_of_any_width(check: Any, numbers: Any, dtype: str) -> None:
    x, u = numbers.array(7, 9, dtype=dtype), numbers.array(3, 2, dtype=dtype)

    def shuffled(x: Any, u: Any, i: Any) -> Any:
        x = lax.dynamic_update_slice(x, u, (i, i))
        return x, lax.dynamic_slice(x, (i, i), (2, 8))

    check(shuffled, x, u, np.int32(2))


def test_known_places_need_no_step_of_their_own(check: Any, numbers: Any) -> None:
    program = check(lambda x: lax.dynamic_slice(x, (7, 1), (2, 2)) + 1, numbers.array(5, 4))
    assert len(program.steps) == 1
    check(lambda x: lax.dynamic_update_slice(x, x[:2] + 1, (7, 1)), numbers.array(5, 4))


def test_operands_that_are_views(check: Any, numbers: Any) -> None:
    x, u, i = numbers.array(5, 6), numbers.array(2, 3), np.int32(1)
    check(lambda x, i: lax.dynamic_slice(x.T[::2], (i, i), (2, 3)), x, i)
    check(lambda x, u, i: lax.dynamic_update_slice(x.T, u.T, (i, i)), x, u, i)


def test_empty_slices(check: Any, numbers: Any) -> None:
    x, i = numbers.array(5, 4), np.int32(2)
    check(lambda x, i: lax.dynamic_slice(x, (i, i), (0, 2)), x, i)
    check(lambda x, u, i: lax.dynamic_update_slice(x, u, (i, i)), x, numbers.array(0, 4), i)


def test_other_places_and_shapes_share_a_kernel(check: Any, numbers: Any) -> None:
    def kernel(n: int) -> str:
        def sliced(x: Any, i: Any) -> Any:
            return lax.dynamic_slice(x, (i, i), (3, n - 10))

        return str(check(sliced, numbers.array(n, n), np.int32(n % 9)).steps[-1].work)

    assert kernel(50) == kernel(60)


def test_mapped_slices(check: Any, numbers: Any) -> None:
    x, i = numbers.array(5, 10, 2), numbers.indices(-3, 12, 5)
    check(ff.vmap(lambda x, i: lax.dynamic_slice(x, (i, i), (3, 1))), x, i)


def test_a_part_of_an_array_is_put_into_it(check: Any, numbers: Any) -> None:
    """It is read before any of it is written, so the array may change in place."""
    x = numbers.array(8)

    def shifted(x: Any, i: Any) -> Any:
        return lax.dynamic_update_slice(x, x[:-2], (i,))

    for i in (0, 1, 2):
        check(shifted, x, np.int32(i))
    notes = [step.note for step in ff.jit(shifted).explain(x, np.int32(1)).steps]
    assert "copy: a part of what it is written into" in notes
