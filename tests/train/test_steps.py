import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import losses, nn, optim, train

LOSS = losses.softmax_cross_entropy_with_integer_labels


def test_the_update_of_a_parameter_is_one_kernel(problem):
    """Selection of the old state, should the loss be no number, is part of it."""
    optimizer = optim.adam(0.1)
    state = train.create_state(nn.Linear(64, 32, key=ff.random.key(0)), optimizer)
    step = train.train_step(train.supervised(losses.squared_error), optimizer)
    text = str(step.explain(state, train.empty(), (fnp.ones((8, 64)), fnp.ones((8, 32)))))
    of_kernel = [line for line in text.splitlines() if "f32[64,32]" in line and "kernel" in line]
    assert len(of_kernel) == 1, text


def test_a_step_without_a_number_changes_nothing(problem):
    optimizer = optim.adam(0.1)
    state = train.create_state(problem.model, optimizer)
    before = ff.tree.map(np.array, state)
    step = train.train_step(train.supervised(lambda p, t: p.sum(1) * fnp.nan), optimizer)
    x, y = problem.data
    state, _, loss = step(state, train.empty(), (x, y))
    assert np.isnan(float(loss))
    for a, b in zip(ff.tree.leaves(before), ff.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_line_searches_get_what_they_need(problem):
    x, y = problem.data
    fitted = train.fit(
        nn.Linear(2, 2, key=ff.random.key(0)),
        (x, y),
        loss=LOSS,
        optimizer=optim.lbfgs(),
        epochs=15,
        batch_size=96,
        progress=False,
    )
    values = np.array(fitted.history["loss"])
    assert values[-1] < 0.5 * values[0]
    assert (np.diff(values) < 1e-6).all()  # no step leads up, but for roundings at the minimum


def test_ensembles_train_under_vmap(problem):
    optimizer = optim.adam(0.05)
    keys = ff.random.split(ff.random.key(0), 3)
    models = ff.vmap(lambda key: nn.Linear(2, 2, key=key))(keys)
    states = ff.vmap(lambda model: train.create_state(model, optimizer))(models)
    step = train.train_step(train.supervised(LOSS), optimizer)
    running = ff.tree.map(lambda x: fnp.stack([x] * 3), train.empty())
    for _ in range(5):
        states, running, loss = ff.vmap(step, in_axes=(0, 0, None))(states, running, problem.data)
    assert loss.shape == (3,) and len(set(loss.tolist())) == 3


@pytest.mark.parametrize("form", [list, tuple])
def test_batches_are_pairs_or_triples(problem, form):
    x, y = problem.data
    objective = train.supervised(LOSS)
    plain = objective(problem.model, form((x, y)))[0]
    weighted = objective(problem.model, form((x, y, np.ones(len(x), np.float32))))[0]
    assert float(plain) == pytest.approx(float(weighted), rel=1e-6)
