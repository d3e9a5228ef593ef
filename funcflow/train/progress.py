"""A bar for each epoch."""

import time
from typing import Any

from funcflow.train.callback import Callback, Run

_SECONDS_BETWEEN = 0.1


class ProgressBar(Callback):
    """Shows batches done, batches a second and the loss; after an epoch, its numbers.

    `fit` adds one unless told otherwise. It needs the package tqdm; without it, it is silent.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._due = 0.0

    def on_epoch_begin(self, run: Run) -> None:
        try:
            from tqdm.auto import tqdm
        except ModuleNotFoundError:
            return
        self._bar = tqdm(
            total=run.steps_per_epoch,
            initial=run.batch,
            desc=f"epoch {run.epoch + 1}/{run.epochs}",
            unit="batch",
            mininterval=_SECONDS_BETWEEN,
        )

    def on_batch_end(self, run: Run) -> None:
        if self._bar is None:
            return
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _SECONDS_BETWEEN
            self._bar.set_postfix_str(f"loss={run.loss:.4g}", refresh=False)
        self._bar.update()

    def on_epoch_end(self, run: Run) -> None:
        if self._bar is not None:
            numbers = {name: x for name, x in run.logs.items() if isinstance(x, float)}
            self._bar.set_postfix_str(", ".join(f"{name}={x:.4g}" for name, x in numbers.items()))
        self._close()

    def on_train_end(self, run: Run) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
