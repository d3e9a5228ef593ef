"""Parity with PyTorch: layers of the same meaning, with loaded weights, in value and gradients."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

import funcflow as ff
import funcflow.numpy as fnp
from funcflow import nn

torch = pytest.importorskip("torch")

KEY = ff.random.key(0)


class Pair(NamedTuple):
    """A layer, the layer in PyTorch, and where PyTorch has the layer's parameters."""

    ours: nn.Module
    theirs: Any
    shape: tuple[int, ...]
    loads: Mapping[str, Callable[[nn.Module], Any]] = MappingProxyType({})
    """By the name of a parameter: the array of ours that it holds."""
    images: bool = True
    """Whether PyTorch wants the channels in front of the spatial axes."""


def swapped(kernel: Any) -> Any:
    """A kernel (*window, in, out) as PyTorch has it: (out, in, *window)."""
    return fnp.moveaxis(kernel, (-1, -2), (0, 1))


def transposed(kernel: Any) -> Any:
    """A transposed convolution's: (in, out, *window), and the window is flipped."""
    flipped = fnp.flip(kernel, tuple(range(kernel.ndim - 2)))
    return fnp.moveaxis(flipped, (-2, -1), (0, 1))


def transposed_in_groups(kernel: Any, groups: int) -> Any:
    """The same of groups: PyTorch has those of the inputs one behind the other."""
    return fnp.concatenate([transposed(part) for part in fnp.split(kernel, groups, -1)])


CONV = {"weight": lambda m: swapped(m.kernel), "bias": lambda m: m.bias}
TRANSPOSE = {"weight": lambda m: transposed(m.kernel), "bias": lambda m: m.bias}
NORM = {"weight": lambda m: m.scale, "bias": lambda m: m.bias}


def drawn(layer: nn.Module) -> nn.Module:
    """The layer with all parameters drawn, so that scales and biases matter."""
    leaves, treedef = ff.tree.flatten(layer)
    keys = ff.random.split(KEY, max(len(leaves), 1))
    return treedef.unflatten(
        ff.random.uniform(key, x.shape, minval=0.5) for key, x in zip(keys, leaves, strict=False)
    )


