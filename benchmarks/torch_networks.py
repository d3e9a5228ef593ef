"""The networks of `networks.py` in `torch.nn`; names of layers are those of the parameters.

Images and kernels keep their channels last in memory, PyTorch's faster format.
"""

from collections.abc import Callable
from typing import Any

import network_functions as networks
import numpy as np
import torch
import torch_models
from models import Params
from torch import Tensor, nn
from torch.nn import functional as F

NAMES = {"kernel": "weight", "embedding": "weight", "scale": "weight"}
NAMES |= {"mean": "running_mean", "var": "running_var"}
LSTM_NAMES = {"kernel": "weight_ih_l0", "recurrent_kernel": "weight_hh_l0", "bias": "bias_ih_l0"}


def load(module: nn.Module, params: Params | list[Params]) -> None:
    """Sets the parameters of layers and of those within them."""
    named = (
        params if isinstance(params, dict) else {str(i): layer for i, layer in enumerate(params)}
    )
    with torch.no_grad():
        for name, value in named.items():
            if isinstance(value, np.ndarray):
                names = LSTM_NAMES if isinstance(module, nn.LSTM) else NAMES
                getattr(module, names.get(name, name)).copy_(_turned(module, name, value))
            else:
                load(module.get_submodule(name), value)


def _turned(module: nn.Module, name: str, value: np.ndarray) -> Tensor:
    """Kernels have their inputs behind their outputs, and windows last."""
    if name.endswith("kernel"):
        outputs_first = value.ndim - 1, value.ndim - 2, *range(value.ndim - 2)
        value = value.transpose(outputs_first)
    return torch_models.tensor(value)


def channels_first(x: Tensor) -> Tensor:
    """The view that PyTorch wants of images whose channels are last."""
    return x.permute(0, 3, 1, 2)


def flattened(x: Tensor) -> Tensor:
    """Images as vectors, without a copy."""
    return x.permute(0, 2, 3, 1).flatten(1)


class ImageCNN(nn.Module):
    """Two blocks of convolutions, then dense layers."""

    def __init__(self, network: networks.ImageCNN) -> None:
        super().__init__()
        channels = [(3, 32), (32, 32), (32, 64), (64, 64)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(*pair, 3, padding="valid" if place % 2 else "same")
            for place, pair in enumerate(channels)
        )
        side = ((network.size - 2) // 2 - 2) // 2
        self.hidden, self.out = nn.Linear(side * side * 64, 512), nn.Linear(512, 10)
        self.between, self.behind = map(nn.Dropout, network.rates)

    def forward(self, x: Tensor) -> Tensor:
        x, layers = channels_first(x), list(self.convolutions)
        for first, second in (layers[:2], layers[2:]):
            x = self.between(F.max_pool2d(F.relu(second(F.relu(first(x)))), 2))
        return self.out(self.behind(F.relu(self.hidden(flattened(x)))))


class LSTMClassifier(nn.Module):
    """PyTorch's LSTM has a second bias, which adds nothing; it stays at zero."""

    def __init__(self, network: networks.LSTMClassifier) -> None:
        super().__init__()
        width = network.width
        self.words, self.out = nn.Embedding(network.vocabulary, width), nn.Linear(width, 2)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        unused = self.lstm.get_parameter("bias_hh_l0")
        nn.init.zeros_(unused).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        _, (state, _) = self.lstm(self.words(x))
        return self.out(state[-1])


class SentenceCNN(nn.Module):
    """Convolutions of three widths over embedded words, and the maximum of each filter."""

    def __init__(self, network: networks.SentenceCNN) -> None:
        super().__init__()
        width, filters = network.width, network.filters
        self.words = nn.Embedding(network.vocabulary, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, n) for n in (3, 4, 5))
        self.out, self.dropout = nn.Linear(3 * filters, 2), nn.Dropout(network.rate)

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.words(x).transpose(1, 2)
        found = [F.relu(convolve(embedded)).amax(2) for convolve in self.convolutions]
        return self.out(self.dropout(torch.cat(found, 1)))


