"""The models whose training steps are measured, written once for JAX and funcflow.

`api` is the module of either library: its `numpy`, `lax` and `nn` are all that the models use.
Parameters are made with NumPy, so that every library (PyTorch's models are in `torch_models.py`)
starts from the same ones.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np

ADAM_RATE, SGD_RATE = 1e-4, 1e-3  # small: a model that fits its one batch would stop moving
NORM_EPSILON = 1e-5

Params = Any  # a tree of arrays
Batch = tuple[np.ndarray, ...]


# --- optimisers -----------------------------------------------------------------------------


class Optimizer(NamedTuple):
    """`init(api, params)` makes its memory; `update` returns new parameters and memory."""

    init: Callable[[ModuleType, Params], Any]
    update: Callable[[ModuleType, Params, Any, Params], tuple[Params, Any]]


def _adam_init(api: ModuleType, params: Params) -> Any:
    mean, square = (api.tree.map(api.numpy.zeros_like, params) for _ in range(2))
    return api.numpy.array(np.float32(0)), mean, square


def _adam_update(api: ModuleType, params: Params, memory: Any, grads: Params) -> Any:
    """Adam with its usual constants (Kingma and Ba, 2015, algorithm 1)."""
    tree_map = api.tree.map
    count, mean, square = memory
    count = count + 1
    mean = tree_map(lambda m, g: 0.9 * m + 0.1 * g, mean, grads)
    square = tree_map(lambda s, g: 0.999 * s + 0.001 * g * g, square, grads)
    mean_scale, square_scale = 1 / (1 - 0.9**count), 1 / (1 - 0.999**count)

    def updated(p: Any, m: Any, s: Any) -> Any:
        return p - ADAM_RATE * (m * mean_scale) / (api.numpy.sqrt(s * square_scale) + 1e-8)

    return tree_map(updated, params, mean, square), (count, mean, square)


def _sgd_update(api: ModuleType, params: Params, memory: Any, grads: Params) -> Any:
    return api.tree.map(lambda p, g: p - SGD_RATE * g, params, grads), memory


adam = Optimizer(_adam_init, _adam_update)
sgd = Optimizer(lambda api, params: (), _sgd_update)


# --- parts ----------------------------------------------------------------------------------


def weights(rng: np.random.Generator, *shape: int, inputs: int) -> np.ndarray:
    """Random numbers whose sums over `inputs` products have the size of the inputs."""
    return rng.standard_normal(shape, np.float32) / np.float32(math.sqrt(inputs))


def dense_params(rng: np.random.Generator, inputs: int, outputs: int) -> dict[str, np.ndarray]:
    bias = np.zeros(outputs, np.float32)
    return {"weight": weights(rng, inputs, outputs, inputs=inputs), "bias": bias}


def dense(params: Params, x: Any) -> Any:
    return x @ params["weight"] + params["bias"]


def cross_entropy(api: ModuleType, logits: Any, labels: Any) -> Any:
    """The mean of minus the logarithm of the labels' probabilities."""
    log_probabilities = api.nn.log_softmax(logits, axis=-1)
    return -api.numpy.mean(api.numpy.take_along_axis(log_probabilities, labels[..., None], axis=-1))


def layer_norm(api: ModuleType, params: Params, x: Any) -> Any:
    xp = api.numpy
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    variance = xp.mean(centred * centred, axis=-1, keepdims=True)
    return centred * api.lax.rsqrt(variance + NORM_EPSILON) * params["scale"] + params["shift"]


# --- models ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class MLP:
    """Three dense layers: 784, 512, 512, 10."""

    batch_size: int = 128
    widths: tuple[int, ...] = (784, 512, 512, 10)
    optimizer: ClassVar[Optimizer] = adam

    def init(self) -> Params:
        rng = np.random.default_rng(0)
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        return [dense_params(rng, inputs, outputs) for inputs, outputs in pairs]

    def batch(self) -> Batch:
        rng = np.random.default_rng(1)
        images = rng.standard_normal((self.batch_size, self.widths[0]), np.float32)
        return images, rng.integers(0, self.widths[-1], self.batch_size, dtype=np.int32)

    def loss(self, api: ModuleType, params: Params, images: Any, labels: Any) -> Any:
        return cross_entropy(api, self.logits(api, params, images), labels)

    def logits(self, api: ModuleType, params: Params, images: Any) -> Any:
        x = images
        for layer in params[:-1]:
            x = api.nn.relu(dense(layer, x))
        return dense(params[-1], x)


