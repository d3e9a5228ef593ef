"""Files of events, which TensorBoard reads."""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from funcflow.core.errors import ArgumentError
from funcflow.train.model_graph import GraphNode

_BINS = 30  # as many as TensorBoard shows
_COLORS = {1: "L", 3: "RGB", 4: "RGBA"}  # by number of channels


class EventFile:
    """What one run writes, in the order of its steps.

    Args:
        folder: the run's; made if it is not there. What earlier files in it have of `first_step`
            and later steps does not count any more.
        first_step: the least step that will be written.

    Raises:
        ModuleNotFoundError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._proto = tensorboardx()
        folder.mkdir(parents=True, exist_ok=True)
        # readers take the files of a folder by name: the latest comes last
        path = folder / f"events.out.tfevents.{time.time_ns()}"
        self._records = self._proto.RecordWriter(str(path))
        self._write(0, file_version="brain.Event:2")
        start = self._proto.SessionLog(status=self._proto.SessionLog.START)
        self._write(first_step, session_log=start)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number."""
        self._summary(step, tag=tag, simple_value=value)

    def histogram(self, tag: str, array: Any, step: int) -> None:
        """Write how the elements of an array are distributed, of complex ones the magnitudes.

        Elements that are not finite are left out.
        """
        values = np.asarray(array)
        values = (np.abs(values) if np.iscomplexobj(values) else values).astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        if not values.size:
            return
        counts, edges = np.histogram(values, _BINS)
        histogram = self._proto.HistogramProto(
            min=values.min(),
            max=values.max(),
            num=values.size,
            sum=values.sum(),
            sum_squares=values @ values,
            bucket_limit=edges[1:].tolist(),
            bucket=counts.tolist(),
        )
        self._summary(step, tag=tag, histo=histogram)

    def image(self, tag: str, array: Any, step: int) -> None:
        """Write an image of shape (height, width) or (height, width, channels).

        Raises:
            ArgumentError: it has another shape.
        """
        pixels = _pixels(tag, np.asarray(array))
        height, width, channels = pixels.shape
        image = self._proto.Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=_png(pixels),
        )
        self._summary(step, tag=tag, image=image)

    def graph(self, nodes: Sequence[GraphNode]) -> None:
        """Write the graph of a model."""
        graph = self._proto.GraphDef(node=[self._node(node) for node in nodes])
        self._write(0, graph_def=graph.SerializeToString())

    def flush(self) -> None:
        """Have the file on disk as it is."""
        self._records.flush()

    def close(self) -> None:
        """Write no more."""
        self._records.close()

    def _node(self, node: GraphNode) -> Any:
        proto = self._proto
        shapes = [
            proto.TensorShapeProto(dim=[proto.TensorShapeProto.Dim(size=n) for n in aval.shape])
            for aval in node.outputs
        ]
        types = ", ".join(str(aval.dtype) for aval in node.outputs)
        return proto.NodeDef(
            name=node.name,
            op=node.op,
            input=node.inputs,
            attr={
                "_output_shapes": proto.AttrValue(list=proto.AttrValue.ListValue(shape=shapes)),
                "dtype": proto.AttrValue(s=types.encode()),
            },
        )

    def _summary(self, step: int, **value: Any) -> None:
        summary = self._proto.Summary(value=[self._proto.Summary.Value(**value)])
        self._write(step, summary=summary)

    def _write(self, step: int, **what: Any) -> None:
        event = self._proto.Event(wall_time=time.time(), step=step, **what)
        self._records.write(event.SerializeToString())


def tensorboardx() -> Any:
    """What is needed of the package: the writer of records, and the messages.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        from tensorboardX import RecordWriter
        from tensorboardX.proto import (
            attr_value_pb2,
            event_pb2,
            graph_pb2,
            node_def_pb2,
            summary_pb2,
            tensor_shape_pb2,
        )
    except ModuleNotFoundError as error:
        message = "TensorBoard needs tensorboardX: pip install funcflow[train]"
        raise ModuleNotFoundError(message, name=error.name) from error
    modules = (attr_value_pb2, event_pb2, graph_pb2, node_def_pb2, summary_pb2, tensor_shape_pb2)
    messages = {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_")
    }
    return SimpleNamespace(RecordWriter=RecordWriter, **messages)


def _pixels(tag: str, image: np.ndarray) -> np.ndarray:
    """Bytes of shape (height, width, channels)."""
    shape = image.shape
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or not image.size or image.shape[2] not in _COLORS:
        raise ArgumentError(
            f"the image {tag!r} has the shape {shape}",
            mend="give (height, width) or (height, width, channels) with 1, 3 or 4 channels",
        )
    if image.dtype == np.uint8:
        return image
    return np.round(np.nan_to_num(image.astype(np.float32)).clip(0, 1) * 255).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        message = "images for TensorBoard need Pillow: pip install funcflow[train]"
        raise ModuleNotFoundError(message, name="PIL") from error
    file = io.BytesIO()
    mode = _COLORS[pixels.shape[2]]
    Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()).save(file, "png")
    return file.getvalue()
