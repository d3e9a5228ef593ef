"""The user's interrupt: the step in progress is ended first."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from funcflow.train.callback import Run


class TrainingInterrupted(KeyboardInterrupt):
    """The user interrupted a training.

    Attributes:
        result: what `fit` would have returned: the model, the state after the last step, and the
            history.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("the training was interrupted; .result has the model as it is")
        self.result = result


@contextmanager
def interrupts_noted(run: Run) -> Generator[None]:
    """Within the block, the first interrupt (Ctrl-C) asks the run to stop, a second one is raised.

    So no step is left half done, whose arrays are those of the state before it. Only the main
    thread gets interrupts; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, frame: Any) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = run.stop = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
