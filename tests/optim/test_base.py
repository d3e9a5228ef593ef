"""Pairs of functions, their chains, and updates that are applied."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError, ShapeError, TreeStructureError

PARAMS = {"a": fnp.array([1.0, -2.0]), "b": [fnp.array(3.0)]}


def test_identity_and_set_to_zero():
    for tx, factor in [(optim.identity(), 1), (optim.set_to_zero(), 0)]:
        state = tx.init(PARAMS)
        assert state == optim.EmptyState()
        updates, after = tx.update(PARAMS, state)
        assert after == state
        np.testing.assert_array_equal(updates["a"], factor * PARAMS["a"])
        np.testing.assert_array_equal(updates["b"][0], factor * PARAMS["b"][0])


def test_a_chain_applies_one_after_the_other():
    tx = optim.chain(optim.clip(1.0), optim.scale(3.0), optim.trace(0.5))
    state = tx.init(PARAMS)
    assert [type(s).__name__ for s in state] == ["EmptyState", "EmptyState", "TraceState"]
    updates, state = tx.update(PARAMS, state)
    updates, state = tx.update(PARAMS, state)
    np.testing.assert_array_equal(updates["a"], [4.5, -4.5])
    np.testing.assert_array_equal(state[2].trace["b"][0], 4.5)


def test_a_chain_of_nothing_changes_nothing():
    tx = optim.chain()
    assert tx.update(PARAMS, tx.init(PARAMS)) == (PARAMS, ())


def test_further_keywords_reach_who_takes_them():
    seen = {}

    def update(updates, state, params=None, *, value, **extra_args):
        seen.update(value=value, **extra_args)
        return updates, state

    wants = optim.GradientTransformationExtraArgs(lambda params: (), update)
    tx = optim.chain(optim.scale(1.0), optim.chain(wants), optim.trace(0.9))
    tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=3, other=4)
    assert seen == {"value": 3, "other": 4}


def test_a_chain_refuses_the_state_of_another():
    tx = optim.chain(optim.scale(1.0), optim.scale(2.0))
    with pytest.raises(ArgumentError, match="states of 2 transformations, got 1"):
        tx.update(PARAMS, optim.chain(optim.scale(1.0)).init(PARAMS))


def test_stateless_sees_the_parameters():
    tx = optim.stateless(lambda updates, params: ff.tree.map(fnp.subtract, updates, params))
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["a"], [0, 0])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "complex64"])
@pytest.mark.parametrize("of_update", ["float16", "bfloat16", "float32", "float64"])
def test_parameters_keep_their_dtypes(dtype, of_update):
    updated = optim.apply_updates(fnp.ones(2, dtype), fnp.full(2, 0.5, of_update))
    assert updated.dtype == fnp.dtype(dtype)
    np.testing.assert_array_equal(updated.astype("complex64"), [1.5, 1.5])


def test_updates_of_16_bits_are_added_in_32():
    """1 + 2**-8 + 2**-9 rounds up; if the sum of the updates were rounded it would not."""
    update = fnp.asarray([2.0**-8 + 2.0**-9], "float32")
    assert optim.apply_updates(fnp.ones(1, "bfloat16"), update)[0] == 1 + 2.0**-7


def test_none_leaves_what_is_there():
    params = {"a": fnp.ones(1), "b": {"c": fnp.ones(2)}, "d": None}
    updated = optim.apply_updates(params, {"a": fnp.ones(1), "b": {"c": None}, "d": None})
    assert updated["b"]["c"] is params["b"]["c"]
    assert updated["d"] is None
    np.testing.assert_array_equal(updated["a"], [2])


def test_updates_of_another_structure_name_the_key_path():
    with pytest.raises(TreeStructureError, match=r"at \['b'\]: expected children \[0\], got"):
        optim.apply_updates(PARAMS, {"a": fnp.ones(2), "b": [fnp.ones(()), fnp.ones(())]})


def test_updates_of_another_shape_name_the_key_path():
    with pytest.raises(ShapeError, match=r"update of \['a'\] has the shape \(1,\), the param"):
        optim.apply_updates(PARAMS, {"a": fnp.ones(1), "b": [fnp.ones(())]})


def test_incremental_update():
    new, old = {"w": fnp.array([4.0]), "x": None}, {"w": fnp.array([0.0]), "x": fnp.ones(1)}
    moved = optim.incremental_update(new, old, 0.25)
    np.testing.assert_array_equal(moved["w"], [1.0])
    assert moved["x"] is old["x"]
    half = optim.incremental_update(fnp.ones(1, "bfloat16"), fnp.zeros(1, "bfloat16"), 0.5)
    assert half.dtype == fnp.bfloat16 and half[0] == 0.5


def test_repeated_incremental_updates_are_an_exponential_average():
    values = np.random.default_rng(0).standard_normal(10)
    average = fnp.asarray(0.0, "float64")
    for value in values:
        average = optim.incremental_update(value, average, 0.1)
    np.testing.assert_allclose(average, np.sum(0.1 * 0.9 ** np.arange(9, -1, -1) * values))
