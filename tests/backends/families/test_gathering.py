from typing import Any

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.backends.loop_ir import Loop, statements
from funcflow.core.dtypes import as_dtype

DTYPES = ["bool", "int8", "uint16", "bfloat16", "float32", "float64", "complex64", "complex128"]


def test_rows_are_copied_by_vectors(check: Any, numbers: Any) -> None:
    program = check(
        lambda x, i: x.at[i].get(mode="clip"), numbers.array(50, 40), numbers.indices(0, 50, 7)
    )
    kernel = program.steps[-1].work
    outer, inner = (s for s in statements(kernel.body) if isinstance(s, Loop))
    assert (outer.lanes, inner.lanes) == (1, 32)


@pytest.mark.parametrize("mode", ["clip", "fill", "promise_in_bounds"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_places_outside(check: Any, numbers: Any, dtype: str, mode: str) -> None:
    x = numbers.array(20, 3, dtype=as_dtype(dtype))
    i = numbers.indices(-5, 30, 40)
    check(lambda x, i: (x.at[i].get(mode=mode), x.at[i, i].get(mode=mode)), x, i)


def test_given_fill_values(check: Any, numbers: Any) -> None:
    x, i = numbers.array(20), numbers.indices(-5, 30, 40)
    check(lambda x, i: x.at[i].get(mode="fill", fill_value=7), x, i)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_indices_of_any_dtype(check: Any, numbers: Any, dtype: str) -> None:
    i = numbers.indices(-(2**62), 2**62, 30, dtype=np.int64).astype(dtype)
    check(lambda x, i: (x[i], x.at[i].get(mode="fill")), numbers.array(20), i)


def test_advanced_indexing(check: Any, numbers: Any) -> None:
    x, i, j = numbers.array(20, 10, 3), numbers.indices(0, 20, 7, 8), numbers.indices(0, 3, 8)
    check(lambda x, i, j: (x[i, :, j], x[:, i % 10], x[i[0], 1:, j], x[i]), x, i, j)
    check(lambda x, i: (x.T[i % 3], x[::2][i % 7]), x, i)


@pytest.mark.parametrize("axis", [0, 1])
def test_along_an_axis(check: Any, numbers: Any, axis: int) -> None:
    x, i = numbers.array(20, 33), numbers.indices(0, 20, 20, 33)
    check(lambda x, i: fnp.take_along_axis(x, i, axis), x, i)


def test_windows_of_several_axes(check: Any, numbers: Any) -> None:
    numbers_ = lax.GatherDimensionNumbers((0, 2), (1,), (2, 0))
    x, i = numbers.array(9, 4, 20), numbers.indices(-3, 22, 30, 2)
    for mode in ("clip", "fill"):
        check(lambda x, i, m=mode: lax.gather(x, i, numbers_, (3, 1, 17), mode=m), x[:, :1], i)


def test_mapped_gathers(check: Any, numbers: Any) -> None:
    x, i = numbers.array(5, 10, 2), numbers.indices(0, 10, 5, 3)
    check(ff.vmap(lambda x, i: x[i, 1]), x, i)
    check(ff.vmap(lambda x, i: x[i], (None, 0)), x[0], i)
    check(ff.vmap(lambda x, i: x[i], (2, None)), x, i[0])


def test_nothing_to_gather(check: Any, numbers: Any) -> None:
    rows = lax.GatherDimensionNumbers((1,), (0,), (0,))
    x, i = numbers.array(5, 4), numbers.indices(0, 5, 0, 1)
    program = check(lambda x, i: lax.gather(x, i, rows, (1, 4), mode="fill"), x, i)
    assert not program.steps


def test_windows_that_do_not_move(check: Any, numbers: Any) -> None:
    still = lax.GatherDimensionNumbers((1,), (), ())
    x, i = numbers.array(5), numbers.indices(0, 5, 3, 0)
    for mode in ("clip", "fill"):
        check(lambda x, i, m=mode: lax.gather(x, i, still, (4,), mode=m), x, i)
