"""Checks of indices: what they say is in bounds, when they are made, and how they are taken out."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core.evaluate import eval_closed
from funcflow.core.jaxpr import INDEX_CHECK, has_side_effects, must_stay
from funcflow.lax.index_check import (
    check_index_p,
    checked,
    checking,
    count_sightings,
    inside,
    unchecked,
)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("from_end", [True, False])
def test_bounds(dtype, size, from_end):
    indices = np.arange(-7, 7).astype(dtype)
    fits = [
        (-4 <= i <= -size if from_end else False) or (i >= 0 and i + size <= 4)
        for i in range(-7, 7)
    ]
    np.testing.assert_array_equal(inside(indices, 4, size, from_end), fits)


@pytest.mark.parametrize("dtype", ["uint8", "uint64"])
def test_unsigned_indices(dtype):
    indices = np.array([0, 3, 4, np.iinfo(dtype).max], dtype)
    np.testing.assert_array_equal(inside(indices, 4, 1, True), [True, True, False, False])


@pytest.fixture
def on():
    token = checking.set(True)
    yield
    checking.reset(token)


def test_none_are_made_unless_asked_for():
    assert checked("f", 9, 3, 0) == 9
    x = np.int32(9)
    assert checked("f", x, 3, 0) is x


def test_known_indices_in_bounds_need_none(on):
    assert checked("f", -3, 3, 0) == -3
    assert "check_index" not in str(ff.make_jaxpr(lambda: checked("f", 2, 3, 0))())
    assert "check_index" in str(ff.make_jaxpr(lambda: checked("f", 3, 3, 0))())


def test_they_count_what_they_see(on):
    before = count_sightings()
    np.testing.assert_array_equal(checked("f", np.array([0, -1, 2]), 3, 0), [0, -1, 2])
    assert count_sightings() == before
    np.testing.assert_array_equal(checked("f", np.array([0, 3]), 3, 0), [0, 3])
    assert count_sightings() > before


def test_the_effect_forbids_to_drop_and_nothing_else():
    effects = frozenset({INDEX_CHECK})
    assert must_stay(effects) and not has_side_effects(effects)


def test_taking_them_out(on):
    def f(x, n):
        def step(i, _):
            return i + 1, lax.cond(i < 3, lambda i: x[i], lambda i: x[0] + x[2 * i], i)

        return x[n], lax.scan(step, 0, None, length=5)

    x = fnp.arange(8.0)
    closed = ff.make_jaxpr(f)(x, 3)
    without = unchecked(closed)
    assert str(closed).count("check_index") == 3 and "check_index" not in str(without)
    assert INDEX_CHECK not in without.effects
    assert unchecked(without) is without
    for got, expected in zip(eval_closed(without, x, 3), ff.tree.leaves(f(x, 3)), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_lanes_are_in_front():
    def f(i):
        return check_index_p.bind(i, caller="f", extent=3, axis=0, size=1, from_end=True)

    closed = ff.make_jaxpr(ff.vmap(f, 1))(fnp.zeros((2, 3), int))
    (check,) = (e for e in closed.eqns if e.primitive is check_index_p)
    assert check.outvars[0].aval.shape == (3, 2)
