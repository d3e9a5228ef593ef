"""The networks of `networks.py` as plain functions of parameters, which JAX runs.

Parameters are made with NumPy, in nested dicts and lists whose names are those of the layers in
`nn_models.py` (funcflow) and `torch_networks.py` (PyTorch), so that all start from the same ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, ClassVar

import models
import numpy as np
from models import Batch, Params

RATE, MOMENTUM = 1e-4, 0.9
KEPT_AVERAGE, NORM_EPSILON = 0.99, 1e-5


@dataclass
class Training:
    """Training mode: keys for dropout, and the running averages that batch norms learn."""

    key: Any
    averages: dict[str, Any] = field(default_factory=dict)

    def next_key(self, api: ModuleType) -> Any:
        self.key, drawn = api.random.split(self.key)
        return drawn


# --- parameters -----------------------------------------------------------------------------


class Draws:
    """Initial parameters of layers, from one stream of random numbers."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def dense(self, inputs: int, outputs: int) -> Params:
        return self._affine((inputs, outputs), inputs)

    def convolution(self, *shape: int, bias: bool = True) -> Params:
        """A kernel whose last two axes are the channels that enter and leave."""
        layer = self._affine(shape, math.prod(shape[:-1]))
        return layer if bias else {"kernel": layer["kernel"]}

    def embedding(self, symbols: int, features: int) -> Params:
        return {"embedding": models.weights(self.rng, symbols, features, inputs=features)}

    def lstm(self, inputs: int, units: int) -> Params:
        layer = self._affine((inputs, 4 * units), inputs)
        recurrent = models.weights(self.rng, units, 4 * units, inputs=units)
        return {**layer, "recurrent_kernel": recurrent}

    def batch_norm(self, features: int) -> Params:
        zeros, ones = np.zeros(features, np.float32), np.ones(features, np.float32)
        return {"scale": ones, "bias": zeros, "mean": zeros, "var": ones}

    def _affine(self, shape: tuple[int, ...], inputs: int) -> Params:
        kernel = models.weights(self.rng, *shape, inputs=inputs)
        return {"kernel": kernel, "bias": np.zeros(shape[-1], np.float32)}


def labelled(inputs: np.ndarray, classes: int) -> Batch:
    rng = np.random.default_rng(2)
    return inputs, rng.integers(0, classes, len(inputs), dtype=np.int32)


