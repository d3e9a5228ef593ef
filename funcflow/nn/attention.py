"""Attention: averages of values, weighted by how well their keys fit a query."""

import math
from collections.abc import Callable
from typing import Any

import funcflow.numpy as fnp
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ArgumentError, DtypeError, ShapeError
from funcflow.nn.normalization import logsumexp, softmax
from funcflow.numpy.promotion import as_array

_NAME = "dot_product_attention"


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
    query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None,
    local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None,
    return_residual: bool = False,
    dropout: Callable[[Array], Array] | None = None,
) -> Any:
    """`softmax(scale * query @ key.T + bias) @ value` for each head.

    A. Vaswani et al., "Attention Is All You Need" (2017), section 3.2. The axes are B (batch), T
    (queries), S (keys and values), N (heads of the queries), K (heads of keys and values, of
    which each serves N / K heads of the queries), H (features).

    Args:
        query: of shape `(B, T, N, H)` or `(T, N, H)`.
        key: of shape `(B, S, K, H)` or `(S, K, H)`.
        value: of the shape of `key`.
        bias: what to add to the scaled products; it broadcasts with `(B, N, T, S)`.
        mask: booleans that broadcast with `(B, N, T, S)`; False excludes a key from a query.
        scale: `1 / sqrt(H)` by default.
        is_causal: whether query t sees only keys up to t.
        query_seq_lengths: integers of shape `(B,)`; the results of later queries are 0.
        key_value_seq_lengths: integers of shape `(B,)`; later keys are excluded.
        local_window_size: how many keys before and after its own place a query sees.
        implementation: None or "xla"; there is one.
        return_residual: whether to return the pair of the result and the logarithms of the
            softmax's denominators, of shape `(B, T, N)`.
        dropout: what to apply to the weights, of shape `(B, N, T, S)`, such as an `nn.Dropout`.

    Returns:
        An array of the shape and dtype of `query`. The products of 16-bit floats are added up in
        float32. A query from which all keys are excluded gets 0.

    Raises:
        ArgumentError: there is no such implementation.
        DtypeError: `mask` is not boolean.
        ShapeError: shapes do not fit together, or N is no multiple of K.

    Example:
        >>> x = fnp.ones((2, 5, 4, 8))  # 2 sequences of 5 vectors, 4 heads of 8 features
        >>> ff.nn.dot_product_attention(x, x, x, is_causal=True).shape
        (2, 5, 4, 8)
    """
    if implementation not in (None, "xla"):
        raise ArgumentError(
            f"{_NAME}: there is no implementation {implementation!r}", mend="leave it out"
        )
    query, key, value = (as_array(_NAME, x) for x in (query, key, value))
    unbatched = query.ndim == 3
    if unbatched:
        query, key, value = query[None], key[None], value[None]
    _check_shapes(query, key, value)
    keep = _mask(
        query, key, mask, is_causal, query_seq_lengths, key_value_seq_lengths, local_window_size
    )
    logits = _logits(query, key, math.sqrt(1 / query.shape[3]) if scale is None else scale)
    if bias is not None:
        logits = logits + _four_axes("bias", bias)
    if keep is not None:
        keep = fnp.broadcast_to(keep, logits.shape)
    weights = softmax(logits, where=keep)
    if dropout is not None:
        weights = dropout(weights)
    out = _average(weights, value).astype(query.dtype)
    if not return_residual:
        return out[0] if unbatched else out
    residual = fnp.swapaxes(logsumexp(logits, -1, where=keep), 1, 2)
    return (out[0], residual[0]) if unbatched else (out, residual)


def _check_shapes(query: Array, key: Array, value: Array) -> None:
    if query.ndim != 4 or key.ndim != 4:
        raise ShapeError(
            f"{_NAME}: query and key must have the axes (B, T, N, H) and (B, S, K, H), "
            f"got {query.aval} and {key.aval}",
            mend="give both 3 or 4 axes",
        )
    if key.shape != value.shape:
        raise ShapeError(
            f"{_NAME}: key and value must be of one shape, got {key.aval} and {value.aval}",
            mend="give each key one value",
        )
    if (query.shape[0], query.shape[3]) != (key.shape[0], key.shape[3]):
        raise ShapeError(
            f"{_NAME}: query and key must have the same batch size and features, "
            f"got {query.aval} and {key.aval}",
            mend="make the first and last extents equal",
        )
    if not key.shape[2] or query.shape[2] % key.shape[2]:
        raise ShapeError(
            f"{_NAME}: the number of heads of query must be a multiple of that of key, "
            f"got {query.shape[2]} and {key.shape[2]}",
            mend="give key and value as many heads as query, or a divisor",
        )


def _grouped(x: Array, heads: int) -> Array:
    """`(B, T, N, H)` as `(B, T, K, N / K, H)`: the heads that share one of the keys together."""
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads, x.shape[3])


def _logits(query: Array, key: Array, scale: Any) -> Array:
    wide = dtypes.accumulator(fnp.result_type(query, key))
    grouped = _grouped(query, key.shape[2]).astype(wide)
    products = fnp.einsum("btkgh,bskh->bkgts", grouped, key.astype(wide))
    b, t, n, _ = query.shape
    return products.reshape(b, n, t, key.shape[1]) * scale


def _average(weights: Array, value: Array) -> Array:
    b, n, t, s = weights.shape
    heads = value.shape[2]
    grouped = weights.reshape(b, heads, n // heads, t, s)
    out = fnp.einsum("bkgts,bskh->btkgh", grouped, value.astype(weights.dtype))
    return out.reshape(b, t, n, value.shape[3])


def _four_axes(name: str, x: Any) -> Array:
    x = as_array(_NAME, x)
    if x.ndim > 4:
        raise ShapeError(
            f"{_NAME}: {name} must broadcast with (B, N, T, S), got {x.aval}",
            mend="give it at most 4 axes",
        )
    return x


def _mask(
    query: Array,
    key: Array,
    mask: Any,
    is_causal: bool,
    query_lengths: Any,
    key_lengths: Any,
    window: Any,
) -> Any:
    """Which keys take part, of a shape that broadcasts with `(B, N, T, S)`; None for all."""
    masks = []
    rows = fnp.arange(query.shape[1])[:, None]
    columns = fnp.arange(key.shape[1])
    if mask is not None:
        mask = _four_axes("mask", mask)
        if mask.dtype != bool:
            raise DtypeError(
                f"{_NAME}: mask must be boolean, got {mask.aval}",
                mend="pass numbers to add to the products as `bias`",
            )
        masks.append(mask)
    if is_causal:
        masks.append(columns <= rows)
    if query_lengths is not None:
        masks.append(rows < _lengths("query_seq_lengths", query_lengths, query))
    if key_lengths is not None:
        masks.append(columns < _lengths("key_value_seq_lengths", key_lengths, key))
    if window is not None:
        before, after = (window, window) if isinstance(window, int) else window
        masks.append(fnp.logical_and(columns >= rows - before, columns <= rows + after))
    if not masks:
        return None
    keep = masks[0]
    for other in masks[1:]:
        keep = fnp.logical_and(keep, other)
    return keep


def _lengths(name: str, lengths: Any, x: Array) -> Array:
    lengths = as_array(_NAME, lengths)
    if not dtypes.is_integer(lengths.dtype) or lengths.shape != x.shape[:1]:
        raise ShapeError(
            f"{_NAME}: {name} must be integers of shape ({x.shape[0]},), got {lengths.aval}",
            mend="pass one length for each sequence of the batch",
        )
    return lengths[:, None, None, None]
