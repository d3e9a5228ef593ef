"""Attention with heads as a layer, and a cache of what it has seen."""

from typing import Any, NamedTuple

import funcflow.numpy as fnp
from funcflow import lax, random
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, OutOfBoundsError
from funcflow.core.trace import Tracer
from funcflow.nn import initializers
from funcflow.nn.attention import dot_product_attention
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.arguments import expect_ndim
from funcflow.nn.layers.dropout import Dropout
from funcflow.nn.layers.linear import Linear
from funcflow.nn.layers.positions import RotaryEmbedding
from funcflow.nn.module import Module, static


class KVCache(NamedTuple):
    """Keys and values of the places that attention has seen: a tree of arrays of fixed shapes.

    `MultiHeadAttention.init_cache` makes an empty one.
    """

    key: Array
    """Of shape `(batch, max_length, num_kv_heads, head_features)`; zeros where nothing is yet."""
    value: Array
    length: Array
    """How many places are filled, an integer: the place of the next input."""

    def extended(self, key: Any, value: Any) -> "KVCache":
        """The cache with keys and values of further places behind those that it has.

        Raises:
            OutOfBoundsError: there is not so much room; in traced functions, where the length is
                not known, only within `ff.debug_indices()`. Else the last places are overwritten.
        """
        steps = key.shape[1]
        self._require_room(steps)

        def put(old: Any, new: Any) -> Array:
            new = new.astype(old.dtype)
            return lax.dynamic_update_slice_in_dim(
                old, new, self.length, 1, allow_negative_indices=False
            )

        return KVCache(put(self.key, key), put(self.value, value), self.length + steps)

    def _require_room(self, steps: int) -> None:
        filled = self.length.concrete() if isinstance(self.length, Tracer) else self.length
        room = self.key.shape[1]
        if filled is not None and int(filled) + steps > room:
            raise OutOfBoundsError(
                f"the cache has {room} places, {int(filled)} of them filled, got {steps} more",
                mend="make it with a larger max_length",
            )


