"""The numbers of epochs in files: a table, a picture."""

import csv
import os
from pathlib import Path
from typing import Any

from funcflow.core.errors import ArgumentError
from funcflow.train.callback import Callback, Run
from funcflow.train.history import History


class CSVLogger(Callback):
    """Writes the history to a file, a line for each epoch, after each of them.

    Numbers that come up in a later epoch get a column; the file is then written anew.

    Args:
        path: the file. A resumed training writes all epochs, those before included.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def on_epoch_end(self, run: Run) -> None:
        rows = [{name: _plain(x) for name, x in row.items()} for row in run.history]
        with self._path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, run.history.names)
            writer.writeheader()
            writer.writerows(rows)


class PlotHistory(Callback):
    """Draws the history into a picture after each epoch; needs Matplotlib.

    Args:
        path: the file; its suffix decides the format, as `.png` or `.svg`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def on_epoch_end(self, run: Run) -> None:
        plot_history(run.history, self._path)


def plot_history(history: History, path: str | os.PathLike[str]) -> None:
    """Draw a history into a file: a plot for each number, with that of the validation beside it.

    Args:
        history: of a training.
        path: the file; its suffix decides the format.

    Raises:
        ArgumentError: the history is empty.
    """
    from matplotlib.figure import Figure

    names = [
        name
        for name in history.names
        if name != "epoch"
        and not name.startswith("val_")
        and all(isinstance(x, float) for x in history[name])
    ]
    if not names:
        raise ArgumentError("plot_history: the history has no numbers", mend="train an epoch first")
    figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
    row = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(row, names, strict=True):
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            if column in history:
                epochs = [row["epoch"] for row in history if column in row]
                axes.plot(epochs, history[column], marker=".", label=label)
        axes.set(title=name, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)


def _plain(x: Any) -> Any:
    return x if isinstance(x, int | float | str) else x.tolist()
