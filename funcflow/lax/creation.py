"""Arrays from nothing: `iota`, `full` and their kin.

They have no array argument, yet they are operations as any other: inside `jit` they become
equations, not captured arrays.
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from funcflow.core import dtypes
from funcflow.core.array import SCALARS, aval_of, ndim_of, shape_of
from funcflow.core.aval import Shape, ShapedArray
from funcflow.core.errors import DtypeError, FuncflowError, ShapeError
from funcflow.core.primitive import Primitive
from funcflow.core.rules import NONDIFFERENTIABLE, NONLINEAR, define
from funcflow.lax.casting import convert_element_type
from funcflow.lax.linear import canonical_axis
from funcflow.lax.shape import broadcast_in_dim_p


def canonical_shape(shape: Any, function: str) -> Shape:
    """`shape` as a tuple of integers, none negative; one integer stands for one axis."""
    if not (isinstance(shape, tuple | list) or getattr(shape, "ndim", 0)):
        shape = (shape,)
    try:
        canonical = tuple(map(operator.index, shape))
    except FuncflowError:  # a traced extent says itself what is wrong
        raise
    except TypeError:
        raise ShapeError(
            f"{function}: {shape!r} is no shape", mend="pass a sequence of integers"
        ) from None
    if any(extent < 0 for extent in canonical):
        raise ShapeError(
            f"{function}: the shape {canonical} has a negative extent",
            mend="make every extent at least 0",
        )
    return canonical


# --- iota -----------------------------------------------------------------------------------

iota_p = Primitive("iota")


def iota(dtype: Any, size: int) -> Any:
    """The numbers 0, 1, ..., size - 1.

    Args:
        dtype: an integer, floating or complex dtype; integers wrap around.
        size: how many.

    Raises:
        DtypeError: the dtype is bool.
        ShapeError: `size` is negative.

    Example:
        >>> ff.lax.iota("int32", 3)
        Array([0, 1, 2], dtype=int32)
    """
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Any:
    """An array of the given shape whose elements count up along `dimension`.

    Raises:
        AxisError: there is no such dimension.
        DtypeError: the dtype is bool.
        ShapeError: the shape has a negative extent.

    Example:
        >>> ff.lax.broadcasted_iota("int32", (2, 3), 1)
        Array([[0, 1, 2],
               [0, 1, 2]], dtype=int32)
    """
    dtype = dtypes.as_dtype(dtype)
    if dtype.kind == "b":
        raise DtypeError("iota: takes integer, floating or complex dtypes, got bool")
    shape = canonical_shape(shape, "iota")
    dimension = canonical_axis(dimension, len(shape), "iota")
    return iota_p.bind(dtype=dtype, shape=shape, dimension=dimension)


def _iota_impl(xp: Any, *, dtype: np.dtype[Any], shape: Shape, dimension: int) -> Any:
    aligned = [1] * len(shape)
    aligned[dimension] = shape[dimension]
    # counted as integers, then converted: small and non-native dtypes have no arange
    counts = xp.arange(shape[dimension]).astype(dtype)
    return xp.broadcast_to(counts.reshape(aligned), shape)


define(
    iota_p,
    abstract=lambda *, dtype, shape, dimension: ShapedArray(shape, dtype),
    impl=_iota_impl,
    jvp=NONDIFFERENTIABLE,
    transpose=NONLINEAR,
    batch=lambda ctx, args, dims, **params: (iota_p.bind(**params), None),
)

# --- full -----------------------------------------------------------------------------------


def full(shape: Sequence[int], fill_value: Any, dtype: Any = None) -> Any:
    """An array that holds one value everywhere.

    Args:
        shape: the shape of the result.
        fill_value: a scalar, or an array of no dimension.
        dtype: the dtype of the result; that of `fill_value` by default.

    Raises:
        ShapeError: `fill_value` has dimensions, or the shape has a negative extent.

    Example:
        >>> ff.lax.full((2,), 7, "float32")
        Array([7., 7.], dtype=float32)
    """
    shape = canonical_shape(shape, "full")
    if ndim_of(fill_value):
        raise ShapeError(
            f"full: fill_value must be a scalar, got an array of shape {shape_of(fill_value)}",
            mend="use broadcast_in_dim to repeat an array",
        )
    if dtype is not None:
        fill_value = _as_scalar(fill_value, dtypes.as_dtype(dtype))
    return broadcast_in_dim_p.bind(fill_value, shape=shape, broadcast_dimensions=())


def _as_scalar(value: Any, dtype: np.dtype[Any]) -> Any:
    """A scalar of the given dtype; integers that don't fit wrap around."""
    if type(value) in SCALARS or isinstance(value, np.ndarray | np.generic):
        value = np.asarray(value)
        if value.dtype.kind == "c" and dtype.kind != "c":
            value = value.real
        with np.errstate(all="ignore"):
            return value.astype(dtype)
    return convert_element_type(value, dtype)


def full_like(
    x: Any, fill_value: Any, dtype: Any = None, shape: Sequence[int] | None = None
) -> Any:
    """An array of one value, with the shape and dtype of `x` where no other are given."""
    aval = aval_of(x)
    dtype = aval.dtype if dtype is None else dtypes.as_dtype(dtype)
    return full(aval.shape if shape is None else shape, fill_value, dtype)


def empty(shape: Sequence[int], dtype: Any) -> Any:
    """An array whose values don't matter (they are zeros, so that results are reproducible)."""
    return full(shape, 0, dtype)