class MultiHeadAttention(Module):
    """Attention of several heads, between the places of a sequence or from one to another.

    Queries, keys and values are affine maps of the inputs; each head is a slice of their features,
    in which `nn.dot_product_attention` averages values; another affine map joins the heads. From
    A. Vaswani et al., "Attention Is All You Need", arXiv:1706.03762. Names are those of Flax.

    Args:
        num_heads: how many heads queries have.
        in_features: the extent of the input's last axis.
        qkv_features: that of all heads' queries together; `in_features` if None.
        out_features: that of the output's; `in_features` if None.
        in_kv_features: that of the input of keys and values; `in_features` if None.
        num_kv_heads: how many heads keys and values have, each of which serves as many neighbours
            of the queries' heads (J. Ainslie et al., arXiv:2305.13245); `num_heads` if None.
        use_bias: whether the maps have biases.
        dropout: the rate at which, in training mode, weights are dropped.
        rotary: an `nn.RotaryEmbedding` for queries and keys.
        kernel_init: draws the maps' kernels.
        bias_init: draws their biases.
        dtype: of the parameters; float32 if None.
        key: for the initializers.

    A call takes

        inputs_q: an array of shape `(batch, time, in_features)`, of which queries are made.
        inputs_k: of which keys are made, of shape `(batch, places, in_kv_features)`; `inputs_q`
            if None.
        inputs_v: of which values are made; `inputs_k` if None.
        mask: booleans that broadcast with `(batch, num_heads, time, places)`; False excludes a
            place. Padding is masked by `lengths`.
        is_causal: whether each place sees itself and earlier ones only.
        lengths: integers of shape `(batch,)`; later keys are excluded.
        cache: a `KVCache`, for inputs that come in pieces: attention is causal, and sees the places
            in the cache too. `lengths` and the last axis of `mask` count the cache's places.

    and gives an array of shape `(batch, time, out_features)`; if it is given a cache, the pair of
    that and the cache with the new places. Weights are computed in at least float32.

    Raises:
        ArgumentError: features do not fall into heads, or heads into groups.
        OutOfBoundsError: at a call, if the cache is full (see `KVCache.extended`).
        ShapeError: at a call, if shapes do not fit.

    Example:
        >>> layer = nn.MultiHeadAttention(4, 16, rotary=nn.RotaryEmbedding(), key=ff.random.key(0))
        >>> x = ff.random.normal(ff.random.key(1), (2, 6, 16))
        >>> whole = layer(x, is_causal=True)
        >>> first, cache = layer(x[:, :5], cache=layer.init_cache(2, max_length=8))
        >>> last, cache = layer(x[:, 5:], cache=cache)
        >>> bool(fnp.allclose(whole[:, 5:], last, atol=1e-5))
        True
    """

    query: Linear
    key: Linear
    value: Linear
    out: Linear
    dropout: Dropout
    rotary: RotaryEmbedding | None
    num_heads: int = static()
    num_kv_heads: int = static()

    def __init__(
        self,
        num_heads: int,
        in_features: int,
        qkv_features: int | None = None,
        out_features: int | None = None,
        *,
        in_kv_features: int | None = None,
        num_kv_heads: int | None = None,
        use_bias: bool = True,
        dropout: float = 0.0,
        rotary: RotaryEmbedding | None = None,
        kernel_init: Initializer = initializers.lecun_normal(),
        bias_init: Initializer = initializers.zeros,
        dtype: Any = None,
        key: Any,
    ) -> None:
        self.num_heads = num_heads
        self.num_kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        features = in_features if qkv_features is None else qkv_features
        out_features = in_features if out_features is None else out_features
        kv_inputs = in_features if in_kv_features is None else in_kv_features
        _expect_multiple(features, num_heads, "features", "heads")
        _expect_multiple(num_heads, self.num_kv_heads, "heads", "groups")
        kv_features = features // num_heads * self.num_kv_heads

        def linear(key: Any, inputs: int, outputs: int) -> Linear:
            options = {"kernel_init": kernel_init, "bias_init": bias_init, "dtype": dtype}
            return Linear(inputs, outputs, use_bias=use_bias, key=key, **options)

        k1, k2, k3, k4 = random.split(key, 4)
        self.query = linear(k1, in_features, features)
        self.key = linear(k2, kv_inputs, kv_features)
        self.value = linear(k3, kv_inputs, kv_features)
        self.out = linear(k4, features, out_features)
        self.dropout = Dropout(dropout)
        self.rotary = rotary

    def init_cache(self, batch_size: int, max_length: int, *, dtype: Any = None) -> KVCache:
        """An empty cache for so many sequences of at most so many places.

        Its dtype is that of the parameters if None.
        """
        features = self.key.kernel.shape[1] // self.num_kv_heads
        dtype = self.key.kernel.dtype if dtype is None else dtype
        zeros = fnp.zeros((batch_size, max_length, self.num_kv_heads, features), dtype)
        return KVCache(zeros, zeros, fnp.int32(0))

    def keys_values(
        self, inputs_k: Any, inputs_v: Any = None, *, start: Any = 0
    ) -> tuple[Array, Array]:
        """Keys and values of some places, the first of which is number `start`, for `attend`."""
        expect_ndim(inputs_k, 3, "batch, places, features")
        key = _heads(self.key(inputs_k), self.num_kv_heads)
        value = _heads(self.value(inputs_k if inputs_v is None else inputs_v), self.num_kv_heads)
        return self._turned(key, start), value

    def attend(
        self,
        inputs_q: Any,
        key: Any,
        value: Any,
        *,
        mask: Any = None,
        is_causal: bool = False,
        lengths: Any = None,
        start: Any = 0,
    ) -> Array:
        """Attention to keys and values that are there; the first query's place is `start`."""
        query = self._turned(_heads(self.query(inputs_q), self.num_heads), start)
        mixed = dot_product_attention(
            query,
            key,
            value,
            mask=mask,
            is_causal=is_causal,
            key_value_seq_lengths=lengths,
            dropout=self.dropout,
        )
        return self.out(mixed.reshape(*mixed.shape[:2], self.out.kernel.shape[0]))

    def __call__(
        self,
        inputs_q: Any,
        inputs_k: Any = None,
        inputs_v: Any = None,
        *,
        mask: Any = None,
        is_causal: bool = False,
        lengths: Any = None,
        cache: KVCache | None = None,
    ) -> Any:
        expect_ndim(inputs_q, 3, "batch, time, features")
        inputs_k = inputs_q if inputs_k is None else inputs_k
        if cache is None:
            key, value = self.keys_values(inputs_k, inputs_v)
            options = {"mask": mask, "is_causal": is_causal, "lengths": lengths}
            return self.attend(inputs_q, key, value, **options)
        start = cache.length
        cache = cache.extended(*self.keys_values(inputs_k, inputs_v, start=start))
        seen = _causal(start, inputs_q.shape[1], cache.key.shape[1])
        mask = seen if mask is None else fnp.logical_and(mask, seen)
        options = {"mask": mask, "lengths": lengths, "start": start}
        return self.attend(inputs_q, cache.key, cache.value, **options), cache

    def _turned(self, x: Array, start: Any) -> Array:
        if self.rotary is None:
            return x
        return self.rotary(x, start + fnp.arange(x.shape[1]))


def _heads(x: Array, heads: int) -> Array:
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads)


def _causal(start: Any, time: int, places: int) -> Array:
    """Which of the cache's places queries see, the first of which is at `start`."""
    return fnp.arange(places) <= (start + fnp.arange(time))[:, None]


def _expect_multiple(whole: int, parts: int, what: str, into: str) -> None:
    if parts < 1 or whole % parts:
        raise ArgumentError(
            f"MultiHeadAttention: {whole} {what} do not fall into {parts} {into}",
            mend=f"use a number of {into} that divides that of {what}",
        )
