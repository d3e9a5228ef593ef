"""Transformers: blocks of attention and feed-forward parts, and stacks of them.

A. Vaswani et al., "Attention Is All You Need", arXiv:1706.03762. Each part of a block is added to
what it takes; a norm stands in front of it (`norm_first`; R. Xiong et al., arXiv:2002.04745) or
behind the sum, as in the first paper.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from funcflow import random
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError
from funcflow.nn import initializers
from funcflow.nn.activations import gelu
from funcflow.nn.initializers import Initializer
from funcflow.nn.layers.attention import KVCache, MultiHeadAttention
from funcflow.nn.layers.dropout import Dropout
from funcflow.nn.layers.feed_forward import FeedForward
from funcflow.nn.layers.normalization import LayerNorm
from funcflow.nn.layers.positions import RotaryEmbedding
from funcflow.nn.module import Module, static


class TransformerEncoderBlock(Module):
    """Attention within a sequence, then a feed-forward part.

    Args:
        features: the extent of the input's and the output's last axis.
        num_heads: how many heads attention has.
        hidden_features: the width of the feed-forward part; 4 times `features` if None.
        norm_first: whether norms stand in front of the parts, or behind the sums.
        norm: makes a norm of the number of features and `dtype=`, such as `nn.RMSNorm`.
        activation: of the feed-forward part.
        gated: whether that has a gate: with `nn.silu` it is SwiGLU.
        num_kv_heads: how many heads keys and values have; `num_heads` if None.
        rotary: an `nn.RotaryEmbedding` for queries and keys.
        use_bias: whether affine maps have biases.
        dropout: the rate, in training mode, at which weights of attention, hidden elements and
            elements of what each part gives are dropped.
        kernel_init: draws the kernels of affine maps.
        dtype: of the parameters; float32 if None.
        key: for the initializers.

    A call takes an array of shape `(batch, time, features)`, and `mask`, `lengths` and `is_causal`
    as `nn.MultiHeadAttention` does; it gives an array of the same shape.

    Raises:
        ArgumentError: features do not fall into heads, or heads into groups.
        ShapeError: at a call, if shapes do not fit.

    Example:
        >>> block = nn.TransformerEncoderBlock(8, 2, key=ff.random.key(0))
        >>> block(fnp.ones((2, 5, 8)), lengths=fnp.array([5, 3])).shape
        (2, 5, 8)
    """

    attention: MultiHeadAttention
    attention_norm: Any
    feed_forward: FeedForward
    feed_forward_norm: Any
    dropout: Dropout
    norm_first: bool = static()

    def __init__(
        self,
        features: int,
        num_heads: int,
        hidden_features: int | None = None,
        *,
        norm_first: bool = True,
        norm: Callable[..., Any] = LayerNorm,
        activation: Callable[[Any], Any] = gelu,
        gated: bool = False,
        num_kv_heads: int | None = None,
        rotary: RotaryEmbedding | None = None,
        use_bias: bool = True,
        dropout: float = 0.0,
        kernel_init: Initializer = initializers.lecun_normal(),
        dtype: Any = None,
        key: Any,
    ) -> None:
        k1, k2 = random.split(key)
        self.attention = MultiHeadAttention(
            num_heads,
            features,
            num_kv_heads=num_kv_heads,
            use_bias=use_bias,
            dropout=dropout,
            rotary=rotary,
            kernel_init=kernel_init,
            dtype=dtype,
            key=k1,
        )
        self.feed_forward = FeedForward(
            features,
            hidden_features,
            activation=activation,
            gated=gated,
            use_bias=use_bias,
            dropout=dropout,
            kernel_init=kernel_init,
            dtype=dtype,
            key=k2,
        )
        self.attention_norm, self.feed_forward_norm = (
            norm(features, dtype=dtype) for _ in range(2)
        )
        self.dropout = Dropout(dropout)
        self.norm_first = norm_first

    def __call__(
        self, x: Any, *, mask: Any = None, lengths: Any = None, is_causal: bool = False
    ) -> Array:
        entered = self._enter(self.attention_norm, x)
        y = self.attention(entered, mask=mask, lengths=lengths, is_causal=is_causal)
        return self._fed_forward(self._leave(self.attention_norm, x, y))

    def _enter(self, norm: Any, x: Any) -> Any:
        """What a part takes."""
        return norm(x) if self.norm_first else x

    def _leave(self, norm: Any, x: Any, y: Any) -> Array:
        """What the block goes on with, where a part made `y` of what it took."""
        total = x + self.dropout(y)
        return total if self.norm_first else norm(total)

    def _fed_forward(self, x: Any) -> Array:
        y = self.feed_forward(self._enter(self.feed_forward_norm, x))
        return self._leave(self.feed_forward_norm, x, y)


class DecoderCache(NamedTuple):
    """What a decoder's block has seen of its sequence, and its keys and values of the context."""

    seen: KVCache
    context: tuple[Array, Array] | None


