"""Ranks: unsigned integers in the order of the keys, so that all keys are sorted alike.

A rank has its key's width. NaNs are all equal, and greater than infinity. Zeros of both signs are
neighbours, or one rank where their signs need not be found again.
"""

from typing import Any

import numpy as np

from funcflow.backends.loop_ir import Builder, Value
from funcflow.core import dtypes


def rank_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the ranks of keys."""
    return np.dtype(f"u{dtype.itemsize}")


def rank_bits(dtype: np.dtype[Any]) -> int:
    """How many bits the ranks of keys have."""
    return 1 if dtype == np.bool_ else 8 * dtype.itemsize


def rank_of(build: Builder, key: Value, *, join_zeros: bool) -> Value:
    """The rank of a key; with `join_zeros` that of -0.0 is that of 0.0."""
    kind, unsigned = dtypes.kind(key.dtype), rank_dtype(key.dtype)
    if kind == "b":
        return build.let("convert", key, dtype=unsigned)
    bits = key if kind == "u" else build.let("bitcast", key, dtype=unsigned)
    if kind == "u":
        return bits
    if kind == "i":
        return build.let("xor", bits, _sign_bit(build, unsigned))
    nan = build.const(_bits_of(np.nan, key.dtype), unsigned)
    bits = build.let("select", build.let("ne", key, key), nan, bits)
    if join_zeros:
        negative = build.let("eq", bits, _sign_bit(build, unsigned))
        bits = build.let("select", negative, build.const(0, unsigned), bits)
    return build.let("xor", bits, _mask(build, bits))


def key_of(build: Builder, rank: Value, dtype: np.dtype[Any]) -> Value:
    """The key with a rank, zeros being apart."""
    kind = dtypes.kind(dtype)
    if kind == "b":
        return build.let("ne", rank, build.const(0, rank.dtype))
    if kind == "u":
        return rank
    if kind == "i":
        bits = build.let("xor", rank, _sign_bit(build, rank.dtype))
    else:
        bits = build.let("xor", rank, _mask(build, build.let("not", rank)))
    return build.let("bitcast", bits, dtype=dtype)


def with_zeros_joined(build: Builder, rank: Value) -> Value:
    """The rank of 0.0 for that of -0.0, which is one less; other ranks as they are."""
    negative = build.const(np.iinfo(rank.dtype).max >> 1, rank.dtype)
    zero = build.const((np.iinfo(rank.dtype).max >> 1) + 1, rank.dtype)
    return build.let("select", build.let("eq", rank, negative), zero, rank)


def _mask(build: Builder, bits: Value) -> Value:
    """What turns a float's bits into its rank: all bits are inverted if the sign's is set."""
    width = 8 * bits.dtype.itemsize
    signed = build.let("bitcast", bits, dtype=f"i{bits.dtype.itemsize}")
    spread = build.let("shift_right_arithmetic", signed, build.const(width - 1, signed.dtype))
    spread = build.let("bitcast", spread, dtype=bits.dtype)
    return build.let("or", spread, _sign_bit(build, bits.dtype))


def _sign_bit(build: Builder, unsigned: np.dtype[Any]) -> Value:
    return build.const(1 << (8 * unsigned.itemsize - 1), unsigned)


def _bits_of(value: float, dtype: np.dtype[Any]) -> Any:
    return np.array(value, dtype).view(rank_dtype(dtype))[()]
