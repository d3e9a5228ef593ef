"""The scale falls when the value does not."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError


def scales(values, **settings):
    tx = optim.reduce_on_plateau(**settings)

    def step(state, value):
        updates, state = tx.update(fnp.ones(()), state, value=value)
        return state, (updates, state.scale)

    updates, found = ff.lax.scan(step, tx.init(None), fnp.asarray(values))[1]
    np.testing.assert_array_equal(updates, found)
    return np.asarray(found).tolist()


def test_it_waits_for_the_patience():
    values = [5.0, 4.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0]
    want = [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert scales(values, factor=0.5, patience=2) == want


def test_as_long_as_the_value_falls_nothing_happens():
    assert scales(np.linspace(2, 1, 20), patience=1) == [1] * 20


def test_tolerances():
    values = [1.0, 0.95, 0.9, 0.85]
    assert scales(values, factor=0.5, patience=1, rtol=0.0, atol=0.01) == [1, 1, 1, 1]
    assert scales(values, factor=0.5, patience=1, rtol=0.0, atol=0.12) == [1, 0.5, 0.25, 0.25]
    assert scales(values, factor=0.5, patience=1, rtol=0.12) == [1, 0.5, 0.25, 0.25]


def test_after_a_fall_it_rests():
    assert scales([1.0] * 7, factor=0.5, patience=1, cooldown=2) == [
        1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25,
    ]  # fmt: skip


def test_there_is_a_smallest_scale():
    got = scales([1.0] * 6, factor=0.5, patience=1, min_scale=0.2)
    np.testing.assert_allclose(got, [1, 0.5, 0.25, 0.2, 0.2, 0.2])


def test_means_of_values():
    """1, 3 | 0, 4 | 2, 2 have one mean, and it is seen at the end of each pair."""
    values = [1.0, 3.0, 0.0, 4.0, 2.0, 2.0]
    got = scales(values, factor=0.5, patience=1, accumulation_size=2)
    assert got == [1, 1, 1, 0.5, 0.5, 0.25]


def test_it_scales_what_an_optimizer_gives():
    tx = optim.chain(optim.adam(0.1), optim.contrib.reduce_on_plateau(factor=0.1, patience=1))
    state = tx.init(fnp.zeros(2))
    for value in (1.0, 1.0):
        updates, state = tx.update(fnp.ones(2), state, value=value)
    np.testing.assert_allclose(updates, -0.01, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 1.0}, "factor must be between 0 and 1, got 1.0"),
        ({"factor": 0.0}, "factor must be between 0 and 1, got 0.0"),
        ({"rtol": 0.0}, "expected a positive tolerance"),
        ({"rtol": 2.0}, "rtol at most 1"),
        ({"atol": -1.0}, "expected a positive tolerance"),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ArgumentError, match=message):
        optim.reduce_on_plateau(**settings)
