import pytest

from funcflow import errors, losses, optim, train


def fit(problem, *callbacks, optimizer=None, epochs=4):
    return train.fit(
        problem.model,
        problem.data,
        loss=losses.softmax_cross_entropy_with_integer_labels,
        optimizer=optimizer or optim.inject_hyperparams(optim.adam)(learning_rate=1.0),
        epochs=epochs,
        batch_size=48,
        progress=False,
        callbacks=callbacks,
    )


def test_a_schedule_of_epochs(problem):
    history = fit(problem, train.LearningRateScheduler(lambda epoch: 0.5**epoch)).history
    assert history["learning_rate"] == [1.0, 0.5, 0.25, 0.125]


def test_the_rate_is_what_the_optimiser_uses(problem):
    still = fit(problem, train.LearningRateScheduler(lambda epoch: 0.0)).model
    assert (still.layers[0].kernel == problem.model.layers[0].kernel).all()


def test_a_plateau_lowers_the_rate(problem):
    class Scripted(train.Callback):
        def on_epoch_end(self, run):
            run.logs["score"] = [5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 3.0][run.epoch - 1]

    reducing = train.ReduceLROnPlateau("score", factor=0.5, patience=1, cooldown=1, min_lr=0.4)
    history = fit(problem, Scripted(), reducing, epochs=7).history
    assert history["learning_rate"] == [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, pytest.approx(0.4)]


def test_an_optimiser_within_a_chain_is_found(problem):
    adam = optim.inject_hyperparams(optim.adam)(learning_rate=1.0)
    chained = optim.chain(optim.clip(1.0), adam)
    halving = train.LearningRateScheduler(lambda epoch: 0.5**epoch)
    assert fit(problem, halving, optimizer=chained).history["learning_rate"][1] == 0.5


@pytest.mark.parametrize(
    "callback", [train.LearningRateScheduler(lambda epoch: 0.1), train.ReduceLROnPlateau("loss")]
)
def test_a_rate_out_of_reach_is_refused(problem, callback):
    with pytest.raises(errors.ArgumentError, match=r"no learning rate[\s\S]*inject_hyperparams"):
        fit(problem, callback, optimizer=optim.adam(0.1))


def test_a_factor_out_of_range_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"factor must be in \(0, 1\), got 2"):
        train.ReduceLROnPlateau(factor=2)