PAIRS: dict[str, Pair] = {
    "Linear": Pair(
        nn.Linear(3, 2, key=KEY),
        torch.nn.Linear(3, 2),
        (4, 3),
        {"weight": lambda m: m.kernel.T, "bias": lambda m: m.bias},
        images=False,
    ),
    "Conv1d": Pair(
        nn.Conv1d(4, 6, 3, strides=2, padding=2, dilation=2, groups=2, key=KEY),
        torch.nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2),
        (2, 9, 4),
        CONV,
    ),
    "Conv2d": Pair(
        nn.Conv2d(3, 5, (3, 2), strides=(1, 2), padding=(1, 0), key=KEY),
        torch.nn.Conv2d(3, 5, (3, 2), stride=(1, 2), padding=(1, 0)),
        (2, 6, 7, 3),
        CONV,
    ),
    "Conv2d, same": Pair(
        nn.Conv2d(3, 5, 3, key=KEY), torch.nn.Conv2d(3, 5, 3, padding="same"), (2, 6, 7, 3), CONV
    ),
    "Conv3d": Pair(
        nn.Conv3d(2, 3, 2, padding="VALID", key=KEY),
        torch.nn.Conv3d(2, 3, 2),
        (1, 3, 4, 5, 2),
        CONV,
    ),
    "DepthwiseConv2d": Pair(
        nn.DepthwiseConv2d(3, 3, multiplier=2, padding=1, key=KEY),
        torch.nn.Conv2d(3, 6, 3, padding=1, groups=3),
        (2, 5, 6, 3),
        CONV,
    ),
    "ConvTranspose1d": Pair(
        nn.ConvTranspose1d(3, 2, 3, strides=2, padding=[(1, 0)], key=KEY),
        torch.nn.ConvTranspose1d(3, 2, 3, stride=2, padding=1, output_padding=1),
        (2, 5, 3),
        TRANSPOSE,
    ),
    "ConvTranspose2d": Pair(
        nn.ConvTranspose2d(3, 2, (3, 4), strides=(1, 2), padding=1, dilation=(2, 1), key=KEY),
        torch.nn.ConvTranspose2d(3, 2, (3, 4), stride=(1, 2), padding=1, dilation=(2, 1)),
        (2, 5, 4, 3),
        TRANSPOSE,
    ),
    "ConvTranspose2d, in groups": Pair(
        nn.ConvTranspose2d(6, 4, 3, strides=2, padding=1, groups=2, key=KEY),
        torch.nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, groups=2),
        (2, 5, 4, 6),
        {**TRANSPOSE, "weight": lambda m: transposed_in_groups(m.kernel, 2)},
    ),
    "ConvTranspose3d": Pair(
        nn.ConvTranspose3d(3, 2, 2, strides=2, padding=0, key=KEY),
        torch.nn.ConvTranspose3d(3, 2, 2, stride=2),
        (1, 2, 3, 4, 3),
        TRANSPOSE,
    ),
    "MaxPool1d": Pair(nn.MaxPool1d(2), torch.nn.MaxPool1d(2), (2, 5, 3)),
    "MaxPool2d": Pair(
        nn.MaxPool2d(3, strides=2, padding=1), torch.nn.MaxPool2d(3, 2, 1), (2, 7, 8, 3)
    ),
    "MaxPool3d": Pair(nn.MaxPool3d(2), torch.nn.MaxPool3d(2), (1, 4, 5, 6, 2)),
    "AvgPool1d": Pair(
        nn.AvgPool1d(3, strides=1, padding=1), torch.nn.AvgPool1d(3, 1, 1), (2, 5, 3)
    ),
    "AvgPool2d": Pair(
        nn.AvgPool2d(3, strides=2, padding=1, count_include_pad=False),
        torch.nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        (2, 7, 8, 3),
    ),
    "AvgPool3d": Pair(nn.AvgPool3d(2), torch.nn.AvgPool3d(2), (1, 4, 5, 6, 2)),
    "GlobalMaxPool2d": Pair(
        nn.GlobalMaxPool2d(keepdims=True), torch.nn.AdaptiveMaxPool2d(1), (2, 4, 5, 3)
    ),
    "GlobalAvgPool2d": Pair(
        nn.GlobalAvgPool2d(keepdims=True), torch.nn.AdaptiveAvgPool2d(1), (2, 4, 5, 3)
    ),
    "AdaptiveAvgPool1d": Pair(nn.AdaptiveAvgPool1d(4), torch.nn.AdaptiveAvgPool1d(4), (2, 7, 3)),
    "AdaptiveAvgPool2d": Pair(
        nn.AdaptiveAvgPool2d((2, 5)), torch.nn.AdaptiveAvgPool2d((2, 5)), (2, 6, 7, 3)
    ),
    "AdaptiveAvgPool3d": Pair(
        nn.AdaptiveAvgPool3d(2), torch.nn.AdaptiveAvgPool3d(2), (1, 3, 4, 5, 2)
    ),
    "ZeroPad2d": Pair(
        nn.ZeroPad2d(((1, 2), (3, 4))), torch.nn.ZeroPad2d((3, 4, 1, 2)), (2, 4, 5, 3)
    ),
    **{
        f"UpSample{rank}d, {method}": Pair(
            getattr(nn, f"UpSample{rank}d")(factor, method=method),
            torch.nn.Upsample(scale_factor=factor, mode=mode),
            (2, *range(3, 3 + rank), 2),
        )
        for rank, linear in ((1, "linear"), (2, "bilinear"), (3, "trilinear"))
        for factor in (2, 3)
        for method, mode in (("nearest", "nearest"), ("linear", linear))
    },
    "BatchNorm": Pair(
        nn.BatchNorm(3),
        torch.nn.BatchNorm2d(3).eval(),
        (2, 4, 5, 3),
        {
            **NORM,
            "running_mean": lambda m: m.mean,
            "running_var": lambda m: m.var,
        },
    ),
    "LayerNorm": Pair(
        nn.LayerNorm((4, 3)), torch.nn.LayerNorm((4, 3)), (2, 4, 3), NORM, images=False
    ),
    "GroupNorm": Pair(nn.GroupNorm(6, 3), torch.nn.GroupNorm(3, 6), (2, 4, 5, 6), NORM),
    "InstanceNorm": Pair(
        nn.InstanceNorm(3), torch.nn.InstanceNorm2d(3, affine=True), (2, 4, 5, 3), NORM
    ),
    "RMSNorm": Pair(
        nn.RMSNorm(5),
        torch.nn.RMSNorm(5, eps=1e-6),
        (3, 5),
        {"weight": lambda m: m.scale},
        images=False,
    ),
}


