"""Sums of products: how exactly they are asked for, and in which dtypes they are taken."""

from enum import Enum
from typing import Any, TypeAlias

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import aval_of
from funcflow.core.errors import ArgumentError, DtypeError
from funcflow.lax.casting import convert_element_type

# --- precision ------------------------------------------------------------------------------


class Precision(Enum):
    """How exactly a backend multiplies floating-point numbers.

    The CPU multiplies in the operands' own precision whatever is asked for; a GPU may use its
    shorter formats for `DEFAULT` and `HIGH`.
    """

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2

    def __str__(self) -> str:
        return self.name


PrecisionLike: TypeAlias = str | Precision | tuple[str, str] | tuple[Precision, Precision] | None

_PRECISION_NAMES = {
    "default": Precision.DEFAULT,
    "fastest": Precision.DEFAULT,
    "bfloat16": Precision.DEFAULT,
    "high": Precision.HIGH,
    "bfloat16_3x": Precision.HIGH,
    "tensorfloat32": Precision.HIGH,
    "highest": Precision.HIGHEST,
    "float32": Precision.HIGHEST,
}


def canonical_precision(precision: Any, function: str) -> tuple[Precision, Precision] | None:
    """`precision` as one `Precision` for each operand, or None for the backend's own choice."""
    if precision is None:
        return None
    pair = tuple(precision) if isinstance(precision, tuple | list) else (precision, precision)
    found = [p if isinstance(p, Precision) else _PRECISION_NAMES.get(p) for p in pair]
    match found:
        case [Precision() as first, Precision() as second]:
            return first, second
    raise ArgumentError(
        f"{function}: {precision!r} is no precision",
        mend=f"pass None, a lax.Precision, one of {', '.join(_PRECISION_NAMES)}, or a pair",
    )


# --- dtypes ---------------------------------------------------------------------------------

# The kinds of dtype, from narrow to wide.
_WIDTH = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}
_EXACT_FLOAT = np.dtype("float64")


def product_dtype(
    function: str, lhs: np.dtype[Any], rhs: np.dtype[Any], preferred: np.dtype[Any] | None
) -> np.dtype[Any]:
    """The dtype of a sum of products: the operands' promoted, unless another one is preferred.

    Raises:
        DtypeError: the preferred dtype is of a narrower kind, or a shorter integer.
    """
    dtype = lhs if lhs == rhs else dtypes.promote((lhs, False), (rhs, False))[0]
    if preferred is None:
        return dtype
    width, wanted = _WIDTH[dtypes.kind(dtype)], _WIDTH[dtypes.kind(preferred)]
    shorter = dtypes.is_integer(preferred) and preferred.itemsize < dtype.itemsize
    if wanted < width or (wanted == width and shorter):
        raise DtypeError(
            f"{function}: preferred_element_type={preferred.name} cannot hold products of "
            f"{lhs.name} and {rhs.name}",
            mend=f"prefer {dtype.name} or a wider dtype, and convert the result",
        )
    return preferred


def promoted_pair(x: Any, y: Any) -> tuple[Any, Any]:
    """Two arrays in their promoted dtype."""
    dtype, _ = dtypes.promote((aval_of(x).dtype, False), (aval_of(y).dtype, False))
    return convert_element_type(x, dtype), convert_element_type(y, dtype)


def canonical_preference(dtype: Any) -> np.dtype[Any] | None:
    """`preferred_element_type` as a dtype, or None."""
    return None if dtype is None else dtypes.as_dtype(dtype)


def working_dtype(
    dtype: np.dtype[Any], lhs: np.dtype[Any], rhs: np.dtype[Any], depth: int
) -> np.dtype[Any]:
    """The dtype to multiply matrices in when sums of `depth` products are to have `dtype`.

    The half types are summed in float32. BLAS has no integer products, but float64 holds integers
    exactly up to 2**53, and sums of products of short integers stay below that.
    """
    if dtypes.is_integer(dtype):
        bits = 8 * (lhs.itemsize + rhs.itemsize) + depth.bit_length()
        return _EXACT_FLOAT if bits <= 53 else dtype
    if not dtypes.is_inexact(dtype):
        return dtype
    if lhs == rhs == dtype and dtype.itemsize > 2:
        return dtype
    sums = np.dtype("float32") if dtype.itemsize == 2 else dtype
    return dtypes.promote((sums, False), (lhs, False), (rhs, False))[0]


def from_working_dtype(out: Any, dtype: np.dtype[Any]) -> Any:
    """Sums of products in the dtype promised; integers wrap."""
    if dtypes.is_integer(dtype) and out.dtype == _EXACT_FLOAT:
        out = out.astype(np.int64)
    return out.astype(dtype, copy=False)
