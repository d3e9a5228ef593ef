"""Checks of indices as native steps, which count like the reference."""

import numpy as np
import pytest

import funcflow as ff
from funcflow import lax
from funcflow.backends.numba.backend import program_of
from funcflow.backends.program import HostCall
from funcflow.lax.index_check import check_index_p, count_sightings


def check(size, from_end):
    def f(i):
        return check_index_p.bind(i, caller="f", extent=4, axis=0, size=size, from_end=from_end)

    return f


def counts(function, *args):
    before = count_sightings()
    out = function(*args)
    return out, count_sightings() > before


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("from_end", [True, False])
def test_it_counts_like_the_reference(dtype, size, from_end):
    f = check(size, from_end)
    compiled = ff.jit(f)
    for value in (*range(-6, 7), np.iinfo(dtype).min, np.iinfo(dtype).max):
        i = np.array([0, value, 1], dtype)
        got, seen = counts(compiled, i)
        np.testing.assert_array_equal(got, i)
        assert seen == counts(f, i)[1]


def test_indices_that_lie_apart():
    i = np.arange(12, dtype="int32").reshape(3, 4)
    got, seen = counts(ff.jit(lambda i: check(1, True)(i[:, ::2].T)), i % 4)
    np.testing.assert_array_equal(got, (i % 4)[:, ::2].T)
    assert not seen


def steps_of(function, *args):
    return program_of(ff.jit(function).lower(*args).jaxpr).steps


def test_loops_around_it_stay_native():
    def f(i):
        return lax.fori_loop(0, 5, lambda _, i: check(1, True)(i) + 1, i)

    assert not any(isinstance(s.work, HostCall) for s in steps_of(f, np.int32(0)))
    assert counts(ff.jit(f), np.int32(-1)) == (4, False)
    assert counts(ff.jit(f), np.int32(0)) == (5, True)


def test_other_integers_are_left_to_the_host():
    f = check(1, True)
    assert any(isinstance(s.work, HostCall) for s in steps_of(f, np.uint8(3)))
    assert [counts(ff.jit(f), np.uint8(i))[1] for i in (3, 4, 255)] == [False, True, True]