class Transformer(torch_models.Transformer):
    """That of `training.py`, whose call gives the logits."""

    def __init__(self, network: networks.Transformer) -> None:
        super().__init__(network, network.init())

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits(tokens)


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which has one where the shape changes."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.first_norm, self.second_norm = _batch_norm(outputs), _batch_norm(outputs)
        self.shortcut = self.shortcut_norm = nn.Identity()
        if stride == 2:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut_norm = _batch_norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(y)) + self.shortcut_norm(self.shortcut(x)))


class ResNet18(nn.Module):
    """Four stages of two residual blocks."""

    def __init__(self, network: networks.ResNet18) -> None:
        super().__init__()
        widths = network.widths
        self.stem = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.stem_norm = _batch_norm(widths[0])
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(*pair)
                for inputs, outputs in zip((widths[0], *widths), widths, strict=False)
                for pair in ((inputs, outputs), (outputs, outputs))
            )
        )
        self.out = nn.Linear(widths[-1], network.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(channels_first(x))))
        return self.out(self.blocks(F.max_pool2d(x, 3, 2, padding=1)).mean((2, 3)))


class AlexNet(nn.Module):
    """Five convolutions and three dense layers."""

    def __init__(self, network: networks.AlexNet) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, stride=4, padding=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.Conv2d(256, 256, 3, padding=1),
            ]
        )
        features, hidden = (network.size // 32 - 1) ** 2 * 256, network.hidden
        sizes = [(features, hidden), (hidden, hidden), (hidden, 1000)]
        self.dense = nn.ModuleList(nn.Linear(*size) for size in sizes)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = channels_first(x)
        for place, convolve in enumerate(self.convolutions):
            x = F.relu(convolve(x))
            x = F.max_pool2d(x, 3, 2) if place in (0, 1, 4) else x
        first, second, out = self.dense
        x = F.relu(first(self.dropout(flattened(x))))
        return out(F.relu(second(self.dropout(x))))


def _batch_norm(features: int) -> nn.BatchNorm2d:
    kept = networks.KEPT_AVERAGE  # PyTorch's momentum is the weight of the new
    return nn.BatchNorm2d(features, networks.NORM_EPSILON, momentum=1 - kept)


MODULES: dict[type[networks.Network], Callable[..., nn.Module]] = {
    networks.ImageCNN: ImageCNN,
    networks.LSTMClassifier: LSTMClassifier,
    networks.SentenceCNN: SentenceCNN,
    networks.Transformer: Transformer,
    networks.ResNet18: ResNet18,
    networks.AlexNet: AlexNet,
}


def made(network: networks.Network) -> nn.Module:
    """The model, with the parameters that all libraries start from."""
    module = MODULES[type(network)](network)
    if not isinstance(network, networks.Transformer):
        load(module, network.init())
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def training_program(network: networks.Network, *, compiled: bool) -> Callable[[], Any]:
    """One training step: the loss, its gradient, and the optimiser's update in place."""
    module = made(network)
    forward: Callable[..., Any] = torch.compile(module) if compiled else module
    x, labels = torch_batch(network)
    trained = [p for p in module.parameters() if p.requires_grad]
    if network.momentum:
        optimizer = torch.optim.SGD(trained, networks.RATE, networks.MOMENTUM, fused=True)
    else:
        optimizer = torch.optim.Adam(trained, networks.RATE, fused=True)

    def program() -> Any:
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = F.cross_entropy(forward(x).flatten(0, -2), labels.flatten())
            loss.backward()
        optimizer.step()
        return loss.detach()

    return program


def inference_program(network: networks.Network, *, compiled: bool) -> Callable[[], Any]:
    """The model's logits."""
    module = made(network).eval()
    forward: Callable[..., Any] = torch.compile(module) if compiled else module
    x, _ = torch_batch(network)

    def program() -> Any:
        with torch.inference_mode():
            return forward(x)

    return program


def torch_batch(network: networks.Network) -> tuple[Tensor, Tensor]:
    """The batch; indices have PyTorch's own dtype."""
    x, labels = map(torch_models.tensor, network.batch())
    return x if x.is_floating_point() else x.long(), labels.long()
