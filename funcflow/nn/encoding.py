"""Integers as vectors."""

from typing import Any

import funcflow.numpy as fnp
from funcflow import lax
from funcflow.core import dtypes
from funcflow.core.array import Array
from funcflow.core.errors import ShapeError
from funcflow.lax.linear import canonical_axis
from funcflow.numpy.promotion import as_array


def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: Any = -1) -> Array:
    """Vectors that are 1 at one index and 0 elsewhere.

    Args:
        x: an array of indices; one outside `0 ... num_classes - 1` gives zeros.
        num_classes: the length of the vectors.
        dtype: the result's dtype; the default floating one if None.
        axis: where the vectors lie in the result, or the name of a mapped axis of size
            `num_classes` to spread them over.

    Returns:
        An array with one more axis than `x`, of extent `num_classes`; for a named axis, an array
        of the shape of `x`.

    Raises:
        AxisError: the axis is out of range.
        ShapeError: the named axis is of another size.

    Example:
        >>> ff.nn.one_hot(fnp.array([0, 2, 5]), 3)
        Array([[1., 0., 0.],
               [0., 0., 1.],
               [0., 0., 0.]], dtype=float32)
    """
    x = as_array("one_hot", x)
    dtype = dtypes.as_dtype(dtype)
    if not isinstance(axis, int):
        size = lax.axis_size(axis)
        if size != num_classes:
            raise ShapeError(
                f"one_hot: the axis {axis!r} is of size {size}, num_classes is {num_classes}",
                mend="map as many lanes as there are classes",
            )
        return (x == lax.axis_index(axis)).astype(dtype)
    axis = canonical_axis(axis, x.ndim + 1, "one_hot")
    classes = lax.expand_dims(fnp.arange(num_classes), range(1, x.ndim + 1 - axis))
    return (lax.expand_dims(x, (axis,)) == classes).astype(dtype)
