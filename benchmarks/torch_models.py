"""The models of `models.py` in PyTorch, each made from the same parameters."""

from collections.abc import Callable
from typing import Any, TypeVar

import models
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Module = TypeVar("Module", bound=nn.Module)


def tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


def loaded(module: Module, **params: np.ndarray) -> Module:
    """The module, with all of its parameters set."""
    module.load_state_dict({name: tensor(x) for name, x in params.items()})
    return module


def linear(weight: np.ndarray) -> nn.Linear:
    """A layer without a bias; PyTorch keeps weights as outputs by inputs."""
    return loaded(nn.Linear(*weight.shape, bias=False), weight=weight.T)


def dense(params: models.Params) -> nn.Linear:
    weight = params["weight"]
    return loaded(nn.Linear(*weight.shape), weight=weight.T, bias=params["bias"])


def layer_norm(params: models.Params) -> nn.LayerNorm:
    norm = nn.LayerNorm(params["scale"].shape[0], eps=models.NORM_EPSILON)
    return loaded(norm, weight=params["scale"], bias=params["shift"])


def convolution(params: models.Params, padding: str) -> nn.Conv2d:
    """A convolution whose kernel has its channels last in memory, PyTorch's faster format."""
    kernel = params["kernel"].transpose(3, 2, 0, 1)
    outputs, inputs, *size = kernel.shape
    layer = nn.Conv2d(inputs, outputs, tuple(size), padding=padding)
    loaded(layer, weight=kernel, bias=params["bias"])
    layer.weight = nn.Parameter(layer.weight.contiguous(memory_format=torch.channels_last))
    return layer


class MLP(nn.Module):
    """`models.MLP`; calling it, like the others, gives the loss."""

    def __init__(self, model: models.MLP, params: models.Params) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for layer in params:
            layers += [dense(layer), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.layers(images), labels)


class CNN(nn.Module):
    """`models.CNN`; images, too, keep their channels last in memory."""

    def __init__(self, model: models.CNN, params: models.Params) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, layer in enumerate(params["convolutions"]):
            ends_block = place % 2 == 1
            layers += [convolution(layer, "valid" if ends_block else "same"), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if ends_block else []
        self.convolutions = nn.Sequential(*layers)
        hidden, out = map(dense, params["dense"])
        self.classifier = nn.Sequential(hidden, nn.ReLU(), out)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        features = self.convolutions(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return F.cross_entropy(self.classifier(features.flatten(1)), labels)


class LSTM(nn.Module):
    """`models.LSTM`. PyTorch has a second bias, which adds nothing; it stays at zero."""

    def __init__(self, model: models.LSTM, params: models.Params) -> None:
        super().__init__()
        self.lstm = loaded(
            nn.LSTM(model.inputs, model.units),
            weight_ih_l0=params["input"]["weight"].T,
            weight_hh_l0=params["recurrent"].T,
            bias_ih_l0=params["input"]["bias"],
            bias_hh_l0=np.zeros(4 * model.units, np.float32),
        )
        self.lstm.get_parameter("bias_hh_l0").requires_grad_(False)
        self.out = dense(params["out"])

    def forward(self, sequences: Tensor, labels: Tensor) -> Tensor:
        _, (state, _) = self.lstm(sequences)
        return F.cross_entropy(self.out(state[-1]), labels)


class Layer(nn.Module):
    """A layer of the transformer: attention, then two dense layers."""

    def __init__(self, model: models.Transformer, params: models.Params) -> None:
        super().__init__()
        width = model.width
        self.heads = model.heads
        self.attention_norm = layer_norm(params["attention_norm"])
        self.query_key_value = linear(params["query_key_value"].reshape(width, -1))
        self.attention_out = linear(params["attention_out"].reshape(-1, width))
        self.mlp_norm = layer_norm(params["mlp_norm"])
        self.mlp_in, self.mlp_out = linear(params["mlp_in"]), linear(params["mlp_out"])

    def forward(self, x: Tensor) -> Tensor:
        batch, context, width = x.shape
        projected = self.query_key_value(self.attention_norm(x))
        heads = projected.view(batch, context, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*heads.unbind(0), is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(batch, context, width))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)), approximate="tanh"))


class Transformer(nn.Module):
    """`models.Transformer`, with PyTorch's fused attention."""

    def __init__(self, model: models.Transformer, params: models.Params) -> None:
        super().__init__()
        self.tokens = nn.Embedding.from_pretrained(tensor(params["tokens"]), freeze=False)
        self.positions = nn.Parameter(tensor(params["positions"]))
        self.layers = nn.Sequential(*(Layer(model, layer) for layer in params["layers"]))
        self.final_norm = layer_norm(params["final_norm"])

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(tokens).flatten(0, 1), targets.flatten())

    def logits(self, tokens: Tensor) -> Tensor:
        x = self.final_norm(self.layers(self.tokens(tokens) + self.positions))
        return F.linear(x, self.tokens.weight)


MODULES: dict[type[models.Model], Callable[..., nn.Module]] = {
    models.MLP: MLP,
    models.CNN: CNN,
    models.LSTM: LSTM,
    models.Transformer: Transformer,
}


def training_program(model: models.Model, *, compiled: bool) -> Callable[[], Any]:
    """One training step: the loss, its gradient, and the optimiser's update in place."""
    module = MODULES[type(model)](model, model.init())
    loss_of: Callable[..., Any] = torch.compile(module) if compiled else module
    batch = [tensor(x) if x.dtype.kind == "f" else tensor(x).long() for x in model.batch()]
    trained = [p for p in module.parameters() if p.requires_grad]
    if model.optimizer is models.adam:
        optimizer = torch.optim.Adam(trained, lr=models.ADAM_RATE, fused=True)
    else:
        optimizer = torch.optim.SGD(trained, lr=models.SGD_RATE, fused=True)

    def program() -> Any:
        optimizer.zero_grad()
        with torch.enable_grad():
            loss = loss_of(*batch)
            loss.backward()
        optimizer.step()
        return loss.detach()

    return program
