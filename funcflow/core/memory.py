"""Memory that begins where the processor reads it best.

NumPy's begins at a multiple of 16 bytes. From there each vector register of 64 bytes is loaded from
two lines of the cache, which takes as long as two loads: a product of a vector and a matrix from
the second level, as in each step of a recurrent net, takes twice as long.
"""

from typing import Any

import numpy as np

ALIGNMENT = 64
_SMALLEST = 4 * 2**10  # below it, looking for the place takes longer than it saves


def aligned_bytes(size: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Uninitialised bytes, from an address on that is a multiple of `ALIGNMENT`."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def aligned_copy(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A C-contiguous copy; a large one begins at a multiple of `ALIGNMENT`."""
    if x.nbytes < _SMALLEST or x.dtype.hasobject:
        return x.copy()
    copied = np.ndarray(x.shape, x.dtype, aligned_bytes(x.nbytes))
    copied[...] = x
    return copied