def images(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((count, size, size, 3), np.float32)


def texts(count: int, length: int, vocabulary: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, vocabulary, (count, length), dtype=np.int32)


# --- layers ---------------------------------------------------------------------------------


def linear(layer: Params, x: Any) -> Any:
    return x @ layer["kernel"] + layer["bias"]


def convolve(api: ModuleType, layer: Params, x: Any, padding: Any, stride: int = 1) -> Any:
    """A convolution along all axes between the first and the last; `padding` may be a number."""
    rank = x.ndim - 2
    names = ("NWC", "WIO", "NWC") if rank == 1 else ("NHWC", "HWIO", "NHWC")
    padding = [(padding, padding)] * rank if isinstance(padding, int) else padding
    y = api.lax.conv_general_dilated(
        x, layer["kernel"], (stride,) * rank, padding, dimension_numbers=names
    )
    return y + layer["bias"] if "bias" in layer else y


def max_pool(api: ModuleType, x: Any, size: int, stride: int, padding: int = 0) -> Any:
    around = [(0, 0), (padding, padding), (padding, padding), (0, 0)]
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return api.lax.reduce_window(x, -np.inf, api.lax.max, window, strides, around)


def dropout(api: ModuleType, mode: Training | None, x: Any, rate: float) -> Any:
    if mode is None or rate == 0:
        return x
    keep = api.random.bernoulli(mode.next_key(api), 1 - rate, x.shape)
    return api.numpy.where(keep, x / (1 - rate), 0)


def batch_norm(api: ModuleType, mode: Training | None, name: str, layer: Params, x: Any) -> Any:
    """Normalised channels; in training the averages are noted under the layer's name."""
    mean, var = layer["mean"], layer["var"]
    if mode is not None:
        axes = tuple(range(x.ndim - 1))
        learned = mean, var
        mean = api.numpy.mean(x, axes)
        var = api.numpy.mean(api.numpy.square(x - mean), axes)
        mode.averages[name] = [
            KEPT_AVERAGE * old + (1 - KEPT_AVERAGE) * new
            for old, new in zip(learned, (mean, var), strict=True)
        ]
    scale = api.lax.rsqrt(var + NORM_EPSILON) * layer["scale"]
    return (x - mean) * scale + layer["bias"]


# --- networks -------------------------------------------------------------------------------


@dataclass(frozen=True)
class ImageCNN:
    """Two blocks of two 3x3 convolutions, a pool and dropout, then dense layers of 512 and 10."""

    batch_size: int = 32
    size: int = 32
    rates: tuple[float, float] = (0.25, 0.5)
    momentum: ClassVar[bool] = False

    def init(self) -> Params:
        draw, side = Draws(), ((self.size - 2) // 2 - 2) // 2
        channels = [(3, 32), (32, 32), (32, 64), (64, 64)]
        return {
            "convolutions": [draw.convolution(3, 3, *pair) for pair in channels],
            "hidden": draw.dense(side * side * 64, 512),
            "out": draw.dense(512, 10),
        }

    def batch(self) -> Batch:
        return labelled(images(self.batch_size, self.size), 10)

    def logits(self, api: ModuleType, params: Params, x: Any, mode: Training | None) -> Any:
        relu, layers = api.nn.relu, params["convolutions"]
        for first, second in (layers[:2], layers[2:]):
            x = relu(convolve(api, first, x, "SAME"))
            x = max_pool(api, relu(convolve(api, second, x, "VALID")), 2, 2)
            x = dropout(api, mode, x, self.rates[0])
        x = relu(linear(params["hidden"], x.reshape(x.shape[0], -1)))
        return linear(params["out"], dropout(api, mode, x, self.rates[1]))


@dataclass(frozen=True)
class LSTMClassifier:
    """Embedded words through an LSTM, whose last state is classified."""

    batch_size: int = 32
    length: int = 100
    vocabulary: int = 10_000
    width: int = 100
    momentum: ClassVar[bool] = False

    def init(self) -> Params:
        draw = Draws()
        return {
            "words": draw.embedding(self.vocabulary, self.width),
            "lstm": draw.lstm(self.width, self.width),
            "out": draw.dense(self.width, 2),
        }

    def batch(self) -> Batch:
        return labelled(texts(self.batch_size, self.length, self.vocabulary), 2)

    def logits(self, api: ModuleType, params: Params, x: Any, mode: Training | None) -> Any:
        xp, sigmoid, layer = api.numpy, api.nn.sigmoid, params["lstm"]

        def cell(carry: tuple[Any, Any], projected: Any) -> tuple[tuple[Any, Any], None]:
            state, memory = carry
            gates = projected + state @ layer["recurrent_kernel"]
            enter, keep, new, leave = xp.split(gates, 4, axis=-1)
            memory = sigmoid(keep) * memory + sigmoid(enter) * xp.tanh(new)
            return (sigmoid(leave) * xp.tanh(memory), memory), None

        zeros = xp.zeros((x.shape[0], self.width), "float32")
        embedded = params["words"]["embedding"][x.T]
        (state, _), _ = api.lax.scan(cell, (zeros, zeros), linear(layer, embedded))
        return linear(params["out"], state)


@dataclass(frozen=True)
class SentenceCNN:
    """Convolutions of three widths over embedded words, and the maximum of each filter."""

    batch_size: int = 50
    length: int = 60
    vocabulary: int = 10_000
    width: int = 128
    filters: int = 100
    rate: float = 0.5
    momentum: ClassVar[bool] = False

    def init(self) -> Params:
        draw = Draws()
        return {
            "words": draw.embedding(self.vocabulary, self.width),
            "convolutions": [
                draw.convolution(size, self.width, self.filters) for size in (3, 4, 5)
            ],
            "out": draw.dense(3 * self.filters, 2),
        }

    def batch(self) -> Batch:
        return labelled(texts(self.batch_size, self.length, self.vocabulary), 2)

    def logits(self, api: ModuleType, params: Params, x: Any, mode: Training | None) -> Any:
        embedded = params["words"]["embedding"][x]
        found = [
            api.numpy.max(api.nn.relu(convolve(api, layer, embedded, "VALID")), axis=1)
            for layer in params["convolutions"]
        ]
        joined = dropout(api, mode, api.numpy.concatenate(found, axis=-1), self.rate)
        return linear(params["out"], joined)


@dataclass(frozen=True)
class Transformer(models.Transformer):
    """That of `training.py`."""

    momentum: ClassVar[bool] = False

    def logits(self, api: ModuleType, params: Params, x: Any, mode: Training | None) -> Any:
        return super().logits(api, params, x)


@dataclass(frozen=True)
class ResNet18:
    """Four stages of two blocks, with 64 to 512 channels (He et al., arXiv:1512.03385)."""

    batch_size: int = 16
    size: int = 64
    widths: tuple[int, ...] = (64, 128, 256, 512)
    classes: int = 1000
    momentum: ClassVar[bool] = True

    def init(self) -> Params:
        draw, (first, *_) = Draws(), self.widths

        def block(inputs: int, outputs: int) -> Params:
            layers = {
                "first": draw.convolution(3, 3, inputs, outputs, bias=False),
                "first_norm": draw.batch_norm(outputs),
                "second": draw.convolution(3, 3, outputs, outputs, bias=False),
                "second_norm": draw.batch_norm(outputs),
            }
            if inputs != outputs:
                layers["shortcut"] = draw.convolution(1, 1, inputs, outputs, bias=False)
                layers["shortcut_norm"] = draw.batch_norm(outputs)
            return layers

        return {
            "stem": draw.convolution(7, 7, 3, first, bias=False),
            "stem_norm": draw.batch_norm(first),
            "blocks": [
                block(*pair)
                for inputs, outputs in zip((first, *self.widths), self.widths, strict=False)
                for pair in ((inputs, outputs), (outputs, outputs))
            ],
            "out": draw.dense(self.widths[-1], self.classes),
        }

    def batch(self) -> Batch:
        return labelled(images(self.batch_size, self.size), self.classes)

    def logits(self, api: ModuleType, params: Params, x: Any, mode: Training | None) -> Any:
        relu = api.nn.relu
        x = convolve(api, params["stem"], x, 3, stride=2)
        x = relu(batch_norm(api, mode, "stem_norm", params["stem_norm"], x))
        x = max_pool(api, x, 3, 2, padding=1)
        for place, layers in enumerate(params["blocks"]):
            x = self._block(api, mode, f"blocks.{place}", layers, x)
        return linear(params["out"], api.numpy.mean(x, (1, 2)))

    def _block(
        self, api: ModuleType, mode: Training | None, name: str, layers: Params, x: Any
    ) -> Any:
        def normed(layer: str, x: Any, padding: int, stride: int = 1) -> Any:
            y, norm = convolve(api, layers[layer], x, padding, stride), f"{layer}_norm"
            return batch_norm(api, mode, f"{name}.{norm}", layers[norm], y)

        stride = 2 if "shortcut" in layers else 1
        y = normed("second", api.nn.relu(normed("first", x, 1, stride)), 1)
        return api.nn.relu(y + (normed("shortcut", x, 0, stride) if stride == 2 else x))


@dataclass(frozen=True)
class AlexNet:
    """Five convolutions and three dense layers, in the form of arXiv:1404.5997."""

    batch_size: int = 16
    size: int = 224
    hidden: int = 4096
    momentum: ClassVar[bool] = True

    def init(self) -> Params:
        draw, side = Draws(), self.size // 32 - 1
        shapes = [(11, 3, 64), (5, 64, 192), (3, 192, 384), (3, 384, 256), (3, 256, 256)]
        return {
            "convolutions": [draw.convolution(n, n, *channels) for n, *channels in shapes],
            "dense": [
                draw.dense(side * side * 256, self.hidden),
                draw.dense(self.hidden, self.hidden),
                draw.dense(self.hidden, 1000),
            ],
        }

    def batch(self) -> Batch:
        return labelled(images(self.batch_size, self.size), 1000)

    def logits(self, api: ModuleType, params: Params, x: Any, mode: Training | None) -> Any:
        for place, layer in enumerate(params["convolutions"]):
            stride = 4 if place == 0 else 1
            x = api.nn.relu(convolve(api, layer, x, 1 if place > 1 else 2, stride))
            x = max_pool(api, x, 3, 2) if place in (0, 1, 4) else x
        x = x.reshape(x.shape[0], -1)
        first, second, out = params["dense"]
        return linear(out, api.nn.relu(linear(second, api.nn.relu(linear(first, x)))))


Network = ImageCNN | LSTMClassifier | SentenceCNN | Transformer | ResNet18 | AlexNet


# --- training -------------------------------------------------------------------------------


def _momentum_init(api: ModuleType, params: Params) -> Any:
    return api.tree.map(api.numpy.zeros_like, params)


def _momentum_update(api: ModuleType, params: Params, memory: Any, grads: Params) -> Any:
    memory = api.tree.map(lambda m, g: MOMENTUM * m + g, memory, grads)
    return api.tree.map(lambda p, m: p - RATE * m, params, memory), memory


momentum = models.Optimizer(_momentum_init, _momentum_update)


def training_step(api: ModuleType, network: Network) -> Any:
    """`step(state, x, labels)` is the loss and the next state."""
    optimizer = momentum if network.momentum else models.adam

    def step(state: Any, x: Any, labels: Any) -> Any:
        params, memory, key = state
        key, used = api.random.split(key)

        def loss_of(params: Params) -> tuple[Any, dict[str, Any]]:
            mode = Training(used)
            logits = network.logits(api, params, x, mode)
            return models.cross_entropy(api, logits, labels), mode.averages

        gradient = api.value_and_grad(loss_of, has_aux=True)
        (loss, averages), grads = gradient(params)
        # averages have gradients of 0, which leave them as they are
        params, memory = optimizer.update(api, params, memory, grads)
        for name, (mean, var) in averages.items():
            layer = _layer(params, name.split("."))
            layer.update(mean=mean, var=var)
        return loss, (params, memory, key)

    return step


def _layer(params: Params, path: Sequence[str]) -> Params:
    for name in path:
        params = params[int(name) if name.isdigit() else name]
    return params


def initial_state(api: ModuleType, network: Network) -> Any:
    """Parameters, the optimiser's memory and a key."""
    optimizer = momentum if network.momentum else models.adam
    params = api.tree.map(api.numpy.array, network.init())
    return params, optimizer.init(api, params), api.random.key(0)
