"""`threefry2x32`: random bits as a hash of a key and a counter.

The hash is the 20-round Threefry-2x32 of J. Salmon, M. Moraes, R. Dror and D. Shaw, "Parallel
random numbers: as easy as 1, 2, 3" (SC 2011). It needs nothing but 32-bit additions, rotations
and exclusive ors, and every counter is hashed on its own: any part of a stream can be computed
anywhere, in any order.
"""

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from funcflow.core.aval import ShapedArray
from funcflow.core.errors import DtypeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, define
from funcflow.lax.forms import elementwise_batch
from funcflow.lax.shape import broadcast_shapes

threefry2x32_p = Primitive("threefry2x32", multiple_results=True)

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
# Up to so many counters, Python's integers are faster than calls of NumPy (measured).
_FEW = 128
# Counters per pass: three arrays of this length stay in the second-level cache.
_BLOCK = 1 << 15


def threefry2x32(k0: Any, k1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Hash the counter `(x0, x1)` under the key `(k0, k1)`, elementwise.

    Args:
        k0: the keys' first words, uint32.
        k1: their second words.
        x0: the counters' first words, uint32.
        x1: their second words. All four broadcast.

    Returns:
        Two uint32 arrays: 64 random bits for each counter.

    Raises:
        DtypeError: an argument is not uint32.

    Example:
        >>> zero = np.zeros((), "uint32")
        >>> from funcflow.lax.prng import threefry2x32
        >>> [hex(word.item()) for word in threefry2x32(zero, zero, zero, zero)]
        ['0x6b200159', '0x99ba4efe']
    """
    high, low = threefry2x32_p.bind(k0, k1, x0, x1)
    return high, low


def _abstract(*avals: ShapedArray) -> list[ShapedArray]:
    if any(aval.dtype != np.uint32 for aval in avals):
        raise DtypeError(
            f"threefry2x32: takes uint32 arrays, got {', '.join(map(str, avals))}",
            mend="convert the arguments with .astype(fnp.uint32)",
        )
    shape = broadcast_shapes(*[aval.shape for aval in avals])
    return [ShapedArray(shape, np.dtype(np.uint32))] * 2


def hash_words(xp: Any, k0: Any, k1: Any, x0: Any, x1: Any) -> list[Any]:
    """The reference implementation, on buffers."""
    shape = np.broadcast_shapes(k0.shape, k1.shape, x0.shape, x1.shape)
    if xp is np and np.prod(shape) <= _FEW:
        return _hash_few(shape, k0, k1, x0, x1)
    a, b = xp.empty(shape, np.uint32), xp.empty(shape, np.uint32)
    xp.add(x0, k0, out=a)
    xp.add(x1, k1, out=b)
    keys = [_flat(xp, k, shape) for k in (k0, k1, k0 ^ k1 ^ np.uint32(_PARITY))]
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for start in range(0, a.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        _hash_block(xp, flat_a[part], flat_b[part], [k if k.size == 1 else k[part] for k in keys])
    return [a, b]


def _flat(xp: Any, key: Any, shape: tuple[int, ...]) -> Any:
    """A key word per counter, or one for all of them."""
    return key.reshape(1) if key.size == 1 else xp.broadcast_to(key, shape).reshape(-1)


def _hash_block(xp: Any, a: Any, b: Any, keys: Sequence[Any]) -> None:
    """Hash in place; the first key words have been added already."""
    shifted = xp.empty_like(b)
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            xp.add(a, b, out=a)
            xp.left_shift(b, np.uint32(r), out=shifted)
            xp.right_shift(b, np.uint32(32 - r), out=b)
            xp.bitwise_or(b, shifted, out=b)
            xp.bitwise_xor(b, a, out=b)
        xp.add(a, keys[(i + 1) % 3], out=a)
        xp.add(b, keys[(i + 2) % 3] + np.uint32(i + 1), out=b)


def _hash_few(shape: tuple[int, ...], *words: Any) -> list[Any]:
    """The same for a few counters, with Python's integers of any length.

    The counters' words lie side by side in one long integer, each in a lane of 64 bits. The upper
    half of a lane takes the carries of additions and the bits that a rotation pushes out, so no
    lane disturbs another; only the word that is rotated next has to be cleared of them.
    """
    lanes = np.empty((4, *shape), "<u8")
    for i, word in enumerate(words):
        lanes[i, ...] = word
    size = lanes.nbytes // 4
    data = lanes.tobytes()
    k0, k1, a, b = (int.from_bytes(data[i * size : (i + 1) * size], "little") for i in range(4))
    ones = ((1 << 8 * size) - 1) // ((1 << 64) - 1)
    low = ones * 0xFFFFFFFF
    keys = (k0, k1, k0 ^ k1 ^ ones * _PARITY)
    a, b = a + k0, (b + k1) & low
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            a += b
            b <<= r
            b = ((b | b >> 32) ^ a) & low
        a += keys[(i + 1) % 3]
        b = (b + keys[(i + 2) % 3] + ones * (i + 1)) & low
    hashed = np.frombuffer(((a & low) | b << 32).to_bytes(size, "little"), "<u4")
    return [hashed[i::2].astype(np.uint32).reshape(shape) for i in range(2)]


def unit_floats(xp: Any, high: Any, low: Any, dtype: np.dtype[Any]) -> Any:
    """Floats in [0, 1) from buffers of random words.

    Random bits become the significand under the exponent of 1; then 1 is subtracted.
    """
    unsigned = np.dtype(f"uint{8 * dtype.itemsize}")
    significand = ml_dtypes.finfo(dtype).nmant
    if dtype.itemsize == 8:
        bits = (high.astype(unsigned) << unsigned.type(32)) | low
    else:
        bits = (high ^ low).astype(significand_bits(dtype)).astype(unsigned)
    unused = unsigned.type(8 * significand_bits(dtype).itemsize - significand)
    one = np.ones((), dtype)
    return xp.asarray((bits >> unused) | one.view(unsigned)).view(dtype) - one


def significand_bits(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The unsigned dtype whose bits are drawn for a float: bfloat16 takes no more than 8."""
    narrow = ml_dtypes.finfo(dtype).nmant < 8
    return np.dtype(np.uint8 if narrow else f"uint{8 * dtype.itemsize}")


_map_elements = elementwise_batch(threefry2x32_p)


def _batch(ctx: Any, args: Sequence[Any], dims: Sequence[int | None]) -> Any:
    outs, dim = _map_elements(ctx, args, dims)
    return outs, [dim, dim]


define(
    threefry2x32_p,
    abstract=_abstract,
    impl=hash_words,
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=_batch,
)
