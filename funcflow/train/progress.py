"""A bar for each epoch, or a line."""

import sys
import time
import warnings
from typing import Any

from funcflow.train.callback import Callback, Run

_SECONDS_BETWEEN = 0.1
_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class ProgressBar(Callback):
    """Shows batches done, batches and examples a second, and the loss; after an epoch, its numbers.

    `fit` adds one unless told otherwise. In a notebook it is a widget if ipywidgets is installed,
    in a terminal a bar on stderr. Where stderr is no terminal but, say, a file, nothing can be
    written over: there each epoch has one line, when it is over. So it is if the package tqdm is
    missing, which comes with the extra `train`.

    The speed is that of the epoch so far, without its first batch, for which the step may have been
    compiled, and without validation.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._due = 0.0
        # Time, batches and examples: when the epoch's first batch was over, and the last one.
        self._first: tuple[float, int, int] | None = None
        self._last = (0.0, 0, 0)

    def on_epoch_begin(self, run: Run) -> None:
        self._first = None
        self._bar = (_bars() or _Line)(
            total=run.steps_per_epoch,
            initial=run.batch,
            desc=f"epoch {run.epoch + 1}/{run.epochs}",
            bar_format=_FORMAT,
            mininterval=_SECONDS_BETWEEN,
        )

    def on_batch_end(self, run: Run) -> None:
        now = time.monotonic()
        self._last = now, run.batch, run.examples
        self._first = self._first or self._last
        if now >= self._due:
            self._due = now + _SECONDS_BETWEEN
            self._show({"loss": run.loss}, refresh=False)
        self._bar.update()

    def on_epoch_end(self, run: Run) -> None:
        self._show({name: x for name, x in run.logs.items() if isinstance(x, float)})
        self._close()

    def on_train_end(self, run: Run) -> None:
        self._close()

    def _show(self, numbers: dict[str, float], *, refresh: bool = True) -> None:
        parts = self._speed() + [f"{name}={x:.4g}" for name, x in numbers.items()]
        self._bar.set_postfix_str(", ".join(parts), refresh=refresh)

    def _speed(self) -> list[str]:
        if self._first is None or self._last[0] <= self._first[0]:
            return []
        seconds, batches, examples = (b - a for a, b in zip(self._first, self._last, strict=True))
        return [
            f"{_figure(batches / seconds)} batches/s",
            f"{_figure(examples / seconds)} examples/s",
        ]

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _figure(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


class _Line:
    """What stands for a bar where nothing can be written over: one line, when it is closed."""

    def __init__(self, *, total: int | None, initial: int, desc: str, **options: Any) -> None:
        self._total, self._done, self._title = total, initial, desc
        self._begin = time.monotonic()
        self._numbers = ""

    def set_postfix_str(self, s: str, refresh: bool) -> None:
        self._numbers = s

    def update(self) -> None:
        self._done += 1

    def close(self) -> None:
        done = f"{self._done}/{self._total or '?'} in {time.monotonic() - self._begin:.1f} s"
        numbers = f", {self._numbers}" if self._numbers else ""
        if sys.stderr is not None:
            print(f"{self._title}: {done}{numbers}", file=sys.stderr, flush=True)


def _bars() -> Any:
    """The class of bars for a terminal or a notebook; None where there can be none."""
    with warnings.catch_warnings():
        # It warns of being experimental, and in a notebook without ipywidgets.
        warnings.simplefilter("ignore")
        try:
            from tqdm.autonotebook import tqdm
            from tqdm.std import tqdm as text_bar
        except ModuleNotFoundError:
            return None
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    return tqdm if is_terminal or tqdm is not text_bar else None
