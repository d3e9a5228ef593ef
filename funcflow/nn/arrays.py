"""Which leaves are arrays."""

from typing import Any

from funcflow.core import dtypes
from funcflow.core.array import aval_of, is_array_like


def is_array(x: Any) -> bool:
    """Whether `x` is an array, and no Python number or other object.

    Example:
        >>> nn.is_array(fnp.ones(3)), nn.is_array(1.0)
        (True, False)
    """
    return is_array_like(x) and hasattr(x, "dtype")


def is_inexact_array(x: Any) -> bool:
    """Whether `x` is an array of real or complex floating point: what can be differentiated.

    Example:
        >>> nn.is_inexact_array(fnp.ones(3)), nn.is_inexact_array(fnp.arange(3))
        (True, False)
    """
    return is_array(x) and dtypes.is_inexact(aval_of(x).dtype)
