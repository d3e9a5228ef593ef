"""Trainings as TensorBoard shows them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from funcflow import nn
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_leaves_with_path
from funcflow.train.callback import Callback, Run
from funcflow.train.events import EventFile, tensorboardx
from funcflow.train.model_graph import model_graph, scope


class TensorBoard(Callback):
    """Writes what TensorBoard shows: numbers, histograms, images, the model's graph.

    The numbers of each epoch stand at the epoch's number, those of the validation in a run of their
    own and without `val_`, so that both curves lie in one plot; arrays are left out. Callbacks that
    add numbers must stand before this one. What is written is on disk at the end of each epoch.

    A resumed training goes on where it was resumed: epochs that come again take the place of what
    was written of them. So do those of a new training in the same directory.

    Args:
        directory: the log directory; it gets the runs `train` and `validation`.
        histograms: after how many epochs to write the distribution of each parameter, under its key
            path; never if None.
        images: a function of the model that returns images by name, called after each epoch: arrays
            of shape (height, width) or (height, width, channels) with 1, 3 or 4 channels, uint8 or
            numbers from 0 to 1.
        graph_inputs: what the model is called with, a tuple of arrays or `ff.ShapeDtypeStruct`s, to
            show its graph: operations and parameters within the modules that they belong to.

    Raises:
        ArgumentError: `histograms` is not positive; or while training, an image has another shape.
        ModuleNotFoundError: tensorboardX is not installed; it comes with the extra `train`.

    Example:
        >>> board = ff.train.TensorBoard(
        ...     "runs/first",
        ...     histograms=5,
        ...     images=lambda model: {"weights": abs(model.kernel)},
        ...     graph_inputs=(ff.ShapeDtypeStruct((32, 2), "float32"),),
        ... )
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        histograms: int | None = None,
        images: Callable[[Any], Mapping[str, Any]] | None = None,
        graph_inputs: tuple[Any, ...] | None = None,
    ) -> None:
        if histograms is not None and histograms < 1:
            raise ArgumentError(
                f"TensorBoard: histograms must be positive, got {histograms}",
                mend="give the number of epochs from one to the next, or None",
            )
        tensorboardx()
        self._directory = Path(directory)
        self._histograms = histograms
        self._images = images
        self._graph_inputs = graph_inputs
        self._files: dict[str, EventFile] = {}

    def on_epoch_begin(self, run: Run) -> None:
        if self._files:
            return
        file = self._file("train", run.epoch + 1)
        if self._graph_inputs is not None:
            file.graph(model_graph(run.model, *self._graph_inputs))
            file.flush()

    def on_epoch_end(self, run: Run) -> None:
        epoch, train = run.epoch, self._file("train", run.epoch)
        for name, value in run.logs.items():
            if name == "epoch" or not isinstance(value, int | float):
                continue
            kind = "validation" if name.startswith("val_") else "train"
            self._file(kind, epoch).scalar(name.removeprefix("val_"), value, epoch)
        if self._histograms is not None and epoch % self._histograms == 0:
            parameters = nn.filter(run.model, nn.trainable(run.model))
            for path, leaf in tree_leaves_with_path(parameters):
                train.histogram(scope(path) or "model", leaf, epoch)
        if self._images is not None:
            for name, image in self._images(run.model).items():
                train.image(name, image, epoch)
        for file in self._files.values():
            file.flush()

    def on_train_end(self, run: Run) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    def _file(self, kind: str, first_epoch: int) -> EventFile:
        """The file of a run; it is made when there is something to write."""
        if kind not in self._files:
            self._files[kind] = EventFile(self._directory / kind, first_epoch)
        return self._files[kind]
