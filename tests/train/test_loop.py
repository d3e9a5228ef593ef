import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import data, errors, losses, nn, optim, train

LOSS = losses.softmax_cross_entropy_with_integer_labels


def fit(problem, **changes):
    arguments = {
        "loss": LOSS,
        "optimizer": optim.adam(0.01),
        "epochs": 3,
        "batch_size": 20,
        "progress": False,
        "key": ff.random.key(1),
    }
    return train.fit(problem.model, problem.data, **{**arguments, **changes})


def same(a, b):
    assert ff.tree.structure(a) == ff.tree.structure(b)
    for x, y in zip(ff.tree.leaves(a), ff.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_model_learns(problem):
    fitted = fit(problem, epochs=40, metrics={"accuracy": train.metrics.accuracy()})
    assert fitted.history.last["accuracy"] > 0.95
    assert fitted.history["loss"][0] > 2 * fitted.history.last["loss"]
    assert fitted.history["epoch"] == list(range(1, 41))
    accuracy = (fitted.model(problem.data[0]).argmax(1) == problem.data[1]).mean()
    assert accuracy > 0.95


def test_the_model_that_went_in_is_as_it_was(problem):
    before = ff.tree.map(np.array, problem.model)
    fit(problem)
    same(ff.tree.map(np.array, problem.model), before)


def test_the_same_key_gives_the_same_model(problem):
    same(fit(problem).model, fit(problem).model)
    other = fit(problem, key=ff.random.key(2)).model
    assert not np.array_equal(other.layers[0].kernel, fit(problem).model.layers[0].kernel)


def test_the_loop_is_what_its_public_parts_do(problem):
    """A loop by hand gives the same model."""
    optimizer = optim.adam(0.01)
    order, drawn = ff.random.split(ff.random.key(1))
    batches = data.from_arrays(problem.data).shuffle(order).batch(20)
    state = train.create_state(problem.model, optimizer, drawn)
    step = train.train_step(train.supervised(LOSS), optimizer)
    for epoch in range(3):
        running = train.empty()
        for batch in batches.epoch(epoch):
            state, running, _ = step(state, running, batch)
    fitted = fit(problem)
    same(fitted.state, state)
    assert fitted.history.last["loss"] == train.computed(None, running)["loss"]


def test_the_loss_is_the_mean_over_examples(problem):
    """The last batch is smaller; a learning rate of 0 keeps the model."""
    model = nn.Linear(2, 2, key=ff.random.key(3))
    fitted = train.fit(
        model,
        problem.data,
        loss=LOSS,
        optimizer=optim.sgd(0.0),
        epochs=1,
        batch_size=36,
        progress=False,
        validation=problem.data,
    )
    expected = float(LOSS(model(problem.data[0]), problem.data[1]).mean())
    assert fitted.history.last["loss"] == pytest.approx(expected, rel=1e-5)
    assert fitted.history.last["val_loss"] == pytest.approx(expected, rel=1e-5)
    found = train.evaluate(model, problem.data, loss=LOSS, batch_size=50)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_weights_exclude_rows(problem):
    x, y = problem.data
    weights = np.zeros(len(x), np.float32)
    weights[:10] = 1
    found = train.evaluate(problem.model, (x, y, weights), loss=LOSS, batch_size=48)
    expected = float(LOSS(problem.model(x[:10]), y[:10]).mean())
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_frozen_parts_stay(problem):
    spec = nn.tree_at(lambda m: m.layers[0], nn.trainable(problem.model), False)
    fitted = fit(problem, trainable=spec)
    same(fitted.model.layers[0], problem.model.layers[0])
    assert not np.array_equal(fitted.model.layers[4].kernel, problem.model.layers[4].kernel)


def test_an_objective_takes_batches_of_any_form():
    def objective(model, batch):
        return fnp.mean((model - batch["x"]) ** 2), None

    fitted = train.fit(
        fnp.zeros(()),
        {"x": np.full(8, 3, np.float32)},
        objective=objective,
        optimizer=optim.sgd(0.5),
        epochs=5,
        batch_size=4,
        progress=False,
    )
    assert float(fitted.model) == pytest.approx(3)


def noisy(model, batch):
    """An objective that draws."""
    noise = ff.random.normal(nn.next_key(), fnp.shape(batch))
    return fnp.mean(model * batch + noise), noise


def test_an_objective_that_draws_is_evaluated_by_a_key_for_each_batch():
    x, key = np.arange(6, dtype=np.float32), ff.random.key(3)
    found = train.evaluate(fnp.ones(()), x, objective=noisy, batch_size=2, key=key)
    keys = [ff.random.fold_in(key, i) for i in range(3)]
    losses = [
        nn.inference(noisy)(fnp.ones(()), x[2 * i : 2 * i + 2], key=k)[0]
        for i, k in enumerate(keys)
    ]
    assert found["loss"] == pytest.approx(float(np.mean(losses)), rel=1e-6)
    again = train.evaluate(fnp.ones(()), x, objective=noisy, batch_size=2, key=key)
    other = train.evaluate(fnp.ones(()), x, objective=noisy, batch_size=2, key=ff.random.key(4))
    assert again == found != other


def test_a_key_is_missing_in_evaluation():
    with pytest.raises(errors.ArgumentError, match=r"no key[\s\S]*train.evaluate\(\.\.\., key=key"):
        train.evaluate(fnp.ones(()), np.ones(4, np.float32), objective=noisy, batch_size=2)


def test_all_validations_draw_alike():
    def validation_losses(seed):
        fitted = train.fit(
            fnp.ones(()),
            np.ones(8, np.float32),
            objective=noisy,
            optimizer=optim.sgd(0.0),
            epochs=2,
            batch_size=4,
            validation=np.ones(8, np.float32),
            key=ff.random.key(seed),
            progress=False,
        )
        return fitted.history["val_loss"], fitted.history["loss"]

    validation, training = validation_losses(0)
    assert validation[0] == validation[1]
    assert len({*validation, *training}) == 3  # and not as the steps of training do
    assert validation_losses(1)[0] != validation


def test_predictions_are_joined(problem):
    found = train.predict(problem.model, problem.data[0], batch_size=40)
    np.testing.assert_allclose(found, problem.model(problem.data[0]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("given", [{}, {"loss": LOSS, "objective": print}])
def test_one_of_loss_and_objective_is_given(problem, given):
    with pytest.raises(errors.ArgumentError, match="fit: give one of loss and objective"):
        fit(problem, **{"loss": None, **given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": "mse"}, "loss must be a function, got 'mse'"),
        ({"loss": None, "objective": 3}, "objective must be a function, got 3"),
        ({"optimizer": "adam"}, r"made by a function of ff.optim, got 'adam'[\s\S]*adam\(1e-3\)"),
        ({"optimizer": optim.adam}, "got the function adam"),
        ({"metrics": ["accuracy"]}, "dict of metrics by name, got list"),
        (
            {"metrics": {"a": train.metrics.accuracy}},
            r"metrics\['a'\] must be a Metric, got the fun",
        ),
        ({"metrics": {"a": "auc"}}, r"metrics\['a'\] must be a Metric, got 'auc'"),
        ({"callbacks": train.Callback()}, "callbacks must be a list of Callbacks"),
        ({"callbacks": [train.Callback]}, "callbacks must be a list of Callbacks"),
    ],
)
def test_arguments_of_another_kind_are_refused(problem, given, message):
    with pytest.raises(errors.ArgumentError, match=message):
        fit(problem, **given)


def test_metrics_of_an_evaluation_are_checked(problem):
    with pytest.raises(errors.ArgumentError, match="dict of metrics by name"):
        train.evaluate(problem.model, problem.data, loss=LOSS, metrics=("a",), batch_size=48)


def test_a_list_of_arrays_is_no_pair_of_them(problem):
    with pytest.raises(errors.ArgumentError, match=r"it is a list[\s\S]*as a tuple, \(x, y\)"):
        train.evaluate(problem.model, [*problem.data], loss=LOSS, batch_size=48)


def test_a_batch_of_another_form_is_refused(problem):
    with pytest.raises(errors.ArgumentError, match=r"must be \(inputs, targets\)[\s\S]*objective="):
        train.fit(
            problem.model,
            problem.data[0],
            loss=LOSS,
            optimizer=optim.sgd(0.1),
            epochs=1,
            batch_size=4,
            progress=False,
        )


def test_an_empty_source_is_refused(problem):
    with pytest.raises(errors.DataFormatError):
        train.fit(problem.model, [], loss=LOSS, optimizer=optim.sgd(0.1), epochs=1, progress=False)


def test_a_wrong_shape_names_the_layer(problem):
    x, y = problem.data
    with pytest.raises(errors.ShapeError, match="takes 2 features") as caught:
        train.fit(
            problem.model,
            (x[:, :1], y),
            loss=LOSS,
            optimizer=optim.sgd(0.1),
            epochs=1,
            batch_size=4,
            progress=False,
        )
    assert "in Sequential.layers[0] (Linear)" in caught.value.__notes__


def test_callbacks_are_told_of_all_that_happens(problem):
    class Noting(train.Callback):
        def __init__(self):
            self.events = []

        def __getattribute__(self, name):
            if name.startswith("on_"):
                self.events.append(name)
            return super().__getattribute__(name)

    noting = Noting()
    fit(problem, epochs=2, batch_size=48, callbacks=[noting])
    epoch = ["on_epoch_begin", "on_batch_end", "on_batch_end", "on_epoch_end"]
    assert noting.events == ["on_train_begin", *epoch, *epoch, "on_train_end"]


def test_a_callback_stops_the_training(problem):
    class Stopping(train.Callback):
        def on_batch_end(self, run):
            run.stop = int(run.state.step) == 7

    fitted = fit(problem, callbacks=[Stopping()])
    assert int(fitted.state.step) == 7
    assert len(fitted.history) == 1
