import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, losses, optim, train

SCORES = [3.0, 2.0, 2.5, 2.4, 1.0]


class Scripted(train.Callback):
    """Logs given numbers, one for each epoch."""

    def on_epoch_end(self, run):
        run.logs["score"] = SCORES[run.epoch - 1]


def fit(problem, *callbacks, **changes):
    arguments = {
        "loss": losses.softmax_cross_entropy_with_integer_labels,
        "optimizer": optim.sgd(0.1),
        "epochs": len(SCORES),
        "batch_size": 48,
        "progress": False,
    }
    return train.fit(
        problem.model, problem.data, **{**arguments, **changes}, callbacks=[Scripted(), *callbacks]
    )


@pytest.mark.parametrize(("patience", "epochs"), [(0, 3), (1, 4), (2, 5)])
def test_the_training_ends_when_patience_is_over(problem, patience, epochs):
    fitted = fit(problem, train.EarlyStopping("score", patience=patience))
    assert fitted.history["score"] == SCORES[:epochs]


def test_more_may_be_better(problem):
    assert len(fit(problem, train.EarlyStopping("score", mode="max")).history) == 2


def test_gains_must_be_large_enough(problem):
    assert len(fit(problem, train.EarlyStopping("score", min_delta=1.5)).history) == 2


def test_the_best_model_is_restored(problem):
    stopped = fit(problem, train.EarlyStopping("score", restore_best=True)).model
    best = fit(problem, epochs=2).model
    for x, y in zip(ff.tree.leaves(stopped), ff.tree.leaves(best), strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_has_stopped_stays_stopped(problem, tmp_path):
    callbacks = [train.EarlyStopping("score"), train.Checkpoint(tmp_path)]
    fit(problem, *callbacks)
    assert len(fit(problem, *callbacks, resume_from=tmp_path).history) == 3


def test_a_number_that_is_not_there_is_named(problem):
    with pytest.raises(errors.ArgumentError, match="no 'val_loss' to monitor: an epoch has epoch"):
        fit(problem, train.EarlyStopping())
