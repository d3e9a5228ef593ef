"""A training that ends when it gets no better."""

from typing import Literal

import funcflow.numpy as fnp
from funcflow import nn
from funcflow.core.pytree import tree_map
from funcflow.train.callback import Callback, Run
from funcflow.train.monitoring import Monitor


class EarlyStopping(Callback):
    """Ends the training when a number of the epochs' logs got no better for some time.

    Args:
        monitor: the number's name.
        mode: whether less of it is better (`"min"`) or more (`"max"`).
        patience: for how many epochs it may get no better.
        min_delta: by how much it must get better to count.
        restore_best: whether the training leaves the model of its best epoch, not of the last one.

    Raises:
        ArgumentError: at the end of an epoch that has no such number.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        mode: Literal["min", "max"] = "min",
        patience: int = 0,
        min_delta: float = 0.0,
        restore_best: bool = False,
    ) -> None:
        self._monitor = Monitor(monitor, mode, min_delta)
        self._patience = patience
        self._restore_best = restore_best

    def on_train_begin(self, run: Run) -> None:
        self.memory = {"best": self._monitor.worst, "waited": 0, "model": self._kept(run)}

    def on_epoch_begin(self, run: Run) -> None:
        run.stop = (
            run.stop or self._patience_is_over
        )  # of a training that is resumed behind its end

    def on_epoch_end(self, run: Run) -> None:
        if self._monitor.is_better(run.logs, self.memory["best"]):
            best = self._monitor.value(run.logs)
            self.memory = {"best": best, "waited": 0, "model": self._kept(run)}
            return
        self.memory["waited"] += 1
        run.stop = run.stop or self._patience_is_over

    def on_train_end(self, run: Run) -> None:
        if self._restore_best and run.history:
            run.state = run.state._replace(model=self.memory["model"])

    @property
    def _patience_is_over(self) -> bool:
        return self.memory["waited"] > self._patience

    def _kept(self, run: Run) -> object:
        """A copy of the model, whose arrays the next step takes."""
        if not self._restore_best:
            return None
        return tree_map(lambda x: fnp.copy(x) if nn.is_array(x) else x, run.model)