class TransformerDecoderBlock(TransformerEncoderBlock):
    """Causal attention within a sequence, attention to a context, then a feed-forward part.

    Args:
        features: the extent of the input's and the output's last axis.
        num_heads: how many heads attention has.
        hidden_features: the width of the feed-forward part; 4 times `features` if None.
        context_features: the extent of the context's last axis; None for a block that takes no
            context, as those of language models.
        key: for the initializers.
        options: those of `nn.TransformerEncoderBlock`.

    A call takes

        x: an array of shape `(batch, time, features)`.
        context: one of shape `(batch, places, context_features)`, such as what an encoder gives.
        mask: booleans, as for `nn.MultiHeadAttention`, beside the causal mask.
        lengths: integers of shape `(batch,)`: later elements of `x` are excluded.
        context_mask: booleans, for attention to the context.
        context_lengths: integers of shape `(batch,)`: later elements of the context are excluded.
        cache: what `init_cache` or the call before has given, for inputs that come in pieces. It
            holds what is used of the context, which is then left out.

    and gives an array of the shape of `x`; if it is given a cache, the pair of that and a cache.

    Raises:
        ArgumentError: features do not fall into heads; at a call, if the context is missing, or
            there is one and the block takes none.
        OutOfBoundsError: at a call, if the cache is full (see `KVCache.extended`).
        ShapeError: at a call, if shapes do not fit.

    Example:
        >>> block = nn.TransformerDecoderBlock(8, 2, context_features=6, key=ff.random.key(0))
        >>> x, context = fnp.ones((2, 5, 8)), fnp.ones((2, 7, 6))
        >>> block(x, context).shape
        (2, 5, 8)
        >>> y, cache = block(x[:, :1], cache=block.init_cache(2, max_length=5, context=context))
        >>> y.shape
        (2, 1, 8)
    """

    cross_attention: MultiHeadAttention | None
    cross_attention_norm: Any

    def __init__(
        self,
        features: int,
        num_heads: int,
        hidden_features: int | None = None,
        *,
        context_features: int | None = None,
        norm: Callable[..., Any] = LayerNorm,
        dtype: Any = None,
        key: Any,
        **options: Any,
    ) -> None:
        own, cross = random.split(key)
        options |= {"dtype": dtype}
        super().__init__(features, num_heads, hidden_features, norm=norm, key=own, **options)
        if context_features is None:
            self.cross_attention = self.cross_attention_norm = None
            return
        shared = ("num_kv_heads", "use_bias", "dropout", "kernel_init", "dtype")
        self.cross_attention = MultiHeadAttention(
            num_heads,
            features,
            in_kv_features=context_features,
            key=cross,
            **{name: options[name] for name in shared if name in options},
        )
        self.cross_attention_norm = norm(features, dtype=dtype)

    def init_cache(
        self, batch_size: int, max_length: int, context: Any = None, *, dtype: Any = None
    ) -> DecoderCache:
        """An empty cache for so many sequences of at most so many elements, and their context."""
        self._expect_context(context is not None)
        seen = self.attention.init_cache(batch_size, max_length, dtype=dtype)
        return DecoderCache(seen, self._keys_values(context))

    def __call__(
        self,
        x: Any,
        context: Any = None,
        *,
        mask: Any = None,
        lengths: Any = None,
        context_mask: Any = None,
        context_lengths: Any = None,
        cache: DecoderCache | None = None,
    ) -> Any:
        entered = self._enter(self.attention_norm, x)
        if cache is None:
            self._expect_context(context is not None)
            keys_values, seen = self._keys_values(context), None
            y = self.attention(entered, mask=mask, lengths=lengths, is_causal=True)
        else:
            keys_values = cache.context
            y, seen = self.attention(entered, mask=mask, lengths=lengths, cache=cache.seen)
        x = self._leave(self.attention_norm, x, y)
        if self.cross_attention is not None and keys_values is not None:
            entered = self._enter(self.cross_attention_norm, x)
            options = {"mask": context_mask, "lengths": context_lengths}
            y = self.cross_attention.attend(entered, *keys_values, **options)
            x = self._leave(self.cross_attention_norm, x, y)
        x = self._fed_forward(x)
        return x if seen is None else (x, DecoderCache(seen, keys_values))

    def _keys_values(self, context: Any) -> tuple[Array, Array] | None:
        return None if self.cross_attention is None else self.cross_attention.keys_values(context)

    def _expect_context(self, given: bool) -> None:
        if given and self.cross_attention is None:
            raise ArgumentError(
                "the block takes no context, and got one", mend="make it with context_features="
            )
        if not given and self.cross_attention is not None:
            raise ArgumentError(
                "the block attends to a context, and got none",
                mend="pass one, or make the block with context_features=None",
            )


