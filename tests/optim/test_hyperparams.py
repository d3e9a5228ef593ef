"""Settings in the state: seen, changed, scheduled, one for each lane."""

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import optim
from funcflow.errors import ArgumentError

G = np.array([-3.0, 0.5, 2.0])


def run(optimizer, count=5, params=G):
    state, x = optimizer.init(params), fnp.asarray(params)
    for _ in range(count):
        updates, state = optimizer.update(x, state, x)
        x = optim.apply_updates(x, updates)
    return x, state


@pytest.mark.parametrize("make", [optim.adam, optim.adamw, optim.sgd, optim.lion, optim.lamb])
def test_nothing_else_changes(make):
    got, state = run(optim.inject_hyperparams(make)(0.1))
    np.testing.assert_allclose(got, run(make(0.1))[0], rtol=1e-12)
    assert state.count == 5
    assert state.hyperparams["learning_rate"] == 0.1


def test_settings_are_arrays_in_the_widest_dtype():
    make = optim.inject_hyperparams(optim.adamw)
    optimizer = make(1e-3, b2=0.99, mu_dtype=np.float32, nesterov=True)
    for params, dtype in [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")]:
        state = optimizer.init({"w": fnp.ones(2, params)})
        assert set(state.hyperparams) == {
            "learning_rate", "b1", "b2", "eps", "eps_root", "weight_decay",
        }  # fmt: skip
        assert {x.dtype.name for x in state.hyperparams.values()} == {dtype}
    narrow = optim.inject_hyperparams(optim.sgd, hyperparam_dtype="float16")(0.5).init(G)
    assert narrow.hyperparams["learning_rate"].dtype == np.float16


def test_settings_can_be_changed():
    optimizer = optim.inject_hyperparams(optim.sgd)(learning_rate=1.0, momentum=0.5)
    step = ff.jit(optimizer.update)
    updates, state = step(G, optimizer.init(G))
    np.testing.assert_allclose(updates, -G)
    state.hyperparams["learning_rate"] = fnp.asarray(0.1)
    state.hyperparams["momentum"] = fnp.asarray(0.0)
    updates, state = step(G, state)
    np.testing.assert_allclose(updates, -0.1 * G, rtol=1e-6)


def test_schedules_can_be_read():
    optimizer = optim.inject_hyperparams(optim.sgd)(lambda count: 1.0 / (1 + count))
    state = optimizer.init(G)
    for want in (1, 1 / 2, 1 / 3):
        updates, state = optimizer.update(G, state)
        np.testing.assert_allclose(updates, -want * G, rtol=1e-6)
        np.testing.assert_allclose(state.hyperparams["learning_rate"], want, rtol=1e-6)


def test_each_lane_has_its_own():
    optimizer = optim.inject_hyperparams(optim.adam)(1.0)

    def train(rate):
        state = optimizer.init(G)
        state.hyperparams["learning_rate"] = rate
        return optimizer.update(G, state)[0]

    got = ff.vmap(train)(np.array([0.1, 0.2]))
    np.testing.assert_allclose(got, [-0.1 * np.sign(G), -0.2 * np.sign(G)], rtol=1e-6)


def test_static_arguments_stay_as_they_are():
    def mask(params):
        return ff.tree.map(lambda p: p.ndim > 1, params)

    make = optim.inject_hyperparams(optim.adamw, static_args=("mask", "b1"))
    optimizer = make(0.1, weight_decay=0.5, mask=mask)
    state = optimizer.init(G)
    assert "mask" not in state.hyperparams and "b1" not in state.hyperparams
    np.testing.assert_array_equal(optimizer.update(0 * G, state, G)[0], 0)


def test_further_keywords_pass():
    optimizer = optim.inject_hyperparams(lambda factor: optim.chain(
        optim.scale(factor), optim.reduce_on_plateau(patience=1)
    ))(2.0)  # fmt: skip
    updates, _ = optimizer.update(G, optimizer.init(G), value=1.0)
    np.testing.assert_allclose(updates, 2 * G)


def test_static_args_are_arguments():
    with pytest.raises(ArgumentError, match="static_args names maks, which are no arguments"):
        optim.inject_hyperparams(optim.adamw, static_args="maks")
