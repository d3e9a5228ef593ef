"""Arrays made of nothing are computed where they are used, without a family of their own."""

from typing import Any

import numpy as np

import funcflow.numpy as fnp
from funcflow import lax


def test_created_arrays_are_part_of_kernels(check: Any, numbers: Any) -> None:
    x = numbers.array(4, 4)

    def created(x: Any) -> Any:
        mask = fnp.tri(4, k=1, dtype=bool)
        return fnp.where(mask, x + fnp.eye(4), fnp.full((4, 4), 2.5)) + fnp.arange(4.0)

    assert len(check(created, x).steps) == 1


def test_created_arrays_as_results(check: Any, numbers: Any) -> None:
    check(
        lambda x: (fnp.full((3, 4), 2.5), fnp.eye(5, 7, k=1), fnp.tri(3), fnp.arange(6), x[0]),
        numbers.array(2, 2),
    )


def test_bounds_and_predicates_that_are_scalars(check: Any, numbers: Any) -> None:
    x, y = numbers.array(3, 4), numbers.array(3, 4)
    check(lambda x, a, b: lax.clamp(a, x, b), x, np.float32(-0.3), np.float32(0.4))
    check(lambda p, x, y: lax.select_n(p, x, y), np.bool_(True), x, y)
    check(lambda p, x, y: lax.select_n(p, x, y, x + y), np.int32(2), x, y)


def test_reduced_precision(check: Any, numbers: Any) -> None:
    for dtype in ("float16", "float32", "float64"):
        check(lambda x: lax.reduce_precision(x, 5, 3), numbers.array(3, 40, dtype=dtype))
