"""Trainings on disk: `Checkpoint` saves them as they go, `resume` puts a run where one was."""

import json
import os
from typing import Any, Literal

from funcflow.core.errors import ArgumentError
from funcflow.core.typing import PyTree
from funcflow.train.callback import Callback, Run
from funcflow.train.checkpoints import restore, save, saved_steps
from funcflow.train.history import History
from funcflow.train.monitoring import Monitor
from funcflow.train.steps import TrainState


class Checkpoint(Callback):
    """Saves the training after each epoch, or more often, and when it is interrupted.

    A checkpoint holds all that `fit(..., resume=directory)` needs to go on from there, bit for bit:
    model, optimiser's state, key, metrics, place in the data, history, and what callbacks remember.
    `load_model` takes the model alone.

    Args:
        directory: where to save.
        every: after how many batches to save, besides the end of each epoch.
        keep: how many checkpoints to keep, the newest.
        monitor: with a name such as `"val_loss"`, save only at the end of an epoch in which that
            number was the best so far.
        mode: whether less is better (`"min"`) or more (`"max"`).

    Raises:
        ArgumentError: both `every` and `monitor` are given.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        every: int | None = None,
        keep: int = 1,
        monitor: str | None = None,
        mode: Literal["min", "max"] = "min",
    ) -> None:
        if every is not None and monitor is not None:
            raise ArgumentError(
                "Checkpoint: what is monitored is known at the end of an epoch only",
                mend="give one of every and monitor, or use two Checkpoints with two directories",
            )
        self.directory = directory
        self.every = every
        self.keep = keep
        self._monitor = None if monitor is None else Monitor(monitor, mode)
        self.memory = None if self._monitor is None else self._monitor.worst
        self._saved: int | None = None  # the step that the newest checkpoint, or the start, is of

    def on_train_begin(self, run: Run) -> None:
        self._saved = None

    def on_epoch_begin(self, run: Run) -> None:
        if self._saved is None:
            self._saved = int(run.state.step)

    def on_batch_end(self, run: Run) -> None:
        if self.every is not None and int(run.state.step) % self.every == 0:
            self._save(run)

    def on_epoch_end(self, run: Run) -> None:
        if self._monitor is None:
            self._save(run)
        elif self._monitor.is_better(run.logs, self.memory):
            self.memory = self._monitor.value(run.logs)
            self._save(run)

    def on_interrupt(self, run: Run) -> None:
        # A training that made no step must not take the place of what was saved before.
        if self._monitor is None and self._saved not in (None, int(run.state.step)):
            self._save(run)

    def _save(self, run: Run) -> None:
        self._saved = int(run.state.step)
        save(self.directory, _tree(run), step=self._saved, keep=self.keep)


def resume(directory: str | os.PathLike[str], run: Run) -> None:
    """Put a run where the newest checkpoint of a directory is; leave it if there is none."""
    if not saved_steps(directory):
        return
    saved = restore(directory, _tree(run))
    run.state = TrainState(**{name: saved[name] for name in TrainState._fields})
    run.running = saved["running"]
    run.epoch, run.batch = saved["epoch"], saved["batch"]
    run.history = History(json.loads(saved["history"]))
    for callback, memory in zip(run.callbacks, saved["callbacks"], strict=True):
        callback.memory = memory


def load_model(directory: str | os.PathLike[str], like: PyTree, *, step: int | None = None) -> Any:
    """The model of a checkpoint that a `Checkpoint` callback saved.

    Args:
        directory: the callback's.
        like: a model of the same structure, shapes and dtypes.
        step: which checkpoint; the newest if None.

    Raises:
        CheckpointError: as `restore`.
    """
    return restore(directory, {"model": like}, step=step, partial=True)["model"]


def _tree(run: Run) -> dict[str, Any]:
    return {
        **run.state._asdict(),
        "running": run.running,
        "epoch": run.epoch,
        "batch": run.batch,
        "history": json.dumps(run.history.rows),
        "callbacks": [callback.memory for callback in run.callbacks],
    }
