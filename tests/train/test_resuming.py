import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import funcflow as ff
from funcflow import errors, losses, optim, train

ROOT = Path(ff.__file__).parents[1]

# Trains from a given directory, and kills itself after a given number of batches.
SCRIPT = """
import os, sys
import numpy as np
import funcflow as ff
from funcflow import losses, nn, optim, train

class Killing(train.Callback):
    def on_batch_end(self, run):
        if int(run.state.step) == int(sys.argv[2]):
            os._exit(9)

k1, k2 = ff.random.split(ff.random.key(0))
layers = [nn.Linear(2, 16, key=k1), nn.BatchNorm(16), nn.Dropout(0.1), nn.Linear(16, 2, key=k2)]
x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
fitted = train.fit(
    nn.Sequential(layers),
    (x, (x > 0).all(1).astype(np.int32)),
    loss=losses.softmax_cross_entropy_with_integer_labels,
    optimizer=optim.adam(0.01),
    epochs=3,
    batch_size=8,
    metrics={"accuracy": train.metrics.accuracy()},
    callbacks=[train.Checkpoint(sys.argv[1], every=3), Killing()],
    resume_from=sys.argv[1],
    progress=False,
)
np.savez(sys.argv[3], *map(np.asarray, ff.tree.leaves(fitted.state)))
print(fitted.history)
"""


def run(folder, kill_at, out):
    arguments = [sys.executable, "-c", SCRIPT, str(folder), str(kill_at), str(out)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_killed_training_goes_on_bit_for_bit(tmp_path):
    """Killed twice: between two checkpoints of the second epoch, and in the third one."""
    whole = run(tmp_path / "whole", -1, tmp_path / "whole.npz")
    assert whole.returncode == 0, whole.stderr
    for kill_at in (13, 20):
        assert run(tmp_path / "parts", kill_at, tmp_path / "parts.npz").returncode == 9
    rest = run(tmp_path / "parts", -1, tmp_path / "parts.npz")
    assert rest.returncode == 0, rest.stderr
    assert rest.stdout == whole.stdout  # the history, every digit of it
    with np.load(tmp_path / "whole.npz") as a, np.load(tmp_path / "parts.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name])


def fit(problem, **changes):
    arguments = {
        "loss": losses.softmax_cross_entropy_with_integer_labels,
        "optimizer": optim.adam(0.01),
        "epochs": 3,
        "batch_size": 24,
        "progress": False,
    }
    return train.fit(problem.model, problem.data, **{**arguments, **changes})


def test_what_callbacks_remember_is_restored(problem, tmp_path):
    class Counting(train.Callback):
        def on_train_begin(self, run):
            self.memory = 0

        def on_epoch_end(self, run):
            self.memory += 1

    counting = Counting()
    callbacks = [train.Checkpoint(tmp_path), counting]
    fit(problem, epochs=2, callbacks=callbacks)
    fit(problem, epochs=5, callbacks=callbacks, resume_from=tmp_path)
    assert counting.memory == 5


def test_there_may_be_nothing_to_resume(problem, tmp_path):
    assert len(fit(problem, resume_from=tmp_path / "none").history) == 3


def test_another_model_is_refused(problem, tmp_path):
    fit(problem, callbacks=[train.Checkpoint(tmp_path)])
    smaller = problem._replace(model=problem.model[:1])
    with pytest.raises(errors.CheckpointError, match=r"\['model'\].layers\[4\].kernel: is in the"):
        fit(smaller, callbacks=[train.Checkpoint(tmp_path)], resume_from=tmp_path)
    assert train.saved_steps(tmp_path) == [12]
    train.load_model(tmp_path, problem.model)


def test_a_training_without_a_step_saves_nothing(problem, tmp_path):
    """The checkpoint of an earlier training stays if the next one fails at once."""
    fit(problem, callbacks=[train.Checkpoint(tmp_path)])
    x, y = problem.data
    with pytest.raises(errors.ShapeError):
        fit(problem._replace(data=(x[:, :1], y)), callbacks=[train.Checkpoint(tmp_path)])
    assert train.saved_steps(tmp_path) == [12]


def test_the_best_model_is_kept(problem, tmp_path):
    class Scripted(train.Callback):
        def on_epoch_end(self, run):
            run.logs["score"] = [0.5, 0.9, 0.7][run.epoch - 1]

    best = train.Checkpoint(tmp_path, monitor="score", mode="max")
    fit(problem, callbacks=[best, Scripted()])
    assert train.saved_steps(tmp_path) == [8]  # the end of the second epoch
    second = fit(problem, epochs=2).model
    loaded = train.load_model(tmp_path, problem.model)
    for x, y in zip(ff.tree.leaves(loaded), ff.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_number_that_is_not_there_is_refused(problem, tmp_path):
    with pytest.raises(errors.ArgumentError, match=r"no 'val_loss'[\s\S]*validation="):
        fit(problem, callbacks=[train.Checkpoint(tmp_path, monitor="val_loss")])


def test_an_interrupt_ends_the_step_and_loses_nothing(problem, tmp_path):
    class Interrupting(train.Callback):
        def on_batch_end(self, run):
            if int(run.state.step) == 6:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    callbacks = [train.Checkpoint(tmp_path), Interrupting()]
    with pytest.raises(train.TrainingInterrupted) as caught:
        fit(problem, callbacks=callbacks)
    assert signal.getsignal(signal.SIGINT) is before
    assert int(caught.value.result.state.step) == 6
    assert train.saved_steps(tmp_path) == [4, 6][-1:]
    resumed = fit(problem, callbacks=[callbacks[0], train.Callback()], resume_from=tmp_path)
    whole = fit(problem)
    for x, y in zip(ff.tree.leaves(resumed.state), ff.tree.leaves(whole.state), strict=True):
        np.testing.assert_array_equal(x, y)
    assert resumed.history.rows == whole.history.rows


def test_monitor_and_every_exclude_each_other(tmp_path):
    with pytest.raises(errors.ArgumentError, match="give one of every and monitor"):
        train.Checkpoint(tmp_path, every=1, monitor="loss")
