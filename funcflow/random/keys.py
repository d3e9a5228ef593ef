"""Keys: the state of the random streams, as values.

A key is two 32-bit words. `key` gives it as a `KeyArray`, whose type says what it is; `PRNGKey`
gives the bare words as a uint32 array of shape (2,). All functions take both kinds, and those
that make keys return the kind they were given.

Inside this package a key travels as its two words, a pair of uint32 arrays of no dimension.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array, ConcreteArray, as_array, aval_of, is_array_like, wrap
from funcflow.core.dtypes import is_integer
from funcflow.core.errors import (
    ArgumentError,
    DtypeError,
    LeafTypeError,
    ShapeError,
)
from funcflow.core.pytree import GetAttrKey
from funcflow.core.registration import register_pytree_with_keys_class
from funcflow.core.trace import EVAL, current_trace
from funcflow.lax.creation import canonical_shape
from funcflow.lax.prng import hash_words, threefry2x32

Words = tuple[Any, Any]

IMPLEMENTATION = "threefry2x32"
_ZERO = np.zeros((), np.uint32)


class KeyDtype:
    """The dtype of a `KeyArray`."""

    __slots__ = ()

    type = dtypes.prng_key
    name = "key<fry>"
    itemsize = 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyDtype)

    def __hash__(self) -> int:
        return hash(KeyDtype)

    def __repr__(self) -> str:
        return self.name


_KEY_DTYPE = KeyDtype()


@register_pytree_with_keys_class
class KeyArray:
    """An array of keys.

    It is a pytree whose one leaf holds the words, a uint32 array with a further last axis of
    extent 2; so it passes through `jit`, `vmap`, `scan` and `cond` as any other argument. The
    axes that these map are counted from the front.
    """

    __slots__ = ("_data",)

    def __init__(self, data: Any) -> None:
        # trusted: also holds what transforms put into the leaves of a tree
        self._data = data

    def tree_flatten_with_keys(self) -> Any:
        return ((GetAttrKey("_data"), self._data),), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: Sequence[Any]) -> "KeyArray":
        return cls(*children)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape[:-1]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def dtype(self) -> KeyDtype:
        return _KEY_DTYPE

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a single key")
        return self.shape[0]

    def __iter__(self) -> Iterator["KeyArray"]:
        if not self.shape:
            raise TypeError("iteration over a single key")
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, index: Any) -> "KeyArray":
        parts = index if isinstance(index, tuple) else (index,)
        rest = () if any(part is Ellipsis for part in parts) else (...,)
        return KeyArray(self._data[(*parts, *rest, slice(None))])

    def reshape(self, *shape: Any) -> "KeyArray":
        """The same keys with another shape; one extent may be -1."""
        sizes = tuple(shape[0]) if len(shape) == 1 and np.ndim(shape[0]) else shape
        return KeyArray(self._data.reshape((*sizes, 2)))

    def ravel(self) -> "KeyArray":
        """The same keys along one axis."""
        return self.reshape(-1)

    flatten = ravel

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, KeyArray):
            return NotImplemented
        return lax.reduce_and(lax.eq(self._data, other._data), (-1,))

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else lax.bitwise_not(equal)

    def __bool__(self) -> NoReturn:
        raise LeafTypeError("a key has no truth value", mend="draw from it, e.g. bernoulli(key)")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise LeafTypeError(
            "an array of keys does not convert to a NumPy array", mend="use random.key_data(keys)"
        )

    def block_until_ready(self) -> "KeyArray":
        """The keys themselves, computed."""
        self._data.block_until_ready()
        return self

    def __repr__(self) -> str:
        if not hasattr(self._data, "shape"):  # a tree of placeholders
            return f"KeyArray({self._data!r})"
        return f"Array({self.shape}, dtype={self.dtype}) overlaying:\n{self._data}"


# --- making keys ----------------------------------------------------------------------------


def key(seed: Any, *, impl: Any = None, dtype: Any = None) -> KeyArray:
    """A key from a seed.

    Args:
        seed: an integer, or an integer array of no dimension; it counts modulo 2**32.
        impl: the generator's name, of which there is one, "threefry2x32".
        dtype: the same as a dtype (`key_dtype()`).

    Returns:
        A `KeyArray` of shape ().

    Raises:
        DtypeError: the seed is no integer.
        ShapeError: the seed is an array with axes.

    Example:
        >>> ff.random.key(7)
        Array((), dtype=key<fry>) overlaying:
        [0 7]
    """
    _check_implementation("key", impl)
    _check_implementation("key", dtype)
    return KeyArray(_seeded("key", seed))


def PRNGKey(seed: Any, *, impl: Any = None) -> Array:
    """A key from a seed, as its words: a uint32 array of shape (2,). See `key`."""
    _check_implementation("PRNGKey", impl)
    return _seeded("PRNGKey", seed)


def _seeded(function: str, seed: Any) -> Array:
    if isinstance(seed, int):
        return wrap(np.array([0, seed % 2**32], np.uint32))
    if isinstance(seed, KeyArray) or not is_array_like(seed):
        raise LeafTypeError(
            f"{function}: the seed must be an integer, got {type(seed).__name__}",
            mend="pass an integer",
        )
    aval = aval_of(seed)
    if aval.ndim:
        raise ShapeError(
            f"{function}: takes a scalar seed, got {aval}", mend=f"ff.vmap(ff.random.{function})"
        )
    if not is_integer(aval.dtype):
        raise DtypeError(f"{function}: the seed must be an integer, got {aval}")
    return _stack(_ZERO, lax.convert_element_type(seed, np.uint32))


def _check_implementation(function: str, impl: Any) -> None:
    if impl is not None and impl != IMPLEMENTATION and impl != _KEY_DTYPE:
        raise ArgumentError(
            f"{function}: there is no generator {impl!r}", mend=f"use {IMPLEMENTATION!r}"
        )


def key_dtype(impl_spec: Any = None) -> KeyDtype:
    """The dtype of keys."""
    _check_implementation("key_dtype", impl_spec)
    return _KEY_DTYPE


def split(key: Any, num: int | Sequence[int] = 2) -> Any:
    """New keys whose streams are independent of each other and of the old key's.

    Args:
        key: a key. It should not be used any more.
        num: how many keys, or the shape of the array of keys.

    Returns:
        An array of `num` keys, of the kind of `key`.

    Raises:
        ShapeError: `key` is not a single key, or `num` is negative.

    Example:
        >>> noise, weights = ff.random.split(ff.random.key(0))
        >>> noise
        Array((), dtype=key<fry>) overlaying:
        [1797259609 2579123966]
    """
    words = key_words("split", key)
    shape = canonical_shape(num, "split")
    return _of_kind(key, _stack(*random_words(words, shape)))


def fold_in(key: Any, data: Any) -> Any:
    """A new key from a key and a number, e.g. that of a step or of an element.

    Args:
        key: a key.
        data: an integer from 0 to 2**32 - 1, or an integer array of no dimension.

    Returns:
        A key of the kind of `key`.

    Raises:
        ArgumentError: a Python integer is out of range.
        DtypeError: `data` is no integer.
        ShapeError: `data` has axes, or `key` is not a single key.
    """
    words = key_words("fold_in", key)
    aval = aval_of(data)
    if aval.ndim:
        raise ShapeError(
            f"fold_in: takes a scalar as data, got {aval}",
            mend="ff.vmap(ff.random.fold_in, in_axes=(None, 0))",
        )
    if not is_integer(aval.dtype):
        raise DtypeError(f"fold_in: data must be an integer, got {aval}", mend="convert it first")
    if isinstance(data, int):
        if not 0 <= data < 2**32:
            raise ArgumentError(
                f"fold_in: data must lie between 0 and 2**32 - 1, got {data}",
                mend="reduce it, e.g. data % 2**32",
            )
        counter: Any = np.asarray(data, np.uint32)
    else:
        counter = lax.convert_element_type(data, np.uint32)
    return _of_kind(key, _stack(*_hash(words, _ZERO, counter)))


def _of_kind(model: Any, data: Array) -> Any:
    return KeyArray(data) if isinstance(model, KeyArray) else data


def clone(key: Any) -> Any:
    """The same key, to say that it is used twice on purpose."""
    _checked_data("clone", key)
    return key


# --- words ----------------------------------------------------------------------------------


def key_data(keys: Any) -> Array:
    """The words of keys: a uint32 array of shape `(*keys.shape, 2)`."""
    return as_array(_checked_data("key_data", keys))


def wrap_key_data(key_bits_array: Any, *, impl: Any = None, dtype: Any = None) -> KeyArray:
    """Words as an array of keys; the inverse of `key_data`."""
    _check_implementation("wrap_key_data", impl)
    _check_implementation("wrap_key_data", dtype)
    return KeyArray(as_array(_checked_data("wrap_key_data", key_bits_array)))


def key_impl(keys: Any) -> str:
    """The name of the generator that keys belong to."""
    _checked_data("key_impl", keys)
    return IMPLEMENTATION


def _checked_data(function: str, keys: Any) -> Any:
    data = keys._data if isinstance(keys, KeyArray) else keys
    if not isinstance(data, Array | np.ndarray):
        raise LeafTypeError(
            f"{function}: expected a key, got {type(data).__name__} {data!r}",
            mend="make one with ff.random.key(seed)",
        )
    if data.dtype != np.uint32:
        raise DtypeError(
            f"{function}: the words of a key are uint32, got {aval_of(data)}",
            mend="make a key with ff.random.key(seed)",
        )
    if data.ndim == 0 or data.shape[-1] != 2:
        raise ShapeError(
            f"{function}: a key has two words along its last axis, got {aval_of(data)}",
            mend="make a key with ff.random.key(seed)",
        )
    return data


def key_words(function: str, key: Any) -> Words:
    """The two words of a single key; raises if it is none."""
    data = _checked_data(function, key)
    if data.ndim != 1:
        raise ShapeError(
            f"{function}: takes a single key, got an array of keys of shape {data.shape[:-1]}",
            mend=f"ff.vmap(ff.random.{function}) maps over keys",
        )
    return unstack(data, 2)


# Eager keys go by a way of their own, which leaves out the primitives: NumPy's time counts.


def is_eager(*arrays: Any) -> bool:
    """Whether NumPy can compute with these arrays at once."""
    return current_trace.get() is EVAL and all(
        type(x) is ConcreteArray and type(x._value) is np.ndarray for x in arrays
    )


def unstack(x: Any, length: int) -> Any:
    """The elements along the one axis of `x`."""
    if is_eager(x):
        value = x._value
        return tuple(ConcreteArray(value[i, ...]) for i in range(length))
    return lax.unstack(x)


def _stack(first: Any, second: Any) -> Any:
    """The inverse of `unstack`, along a new last axis."""
    if is_eager(first, second):
        return ConcreteArray(np.stack((first._value, second._value), -1))
    return lax.stack([first, second], -1)


def split_words(words: Words, num: int = 2) -> list[Words]:
    """`split`, for the use of samplers."""
    high, low = random_words(words, (num,))
    return list(zip(unstack(high, num), unstack(low, num), strict=True))


def random_words(words: Words, shape: tuple[int, ...]) -> Words:
    """Two random words for each element of `shape`: the hashes of the numbers 0, 1, 2, ..."""
    size = math.prod(shape)
    if size <= 2**32:
        if is_eager(*words):
            return _hash(words, _ZERO, np.arange(size, dtype=np.uint32).reshape(shape))
        counts = lax.reshape(lax.iota(np.uint32, size), shape) if shape else _ZERO
        return _hash(words, _ZERO, counts)
    wide = lax.reshape(lax.iota(np.uint64, size), shape)
    high = lax.convert_element_type(lax.shift_right_logical(wide, 32), np.uint32)
    return _hash(words, high, lax.convert_element_type(wide, np.uint32))


def _hash(words: Words, high: Any, low: Any) -> Words:
    if is_eager(*words) and isinstance(high, np.ndarray) and isinstance(low, np.ndarray):
        hashed = hash_words(np, words[0]._value, words[1]._value, high, low)
        return ConcreteArray(hashed[0]), ConcreteArray(hashed[1])
    return threefry2x32(*words, high, low)
