"""Names for the types that annotations of this package use.

What is dynamic by nature is `Any` under a name that says what is meant.
"""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeGuard

import numpy as np

Shape: TypeAlias = tuple[int, ...]

# An array's memory: a NumPy or CuPy array.
Buffer: TypeAlias = Any

# What `dtypes.as_dtype` understands: a dtype, its name, a scalar type, or None for the default.
DTypeLike: TypeAlias = str | type[Any] | np.dtype[Any] | None

# Nested containers of arrays; any object is one, be it a single leaf.
PyTree: TypeAlias = Any

# Tells where the nodes of a pytree end before its leaves do.
IsLeaf: TypeAlias = Callable[[Any], bool] | None


def is_tuple(x: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether `x` is a tuple; the type checker then takes its items for `Any`, not for unknown."""
    return isinstance(x, tuple)