@dataclass(frozen=True)
class CNN:
    """Two blocks of two 3x3 convolutions and a pool, then dense layers of 512 and 10.

    The first convolution of a block keeps the size. Images are NHWC, kernels HWIO.
    """

    batch_size: int = 32
    size: int = 32
    optimizer: ClassVar[Optimizer] = sgd

    def init(self) -> Params:
        rng = np.random.default_rng(0)
        channels = [(3, 32), (32, 32), (32, 64), (64, 64)]
        side = ((self.size - 2) // 2 - 2) // 2
        return {
            "convolutions": [
                {
                    "kernel": weights(rng, 3, 3, inputs, outputs, inputs=9 * inputs),
                    "bias": np.zeros(outputs, np.float32),
                }
                for inputs, outputs in channels
            ],
            "dense": [dense_params(rng, side * side * 64, 512), dense_params(rng, 512, 10)],
        }

    def batch(self) -> Batch:
        rng = np.random.default_rng(1)
        shape = self.batch_size, self.size, self.size, 3
        images = rng.standard_normal(shape, np.float32)
        return images, rng.integers(0, 10, self.batch_size, dtype=np.int32)

    def loss(self, api: ModuleType, params: Params, images: Any, labels: Any) -> Any:
        return cross_entropy(api, self.logits(api, params, images), labels)

    def logits(self, api: ModuleType, params: Params, images: Any) -> Any:
        relu = api.nn.relu

        def convolve(layer: Params, x: Any, padding: str) -> Any:
            dimensions = ("NHWC", "HWIO", "NHWC")
            y = api.lax.conv_general_dilated(
                x, layer["kernel"], (1, 1), padding, dimension_numbers=dimensions
            )
            return relu(y + layer["bias"])

        def pool(x: Any) -> Any:
            window = (1, 2, 2, 1)
            return api.lax.reduce_window(x, -np.inf, api.lax.max, window, window, "VALID")

        first, second, third, fourth = params["convolutions"]
        x = pool(convolve(second, convolve(first, images, "SAME"), "VALID"))
        x = pool(convolve(fourth, convolve(third, x, "SAME"), "VALID"))
        hidden, out = params["dense"]
        x = relu(dense(hidden, x.reshape(x.shape[0], -1)))
        return dense(out, x)


@dataclass(frozen=True)
class LSTM:
    """100 units over sequences of 80 vectors of 32 numbers; the last state is classified.

    Gates are input, forget, cell and output, as in PyTorch.
    """

    batch_size: int = 32
    length: int = 80
    inputs: int = 32
    units: int = 100
    optimizer: ClassVar[Optimizer] = sgd

    def init(self) -> Params:
        rng = np.random.default_rng(0)
        return {
            "input": dense_params(rng, self.inputs, 4 * self.units),
            "recurrent": weights(rng, self.units, 4 * self.units, inputs=self.units),
            "out": dense_params(rng, self.units, 10),
        }

    def batch(self) -> Batch:
        rng = np.random.default_rng(1)
        sequences = rng.standard_normal((self.length, self.batch_size, self.inputs), np.float32)
        return sequences, rng.integers(0, 10, self.batch_size, dtype=np.int32)

    def loss(self, api: ModuleType, params: Params, sequences: Any, labels: Any) -> Any:
        xp, sigmoid = api.numpy, api.nn.sigmoid

        def cell(carry: tuple[Any, Any], projected: Any) -> tuple[tuple[Any, Any], None]:
            state, memory = carry
            gates = projected + state @ params["recurrent"]
            enter, keep, new, leave = xp.split(gates, 4, axis=-1)
            memory = sigmoid(keep) * memory + sigmoid(enter) * xp.tanh(new)
            return (sigmoid(leave) * xp.tanh(memory), memory), None

        zeros = xp.zeros((sequences.shape[1], self.units), "float32")
        (state, _), _ = api.lax.scan(cell, (zeros, zeros), dense(params["input"], sequences))
        return cross_entropy(api, dense(params["out"], state), labels)


@dataclass(frozen=True)
class Transformer:
    """A decoder over bytes: layers unrolled, norms before each part, tied embeddings, no biases."""

    layers: int = 4
    batch_size: int = 8
    context: int = 128
    width: int = 256
    heads: int = 4
    vocabulary: int = 256
    optimizer: ClassVar[Optimizer] = adam

    def init(self) -> Params:
        """Random parameters. Weights map the last axis; those of attention keep heads apart."""
        rng = np.random.default_rng(0)
        width, heads, each = self.width, self.heads, self.width // self.heads

        def small(*shape: int) -> np.ndarray:
            return np.float32(0.02) * rng.standard_normal(shape, np.float32)

        def norm() -> Params:
            return {"scale": np.ones(width, np.float32), "shift": np.zeros(width, np.float32)}

        def layer() -> Params:
            return {
                "attention_norm": norm(),
                "query_key_value": small(width, 3, heads, each),
                "attention_out": small(heads, each, width),
                "mlp_norm": norm(),
                "mlp_in": small(width, 4 * width),
                "mlp_out": small(4 * width, width),
            }

        return {
            "tokens": small(self.vocabulary, width),
            "positions": small(self.context, width),
            "layers": [layer() for _ in range(self.layers)],
            "final_norm": norm(),
        }

    def batch(self) -> Batch:
        rng = np.random.default_rng(1)
        shape = self.batch_size, self.context + 1
        text = rng.integers(0, self.vocabulary, shape, dtype=np.int32)
        return text[:, :-1], text[:, 1:]

    def attention(self, api: ModuleType, params: Params, x: Any) -> Any:
        xp = api.numpy
        query, key, value = xp.einsum("btd,dshk->sbhtk", x, params["query_key_value"])
        scores = xp.einsum("bhqk,bhtk->bhqt", query, key) / math.sqrt(self.width // self.heads)
        causal = xp.tril(xp.ones((self.context, self.context), dtype=bool))
        shares = api.nn.softmax(xp.where(causal, scores, -1e9), axis=-1)
        mixed = xp.einsum("bhqt,bhtk->bhqk", shares, value)
        return xp.einsum("bhqk,hkd->bqd", mixed, params["attention_out"])

    def loss(self, api: ModuleType, params: Params, tokens: Any, targets: Any) -> Any:
        x = params["tokens"][tokens] + params["positions"]
        for layer in params["layers"]:
            x = x + self.attention(api, layer, layer_norm(api, layer["attention_norm"], x))
            hidden = api.nn.gelu(layer_norm(api, layer["mlp_norm"], x) @ layer["mlp_in"])
            x = x + hidden @ layer["mlp_out"]
        logits = layer_norm(api, params["final_norm"], x) @ params["tokens"].T
        return cross_entropy(api, logits, targets)


Model = MLP | CNN | LSTM | Transformer


def training_step(api: ModuleType, model: Model) -> Callable[..., Any]:
    """`step(state, *batch)` is the loss and the next state. It is new to every cache."""

    def step(state: Any, *batch: Any) -> Any:
        params, memory = state
        gradient = api.value_and_grad(lambda p: model.loss(api, p, *batch))
        loss, grads = gradient(params)
        return loss, model.optimizer.update(api, params, memory, grads)

    return step


def initial_state(api: ModuleType, model: Model) -> Any:
    """Parameters and the optimiser's memory in the library's own arrays."""
    params = api.tree.map(api.numpy.array, model.init())
    return params, model.optimizer.init(api, params)
