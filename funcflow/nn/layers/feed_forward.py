"""The feed-forward part of a transformer's block."""

from collections.abc import Callable
from typing import Any

from funcflow import random
from funcflow.core.array import Array
from funcflow.nn import initializers
from funcflow.nn.activations import gelu
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.dropout import Dropout
from funcflow.nn.layers.linear import Linear
from funcflow.nn.module import Module, static


class FeedForward(Module):
    """Two affine maps of each vector, with an activation in between.

    With `gated`, what is activated is multiplied by a third map of the input; with `nn.silu` that
    is SwiGLU, with `nn.gelu` GEGLU (N. Shazeer, "GLU variants improve transformer",
    arXiv:2002.05202).

    Args:
        features: the extent of the input's and the output's last axis.
        hidden_features: that in between; 4 times `features` if None.
        activation: the function in between.
        gated: whether there is a gate.
        use_bias: whether the maps have biases.
        dropout: the rate at which, in training mode, hidden elements are dropped.
        kernel_init: draws the maps' kernels.
        dtype: of the parameters; float32 if None.
        key: for the initializers.

    Raises:
        ShapeError: at a call, if the last axis of the input has another extent.

    Example:
        >>> k = ff.random.key(0)
        >>> swiglu = nn.FeedForward(8, 16, activation=nn.silu, gated=True, use_bias=False, key=k)
        >>> swiglu(fnp.ones((2, 5, 8))).shape
        (2, 5, 8)
    """

    hidden: Linear
    gate: Linear | None
    out: Linear
    dropout: Dropout
    activation: Callable[[Any], Any] = static(default=gelu)

    def __init__(
        self,
        features: int,
        hidden_features: int | None = None,
        *,
        activation: Callable[[Any], Any] = gelu,
        gated: bool = False,
        use_bias: bool = True,
        dropout: float = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        dtype: Any = None,
        key: Any,
    ) -> None:
        width = 4 * features if hidden_features is None else hidden_features

        def linear(key: Any, inputs: int, outputs: int) -> Linear:
            options = {"use_bias": use_bias, "kernel_init": kernel_init, "dtype": dtype}
            return Linear(inputs, outputs, key=key, **options)

        k1, k2, k3 = random.split(key, 3)
        self.hidden = linear(k1, features, width)
        self.gate = linear(k2, features, width) if gated else None
        self.out = linear(k3, width, features)
        self.dropout = Dropout(dropout)
        self.activation = activation

    def __call__(self, x: Any) -> Array:
        hidden = self.activation(self.hidden(x))
        if self.gate is not None:
            hidden = hidden * self.gate(x)
        return self.out(self.dropout(hidden))
