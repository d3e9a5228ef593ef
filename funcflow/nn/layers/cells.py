"""Cells: one step of a recurrent layer.

A cell maps a carry and an input to a carry and an output. What it computes of the input alone is a
method of its own, `project`, so that a layer can do that for all time steps in one product.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import funcflow.numpy as fnp
from funcflow import random
from funcflow.core.array import Array
from funcflow.nn import initializers
from funcflow.nn.activations import sigmoid, tanh
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.arguments import expect_features
from funcflow.nn.module import Module, static


class RNNCell(Protocol):
    """What `nn.RNN` asks of a cell: any module with these methods is one.

    Example:
        >>> class Sum(nn.Module):
        ...     rate: ff.Array
        ...     def initial_carry(self, batch_shape, dtype=None):
        ...         return fnp.zeros((*batch_shape, 1), dtype)
        ...     def project(self, x):
        ...         return self.rate * x
        ...     def step(self, carry, projected):
        ...         return carry + projected
        ...     def output(self, carry):
        ...         return carry
        >>> nn.RNN(Sum(fnp.float32(2)))(fnp.ones((1, 3, 1))).ravel()
        Array([2., 4., 6.], dtype=float32)
    """

    def initial_carry(self, batch_shape: Sequence[int], dtype: Any = None) -> Any:
        """The carry in front of the first step, for a batch of this shape."""
        ...

    def project(self, x: Any) -> Any:
        """What the step uses of the input, for inputs of any leading axes."""
        ...

    def step(self, carry: Any, projected: Any) -> Any:
        """The next carry."""
        ...

    def output(self, carry: Any) -> Any:
        """What the cell gives after a step."""
        ...


class _KernelCell(Module):
    """A cell with a kernel for inputs and one for states; those of gates lie side by side."""

    kernel: Array
    recurrent_kernel: Array
    bias: Array | None

    @property
    def hidden_features(self) -> int:
        return self.recurrent_kernel.shape[0]

    def initial_carry(self, batch_shape: Sequence[int], dtype: Any = None) -> Any:
        """Zeros, of the parameters' dtype by default."""
        dtype = self.recurrent_kernel.dtype if dtype is None else dtype
        return fnp.zeros((*batch_shape, self.hidden_features), dtype)

    def project(self, x: Any) -> Array:
        expect_features(x, self.kernel.shape[0])
        y = x @ self.kernel
        return y if self.bias is None else y + self.bias

    def step(self, carry: Any, projected: Any) -> Any:
        raise NotImplementedError

    def output(self, carry: Any) -> Array:
        return carry

    def __call__(self, carry: Any, x: Any) -> tuple[Any, Any]:
        carry = self.step(carry, self.project(x))
        return carry, self.output(carry)


class SimpleRNNCell(_KernelCell):
    """`h' = activation(x @ kernel + h @ recurrent_kernel + bias)`; the carry is h (Elman, 1990).

    Args:
        in_features: the extent of the input's last axis.
        hidden_features: that of the state's and the output's.
        activation: what is applied to the sum.
        use_bias: whether a bias is added.
        kernel_init: draws the kernel, of shape `(in_features, hidden_features)`.
        recurrent_init: draws that for the state, `(hidden_features, hidden_features)`.
        bias_init: draws the bias, `(hidden_features,)`.
        dtype: of the parameters; float32 if None.
        key: for the initializers.

    Raises:
        ShapeError: at a call, if the last axis of the input has another extent.

    Example:
        >>> cell = nn.SimpleRNNCell(3, 4, key=ff.random.key(0))
        >>> carry, y = cell(cell.initial_carry((2,)), fnp.ones((2, 3)))
        >>> carry.shape, y.shape
        ((2, 4), (2, 4))
    """

    activation: Callable[[Any], Any] = static(default=tanh)

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        activation: Callable[[Any], Any] = tanh,
        use_bias: bool = True,
        kernel_init: Initializer = initializers.glorot_uniform(),
        recurrent_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        k1, k2, k3 = random.split(key, 3)
        self.kernel = kernel_init(k1, (in_features, hidden_features), dtype)
        self.recurrent_kernel = recurrent_init(k2, (hidden_features, hidden_features), dtype)
        self.bias = bias_init(k3, (hidden_features,), dtype) if use_bias else None
        self.activation = activation

    def step(self, carry: Any, projected: Any) -> Array:
        return self.activation(projected + carry @ self.recurrent_kernel)


