"""The networks of `networks.py` written with `funcflow.nn`, as a user would."""

from collections.abc import Callable
from typing import Any

import network_functions as networks
import numpy as np
from models import Params

import funcflow as ff
from funcflow import losses, nn, optim, train

KEY = ff.random.key(0)  # parameters are replaced


def loaded(model: Any, params: Any) -> Any:
    """The model with parameters of the same names."""
    if isinstance(params, dict):
        fields = {name: loaded(getattr(model, name), value) for name, value in params.items()}
        return model.replace(**fields)
    if isinstance(params, list):
        return tuple(loaded(layer, value) for layer, value in zip(model, params, strict=True))
    if model.shape != params.shape:
        raise ValueError(f"a parameter of shape {params.shape} for {model}")
    return ff.numpy.array(params)


class ImageCNN(nn.Module):
    """Two blocks of convolutions, then dense layers."""

    convolutions: tuple[nn.Conv2d, ...]
    hidden: nn.Linear
    out: nn.Linear
    dropouts: tuple[nn.Dropout, nn.Dropout]
    pool: nn.MaxPool2d

    def __init__(self, network: networks.ImageCNN) -> None:
        channels = [(3, 32), (32, 32), (32, 64), (64, 64)]
        self.convolutions = tuple(
            nn.Conv2d(*pair, 3, padding="VALID" if place % 2 else "SAME", key=KEY)
            for place, pair in enumerate(channels)
        )
        side = ((network.size - 2) // 2 - 2) // 2
        self.hidden = nn.Linear(side * side * 64, 512, key=KEY)
        self.out = nn.Linear(512, 10, key=KEY)
        self.dropouts = (nn.Dropout(network.rates[0]), nn.Dropout(network.rates[1]))
        self.pool = nn.MaxPool2d(2)

    def __call__(self, x: Any) -> Any:
        between, behind = self.dropouts
        for first, second in (self.convolutions[:2], self.convolutions[2:]):
            x = self.pool(nn.relu(second(nn.relu(first(x)))))
            x = between(x)
        x = nn.relu(self.hidden(x.reshape(x.shape[0], -1)))
        return self.out(behind(x))


class LSTMClassifier(nn.Module):
    """Embedded words through an LSTM, whose last state is classified."""

    words: nn.Embedding
    lstm: nn.LSTM
    out: nn.Linear

    def __init__(self, network: networks.LSTMClassifier) -> None:
        self.words = nn.Embedding(network.vocabulary, network.width, key=KEY)
        self.lstm = nn.LSTM(network.width, network.width, return_sequences=False, key=KEY)
        self.out = nn.Linear(network.width, 2, key=KEY)

    def __call__(self, x: Any) -> Any:
        return self.out(self.lstm(self.words(x)))


class SentenceCNN(nn.Module):
    """Convolutions of three widths over embedded words, and the maximum of each filter."""

    words: nn.Embedding
    convolutions: tuple[nn.Conv1d, ...]
    out: nn.Linear
    pool: nn.GlobalMaxPool1d
    dropout: nn.Dropout

    def __init__(self, network: networks.SentenceCNN) -> None:
        width, filters = network.width, network.filters
        self.words = nn.Embedding(network.vocabulary, width, key=KEY)
        self.convolutions = tuple(
            nn.Conv1d(width, filters, size, padding="VALID", key=KEY) for size in (3, 4, 5)
        )
        self.out = nn.Linear(3 * filters, 2, key=KEY)
        self.pool = nn.GlobalMaxPool1d()
        self.dropout = nn.Dropout(network.rate)

    def __call__(self, x: Any) -> Any:
        embedded = self.words(x)
        found = [self.pool(nn.relu(convolve(embedded))) for convolve in self.convolutions]
        return self.out(self.dropout(ff.numpy.concatenate(found, axis=-1)))


class Transformer(nn.Module):
    """A decoder whose embedding is tied to its output."""

    tokens: nn.Embedding
    positions: nn.LearnedPositions
    decoder: nn.TransformerDecoder

    def __init__(self, network: networks.Transformer) -> None:
        width = network.width
        self.tokens = nn.Embedding(network.vocabulary, width, key=KEY)
        self.positions = nn.LearnedPositions(network.context, width, key=KEY)
        options = {"num_heads": network.heads, "use_bias": False}
        self.decoder = nn.TransformerDecoder(network.layers, width, key=KEY, **options)

    def __call__(self, x: Any) -> Any:
        return self.tokens.attend(self.decoder(self.positions(self.tokens(x))))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which has one where the shape changes."""

    first: nn.Conv2d
    first_norm: nn.BatchNorm
    second: nn.Conv2d
    second_norm: nn.BatchNorm
    shortcut: nn.Conv2d | None
    shortcut_norm: nn.BatchNorm | None

    def __init__(self, inputs: int, outputs: int) -> None:
        stride = 1 if inputs == outputs else 2
        options = {"use_bias": False, "key": KEY}
        self.first = nn.Conv2d(inputs, outputs, 3, strides=stride, padding=1, **options)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, **options)
        self.first_norm, self.second_norm = nn.BatchNorm(outputs), nn.BatchNorm(outputs)
        changes = stride == 2
        self.shortcut = nn.Conv2d(inputs, outputs, 1, strides=2, **options) if changes else None
        self.shortcut_norm = nn.BatchNorm(outputs) if changes else None

    def __call__(self, x: Any) -> Any:
        y = nn.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        if self.shortcut is not None and self.shortcut_norm is not None:
            x = self.shortcut_norm(self.shortcut(x))
        return nn.relu(x + y)


class ResNet18(nn.Module):
    """Four stages of two residual blocks."""

    stem: nn.Conv2d
    stem_norm: nn.BatchNorm
    pool: nn.MaxPool2d
    blocks: tuple[ResidualBlock, ...]
    out: nn.Linear

    def __init__(self, network: networks.ResNet18) -> None:
        widths = network.widths
        self.stem = nn.Conv2d(3, widths[0], 7, strides=2, padding=3, use_bias=False, key=KEY)
        self.stem_norm = nn.BatchNorm(widths[0])
        self.pool = nn.MaxPool2d(3, strides=2, padding=1)
        self.blocks = tuple(
            ResidualBlock(*pair)
            for inputs, outputs in zip((widths[0], *widths), widths, strict=False)
            for pair in ((inputs, outputs), (outputs, outputs))
        )
        self.out = nn.Linear(widths[-1], network.classes, key=KEY)

    def __call__(self, x: Any) -> Any:
        x = self.pool(nn.relu(self.stem_norm(self.stem(x))))
        for block in self.blocks:
            x = block(x)
        return self.out(x.mean((1, 2)))


class AlexNet(nn.Module):
    """Five convolutions and three dense layers."""

    convolutions: tuple[nn.Conv2d, ...]
    dense: tuple[nn.Linear, ...]
    pool: nn.MaxPool2d
    dropout: nn.Dropout

    def __init__(self, network: networks.AlexNet) -> None:
        self.convolutions = (
            nn.Conv2d(3, 64, 11, strides=4, padding=2, key=KEY),
            nn.Conv2d(64, 192, 5, padding=2, key=KEY),
            nn.Conv2d(192, 384, 3, padding=1, key=KEY),
            nn.Conv2d(384, 256, 3, padding=1, key=KEY),
            nn.Conv2d(256, 256, 3, padding=1, key=KEY),
        )
        features = (network.size // 32 - 1) ** 2 * 256
        sizes = ((features, network.hidden), (network.hidden, network.hidden))
        self.dense = tuple(nn.Linear(*size, key=KEY) for size in (*sizes, (network.hidden, 1000)))
        self.pool = nn.MaxPool2d(3, strides=2)
        self.dropout = nn.Dropout(0.5)

    def __call__(self, x: Any) -> Any:
        for place, convolve in enumerate(self.convolutions):
            x = nn.relu(convolve(x))
            x = self.pool(x) if place in (0, 1, 4) else x
        x = x.reshape(x.shape[0], -1)
        first, second, out = self.dense
        return out(nn.relu(second(self.dropout(nn.relu(first(self.dropout(x)))))))


MODULES: dict[type[networks.Network], Callable[..., nn.Module]] = {
    networks.ImageCNN: ImageCNN,
    networks.LSTMClassifier: LSTMClassifier,
    networks.SentenceCNN: SentenceCNN,
    networks.Transformer: Transformer,
    networks.ResNet18: ResNet18,
    networks.AlexNet: AlexNet,
}


def made(network: networks.Network) -> Any:
    """The model, with the parameters that all libraries start from."""
    params = network.init()
    if isinstance(network, networks.LSTMClassifier):
        params["lstm"] = {"layers": [{"cell": params["lstm"]}]}
    elif isinstance(network, networks.Transformer):
        params = _decoder_params(params)
    return loaded(MODULES[type(network)](network), params)


def _decoder_params(params: Params) -> Params:
    """The transformer's parameters by the names of `nn.TransformerDecoder`."""

    def norm(layer: Params) -> Params:
        return {"scale": layer["scale"], "bias": layer["shift"]}

    def block(layer: Params) -> Params:
        width = len(layer["query_key_value"])
        query, key, value = np.moveaxis(layer["query_key_value"], 1, 0).reshape(3, width, -1)
        out = layer["attention_out"].reshape(-1, width)
        names = ("query", "key", "value", "out")
        attention = dict(zip(names, (query, key, value, out), strict=True))
        return {
            "attention": {name: {"kernel": kernel} for name, kernel in attention.items()},
            "attention_norm": norm(layer["attention_norm"]),
            "feed_forward": {
                "hidden": {"kernel": layer["mlp_in"]},
                "out": {"kernel": layer["mlp_out"]},
            },
            "feed_forward_norm": norm(layer["mlp_norm"]),
        }

    return {
        "tokens": {"embedding": params["tokens"]},
        "positions": {"embedding": params["positions"]},
        "decoder": {
            "blocks": [block(layer) for layer in params["layers"]],
            "norm": norm(params["final_norm"]),
        },
    }


def training_program(network: networks.Network) -> Callable[[], Any]:
    """One step of `train.train_step`, whose result is the loss."""
    momentum, rate = networks.MOMENTUM, networks.RATE
    optimizer = optim.sgd(rate, momentum) if network.momentum else optim.adam(rate)
    objective = train.supervised(losses.softmax_cross_entropy_with_integer_labels)
    step = train.train_step(objective, optimizer)
    state, running = train.create_state(made(network), optimizer), train.empty()
    batch = tuple(map(ff.numpy.array, network.batch()))

    def program() -> Any:
        nonlocal state, running
        state, running, loss = ff.block_until_ready(step(state, running, batch))
        return loss

    return program


def inference_program(network: networks.Network) -> Callable[[], Any]:
    """The model's logits."""
    model, x = made(network), ff.numpy.array(network.batch()[0])
    infer = ff.jit(lambda model, x: model(x))
    return lambda: infer(model, x).block_until_ready()
