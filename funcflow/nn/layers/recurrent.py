"""Recurrent layers: cells run along the time axis, in both directions, and stacked."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import funcflow.numpy as fnp
from funcflow import lax, random
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.core.pytree import tree_map
from funcflow.nn.layers.arguments import expect_ndim
from funcflow.nn.layers.cells import GRUCell, LSTMCell, RNNCell, SimpleRNNCell
from funcflow.nn.layers.dropout import Dropout
from funcflow.nn.layers.masks import time_mask
from funcflow.nn.module import Module, static

_MERGES: dict[str, Callable[[Any, Any], Array]] = {
    "concat": lambda a, b: fnp.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


class RNN(Module):
    """A cell run along the time axis of sequences.

    Sequences may be shorter than the time axis (`lengths`, `mask`): where a step does not count,
    the carry stays what it is, and the output is 0. So each sequence gets what it would get alone,
    also in reverse, where it begins at its own end.

    Args:
        cell: any `RNNCell`.
        return_sequences: whether to give the outputs of all steps, or that of the last (Keras'
            name; the default is that of Flax and PyTorch).
        reverse: whether to run from the end of the time axis to its start. Outputs stay in the
            places of their inputs.

    A call takes

        x: an array of shape `(batch, time, features)`.
        carry: the cell's state in front of the first step.
        lengths: integers of shape `(batch,)`; later steps do not count.
        mask: booleans of shape `(batch, time)`: the steps that count.

    and gives the outputs, of shape `(batch, time, hidden)` or `(batch, hidden)`; if it is given a
    carry, the pair of them and the final carry.

    Raises:
        ShapeError: at a call, if the input or the mask does not have these axes.

    Example:
        >>> layer = nn.RNN(nn.GRUCell(3, 4, key=ff.random.key(0)))
        >>> x = ff.random.normal(ff.random.key(1), (2, 5, 3))
        >>> y, carry = layer(x, layer.initial_carry((2,)))
        >>> y.shape, carry.shape
        ((2, 5, 4), (2, 4))
        >>> layer(x, lengths=fnp.array([5, 2]))[1, :, 0].round(2)
        Array([ 0.39, -0.22,  0.  ,  0.  ,  0.  ], dtype=float32)
    """

    cell: RNNCell
    return_sequences: bool = static(default=True)
    reverse: bool = static(default=False)

    def initial_carry(self, batch_shape: Sequence[int], dtype: Any = None) -> Any:
        """The cell's carry in front of the first step."""
        return self.cell.initial_carry(batch_shape, dtype)

    def reversed(self) -> "RNN":
        """The same layer run in the other direction."""
        return self.replace(reverse=not self.reverse)

    def __call__(self, x: Any, carry: Any = None, *, lengths: Any = None, mask: Any = None) -> Any:
        expect_ndim(x, 3, "batch, time, features")
        keep = time_mask(fnp.shape(x)[:2], lengths, mask)
        if keep is not None:  # what padding holds would else meet zeros in gradients, NaN too
            x = fnp.where(keep[..., None], x, 0)
        # time leads before the product of all steps, so that the loop reads it in order
        projected = self.cell.project(fnp.swapaxes(x, 0, 1))
        start = self.initial_carry(x.shape[:1], projected.dtype) if carry is None else carry
        outputs, end = self._scan(start, projected, None if keep is None else keep.T[..., None])
        y = fnp.swapaxes(outputs, 0, 1) if self.return_sequences else self.cell.output(end)
        return y if carry is None else (y, end)

    def _scan(self, carry: Any, projected: Any, keep: Any) -> tuple[Any, Any]:
        def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
            projected, keep = inputs
            following = tree_map(_like, self.cell.step(carry, projected), carry)
            output = self.cell.output(following)
            if keep is not None:
                following = tree_map(lambda a, b: fnp.where(keep, a, b), following, carry)
                output = fnp.where(keep, output, 0)
            return following, output if self.return_sequences else None

        end, outputs = lax.scan(step, carry, (projected, keep), reverse=self.reverse)
        return outputs, end