class LSTMCell(_KernelCell):
    """Long short-term memory: the carry is `(h, c)`, the output h.

    With `i, f, g, o` the four parts of `x @ kernel + h @ recurrent_kernel + bias` (input, forget,
    cell and output gate, the order of Keras and PyTorch):

        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    From Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997), with the
    forget gate of Gers et al. (2000).

    Args:
        in_features: the extent of the input's last axis.
        hidden_features: that of the state's and the output's.
        use_bias: whether a bias is added.
        unit_forget_bias: whether 1 is added to the initial bias of the forget gate, so that the
            cell remembers at first (Jozefowicz et al., 2015).
        kernel_init: draws each gate's kernel, of shape `(in_features, hidden_features)`.
        recurrent_init: draws each gate's kernel for h, `(hidden_features, hidden_features)`.
        bias_init: draws each gate's bias, `(hidden_features,)`.
        dtype: of the parameters; float32 if None.
        key: for the initializers.

    Raises:
        ShapeError: at a call, if the last axis of the input has another extent.

    Example:
        >>> cell = nn.LSTMCell(3, 4, key=ff.random.key(0))
        >>> cell
        LSTMCell(kernel=f32[3,16], recurrent_kernel=f32[4,16], bias=f32[16])
        >>> (h, c), y = cell(cell.initial_carry((2,)), fnp.ones((2, 3)))
        >>> y.shape
        (2, 4)
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        use_bias: bool = True,
        unit_forget_bias: bool = True,
        kernel_init: Initializer = initializers.glorot_uniform(),
        recurrent_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        k1, k2, k3 = random.split(key, 3)
        state = (hidden_features,)
        self.kernel = _gates(4, kernel_init, k1, (in_features, *state), dtype)
        self.recurrent_kernel = _gates(4, recurrent_init, k2, (*state, *state), dtype)
        bias = _gates(4, bias_init, k3, state, dtype) if use_bias else None
        if bias is not None and unit_forget_bias:
            bias = bias.at[hidden_features : 2 * hidden_features].add(1)
        self.bias = bias

    def initial_carry(self, batch_shape: Sequence[int], dtype: Any = None) -> tuple[Array, Array]:
        """Zeros, of the parameters' dtype by default."""
        zeros = super().initial_carry(batch_shape, dtype)
        return zeros, zeros

    def step(self, carry: Any, projected: Any) -> tuple[Array, Array]:
        h, c = carry
        i, f, g, o = fnp.split(projected + h @ self.recurrent_kernel, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def output(self, carry: Any) -> Array:
        return carry[0]


class GRUCell(_KernelCell):
    """A gated recurrent unit; the carry is h.

    With `r, z, n` the three parts (reset and update gate, new state; the order of PyTorch) of
    `x @ kernel + bias`, and of `recurrent_kernel` the parts `R, Z, N`:

        r = sigmoid(r + h @ R)
        z = sigmoid(z + h @ Z)
        n = tanh(n + r * (h @ N + recurrent_bias))   with reset_after, else  tanh(n + (r * h) @ N)
        h' = (1 - z) * n + z * h

    From Cho et al., "Learning phrase representations using RNN encoder-decoder", arXiv:1406.1078,
    which resets in front of the product. Behind it, as cuDNN, PyTorch and Keras do, all gates are
    one product.

    Args:
        in_features: the extent of the input's last axis.
        hidden_features: that of the state's and the output's.
        reset_after: whether the state is reset behind the product.
        use_bias: whether biases are added.
        kernel_init: draws each gate's kernel, of shape `(in_features, hidden_features)`.
        recurrent_init: draws each gate's kernel for h, `(hidden_features, hidden_features)`.
        bias_init: draws each gate's bias, `(hidden_features,)`.
        dtype: of the parameters; float32 if None.
        key: for the initializers.

    Raises:
        ShapeError: at a call, if the last axis of the input has another extent.

    Example:
        >>> cell = nn.GRUCell(3, 4, key=ff.random.key(0))
        >>> cell.kernel.shape, cell.recurrent_kernel.shape
        ((3, 12), (4, 12))
        >>> carry, y = cell(cell.initial_carry((2,)), fnp.ones((2, 3)))
        >>> y.shape
        (2, 4)
    """

    recurrent_bias: Array | None
    reset_after: bool = static(default=True)

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        reset_after: bool = True,
        use_bias: bool = True,
        kernel_init: Initializer = initializers.glorot_uniform(),
        recurrent_init: Initializer = initializers.orthogonal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        k1, k2, k3, k4 = random.split(key, 4)
        state = (hidden_features,)
        self.kernel = _gates(3, kernel_init, k1, (in_features, *state), dtype)
        self.recurrent_kernel = _gates(3, recurrent_init, k2, (*state, *state), dtype)
        self.bias = _gates(3, bias_init, k3, state, dtype) if use_bias else None
        self.recurrent_bias = bias_init(k4, state, dtype) if use_bias and reset_after else None
        self.reset_after = reset_after

    def step(self, carry: Any, projected: Any) -> Array:
        gates = 2 * self.hidden_features
        if self.reset_after:
            seen, recalled = fnp.split(carry @ self.recurrent_kernel, [gates], axis=-1)
            if self.recurrent_bias is not None:
                recalled = recalled + self.recurrent_bias
            r, z = fnp.split(sigmoid(projected[..., :gates] + seen), 2, axis=-1)
            n = tanh(projected[..., gates:] + r * recalled)
        else:
            seen = carry @ self.recurrent_kernel[:, :gates]
            r, z = fnp.split(sigmoid(projected[..., :gates] + seen), 2, axis=-1)
            n = tanh(projected[..., gates:] + (r * carry) @ self.recurrent_kernel[:, gates:])
        return (1 - z) * n + z * carry


def _gates(count: int, init: Initializer, key: Any, shape: tuple[int, ...], dtype: Any) -> Array:
    """Parameters of several gates side by side; the initializer sees each by itself."""
    parts = [init(key, shape, dtype) for key in random.split(key, count)]
    return fnp.concatenate(parts, axis=-1)
