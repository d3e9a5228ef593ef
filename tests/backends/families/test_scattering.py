from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.dtypes import as_dtype

METHODS = ["set", "add", "subtract", "multiply", "min", "max"]
OPERATIONS = [
    lax.scatter,
    lax.scatter_add,
    lax.scatter_sub,
    lax.scatter_mul,
    lax.scatter_min,
    lax.scatter_max,
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "bfloat16", "float32", "float64"])
def test_places_that_collide(check: Any, numbers: Any, dtype: str, method: str) -> None:
    x, u = (numbers.array(*shape, dtype=as_dtype(dtype)) for shape in ((20, 5), (90, 5)))
    i, j = numbers.indices(-4, 25, 90), numbers.indices(0, 5, 90)

    def scattered(x: Any, i: Any, j: Any, u: Any) -> Any:
        rows = getattr(x.at[i], method)(u)
        elements = getattr(x.at[i, j], method)(u[:, 0])
        return rows, elements

    check(scattered, x, i, j, u)


@pytest.mark.parametrize("method", ["set", "add", "subtract"])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers(check: Any, numbers: Any, dtype: str, method: str) -> None:
    x, u = numbers.array(20, 3, dtype=dtype), numbers.array(40, 3, dtype=dtype)
    check(lambda x, i, u: getattr(x.at[i], method)(u), x, numbers.indices(0, 20, 40), u)


def test_complex_products_are_left_to_the_host(check: Any, numbers: Any) -> None:
    x, u = numbers.array(20, dtype="complex64"), numbers.array(9, dtype="complex64")
    i = numbers.indices(0, 20, 9)
    check(lambda x, i, u: x.at[i].multiply(u), x, i, u, hosts=("scatter_mul",))


@pytest.mark.parametrize("mode", ["clip", "drop", "promise_in_bounds"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_windows_that_overlap(check: Any, numbers: Any, operation: Any, mode: str) -> None:
    dims = lax.ScatterDimensionNumbers((0, 2), (), (0, 1))
    x, u, i = numbers.array(9, 20), numbers.array(4, 50, 6), numbers.indices(-2, 20, 50, 2)
    check(lambda x, i, u: operation(x, i, u, dims, mode=mode), x, i, u)


def test_windows_that_do_not_move(check: Any, numbers: Any) -> None:
    dims = lax.ScatterDimensionNumbers((1,), (), ())
    x, u, i = numbers.array(5), numbers.array(3, 4), numbers.indices(0, 5, 3, 0)
    for operation in OPERATIONS:
        check(lambda x, i, u, f=operation: f(x, i, u, dims), x, i, u)


def test_unique_places_run_in_parallel(check: Any, numbers: Any) -> None:
    x, u, i = numbers.array(50, 4), numbers.array(20, 4), numbers.permutation(50)[:20]
    program = check(lambda x, i, u: x.at[i].add(u, unique_indices=True), x, i, u)
    assert program.steps[-1].work.split
    program = check(lambda x, i, u: x.at[i].add(u), x, i, u)
    assert not program.steps[-1].work.split


def test_mapped_scatters(check: Any, numbers: Any) -> None:
    x, u, i = numbers.array(3, 8, 9), numbers.array(3, 70, 9), numbers.indices(0, 8, 3, 70)
    for method in METHODS:
        program = check(ff.vmap(lambda x, i, u, m=method: getattr(x.at[i], m)(u)), x, i, u)
        assert program.steps[-1].work.split


def test_other_axes_and_views(check: Any, numbers: Any) -> None:
    x, u = numbers.array(8, 9, 10), numbers.array(70, 9)
    i, j = numbers.indices(0, 8, 70), numbers.indices(0, 10, 70)
    check(lambda x, i, j, u: x.at[i, :, j].add(u), x, i, j, u)
    check(lambda x, i, u: x.T.at[:, :, i].add(u.T[None]), x, i, u)


def test_nothing_to_scatter(check: Any, numbers: Any) -> None:
    rows = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    x, u, i = numbers.array(5, 3), numbers.array(0, 3), numbers.indices(0, 5, 0, 1)
    program = check(lambda x, i, u: lax.scatter_add(x, i, u, rows), x, i, u)
    assert [step.note for step in program.steps] == ["copy"]


def test_gradients_of_lookups(check: Any, numbers: Any) -> None:
    table, i = numbers.array(30, 8), numbers.indices(0, 30, 50)
    program = check(ff.grad(lambda table, i: (table[i] ** 2).sum()), table, i)
    assert "scatter_add" in {e.primitive.name for s in program.steps for e in s.eqns}


def test_sums_are_taken_in_order(check: Any) -> None:
    u = np.array([1e8, 1.0, -1e8, 1.0] * 8, np.float32)
    check(lambda u, i: fnp.zeros(2).at[i].add(u), u, np.array([0, 0, 1, 0] * 8))