class Bidirectional(Module):
    """Two recurrent layers side by side, the second in reverse, and their outputs merged.

    From Schuster and Paliwal, "Bidirectional recurrent neural networks" (1997).

    Args:
        forward: an `RNN`, `SimpleRNN`, `LSTM` or `GRU`.
        backward: another; it is run in the other direction than it was made for.
        merge_mode: "concat", "sum", "mul" or "ave" (Keras' names).

    A call takes what the layers take, with the pair of their carries, and gives what they give.

    Raises:
        ArgumentError: there is no such mode.

    Example:
        >>> k1, k2 = ff.random.split(ff.random.key(0))
        >>> layer = nn.Bidirectional(nn.LSTM(3, 4, key=k1), nn.LSTM(3, 4, key=k2))
        >>> layer(fnp.ones((2, 5, 3))).shape
        (2, 5, 8)
    """

    forward: Any
    backward: Any
    merge_mode: str = static(default="concat")

    def __init__(self, forward: Any, backward: Any, *, merge_mode: str = "concat") -> None:
        if merge_mode not in _MERGES:
            raise ArgumentError(
                f"Bidirectional: there is no merge_mode {merge_mode!r}",
                mend=f"use one of {', '.join(map(repr, _MERGES))}",
            )
        self.forward = forward
        self.backward = backward.reversed()
        self.merge_mode = merge_mode

    def initial_carry(self, batch_shape: Sequence[int], dtype: Any = None) -> Any:
        """The pair of the layers' carries in front of their first steps."""
        return tuple(
            layer.initial_carry(batch_shape, dtype) for layer in (self.forward, self.backward)
        )

    def reversed(self) -> "Bidirectional":
        """The same layers, each run in the other direction."""
        return self.replace(forward=self.forward.reversed(), backward=self.backward.reversed())

    def __call__(self, x: Any, carry: Any = None, *, lengths: Any = None, mask: Any = None) -> Any:
        merge = _MERGES[self.merge_mode]
        if carry is None:
            layers = (self.forward, self.backward)
            return merge(*(layer(x, lengths=lengths, mask=mask) for layer in layers))
        ahead, forward_end = self.forward(x, carry[0], lengths=lengths, mask=mask)
        behind, backward_end = self.backward(x, carry[1], lengths=lengths, mask=mask)
        return merge(ahead, behind), (forward_end, backward_end)


class _Stacked(Module):
    """Recurrent layers one after another, with dropout in between."""

    layers: tuple[RNN | Bidirectional, ...]
    dropout: Dropout
    _cell: ClassVar[Callable[..., RNNCell]]

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        return_sequences: bool = True,
        reverse: bool = False,
        key: Any,
        **options: Any,
    ) -> None:
        if num_layers < 1:
            raise ArgumentError(f"a stack has at least one layer, got num_layers={num_layers}")
        ways = 1 + bidirectional

        def layer(index: int, key: Any) -> RNN | Bidirectional:
            width = in_features if index == 0 else hidden_features * ways
            cells = [
                self._cell(width, hidden_features, key=k, **options)
                for k in random.split(key, ways)
            ]
            sequences = return_sequences or index < num_layers - 1
            rnns = [RNN(cell, return_sequences=sequences, reverse=reverse) for cell in cells]
            return Bidirectional(*rnns) if bidirectional else rnns[0]

        keys = random.split(key, num_layers)
        self.layers = tuple(layer(index, key) for index, key in enumerate(keys))
        self.dropout = Dropout(dropout)

    def initial_carry(self, batch_shape: Sequence[int], dtype: Any = None) -> Any:
        """The tuple of the layers' carries in front of the first step."""
        return tuple(layer.initial_carry(batch_shape, dtype) for layer in self.layers)

    def reversed(self) -> "_Stacked":
        """The same layers run in the other direction."""
        return self.replace(layers=tuple(layer.reversed() for layer in self.layers))

    def __call__(self, x: Any, carry: Any = None, *, lengths: Any = None, mask: Any = None) -> Any:
        ends = []
        for index, layer in enumerate(self.layers):
            if index > 0:
                x = self.dropout(x)
            if carry is None:
                x = layer(x, lengths=lengths, mask=mask)
            else:
                x, end = layer(x, carry[index], lengths=lengths, mask=mask)
                ends.append(end)
        return x if carry is None else (x, tuple(ends))