class TransformerEncoder(Module):
    """`TransformerEncoderBlock`s one after another, and a norm at the end if norms stand in front.

    The blocks are a tuple, so a compiler sees each. For many blocks, a loop compiles faster; it
    takes blocks whose parameters are stacked, as the example shows. In training mode the loop's
    body needs an `nn.training` of its own, with a key for each block.

    Args:
        num_layers: how many blocks there are.
        features: the extent of the input's and the output's last axis.
        num_heads: how many heads attention has.
        hidden_features: the width of the feed-forward parts; 4 times `features` if None.
        norm_first: whether norms stand in front of the parts, or behind the sums.
        norm: makes a norm of the number of features and `dtype=`.
        dtype: of the parameters; float32 if None.
        key: for the initializers.
        options: further ones of `nn.TransformerEncoderBlock`.

    A call is that of a block.

    Example:
        >>> encoder = nn.TransformerEncoder(2, 8, num_heads=2, key=ff.random.key(0))
        >>> x = fnp.ones((2, 5, 8))
        >>> encoder(x).shape
        (2, 5, 8)
        >>> keys = ff.random.split(ff.random.key(0), 12)
        >>> blocks = ff.vmap(lambda key: nn.TransformerEncoderBlock(8, 2, key=key))(keys)
        >>> y, _ = ff.lax.scan(lambda x, block: (block(x), None), x, blocks)
        >>> y.shape
        (2, 5, 8)
    """

    blocks: tuple[TransformerEncoderBlock, ...]
    norm: Any

    def __init__(
        self,
        num_layers: int,
        features: int,
        num_heads: int,
        hidden_features: int | None = None,
        *,
        norm_first: bool = True,
        norm: Callable[..., Any] = LayerNorm,
        dtype: Any = None,
        key: Any,
        **options: Any,
    ) -> None:
        options |= {"norm_first": norm_first, "norm": norm, "dtype": dtype}
        self.blocks = tuple(
            TransformerEncoderBlock(features, num_heads, hidden_features, key=key, **options)
            for key in random.split(key, num_layers)
        )
        self.norm = norm(features, dtype=dtype) if norm_first else None

    def __call__(
        self, x: Any, *, mask: Any = None, lengths: Any = None, is_causal: bool = False
    ) -> Array:
        for block in self.blocks:
            x = block(x, mask=mask, lengths=lengths, is_causal=is_causal)
        return x if self.norm is None else self.norm(x)


class TransformerDecoder(Module):
    """`TransformerDecoderBlock`s one after another, and a norm at the end if norms stand in front.

    Args:
        num_layers: how many blocks there are.
        features: the extent of the input's and the output's last axis.
        num_heads: how many heads attention has.
        hidden_features: the width of the feed-forward parts; 4 times `features` if None.
        context_features: the extent of the context's last axis; None if there is no context.
        norm_first: whether norms stand in front of the parts, or behind the sums.
        norm: makes a norm of the number of features and `dtype=`.
        dtype: of the parameters; float32 if None.
        key: for the initializers.
        options: further ones of `nn.TransformerEncoderBlock`.

    A call is that of a block; its cache is a tuple of the blocks' caches.

    Example:
        >>> decoder = nn.TransformerDecoder(2, 8, num_heads=2, key=ff.random.key(0))
        >>> x = ff.random.normal(ff.random.key(1), (1, 4, 8))
        >>> cache = decoder.init_cache(1, max_length=4)
        >>> for i in range(4):
        ...     y, cache = decoder(x[:, i : i + 1], cache=cache)
        >>> bool(fnp.allclose(y, decoder(x)[:, 3:], atol=1e-5))
        True
    """

    blocks: tuple[TransformerDecoderBlock, ...]
    norm: Any

    def __init__(
        self,
        num_layers: int,
        features: int,
        num_heads: int,
        hidden_features: int | None = None,
        *,
        context_features: int | None = None,
        norm_first: bool = True,
        norm: Callable[..., Any] = LayerNorm,
        dtype: Any = None,
        key: Any,
        **options: Any,
    ) -> None:
        options |= {"norm_first": norm_first, "norm": norm, "dtype": dtype}
        options |= {"context_features": context_features}
        self.blocks = tuple(
            TransformerDecoderBlock(features, num_heads, hidden_features, key=key, **options)
            for key in random.split(key, num_layers)
        )
        self.norm = norm(features, dtype=dtype) if norm_first else None

    def init_cache(
        self, batch_size: int, max_length: int, context: Any = None, *, dtype: Any = None
    ) -> tuple[DecoderCache, ...]:
        """Empty caches of all blocks."""
        return tuple(
            block.init_cache(batch_size, max_length, context, dtype=dtype) for block in self.blocks
        )

    def __call__(
        self,
        x: Any,
        context: Any = None,
        *,
        cache: tuple[DecoderCache, ...] | None = None,
        **masks: Any,
    ) -> Any:
        caches = []
        for index, block in enumerate(self.blocks):
            if cache is None:
                x = block(x, context, **masks)
            else:
                x, extended = block(x, cache=cache[index], **masks)
                caches.append(extended)
        y = x if self.norm is None else self.norm(x)
        return y if cache is None else (y, tuple(caches))