def tensor(x: Any) -> Any:
    return torch.from_numpy(np.array(x))


def channels_first(x: Any) -> Any:
    return fnp.moveaxis(x, -1, 1)


def check(pair: Pair, ours: nn.Module, theirs: Any, call: Callable[..., Any]) -> None:
    """Values, and the gradients of a weighed sum of them."""
    x = ff.random.normal(ff.random.key(1), pair.shape)
    there = channels_first if pair.images else lambda x: x
    for name, of in pair.loads.items():
        theirs.state_dict()[name].copy_(tensor(of(ours)))
    out, pullback = ff.vjp(call, ours, x)
    weights = ff.random.normal(ff.random.key(2), out.shape)
    gradient, x_gradient = pullback(weights)

    x_there = tensor(there(x)).requires_grad_()
    out_there = theirs(x_there)
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(there(out), out_there.detach(), **close)
    out_there.backward(tensor(there(weights)))
    np.testing.assert_allclose(there(x_gradient), x_there.grad, **close)
    parameters = dict(theirs.named_parameters())
    for name, of in pair.loads.items():
        if name in parameters:
            np.testing.assert_allclose(of(gradient), parameters[name].grad, **close)


@pytest.mark.parametrize("name", PAIRS)
def test_layers_agree(name: str) -> None:
    pair = PAIRS[name]
    check(pair, drawn(pair.ours), pair.theirs, ff.jit(lambda layer, x: layer(x)))


def test_batch_norm_agrees_in_training() -> None:
    """PyTorch's momentum is the weight of what is new, and its running variance is unbiased."""
    pair = PAIRS["BatchNorm"]._replace(loads=NORM)
    ours = nn.BatchNorm(3, momentum=0.9).replace(scale=fnp.array([1.0, 2.0, 3.0]))
    theirs = torch.nn.BatchNorm2d(3, momentum=0.1)
    check(pair, ours, theirs, lambda layer, x: nn.training(lambda m, x: m(x))(layer, x)[0])
    x = ff.random.normal(ff.random.key(1), pair.shape)
    _, trained = nn.training(lambda m, x: m(x))(ours, x)
    np.testing.assert_allclose(trained.mean, theirs.running_mean, rtol=1e-4, atol=1e-6)
    count = x.size // 3
    unbiased = 0.9 + (trained.var - 0.9) * count / (count - 1)
    np.testing.assert_allclose(unbiased, theirs.running_var, rtol=1e-4)


def test_embedding_agrees() -> None:
    ours, theirs = nn.Embedding(7, 3, key=KEY), torch.nn.Embedding(7, 3)
    theirs.weight.data = tensor(ours.embedding)
    symbols = np.array([[1, 1, 6], [0, 2, 1]])
    weights = np.random.default_rng(0).standard_normal((2, 3, 3)).astype("float32")
    gradient = ff.grad(lambda m: (m(symbols) * weights).sum())(ours)
    out = theirs(torch.from_numpy(symbols))
    np.testing.assert_allclose(ours(symbols), out.detach())
    out.backward(torch.from_numpy(weights))
    np.testing.assert_allclose(gradient.embedding, theirs.weight.grad, rtol=1e-5)