class SimpleRNN(_Stacked, init=False):
    """Layers of `h = tanh(x @ kernel + h @ recurrent_kernel + bias)` along the time axis.

    Args:
        in_features: the extent of the input's last axis.
        hidden_features: that of the state's, and of the output's in each direction.
        num_layers: how many are stacked; each takes the outputs of the one before.
        bidirectional: whether each is two, one in reverse, whose outputs are concatenated.
        dropout: the rate at which, in training mode, elements between layers are dropped.
        return_sequences: whether to give the outputs of all steps, or that of the last.
        reverse: whether to run from the end of the time axis to its start.
        key: for the initializers.
        options: those of `nn.SimpleRNNCell`.

    A call is that of `nn.RNN`; its carry is a tuple of the layers' carries.

    Raises:
        ArgumentError: there is no layer.
        ShapeError: at a call, if the input does not have the axes `(batch, time, features)`.

    Example:
        >>> layer = nn.SimpleRNN(3, 4, activation=nn.relu, key=ff.random.key(0))
        >>> layer(fnp.ones((2, 5, 3))).shape
        (2, 5, 4)
    """

    _cell = SimpleRNNCell


class LSTM(_Stacked, init=False):
    """Layers of long short-term memory along the time axis: see `nn.LSTMCell`.

    Args:
        in_features: the extent of the input's last axis.
        hidden_features: that of the state's, and of the output's in each direction.
        num_layers: how many are stacked; each takes the outputs of the one before.
        bidirectional: whether each is two, one in reverse, whose outputs are concatenated.
        dropout: the rate at which, in training mode, elements between layers are dropped.
        return_sequences: whether to give the outputs of all steps, or that of the last.
        reverse: whether to run from the end of the time axis to its start.
        key: for the initializers.
        options: those of `nn.LSTMCell`.

    A call is that of `nn.RNN`; its carry is a tuple of the layers' carries.

    Raises:
        ArgumentError: there is no layer.
        ShapeError: at a call, if the input does not have the axes `(batch, time, features)`.

    Example:
        >>> layer = nn.LSTM(3, 4, return_sequences=False, key=ff.random.key(0))
        >>> x = fnp.ones((2, 5, 3))
        >>> layer(x).shape
        (2, 4)
        >>> y, ((h, c),) = layer(x, layer.initial_carry((2,)))  # a layer, its carry
        >>> bool((y == h).all())
        True
    """

    _cell = LSTMCell


class GRU(_Stacked, init=False):
    """Layers of gated recurrent units along the time axis: see `nn.GRUCell`.

    Args:
        in_features: the extent of the input's last axis.
        hidden_features: that of the state's, and of the output's in each direction.
        num_layers: how many are stacked; each takes the outputs of the one before.
        bidirectional: whether each is two, one in reverse, whose outputs are concatenated.
        dropout: the rate at which, in training mode, elements between layers are dropped.
        return_sequences: whether to give the outputs of all steps, or that of the last.
        reverse: whether to run from the end of the time axis to its start.
        key: for the initializers.
        options: those of `nn.GRUCell`.

    A call is that of `nn.RNN`; its carry is a tuple of the layers' carries.

    Raises:
        ArgumentError: there is no layer.
        ShapeError: at a call, if the input does not have the axes `(batch, time, features)`.

    Example:
        >>> layer = nn.GRU(3, 4, num_layers=2, bidirectional=True, key=ff.random.key(0))
        >>> layer(fnp.ones((2, 5, 3)), lengths=fnp.array([5, 3])).shape
        (2, 5, 8)
    """

    _cell = GRUCell


def _like(value: Any, carry: Any) -> Array:
    """A new carry in the dtype of the old one, which a loop keeps."""
    return fnp.asarray(value).astype(fnp.asarray(carry).dtype)
