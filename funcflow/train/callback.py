"""`Callback`: what may look at a training, and steer it; and `Run`, what it looks at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from funcflow.core.typing import PyTree
from funcflow.train.history import History
from funcflow.train.steps import TrainState


class Callback:
    """Base of what is called in the course of a training; each method does nothing by itself.

    Attributes:
        memory: what is to be kept from epoch to epoch, a pytree of arrays, numbers and strings. It
            is saved with checkpoints, so that a resumed training goes on as it would have. Its
            structure and the types of its leaves are settled when `on_train_begin` is over.
    """

    memory: PyTree = None

    def on_train_begin(self, run: "Run") -> None:
        """Called at first, before a resumed training is restored."""

    def on_epoch_begin(self, run: "Run") -> None:
        """Called before an epoch's first batch, and before the first of a resumed epoch."""

    def on_batch_end(self, run: "Run") -> None:
        """Called after each step; `run.loss` is its loss."""

    def on_epoch_end(self, run: "Run") -> None:
        """Called after an epoch and its validation; `run.logs` are its numbers."""

    def on_interrupt(self, run: "Run") -> None:
        """Called if the training ends before its time; `run.state` is that of the last step."""

    def on_train_end(self, run: "Run") -> None:
        """Called at last, however the training ends."""


@dataclass
class Run:
    """A training in progress. Callbacks may read everything, and set `state`, `logs` and `stop`.

    Attributes:
        state: model, optimiser's state, key and number of steps. The next step donates its arrays:
            keep a copy of what is to be looked at later.
        running: the states of the metrics in this epoch.
        epochs: how many epochs there are to be.
        steps_per_epoch: how many batches an epoch has; None if that is not known.
        callbacks: all of them, in the order in which they are called.
        epoch: how many epochs are over.
        batch: how many batches of the present epoch are over.
        examples: how many examples there were in all batches since the training began or was
            resumed.
        loss: that of the last batch.
        logs: the numbers of the epoch that has just ended, its row of the history.
        history: the rows of the epochs that are over.
        stop: whether to end the training after this batch.
        interrupted: whether the user wants that.
    """

    state: TrainState
    running: PyTree
    epochs: int
    steps_per_epoch: int | None
    callbacks: Sequence[Callback]
    epoch: int = 0
    batch: int = 0
    examples: int = 0
    loss: float = float("nan")
    logs: dict[str, Any] = field(default_factory=dict[str, Any])
    history: History = field(default_factory=History)
    stop: bool = False
    interrupted: bool = False

    @property
    def model(self) -> Any:
        """The model as it is now."""
        return self.state.model

    def tell(self, event: str) -> None:
        """Call the method of this name of each callback."""
        for callback in self.callbacks:
            getattr(callback, event)(self)
